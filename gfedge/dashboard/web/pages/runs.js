/** `#/runs/ID`: one run; `#/runs/compare?ids=A,B`: some of them side by side. */

import { api, may } from "../parts/api.js";
import { Artifacts } from "../parts/artifacts.js";
import { Metric, useLook } from "../parts/curves.js";
import { confirmed } from "../parts/dialog.js";
import { Facts } from "../parts/facts.js";
import { figure } from "../parts/format.js";
import { html, useEffect, useMemo, useState } from "../parts/html.js";
import { Lineage } from "../parts/lineage.js";
import { Empty, Loaded, useLoad } from "../parts/load.js";
import { tried } from "../parts/notes.js";
import { go, to } from "../parts/router.js";
import { Status } from "../parts/runs.js";
import { Compare } from "./runs-compare.js";

const ONE = "/ml-platform/runs/{id}";
const LEAVE = ["params", "tags", "metrics", "system_metrics", "reported", "inputs", "name", "status", "experiment_id", "source"];

export function Page({ parts: [id], query }) {
  if (!id) return html`<${Empty}>Runs stand below <a href=${to("experiments")}>their experiments</a>.<//>`;
  return id === "compare" ? html`<${Compare} ids=${(query.ids ?? "").split(",").filter(Boolean)} query=${query} />` : html`<${Run} key=${id} id=${id} />`;
}

function Run({ id }) {
  const found = useLoad((signal) => api.get(ONE, { id }, { signal }), [id]);
  return html`<${Loaded} of=${found}>${(first) => html`<${Known} first=${first} again=${found.again} />`}<//>`;
}

/** The run as the stream tells it, and the points that came since. */
function useLive(first) {
  const [run, set] = useState(first);
  const [fresh, grow] = useState([]);
  const [turn, next] = useState(0);
  useEffect(() => {
    const stream = api.stream("experiments", { topics: [`run:${first.id}`] }, ({ type, data }) => {
      if (type === "snapshot") { grow([]); next((turn) => turn + 1); const now = data.runs.find((one) => one.id === first.id); if (now) set(now); }
      if ((type === "run.changed" || type === "run.ended") && data.id === first.id) { set(data); next((turn) => turn + 1); }
      if (type === "run.logged" && data.run_id === first.id) grow((old) => [...old, ...data.points.map((point) => ({ ...point, time: point.logged_at ?? Date.now() / 1000 }))]);
    });
    return () => stream.close();
  }, []);
  return [run, fresh, turn];
}

function Known({ first, again }) {
  const [run, fresh, turn] = useLive(first);
  const remove = async () => {
    if ((await confirmed("Delete this run", "It is hidden, and can be brought back until the next collection.", { button: "Delete it", danger: true })) !== null && (await tried(() => api.delete(ONE, { id: run.id }), "Deleted"))) go("experiments", run.experiment_id);
  };
  return html`<div class="head"><h1>${run.name || run.id.slice(-8)}</h1><${Status} of=${run.status} /><a href=${to("experiments", run.experiment_id)}>its experiment</a>${run.kind.startsWith("ai-") && run.params.job && html`<a href=${to("jobs", run.params.job)}>its job</a>`}
      ${may("run") && !run.deleted_at && html`<div class="buttons"><button class="danger" onClick=${remove}>Delete…</button></div>`}
      ${run.deleted_at && html`<span class="badge failed">deleted</span>${may("run") && html`<button onClick=${() => tried(() => api.post(`${ONE}/restore`, { id: run.id }), "Brought back").then(again)}>Bring it back</button>`}`}</div>
    <${Curves} run=${run} fresh=${fresh} turn=${turn} />
    <div class="split"><${Values} title="Params" of=${run.params} /><${Values} title="Metrics" of=${{ ...run.metrics, ...run.system_metrics }} /></div>
    <div class="split"><${Artifacts} id=${run.id} turn=${turn} />
      <section class="card" aria-label="About"><h2>About</h2><${Facts} of=${{ ...run, ...run.source }} leave=${LEAVE} />
        ${Object.keys(run.tags).length > 0 && html`<h3>Tags</h3><${Facts} of=${run.tags} />`}
        ${run.inputs.length > 0 && html`<h3>Datasets</h3><ul class="lines">${run.inputs.map((one) => html`<li key=${one.dataset_id}><a href=${to("lineage", "dataset", one.dataset_id)}>${one.name}</a> <span class="faint mono">${one.digest}</span> ${one.context}</li>`)}</ul>`}</section></div>
    <${Lineage} kind="run" id=${run.id} />`;
}

function Curves({ run, fresh, turn }) {
  const [look, controls] = useLook();
  const only = useMemo(() => [{ id: run.id, name: run.name }], [run.id]);
  const [system, show] = useState(false);
  const curved = (key) => run.status === "running" || (run.reported[key]?.[0] ?? 0) > 0; // one value is no curve
  const keys = [...new Set([...Object.keys(run.metrics).filter(curved), ...fresh.map((one) => one.key), ...(system ? Object.keys(run.system_metrics).filter(curved) : [])])].filter((key) => system || !key.startsWith("system/")).sort();
  const many = Object.keys(run.system_metrics).filter(curved).length;
  const grown = useMemo(() => Object.groupBy(fresh, (one) => one.key), [fresh]);
  if (!keys.length && !many) return null;
  return html`<section class="card" aria-label="Curves"><div class="head"><h2>Curves</h2>${controls}</div>
    ${many > 0 && html`<label class="check"><input type="checkbox" checked=${system} onChange=${() => show(!system)} /> system metrics too (${many})</label>`}
    <div class="cards">${keys.slice(0, 60).map((key) => html`<${Metric} key=${key} metric=${key} runs=${only} look=${look} fresh=${{ [run.id]: grown[key] ?? [] }} turn=${turn} />`)}</div></section>`;
}

function Values({ title, of }) {
  const [word, search] = useState("");
  const all = Object.entries(of), shown = all.filter(([key]) => key.toLowerCase().includes(word.toLowerCase()));
  return html`<section class="card" aria-label=${title}><div class="head"><h2>${title} <span class="faint">${all.length}</span></h2></div>
    ${all.length > 12 && html`<label>Search <input type="search" value=${word} onInput=${(event) => search(event.target.value)} /></label>`}
    ${all.length === 0 ? html`<p class="faint">none</p>` : html`<div class="tall" tabindex="0" role="group" aria-label=${`${title} of the run`}><dl class="facts">${shown.slice(0, 300).map(([key, value]) => html`<dt key=${key}>${key}</dt><dd class="long">${figure(value)}</dd>`)}</dl></div>`}</section>`;
}
