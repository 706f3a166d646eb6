/** The runs of an experiment: a table with chosen columns, filtered, sorted, some of them taken to be compared. */

import { api } from "../parts/api.js";
import { Complete } from "../parts/complete.js";
import { ago, figure } from "../parts/format.js";
import { suggesting } from "../parts/filter.js";
import { html, useEffect, useMemo, useState } from "../parts/html.js";
import { Empty, Failure, Loaded, Loading, useLoad } from "../parts/load.js";
import { ask, to } from "../parts/router.js";
import { Rows } from "../parts/rows.js";
import { asked, keysOf, Status, useRuns, valueOf, written } from "../parts/runs.js";
import { Chart } from "./experiments-chart.js";

const MOST_COMPARED = 50;

export function Experiment({ id, view, query }) {
  const found = useLoad((signal) => api.get("/ml-platform/experiments/{id}", { id }, { signal }), [id]);
  return html`<${Loaded} of=${found}>${(experiment) => html`<${Known} experiment=${experiment} view=${view} query=${query} />`}<//>`;
}

function Known({ experiment, view, query }) {
  const found = useRuns(experiment.id, asked(query.filter ?? "", query.sort ?? ""));
  const search = location.hash.split("?")[1];
  const tab = (name, text) => html`<a class="button" href=${`${to("experiments", experiment.id, ...(name ? [name] : []))}${search ? `?${search}` : ""}`} aria-current=${(view ?? "") === name ? "page" : undefined}>${text}</a>`;
  return html`<div class="head"><h1>${experiment.name}</h1><nav class="tabs" aria-label="How runs are shown">${tab("", "Table")}${tab("chart", "Chart")}</nav>
      <span class="faint">${figure(experiment.run_count)} runs · ${experiment.kind}</span></div>
    ${experiment.description && html`<p>${experiment.description}</p>`}
    <${Filter} query=${query} runs=${found.runs} problem=${found.problem} again=${found.again} />
    ${found.fresh > 0 && html`<p role="status">${found.fresh} new runs. <button onClick=${found.again}>Look again</button></p>`}
    ${found.problem && found.problem.code !== "bad_filter" && html`<${Failure} problem=${found.problem} again=${found.again} />`}
    ${found.loading ? html`<${Loading} />` : !found.runs.length ? !found.problem && html`<${Empty}>${query.filter ? "No run is like that." : "No run was begun yet."}<//>`
      : html`<${view === "chart" ? Chart : Table} experiment=${experiment} found=${found} query=${query} />`}`;
}

function Filter({ query, runs, problem, again }) {
  const [text, type] = useState(query.filter ?? "");
  const [known, learn] = useState(runs);
  useEffect(() => { if (runs.length) learn(runs); }, [runs]);
  useEffect(() => type(query.filter ?? ""), [query.filter]);
  const suggest = useMemo(() => suggesting(known.slice(0, 500)), [known]);
  const run = (filter) => (filter.trim() === (query.filter ?? "") ? again() : ask({ filter: filter.trim() }));
  return html`<form class="explore" aria-label="Filter" onSubmit=${(event) => { event.preventDefault(); run(text); }}>
    <${Complete} label="Filter" value=${text} change=${type} submit=${run} suggest=${suggest} placeholder="metrics.loss < 0.1 and params.lr = '0.001'" wrong=${problem?.code === "bad_filter" ? problem.detail : ""} />
    <button class="primary">Filter</button></form>`;
}

/** The columns that were chosen for this experiment, else those that say most. */
function useColumns(experiment, runs) {
  const place = `columns:${experiment.id}`;
  const [chosen, set] = useState(() => JSON.parse(localStorage.getItem(place) ?? "null"));
  const choose = (columns) => { localStorage.setItem(place, JSON.stringify(columns)); set(columns); };
  const keys = useMemo(() => keysOf(runs.slice(0, 1000)), [runs.length]);
  return { keys, columns: chosen ?? usual(experiment, runs, keys), choose };
}

function usual(experiment, runs, keys) {
  const some = runs.slice(0, 200);
  const differs = (key) => new Set(some.map((run) => valueOf(run, key))).size > 1;
  const of = (entity) => keys.filter((key) => key.startsWith(`${entity}.`));
  const headline = experiment.headline ? [`metrics.${experiment.headline.metric}`] : [];
  const metrics = [...new Set([...headline, ...of("metrics")])].filter((key) => keys.includes(key)).slice(0, 3);
  const params = [...of("params").filter(differs), ...of("params").filter((key) => !differs(key))].slice(0, 4);
  return ["name", "status", "created_at", ...metrics, ...params];
}

function Table({ experiment, found, query }) {
  const { keys, columns, choose } = useColumns(experiment, found.runs);
  const [taken, take] = useState([]);
  const toggle = (id) => take((old) => (old.includes(id) ? old.filter((other) => other !== id) : [...old, id].slice(-MOST_COMPARED)));
  const grid = { "--grid": `34px ${columns.map((key) => (key === "name" ? "minmax(150px, 2fr)" : "minmax(104px, 1fr)")).join(" ")}`, "--least": `${34 + columns.length * 112}px` };
  return html`<div class="head"><span class="faint">${figure(found.runs.length)}${found.ended ? "" : "+"} runs</span><${Columns} keys=${keys} columns=${columns} choose=${choose} />
      <div class="buttons">${taken.length > 0 && html`<button onClick=${() => take([])}>Take none</button>`}
        ${taken.length > 0 && html`<a class="button primary" href=${`${to("runs", "compare")}?ids=${taken.join(",")}`}>Compare ${taken.length}</a>`}</div></div>
    <div class="scroll runtable" style=${grid} tabindex="0" role="group" aria-label="Runs, scrolls sideways">
      <${Head} columns=${columns} sort=${query.sort ?? ""} />
      <${Rows} items=${found.runs} size=${40} label="Runs" more=${found.more}>${(run) => html`<${Run} key=${run.id} run=${run} columns=${columns} taken=${taken.includes(run.id)} toggle=${toggle} />`}<//></div>`;
}

