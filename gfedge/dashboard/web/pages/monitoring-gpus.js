/** The GPUs, as they are now and over time; a machine without one is told so. */

import { api } from "../parts/api.js";
import { bytes, figure, moment, percent } from "../parts/format.js";
import { html } from "../parts/html.js";
import { Loaded, useLoad } from "../parts/load.js";
import { useTurns } from "../parts/range.js";
import { Board } from "./monitoring-board.js";

export function Gpus({ query }) {
  const [turn] = useTurns("5s");
  const found = useLoad((signal) => api.get("/monitoring/status", {}, { signal }), [turn]);
  return html`<${Loaded} of=${found}>${({ gpus, gpu_driver, xid_errors, provider, device }) => (gpus.length
    ? html`<div class="cards">${gpus.map((one) => html`<${Gpu} key=${one.uuid || one.gpu + one.mig} of=${one} />`)}</div>
      <p class="faint">Driver ${gpu_driver || "unknown"} · models run with ${provider} (${device})</p>
      ${xid_errors.length > 0 && html`<section class="card"><h2>Errors that the driver reported</h2><ul class="lines">${xid_errors.map((one) => html`<li>XID ${one.xid} of GPU ${one.gpu} · ${moment(one.at)}</li>`)}</ul></section>`}
      <${Board} uid="gfedge-gpu" query=${query} />`
    : html`<section class="card"><h2>No GPU answers on this machine</h2><p>That is fine: models run with ${provider} (${device}). With an NVIDIA card and its driver, this page shows what each card does.</p></section>`)}<//>`;
}

function Gpu({ of }) {
  const facts = {
    Busy: percent(of.utilization_ratio), Memory: of.memory_bytes === null ? null : `${bytes(of.memory_used_bytes)} of ${bytes(of.memory_bytes)}`,
    Temperature: of.temperature_celsius === null ? null : `${figure(of.temperature_celsius)} °C`,
    Power: of.power_watts === null ? null : `${figure(of.power_watts)} W${of.power_limit_watts ? ` of ${figure(of.power_limit_watts)} W` : ""}`,
    "Clocks lowered": of.throttled.join(", ") || null,
  };
  return html`<section class="card"><h2>GPU ${of.gpu}${of.mig && ` · MIG ${of.mig}`} <span class="badge ${of.up ? "ok" : "lost"}">${of.up ? "answers" : "lost"}</span></h2><p class="faint">${of.name}</p>
    <dl class="facts">${Object.entries(facts).filter(([, value]) => value !== null).map(([name, value]) => html`<dt>${name}</dt><dd>${value}</dd>`)}</dl>
    ${of.processes.length > 0 && html`<ul class="lines">${of.processes.map((one) => html`<li>${one.name || "process"} <span class="faint">${one.pid} · ${bytes(one.memory_bytes)}</span></li>`)}</ul>`}</section>`;
}
