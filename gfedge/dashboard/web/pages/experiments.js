/** Experiments; `#/experiments/ID` is the table of its runs, `#/experiments/ID/chart` what their params did to a metric. */

import { api } from "../parts/api.js";
import { ago, figure } from "../parts/format.js";
import { html, useEffect, useRef, useState } from "../parts/html.js";
import { Empty, Failure, Loading } from "../parts/load.js";
import { ask, to } from "../parts/router.js";
import { Rows } from "../parts/rows.js";
import { Experiment } from "./experiments-runs.js";

const PAGE = 200;
const ORDERS = { "-activity": "latest activity", "-created": "newest", name: "name", "-runs": "most runs" };

export function Page({ parts: [id, view], query }) {
  return id ? html`<${Experiment} key=${id} id=${id} view=${view} query=${query} />` : html`<${List} query=${query} />`;
}

function useExperiments(filter) {
  const [found, set] = useState({ items: [], loading: true, problem: null });
  const next = useRef(""), turn = useRef(0);
  const load = async () => {
    const mine = turn.current, cursor = next.current;
    if (cursor === null) return;
    next.current = null;
    try {
      const page = await api.get("/ml-platform/experiments", { ...filter, limit: PAGE, cursor });
      if (mine !== turn.current) return;
      next.current = page.next ?? null;
      set((old) => ({ items: cursor ? [...old.items, ...page.experiments] : page.experiments, loading: false, problem: null }));
    } catch (problem) {
      if (mine === turn.current) { next.current = cursor; set((old) => ({ ...old, loading: false, problem })); }
    }
  };
  const again = () => { turn.current++; next.current = ""; load(); };
  useEffect(again, [JSON.stringify(filter)]);
  useEffect(() => {
    let waiting = 0, first = true;
    const stream = api.stream("experiments", {}, () => { if (!first && !waiting) waiting = setTimeout(() => { waiting = 0; again(); }, 2000); first = false; });
    return () => { clearTimeout(waiting); stream.close(); };
  }, [JSON.stringify(filter)]);
  return { ...found, more: load, again };
}

function List({ query }) {
  const found = useExperiments({ name: query.name, order: query.order ?? "-activity", view: query.view });
  return html`<div class="head"><h1>Experiments</h1></div>
    <form class="filter" aria-label="Which experiments" onSubmit=${(event) => event.preventDefault()}>
      <label>Name <input type="search" value=${query.name ?? ""} onInput=${(event) => ask({ name: event.target.value })} /></label>
      <label>Order <select value=${query.order ?? "-activity"} onInput=${(event) => ask({ order: event.target.value })}>${Object.entries(ORDERS).map(([value, text]) => html`<option value=${value}>${text}</option>`)}</select></label>
      <label>Which <select value=${query.view ?? "active"} onInput=${(event) => ask({ view: event.target.value })}><option value="active">active</option><option value="deleted">deleted</option><option value="all">all</option></select></label>
    </form>
    ${found.problem && html`<${Failure} problem=${found.problem} again=${found.again} />`}
    ${found.loading ? html`<${Loading} />` : !found.items.length && !found.problem && html`<${Empty}>No experiment is like that. A job or a training makes one, and so does a client of the API.<//>`}
    <${Rows} items=${found.items} size=${64} label="Experiments" more=${found.more}>${(one) => html`<${Row} key=${one.id} one=${one} />`}<//>`;
}

function Row({ one }) {
  return html`<div class="row experiment" role="listitem">
    <div><p class="cut"><a href=${to("experiments", one.id)}>${one.name}</a> ${one.deleted_at && html`<span class="badge archived">deleted</span>`}</p>
      <p class="faint cut">${one.kind}${one.description ? ` · ${one.description}` : ""}</p></div>
    <div class="faint">${one.headline && one.best ? html`${one.headline.metric} <strong>${figure(one.best.value)}</strong>` : ""}</div>
    <div>${figure(one.run_count)} ${one.run_count === 1 ? "run" : "runs"}</div>
    <div class="faint when">${one.last_activity_at ? ago(one.last_activity_at) : "–"}</div></div>`;
}
