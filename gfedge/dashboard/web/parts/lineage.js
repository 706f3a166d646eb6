/** What a thing came from and what came of it: the lineage graph around a node. */

import { api } from "./api.js";
import { Graph } from "./graph.js";
import { html, useMemo } from "./html.js";
import { Loaded, useLoad } from "./load.js";

const MOST = 40;

export function Lineage({ kind, id, depth = 3 }) {
  const found = useLoad((signal) => api.get("/ml-platform/lineage/{kind}/{id}", { kind, id, depth, limit: MOST }, { signal }), [kind, id]);
  return html`<section class="card" aria-label="Lineage"><h2>What it came from, and what came of it</h2>
    <${Loaded} of=${found} empty=${({ nodes }) => !nodes.length} nothing="Nothing is linked with it yet.">${(lineage) => html`<${Drawn} lineage=${lineage} />`}<//></section>`;
}

function Drawn({ lineage: { nodes, edges, subject, truncated } }) {
  const flat = useMemo(() => flattened(nodes, subject), [nodes, subject]);
  return html`${truncated && html`<p class="faint">The ${flat.length} nearest are shown.</p>`}<${Graph} nodes=${flat} edges=${edges} subject=${subject} />`;
}

function flattened(nodes, subject) {
  const flat = nodes.map(({ kind, id, href, facts }) => ({ ...facts, kind, id, href }));
  const [kind, id] = [subject.slice(0, subject.indexOf(":")), subject.slice(subject.indexOf(":") + 1)];
  return flat.some((node) => node.kind === kind && node.id === id) ? flat : [{ kind, id }, ...flat];
}
