/** `#/lineage/KIND/ID`: a node of the lineage graph that has no other page (a dataset, a commit, a training run, a promotion), and every picture that came of it. */

import { api } from "../parts/api.js";
import { Facts } from "../parts/facts.js";
import { KINDS, title } from "../parts/graph.js";
import { html, useState } from "../parts/html.js";
import { Lineage } from "../parts/lineage.js";
import { Empty, Loaded, useLoad } from "../parts/load.js";
import { Picture, address } from "../parts/picture.js";
import { to } from "../parts/router.js";

const NODE = "/ml-platform/lineage/{kind}/{id}", PAGE = 60;

export function Page({ parts: [kind, id] }) {
  if (!kind || !id) return html`<${Empty}>What came from what stands with each picture, run and model: <a href=${to("assets")}>begin with a picture</a>.<//>`;
  return html`<${Thing} key=${kind + id} kind=${kind} id=${id} />`;
}

function Thing({ kind, id }) {
  const found = useLoad((signal) => api.get(NODE, { kind, id, depth: 0 }, { signal }), [kind, id]);
  return html`<${Loaded} of=${found}>${({ nodes: [node] }) => html`<div class="head"><h1>${KINDS[kind] ?? kind}: ${title({ kind, id, ...node?.facts })}</h1></div>
    <section class="card" aria-label="What is known of it"><h2>What is known of it</h2><${Facts} of=${{ id, ...node?.facts }} /></section>
    ${kind === "dataset" && node?.href && html`<${Contents} id=${id} />`}
    <${Lineage} kind=${kind} id=${id} /><${Pictures} kind=${kind} id=${id} />`}<//>`;
}

/** What a dataset that somebody registered holds, and which runs read it. */
function Contents({ id }) {
  const dataset = useLoad((signal) => api.get("/ml-platform/datasets/{id}", { id }, { signal }), [id]);
  const readers = useLoad((signal) => api.get("/ml-platform/datasets/{id}/runs", { id, limit: PAGE }, { signal }), [id]);
  return html`<div class="split"><section class="card" aria-label="Contents"><h2>Contents</h2>
      <${Loaded} of=${dataset} empty=${({ schema, profile }) => !schema && !profile} nothing="No schema and no profile came with it.">${({ schema, profile }) => html`<${Facts} of=${{ schema, profile }} />`}<//></section>
    <section class="card" aria-label="Runs"><h2>Runs that read it</h2>
      <${Loaded} of=${readers} empty=${({ runs }) => !runs.length} nothing="No run says that it read it.">${({ runs, next }) => html`<ul class="lines">${runs.map((run) => html`<li key=${run.id}><a href=${to("runs", run.id)}>${run.name || run.id}</a></li>`)}</ul>${next && html`<p class="faint">The newest ${PAGE} are shown.</p>`}`}<//></section></div>`;
}

/** Which pictures are to be looked at again if this was bad. */
function Pictures({ kind, id }) {
  const [most, see] = useState(PAGE);
  const found = useLoad((signal) => api.get(NODE, { kind, id, direction: "down", kinds: "asset", depth: 64, limit: most }, { signal }), [kind, id, most]);
  const made = ({ nodes }) => nodes.filter((node) => node.steps > 0);
  return html`<section class="card" aria-label="Pictures"><h2>Pictures that came of it</h2>
    <${Loaded} of=${found} empty=${(lineage) => !made(lineage).length} nothing="None yet.">${(lineage) => html`<div class="pictures">${made(lineage).map((node) => html`<a key=${node.id} href=${to("assets", node.id)}><${Picture} src=${address(node.id)} alt=${`Picture ${node.id.slice(0, 8)}`} size=${96} width=${node.facts.width} height=${node.facts.height} /></a>`)}</div>
      ${lineage.next && most < 10_000 && html`<button onClick=${() => see(Math.min(10_000, most * 4))}>More</button>`}`}<//></section>`;
}
