/** Runs side by side: what differs between them, and their curves in one plot for each metric. */

import { api } from "../parts/api.js";
import { Metric, useLook } from "../parts/curves.js";
import { figure } from "../parts/format.js";
import { html, useMemo, useState } from "../parts/html.js";
import { Empty, Loaded, useLoad } from "../parts/load.js";
import { ask, to } from "../parts/router.js";
import { Status } from "../parts/runs.js";

const MOST_CURVES = 24;

export function Compare({ ids, query }) {
  const asked = ids.join(",");
  const found = useLoad((signal) => (asked ? api.get("/ml-platform/runs/compare", { ids: asked }, { signal }) : Promise.resolve(null)), [asked]);
  return html`<div class="head"><h1>Runs side by side</h1></div>
    ${!asked ? html`<${Empty}>Choose runs in <a href=${to("experiments")}>an experiment</a>.<//>` : html`<${Loaded} of=${found}>${(value) => html`<${Curves} of=${value} /><${Table} of=${value} query=${query} />`}<//>`}`;
}

const named = (run) => run.name || run.id.slice(-8);

function Curves({ of: { runs, metrics } }) {
  const [look, controls] = useLook();
  const [word, search] = useState("");
  const shown = metrics.filter(({ key }) => key.toLowerCase().includes(word.toLowerCase()));
  const having = useMemo(() => Object.fromEntries(metrics.map(({ key, values }) => [key, runs.filter((_, index) => values[index] !== null)])), [metrics]);
  if (!metrics.length) return null;
  return html`<section class="card" aria-label="Curves"><div class="head"><h2>Curves</h2>${controls}</div>
    ${metrics.length > 6 && html`<label>Search metrics <input type="search" value=${word} onInput=${(event) => search(event.target.value)} /></label>`}
    <div class="cards">${shown.slice(0, MOST_CURVES).map(({ key }) => html`<${Metric} key=${key} metric=${key} runs=${having[key]} look=${look} />`)}</div>
    ${shown.length > MOST_CURVES && html`<p class="faint">the first ${MOST_CURVES} of ${shown.length}: search for others</p>`}</section>`;
}

function Table({ of, query: { all, ids = "" } }) {
  const { runs } = of;
  const leave = (id) => ask({ ids: ids.split(",").filter((other) => other !== id).join(",") });
  return html`<section class="card" aria-label="Values"><div class="head"><h2>Values</h2>
      <label class="check"><input type="checkbox" checked=${all !== "1"} onChange=${() => ask({ all: all === "1" ? "" : "1" })} /> only what differs</label></div>
    <div class="scroll" tabindex="0" role="group" aria-label="Values of the runs"><table class="beside"><thead><tr><th scope="col"></th>${runs.map((run) => html`<th key=${run.id} scope="col"><a href=${to("runs", run.id)}>${named(run)}</a> <button class="plain" aria-label=${`Leave ${named(run)} out`} onClick=${() => leave(run.id)}>×</button><div><${Status} of=${run.status} /></div></th>`)}</tr></thead>
      ${["metrics", "params", "tags", "system_metrics"].map((part) => html`<${Part} key=${part} title=${part.replace("_", " ")} lines=${of[part].filter((line) => all === "1" || line.differs || runs.length === 1)} count=${runs.length} />`)}</table></div></section>`;
}

function Part({ title, lines, count }) {
  if (!lines.length) return null;
  return html`<tbody><tr><th colspan=${count + 1} scope="rowgroup">${title}</th></tr>
    ${lines.map(({ key, values }) => html`<tr key=${key}><th scope="row" class="name">${key}</th>${values.map((value, index) => html`<td key=${index} class="long">${value === null ? html`<span class="faint">–</span>` : figure(value)}</td>`)}</tr>`)}</tbody>`;
}
