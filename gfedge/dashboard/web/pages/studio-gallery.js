/** What was made, newest first: a wall of pictures of any length, and one of them looked at closely. */

import { useHistory } from "../parts/history.js";
import { html, useState } from "../parts/html.js";
import { titled } from "../parts/jobs.js";
import { Empty, Failure, Loading } from "../parts/load.js";
import { tried } from "../parts/notes.js";
import { Picture, address } from "../parts/picture.js";
import { Rows } from "../parts/rows.js";
import { FORMATS, download } from "../parts/sheet.js";
import { Viewer } from "./studio-viewer.js";

const TILE = 8.8 * parseFloat(getComputedStyle(document.documentElement).fontSize), GAP = 10;

export function Gallery({ use }) {
  const { jobs, more, again, loading, problem } = useHistory({ status: "succeeded" });
  const [open, show] = useState(null);
  const [marked, mark] = useState(new Set());
  const items = jobs.flatMap((job) => job.outputs.map((output, index) => ({ job, output, index, key: `${job.id}/${index}` })));
  const toggle = (key) => mark((old) => { const found = new Set(old); if (!found.delete(key)) found.add(key); return found; });
  const at = items.findIndex((item) => item.key === open);
  const step = (by) => items[at + by] && show(items[at + by].key);
  return html`<section class="gallery" aria-label="Pictures made">
    <div class="head"><h2>Made</h2><span class="faint">${items.length ? `${items.length}${loading ? "" : " shown"}` : ""}</span>
      ${marked.size > 0 && html`<${Marked} items=${items.filter((item) => marked.has(item.key))} clear=${() => mark(new Set())} />`}</div>
    ${problem && html`<${Failure} problem=${problem} again=${again} />`}
    ${loading ? html`<${Loading} />` : !items.length && !problem ? html`<${Empty}>No picture yet. Say what you want on the left: <q>a red dragon</q>.<//>` : null}
    <${Rows} items=${items} size=${TILE + GAP} width=${TILE} gap=${GAP} label="Pictures" more=${more}>
      ${(item) => html`<${Tile} key=${item.key} item=${item} marked=${marked.has(item.key)} open=${() => show(item.key)} toggle=${() => toggle(item.key)} />`}
    <//>
    ${at >= 0 && html`<${Viewer} item=${items[at]} step=${step} close=${() => show(null)} use=${use} />`}
  </section>`;
}

function Tile({ item: { job, output }, marked, open, toggle }) {
  const name = titled(job);
  return html`<div class="tile ${marked ? "marked" : ""}" role="listitem">
    <button class="plain" title=${name} onClick=${open}><${Picture} src=${address(output.sha256)} alt=${name} width=${output.width} height=${output.height} /></button>
    <label class="mark"><input type="checkbox" checked=${marked} onChange=${toggle} aria-label=${`Choose ${name} for a sprite sheet`} /></label>
  </div>`;
}

/** What was chosen, to be put on a sheet. */
function Marked({ items, clear }) {
  const [format, choose] = useState("json");
  const [busy, work] = useState(false);
  const pictures = items.map(({ job, output, index }) => ({ name: `${titled(job).replace(/[^A-Za-z0-9]+/g, "-").replace(/^-/, "")}-${job.id.slice(-6)}-${index}`, sha256: output.sha256 }));
  const make = async () => { work(true); await tried(() => download(pictures, { format })); work(false); };
  return html`<div class="buttons"><span>${items.length} chosen</span>
    <select aria-label="Format of the atlas" value=${format} onInput=${(event) => choose(event.target.value)}>${Object.entries(FORMATS).map(([value, name]) => html`<option value=${value}>${name}</option>`)}</select>
    <button class="primary" disabled=${busy} onClick=${make}>${busy ? "Making…" : "Sprite sheet + atlas"}</button><button onClick=${clear}>Clear</button></div>`;
}
