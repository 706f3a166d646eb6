/** Training: what runs and ran, and a form to start; `#/training/ID` is one job. */

import { api, link, may } from "../parts/api.js";
import { ago, percent, seconds } from "../parts/format.js";
import { html, useEffect, useState } from "../parts/html.js";
import { Loaded, useLoad } from "../parts/load.js";
import { go, to } from "../parts/router.js";
import { Start } from "./training-start.js";
import { Training } from "./training-one.js";

export const ENDED = ["succeeded", "failed", "cancelled"];

export function Page({ parts: [id] }) {
  return id ? html`<${Training} key=${id} id=${id} />` : html`<${List} />`;
}

function List() {
  const found = useLoad((signal) => api.get("/ml-platform/training-jobs", { limit: 200 }, { signal }));
  const [starting, start] = useState(false);
  useEffect(() => {
    const changed = ({ type }) => /^job\.(created|changed|ended|progress)$/.test(type) && found.again();
    const stream = api.stream("training-jobs", { interval: 1 }, changed);
    return () => stream.close();
  }, []);
  return html`<div class="head"><h1>Training</h1>${may("run") && html`<div class="buttons"><button class="primary" onClick=${() => start(true)}>Start a training…</button></div>`}</div>
    <${Loaded} of=${found} empty=${({ jobs }) => !jobs.length} nothing="Nothing was trained here yet.">${({ jobs }) => html`
      <div class="card scroll" tabindex="0" role="group" aria-label="Training jobs"><table><thead><tr><th>Name</th><th>State</th><th>Progress</th><th>Metrics</th><th>Started</th><th>Model</th></tr></thead>
        <tbody>${jobs.map((job) => html`<${Row} key=${job.id} job=${job} />`)}</tbody></table></div>`}<//>
    ${starting && html`<${Start} close=${() => start(false)} done=${(job) => go("training", job.id)} />`}`;
}

function Row({ job }) {
  const [name, version] = job.model.split("@");
  const metrics = Object.entries(job.metrics).filter(([key]) => !key.startsWith("system/")).slice(0, 3);
  return html`<tr>
    <td><a href=${to("training", job.id)}>${job.name}</a><div class="faint">${job.entry_point || job.backend}</div></td>
    <td><span class="badge ${job.state}">${job.state}</span>${job.reason && html`<div class="faint">${job.reason}</div>`}</td>
    <td class="wide">${!ENDED.includes(job.state) && job.progress_ratio !== null && html`<progress max="1" value=${job.progress_ratio} aria-label="Progress"></progress>`}
      <span class="faint">${job.progress_ratio === null ? "" : percent(job.progress_ratio)}${job.eta_seconds && !ENDED.includes(job.state) ? `, ${seconds(job.eta_seconds)} left` : ""}</span></td>
    <td>${metrics.map(([key, value]) => html`<div key=${key}>${key} <strong>${Number(value).toPrecision(4)}</strong></div>`)}</td>
    <td>${ago(job.started_at ?? job.created_at)}<div class="faint">${job.ended_at && job.started_at ? seconds(job.ended_at - job.started_at) : ""}</div></td>
    <td>${job.model && html`<a href=${to("models", name, version)}>${job.model}</a>`}</td>
  </tr>`;
}
