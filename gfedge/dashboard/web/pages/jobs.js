/** Jobs: the live queue above, the history below; `#/jobs/ID` is one of them. */

import { api, may } from "../parts/api.js";
import { ago, percent, seconds } from "../parts/format.js";
import { merged, useHistory } from "../parts/history.js";
import { html } from "../parts/html.js";
import { active, counts, ended, jobOf, known, titled } from "../parts/jobs.js";
import { Empty, Failure, Loading } from "../parts/load.js";
import { tried } from "../parts/notes.js";
import { Picture, address } from "../parts/picture.js";
import { ask, to } from "../parts/router.js";
import { Rows } from "../parts/rows.js";
import { Job } from "./jobs-one.js";

const STATUSES = ["queued", "running", "succeeded", "failed", "cancelled"];
const KINDS = { generate: "Generate", superres: "Enlarge", sheet: "Sprite sheet" };

export function Page({ parts: [id], query }) {
  return id ? html`<${Job} key=${id} id=${id} />` : html`<${List} query=${query} />`;
}

function fits(job, { status, kind, model }) {
  return (!status || job.status === status) && (!kind || job.kind === kind) && (!model || job.model?.name === model);
}

function List({ query }) {
  const filter = { status: query.status, kind: query.kind, model: query.model };
  const history = useHistory(filter);
  const live = known.value.map((id) => jobOf(id).value);
  const items = merged(history.jobs, live).filter((job) => fits(job, filter));
  const cancelAll = () => tried(() => Promise.all(active.value.map((id) => api.post("/ml-platform/ai-jobs/{id}/cancel", { id }))), "All are cancelled");
  return html`<div class="head"><h1>Jobs</h1>
      <span class="faint">${counts.value.running} running · ${counts.value.queued} waiting</span>
      ${active.value.length > 1 && may("run") && html`<div class="buttons"><button class="danger" onClick=${cancelAll}>Cancel all ${active.value.length}</button></div>`}</div>
    <${Filter} query=${query} />
    ${history.problem && html`<${Failure} problem=${history.problem} again=${history.again} />`}
    ${history.loading ? html`<${Loading} />` : !items.length && html`<${Empty}>No job is like that. <a href=${to("studio")}>The Studio makes some.</a><//>`}
    <${Rows} items=${items} size=${64} label="Jobs" more=${history.more}>${(job) => html`<${Row} key=${job.id} id=${job.id} old=${job} />`}<//>`;
}

function Filter({ query }) {
  const choice = (name, label, values) => html`<label>${label} <select value=${query[name] ?? ""} onInput=${(event) => ask({ [name]: event.target.value })}>
    <option value="">any</option>${values.map(([value, text]) => html`<option value=${value}>${text}</option>`)}</select></label>`;
  return html`<form class="filter" aria-label="Which jobs" onSubmit=${(event) => event.preventDefault()}>
    ${choice("status", "Status", STATUSES.map((one) => [one, one]))}
    ${choice("kind", "Kind", Object.entries(KINDS))}
    <label>Model <input value=${query.model ?? ""} placeholder="any" onChange=${(event) => ask({ model: event.target.value.trim() })} /></label>
  </form>`;
}

function Row({ id, old }) {
  const job = jobOf(id)?.value ?? old;
  const picture = job.outputs[0] ?? (job.inputs[0] && { sha256: job.inputs[0] });
  const cancel = () => tried(() => api.post("/ml-platform/ai-jobs/{id}/cancel", { id }), "Cancelled");
  return html`<div class="row" role="listitem">
    <div>${picture && html`<${Picture} src=${address(picture.sha256)} alt="" size=${52} width=${picture.width} height=${picture.height} />`}</div>
    <div><p class="cut"><a href=${to("jobs", id)}>${titled(job)}</a></p>
      <p class="faint cut">${job.model ? `${job.model.name}@${job.model.version} · ` : ""}${ago(job.created_at)}${job.error ? ` · ${job.error.detail}` : ""}</p></div>
    <div class="progressed">${job.status === "running" ? html`<progress max="1" value=${job.progress.ratio} aria-label="Progress"></progress>` : ended(job) ? html`<span class="faint">${seconds(job.timings.total_seconds)}</span>` : html`<span class="faint">${job.queue_position ? `number ${job.queue_position}` : ""}</span>`}</div>
    <div class="buttons"><span class="badge ${job.status}">${job.status === "running" ? percent(job.progress.ratio) : job.status}</span>${!ended(job) && may("run") && html`<button onClick=${cancel}>Cancel</button>`}</div>
  </div>`;
}
