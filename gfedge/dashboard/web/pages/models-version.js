/** One version of a model: what it is, where it comes from, and what may be done with it. */

import { api, may } from "../parts/api.js";
import { confirmed } from "../parts/dialog.js";
import { Facts } from "../parts/facts.js";
import { figure, moment } from "../parts/format.js";
import { html, useState } from "../parts/html.js";
import { Loaded, useLoad } from "../parts/load.js";
import { tried } from "../parts/notes.js";
import { to } from "../parts/router.js";
import { Lineage } from "../parts/lineage.js";
import { Golden } from "./models-golden.js";
import { Promote } from "./models-promote.js";
import { Scores } from "./models-scores.js";
import { Traffic } from "./models-traffic.js";

const MODEL = "/ml-platform/models/{name}";

export function Version({ name, version }) {
  const model = useLoad((signal) => api.get(MODEL, { name }, { signal }), [name]);
  const history = useLoad((signal) => api.get(`${MODEL}/history`, { name }, { signal }), [name]);
  const changed = () => { model.again(); history.again(); };
  return html`<${Loaded} of=${model}>${(model) => {
    const wanted = version ?? model.serving?.split("@")[1] ?? model.versions[0]?.version;
    const one = model.versions.find((one) => one.version === wanted);
    if (!one) return html`<p class="state empty">${name} has no version ${wanted}. <a href=${to("models")}>All models</a></p>`;
    return html`<${Known} one=${one} model=${model} history=${history} changed=${changed} />`;
  }}<//>`;
}

function Known({ one, model, history, changed }) {
  const [promoting, promote] = useState(false);
  const id = `${one.name}@${one.version}`;
  const serves = model.serving === id;
  const before = history.value?.changes.find((change) => change.to_stage === "prod" && change.replaced)?.replaced;
  const rollback = async () => {
    const reason = await confirmed(`Roll ${one.name} back`, `${id} leaves prod, and ${before ? before : "the version before it"} serves again. Jobs under way end on ${id}.`, { button: "Roll back", reason: true, danger: true });
    if (reason === null) return;
    await tried(() => api.post(`${MODEL}/rollback`, { name: one.name }, { reason }), `${one.name} is rolled back`);
    changed();
  };
  return html`<div class="head"><h1>${id}</h1><span class="badge ${one.stage}">${one.stage}</span>${serves && html`<span class="badge serving">serves</span>`}
      <div class="buttons">
        ${may("admin") && one.stage !== "prod" && html`<button class="primary" onClick=${() => promote(true)}>Promote…</button>`}
        ${may("admin") && serves && model.versions.length > 1 && html`<button class="danger" onClick=${rollback}>Roll back…</button>`}
        <a class="button" href=${api.url(`${MODEL}/versions/{version}/download`, { name: one.name, version: one.version })} download>Download</a></div></div>
    <nav class="buttons" aria-label="Versions">${model.versions.map((other) => html`<a key=${other.version} class="button" aria-current=${other === one ? "page" : undefined} href=${to("models", other.name, other.version)}>${other.version} <span class="faint">${other.stage}</span></a>`)}</nav>
    <div class="split">
      <section class="card" aria-label="What it is"><h2>${one.title || "What it is"}</h2>
        <${Facts} of=${one} leave=${["id", "name", "version", "title", "files", "signature", "stage", "metrics", "evaluation", "training", "dataset"]} /></section>
      <div class="page">
        <section class="card" aria-label="Metrics"><h2>Metrics</h2>${Object.keys(one.metrics).length ? html`<${Facts} of=${one.metrics} />` : html`<p class="faint">Its makers gave none.</p>`}</section>
        <section class="card" aria-label="Files"><h2>Files</h2><${Files} one=${one} /></section>
        <section class="card" aria-label="Training"><h2>Training and data</h2><${Facts} of=${{ ...one.training, dataset: one.dataset }} /></section>
      </div>
    </div>
    <${Scores} one=${one} versions=${model.versions} />
    <${Card} one=${one} />
    <${Traffic} one=${one} model=${model} changed=${changed} />
    <${Golden} one=${one} model=${model} />
    <${Lineage} kind="model_version" id=${id} />
    <p><a href=${to("lineage", "model_version", id)}>Every picture that it made</a></p>
    <section class="card" aria-label="History"><h2>History</h2><${Loaded} of=${history} empty=${({ changes }) => !changes.length} nothing="Nothing was changed yet.">${({ changes }) => html`<${History} changes=${changes} />`}<//></section>
    ${promoting && html`<${Promote} one=${one} serving=${model.serving} close=${() => promote(false)} changed=${changed} />`}`;
}

function Files({ one }) {
  return html`<ul class="lines">${Object.entries(one.files).map(([file, digest]) => html`<li key=${file}><a href=${api.url(`${MODEL}/versions/{version}/files/{file}`, { name: one.name, version: one.version, file })}>${file}</a> <span class="mono faint long">${digest}</span></li>`)}
    <li><span class="faint">of all</span> <span class="mono long">${one.digest}</span></li></ul>`;
}

/** The card that its makers wrote, where there is one. */
function Card({ one }) {
  const card = useLoad((signal) => api.get(`${MODEL}/versions/{version}/card`, { name: one.name, version: one.version }, { signal }), [one.version]);
  if (!card.value?.text) return null;
  return html`<details class="card"><summary>The card that its makers wrote</summary><pre>${card.value.text}</pre></details>`;
}

function History({ changes }) {
  return html`<div class="scroll" tabindex="0" role="group" aria-label="History of the model"><table><thead><tr><th>When</th><th>What</th><th>Version</th><th>From → to</th><th>By</th><th>Why</th><th>Gates</th></tr></thead>
    <tbody>${changes.map((one) => html`<tr key=${one.id}><td>${moment(one.changed_at)}</td><td>${one.action.replaceAll("_", " ")}${one.forced ? " (forced)" : ""}</td><td>${one.version}</td>
      <td>${one.from_stage || "–"} → ${one.to_stage || "–"}</td><td>${one.by}</td><td>${one.reason}</td>
      <td>${one.gates.map(({ gate, figure: value, passed }) => html`<div>${passed ? "✓" : "✗"} ${gate} ${value === null ? "" : figure(value)}</div>`)}</td></tr>`)}</tbody></table></div>`;
}