const shownName = (key) => key.replace(/^(metrics|params|tags)\./, "").replace(/_at$/, "");

/** A click orders by a column, another one the other way round, a third one as it was. */
function Head({ columns, sort }) {
  const by = (key) => { const [, entity, name] = key.match(/^(metrics|params|tags)\.(.+)$/) ?? []; return entity ? written(entity, name) : key; };
  const next = (key) => (sort === by(key) ? `${by(key)} desc` : sort === `${by(key)} desc` ? "" : by(key));
  return html`<div class="runrow runhead"><span></span>${columns.map((key) => {
    const way = sort === by(key) ? "▲" : sort === `${by(key)} desc` ? "▼" : "";
    return html`<button key=${key} class="plain cut" title=${`${key}: order by it`} aria-pressed=${way !== ""} onClick=${() => ask({ sort: next(key) })}>${shownName(key)} ${way}</button>`;
  })}</div>`;
}

function Run({ run, columns, taken, toggle }) {
  const name = run.name || run.id.slice(-8);
  return html`<div class="runrow ${taken ? "marked" : ""}" role="listitem"><input type="checkbox" checked=${taken} onChange=${() => toggle(run.id)} aria-label=${`Compare ${name}`} />
    ${columns.map((key) => html`<span key=${key} class="cut" title=${`${key} ${valueOf(run, key) ?? "–"}`}>${cell(run, key, name)}</span>`)}</div>`;
}

function cell(run, key, name) {
  const value = valueOf(run, key);
  if (key === "name") return html`<a href=${to("runs", run.id)}>${name}</a>`;
  if (key === "status") return html`<${Status} of=${value} />`;
  if (value === null) return html`<span class="faint">–</span>`;
  return key.endsWith("_at") && !key.includes(".") ? ago(value) : figure(value);
}

function Columns({ keys, columns, choose }) {
  const [word, search] = useState("");
  const toggle = (key) => choose(columns.includes(key) ? columns.filter((other) => other !== key) : [...columns, key]);
  return html`<details class="columns"><summary>Columns</summary><div class="card">
    <label>Search <input type="search" value=${word} onInput=${(event) => search(event.target.value)} /></label>
    <div class="choices">${keys.filter((key) => key.toLowerCase().includes(word.toLowerCase())).slice(0, 200).map((key) => html`<label key=${key} class="check"><input type="checkbox" checked=${columns.includes(key)} disabled=${key === "name"} onChange=${() => toggle(key)} /> ${key}</label>`)}</div></div></details>`;
}
