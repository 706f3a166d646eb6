/** Asset: a picture, what is known of it, and its trace; without one, a place to drop any picture. */

import { api, may } from "../parts/api.js";
import { trace } from "../parts/drop.js";
import { Facts } from "../parts/facts.js";
import { html, useState } from "../parts/html.js";
import { learn } from "../parts/jobs.js";
import { Loaded, useLoad } from "../parts/load.js";
import { tried } from "../parts/notes.js";
import { Zoom, address } from "../parts/picture.js";
import { go } from "../parts/router.js";
import { Trace } from "../parts/trace.js";

export function Page({ parts: [sha256] }) {
  return sha256 ? html`<${Asset} key=${sha256} sha256=${sha256} />` : html`<${Ask} />`;
}

function Ask() {
  return html`<h1>Where does a picture come from?</h1>
    <p>Drop any picture anywhere on this page, or choose one: it is known by its bytes, by its pixels, or by what its metadata say.</p>
    <label class="well">A PNG, JPEG or WebP <input type="file" accept="image/*" onChange=${(event) => trace(event.target.files[0])} /></label>`;
}

function Asset({ sha256 }) {
  const path = "/assets/{sha256}/trace";
  const found = useLoad((signal) => api.get(path, { sha256 }, { signal }), [sha256]);
  return html`<${Loaded} of=${found}>${({ nodes }) => html`<${Known} row=${nodes.find((node) => node.kind === "asset" && node.id === sha256) ?? { sha256 }} />`}<//>
    <${Trace} path=${path} params=${{ sha256 }} />`;
}

function Known({ row }) {
  const [tiled, tile] = useState(false);
  const upscale = (scale) => async () => { const job = await tried(() => api.upscale(row.sha256, { scale }), "It is in the queue"); if (job) { learn(job); go("studio"); } };
  return html`<div class="head"><h1>Picture</h1><div class="buttons">
      <button aria-pressed=${tiled} onClick=${() => tile(!tiled)}>3×3 tiles</button>
      ${may("run") && html`<button onClick=${upscale(2)}>Enlarge ×2</button><button onClick=${upscale(4)}>Enlarge ×4</button><${Pinned} sha256=${row.sha256} />`}
      <a class="button" href=${address(row.sha256)} download=${`${row.sha256.slice(0, 12)}.png`}>Download</a></div></div>
    <div class="split"><section class="card" aria-label="The picture">${row.width && html`<${Zoom} key=${tiled} src=${address(row.sha256)} alt="The picture" width=${row.width} height=${row.height} tiled=${tiled} />`}</section>
      <section class="card" aria-label="What is known of it"><h2>What is known of it</h2><${Facts} of=${row} leave=${["kind", "id", "href", "url"]} /></section></div>`;
}

/** Whether the picture stays whatever the retention policy says. */
function Pinned({ sha256 }) {
  const pins = useLoad((signal) => api.get("/ml-platform/pins", {}, { signal }), [sha256]);
  const pinned = pins.value?.pins.some((pin) => pin.sha256 === sha256) ?? false;
  const turn = async () => {
    await tried(() => (pinned ? api.delete : api.put).call(api, "/assets/{sha256}/pin", { sha256 }), pinned ? "It may go when its time comes" : "It stays");
    pins.again();
  };
  return html`<button aria-pressed=${pinned} onClick=${turn} title="Keep it whatever the retention policy says">${pinned ? "Kept" : "Keep"}</button>`;
}
