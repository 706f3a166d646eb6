/** The artifacts of a run: folders, files, and pictures as pictures. */

import { api } from "./api.js";
import { bytes } from "./format.js";
import { html, useState } from "./html.js";
import { Loaded, useLoad } from "./load.js";
import { Picture } from "./picture.js";

const PATH = "/ml-platform/runs/{id}/artifacts";
/** Folders whose newest pictures are shown unopened, and how many of each. */
const OPEN = 4, FEW = 4;

/** @param {{id: string, turn?: any}} props `turn` changes when there may be more */
export function Artifacts({ id, turn }) {
  const [path, open] = useState("");
  const found = useLoad((signal) => api.get(PATH, { id, path, limit: 500 }, { signal }), [id, path, turn]);
  const up = path.split("/").slice(0, -1).join("/");
  return html`<section class="card" aria-label="Artifacts"><div class="head"><h2>Artifacts</h2><span class="faint">${path}</span>${path && html`<button onClick=${() => open(up)}>Up</button>`}</div>
    <${Loaded} of=${found} empty=${({ artifacts }) => !artifacts.length} nothing="This run kept no files.">${({ artifacts }) => html`
      <div class="pictures">${artifacts.filter(isPicture).reverse().map((one) => html`<${Sample} key=${one.sha256 + one.path} id=${id} one=${one} />`)}</div>
      <ul class="lines">${artifacts.filter((one) => !isPicture(one)).map((one) => html`<li key=${one.path}>${one.is_folder
        ? html`<button class="plain" onClick=${() => open(one.path)}>▸ ${one.name}</button> <span class="faint">${one.files} files, ${bytes(one.bytes)}</span>${!path && unopened(artifacts).includes(one) && html`<${Newest} id=${id} path=${one.path} turn=${turn} />`}`
        : html`<a href=${api.url(`${PATH}/{path}`, { id, path: one.path })} download=${one.name}>${one.name}</a> <span class="faint">${bytes(one.bytes)}</span>`}</li>`)}</ul>`}<//>
  </section>`;
}

const unopened = (artifacts) => artifacts.filter((one) => one.is_folder).slice(0, OPEN);

/** The pictures that came last into a folder: the samples of a training, as they come. */
function Newest({ id, path, turn }) {
  const found = useLoad((signal) => api.get(PATH, { id, path, limit: 500 }, { signal }), [id, path, turn]);
  const pictures = (found.value?.artifacts ?? []).filter(isPicture).sort((a, b) => b.created_at - a.created_at).slice(0, FEW);
  return html`<div class="pictures">${pictures.map((one) => html`<${Sample} key=${one.sha256 + one.path} id=${id} one=${one} />`)}</div>`;
}

const isPicture = (one) => !one.is_folder && /^image\/(png|jpeg|webp|gif)$/.test(one.media_type ?? "");

function Sample({ id, one }) {
  const src = api.url(`${PATH}/{path}`, { id, path: one.path });
  return html`<a href=${src} target="_blank" rel="noopener"><${Picture} src=${src} alt=${one.name} size=${192} width=${512} /><span class="faint">${one.name}</span></a>`;
}
