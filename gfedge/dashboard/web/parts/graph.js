/** A lineage graph, laid out by dagre and drawn as SVG: every node can be reached by Tab and opened. */

import { layout, Graph as Plan } from "../vendor/dagre.js";
import { html, useMemo, useState } from "./html.js";
import { Facts } from "./facts.js";
import { Picture, address } from "./picture.js";
import { short } from "./format.js";
import { to } from "./router.js";

const WIDTH = 176, HEIGHT = 62, PICTURE = 46;
export const KINDS = {
  asset: "Picture", job: "Job", run: "Run", experiment: "Experiment", model_version: "Model version", promotion: "Promotion",
  training_job: "Training job", training_run: "Training run", dataset: "Dataset", commit: "Commit", logged_model: "Logged model",
};
/** Where each kind of thing has a page of its own; for the others there is that of the lineage. */
const PAGES = {
  asset: (id) => to("assets", id),
  job: (id) => to("jobs", id),
  run: (id) => to("runs", id),
  experiment: (id) => to("experiments", id),
  model_version: (id) => to("models", ...id.split("@")),
  training_job: (id) => to("training", id),
};

export const title = (node) => (node.kind === "model_version" ? node.id : undefined) ?? node.params?.prompt ?? node.prompt ?? node.title ?? node.name ?? short(node.id, 12);

/** @param {{nodes: {kind: string, id: string}[], edges: {source: string, target: string, relation: string}[], subject: string}} props */
export function Graph({ nodes, edges, subject }) {
  const [picked, pick] = useState(subject);
  const plan = useMemo(() => planned(nodes, edges), [nodes, edges]);
  const { width, height } = plan.graph();
  const node = nodes.find((one) => key(one) === picked);
  return html`<div class="graph">
    <div class="scroll" tabindex="0" role="group" aria-label="Where it comes from, as a graph">
      <svg width=${width} height=${height} viewBox=${`0 0 ${width} ${height}`} style=${{ minWidth: `${Math.min(width, 760)}px` }}>
        <defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" class="tip" /></marker></defs>
        ${plan.edges().map((edge) => html`<${Arrow} edge=${plan.edge(edge)} />`)}
        ${nodes.map((one) => html`<${Box} key=${key(one)} node=${one} at=${plan.node(key(one))} picked=${key(one) === picked} pick=${() => pick(key(one))} />`)}
      </svg>
    </div>
    ${node && html`<${About} node=${node} />`}
  </div>`;
}

const key = ({ kind, id }) => `${kind}:${id}`;

function planned(nodes, edges) {
  const plan = new Plan();
  plan.setGraph({ rankdir: "LR", nodesep: 18, ranksep: 44, marginx: 8, marginy: 8 });
  plan.setDefaultEdgeLabel(() => ({}));
  for (const node of nodes) plan.setNode(key(node), { width: WIDTH, height: HEIGHT });
  for (const { source, target, relation } of edges) {
    if (plan.hasNode(source) && plan.hasNode(target)) plan.setEdge(source, target, { relation });
  }
  layout(plan);
  return plan;
}

function Arrow({ edge: { points, relation } }) {
  const path = curve(points.map(({ x, y }) => `${x.toFixed(1)} ${y.toFixed(1)}`), points);
  return html`<path d=${path} class="edge" marker-end="url(#arrow)"><title>${relation.replaceAll("_", " ")}</title></path>`;
}

/** Through the middles between the points, bent around each. */
function curve(at, points) {
  const middles = points.slice(1, -2).map(({ x, y }, index) => `${at[index + 1]} ${((x + points[index + 2].x) / 2).toFixed(1)} ${((y + points[index + 2].y) / 2).toFixed(1)}`);
  return `M${at[0]}${middles.map((middle) => `Q${middle}`).join("")}Q${at.at(-2)} ${at.at(-1)}`;
}

function Box({ node, at, picked, pick }) {
  const x = at.x - WIDTH / 2, y = at.y - HEIGHT / 2;
  const picture = node.kind === "asset";
  const left = picture ? PICTURE + 18 : 10;
  const press = (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); pick(); } };
  return html`<g class="node ${node.kind} ${picked ? "picked" : ""}" transform=${`translate(${x} ${y})`} tabindex="0" role="button" aria-pressed=${String(picked)} onClick=${pick} onKeyDown=${press}>
    <rect width=${WIDTH} height=${HEIGHT} rx="8" />
    ${picture && html`<image href=${address(node.id)} x="8" y="8" width=${PICTURE} height=${PICTURE} class="crisp" />`}
    <text x=${left} y="25" class="kind">${`${KINDS[node.kind] ?? node.kind} `}</text>
    <text x=${left} y="45">${short(title(node), picture ? 12 : 19)}</text>
  </g>`;
}

/** What is known of the node that was picked, and its page. */
function About({ node }) {
  const { kind, id, href, ...facts } = node;
  const page = PAGES[kind]?.(id) ?? to("lineage", kind, id);
  return html`<section class="card about" aria-label="The chosen node" aria-live="polite">
    <div class="head"><h3>${KINDS[kind] ?? kind}: ${title(node)}</h3><a class="button" href=${page}>Open</a></div>
    ${kind === "asset" && html`<${Picture} src=${address(id)} alt="" size=${96} width=${facts.width} height=${facts.height} />`}
    <${Facts} of=${{ id, ...facts }} />
  </section>`;
}
