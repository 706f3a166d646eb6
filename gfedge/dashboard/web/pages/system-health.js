/** Whether work can be done here, and why not; what is in memory; which versions run. */

import { api } from "../parts/api.js";
import { Facts } from "../parts/facts.js";
import { ago, bytes, figure, seconds } from "../parts/format.js";
import { html } from "../parts/html.js";
import { Loaded, useLoad } from "../parts/load.js";
import { useTurns } from "../parts/range.js";
import { to } from "../parts/router.js";

const FIGURES = ["versions", "python", "onnxruntime", "duckdb", "provider", "device", "gpu_driver", "started_at", "uptime_seconds"];

/** Not ready is an answer here, no failure. */
function readiness(signal) {
  return api.get("/monitoring/health/ready", {}, { signal }).catch((problem) => {
    if (problem.said?.checks) return { ...problem.said, status: "not ready" };
    throw problem;
  });
}

export function Health() {
  const [turn] = useTurns("5s");
  const ready = useLoad(readiness, [turn]);
  const status = useLoad((signal) => api.get("/monitoring/status", {}, { signal }), [turn]);
  return html`<${Loaded} of=${ready}>${(found) => html`<${Checks} of=${found} />`}<//>
    <${Loaded} of=${status}>${(found) => html`<div class="split"><${Models} of=${found} />
      <section class="card" aria-label="Versions"><h2>gfedge ${found.version}</h2><${Facts} of=${Object.fromEntries(FIGURES.map((name) => [name, found[name]]))} /></section></div>
      <${Rates} of=${found} />`}<//>`;
}

function Checks({ of: { status, checks = {} } }) {
  return html`<section class="card" aria-label="Health"><div class="head"><h2>${status === "ready" ? "Ready for work" : "Not ready for work"}</h2>
      <span class="badge ${status === "ready" ? "ok" : "failed"}">${status}</span></div>
    <dl class="checks">${Object.entries(checks).map(([name, { ok, reason }]) => html`<div key=${name}><dt><span class="badge ${ok ? "passed" : "failed"}">${name}</span></dt><dd>${reason}</dd></div>`)}</dl></section>`;
}

function Models({ of: { models, model_states } }) {
  const loaded = new Map(models.map((one) => [`${one.name}@${one.version}`, one]));
  return html`<section class="card" aria-label="Models in memory"><h2>Models in memory <span class="faint">${models.length}</span></h2>
    ${models.length === 0 && html`<p class="faint">None: a model is loaded when a job needs it.</p>`}
    <ul class="lines">${[...loaded].map(([name, one]) => html`<li key=${name}><a href=${to("models", one.name, one.version)}>${name}</a> ${one.busy && html`<span class="badge running">busy</span>`}
      <span class="faint">${bytes(one.memory_bytes)}, loaded in ${seconds(one.load_seconds)}</span></li>`)}
      ${Object.entries(model_states).filter(([name]) => !loaded.has(name)).map(([name, state]) => html`<li key=${name}>${name} <span class="badge ${state}">${state}</span></li>`)}</ul></section>`;
}

function Rates({ of: { rates, queue, history } }) {
  const shown = Object.entries(rates).filter(([, value]) => value !== null);
  return html`<div class="split">
    <section class="card" aria-label="Now"><h2>Now</h2><dl class="facts">${[...Object.entries(queue), ...shown].map(([name, value]) => html`<dt key=${name}>${name.replaceAll("_", " ")}</dt><dd>${/ratio$/.test(name) ? `${figure(value * 100)} %` : /seconds|p\d\d$/.test(name) ? seconds(value) : figure(value)}</dd>`)}</dl></section>
    <section class="card" aria-label="History of metrics"><h2>History of metrics</h2><dl class="facts">
      <dt>Series</dt><dd>${figure(history.series)}, one point each ${seconds(history.interval_seconds)}</dd>
      <dt>In memory</dt><dd>${bytes(history.memory_bytes)}${history.memory_from ? `, from ${ago(history.memory_from)}` : ""}</dd>
      <dt>Stored</dt><dd>${bytes(history.stored_bytes)}, ${figure(history.stored_samples)} points${history.stored_from ? `, from ${ago(history.stored_from)}` : ""}</dd>
      ${Object.keys(history.dropped_series).length > 0 && html`<dt>Not sampled</dt><dd>${Object.entries(history.dropped_series).map(([name, count]) => `${name}: ${count}`).join(", ")} (setting max_series)</dd>`}
      <dt>A crash would lose</dt><dd>${seconds(history.lost_by_a_crash_seconds)}</dd></dl></section></div>`;
}
