/** PromQL, tried out: an expression with completion, drawn and as a table. */

import { Complete } from "../parts/complete.js";
import { figure } from "../parts/format.js";
import { html, useEffect, useState } from "../parts/html.js";
import { Empty, Loaded, useLoad } from "../parts/load.js";
import { Plot } from "../parts/plot.js";
import { legend, overTime, spread } from "../parts/prometheus.js";
import { suggest } from "../parts/promql.js";
import { Range, time, useTurns } from "../parts/range.js";
import { ask, to } from "../parts/router.js";

const MOST = 40;
const TRIES = {
  "Requests a second, by status": "sum by (status) (rate(gfedge_http_requests_total[1m]))",
  "Slowest routes": "topk(5, histogram_quantile(0.95, sum by (le, route) (rate(gfedge_http_request_seconds_bucket[5m]))))",
  "Jobs, by how they ended": "sum by (status) (increase(gfedge_jobs_total[1h]))",
  "Memory of the process": "process_resident_memory_bytes",
};

export function Explore({ query }) {
  const { q = "", from = "now-1h", to: until = "now", refresh = "off" } = query;
  const [text, type] = useState(q);
  const [turn, again] = useTurns(refresh);
  useEffect(() => type(q), [q]);
  const found = useLoad(async (signal) => (q ? overTime(q, spread(time(from), time(until)), signal) : null), [q, from, until, turn]);
  const run = (q) => { ask({ q: q.trim() }); again(); };
  const away = found.problem?.code === "unreachable"; // then what was drawn stays, until the server is back
  const wrong = q && q === text && !away ? found.problem?.detail ?? found.problem?.message : "";
  return html`<form class="explore" aria-label="Expression" onSubmit=${(event) => { event.preventDefault(); run(text); }}>
      <${Complete} label="PromQL" value=${text} change=${type} submit=${run} suggest=${suggest} placeholder="rate(gfedge_http_requests_total[5m])" wrong=${wrong} />
      <button class="primary">Draw</button></form>
    <${Range} from=${from} to=${until} refresh=${refresh} change=${ask} again=${again} />
    ${!q ? html`<${Tries} />` : (!found.problem || away) && html`<${Loaded} of=${found}>${(value) => value && html`<${Answer} query=${q} of=${value} />`}<//>`}`;
}

function Tries() {
  return html`<section class="card"><h2>Try one</h2><ul class="lines">${Object.entries(TRIES).map(([title, q]) => html`<li key=${q}><a href=${`${to("monitoring", "explore")}?q=${encodeURIComponent(q)}`}>${title}</a> <code class="faint long">${q}</code></li>`)}</ul>
    <p class="faint">Ctrl + Space lists what may follow; Enter draws.</p></section>`;
}

function Answer({ query, of: { times, series } }) {
  if (!series.length) return html`<${Empty}>Nothing was found in this time: no series fits <code>${query}</code>.<//>`;
  const shown = series.slice(0, MOST).map((one) => ({ ...one, name: legend(one.labels) }));
  return html`<section class="card"><p class="faint">${figure(series.length)} series${series.length > MOST ? `, ${MOST} of them drawn` : ""} · a point each ${figure(times.length > 1 ? times[1] - times[0] : 0)} s</p>
      <${Plot} title=${query} x=${times} series=${shown} time height=${320} /></section>
    <section class="card"><h2>Last values</h2><${Values} series=${shown} /></section>`;
}

function Values({ series }) {
  const names = [...new Set(series.flatMap((one) => Object.keys(one.labels)))];
  return html`<div class="scroll" tabindex="0" role="group" aria-label="Last values"><table><thead><tr>${names.map((name) => html`<th key=${name} scope="col">${name}</th>`)}<th scope="col" class="number">value</th></tr></thead>
    <tbody>${series.map((one) => html`<tr key=${one.name}>${names.map((name) => html`<td key=${name}>${one.labels[name] ?? ""}</td>`)}<td class="number">${figure(one.values.findLast((value) => value !== null))}</td></tr>`)}</tbody></table></div>`;
}
