/** What a thing came from and what came of it: the lineage graph around a node. */

import { api } from "./api.js";
import { Graph } from "./graph.js";
import { html, useMemo } from "./html.js";
import { Loaded, useLoad } from "./load.js";

const MOST = 200, EACH = 6;

export function Lineage({ kind, id, depth = 3 }) {
  const found = useLoad((signal) => api.get("/ml-platform/lineage/{kind}/{id}", { kind, id, depth, limit: MOST }, { signal }), [kind, id]);
  return html`<section class="card" aria-label="Lineage"><h2>What it came from, and what came of it</h2>
    <${Loaded} of=${found} empty=${({ nodes }) => !nodes.length} nothing="Nothing is linked with it yet.">${(lineage) => html`<${Drawn} lineage=${lineage} />`}<//></section>`;
}

function Drawn({ lineage: { nodes, edges, subject, truncated } }) {
  const flat = useMemo(() => flattened(few(nodes), subject), [nodes, subject]);
  return html`${(truncated || flat.length < nodes.length) && html`<p class="faint">There is more: the ${flat.length} nearest are shown.</p>`}<${Graph} nodes=${flat} edges=${edges} subject=${subject} />`;
}

/** All that it came from, and of what came of it the nearest of each kind: a model version has made thousands. */
function few(nodes) {
  const seen = {};
  return nodes.filter(({ kind, steps }) => steps <= 0 || (seen[kind] = (seen[kind] ?? 0) + 1) <= EACH);
}

function flattened(nodes, subject) {
  const flat = nodes.map(({ kind, id, href, facts }) => ({ ...facts, kind, id, href }));
  const [kind, id] = [subject.slice(0, subject.indexOf(":")), subject.slice(subject.indexOf(":") + 1)];
  return flat.some((node) => node.kind === kind && node.id === id) ? flat : [{ kind, id }, ...flat];
}
