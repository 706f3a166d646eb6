/** A form for a training job, made of what its entry point declares. */

import { api } from "../parts/api.js";
import { Dialog } from "../parts/dialog.js";
import { html, useState } from "../parts/html.js";
import { Failure, Loaded, useLoad } from "../parts/load.js";

export function Start({ close, done }) {
  const found = useLoad((signal) => api.get("/ml-platform/training-jobs/entry-points", {}, { signal }));
  return html`<${Dialog} title="Start a training" close=${close}>
    <${Loaded} of=${found} empty=${({ entry_points }) => !entry_points.length} nothing="training.toml in the data folder declares nothing to train.">
      ${({ entry_points }) => html`<${Form} points=${entry_points} done=${done} />`}<//>
  <//>`;
}

function Form({ points, done }) {
  const [chosen, choose] = useState((points.find((one) => !one.problem) ?? points[0]).name);
  const [problem, fail] = useState(null);
  const [busy, work] = useState(false);
  const point = points.find((one) => one.name === chosen);
  const submit = async (event) => {
    event.preventDefault();
    const form = new FormData(event.target);
    work(true);
    try {
      done(await api.post("/ml-platform/training-jobs", {}, asked(point, form)));
    } catch (found) {
      fail(found);
    }
    work(false);
  };
  return html`<form onSubmit=${submit}>
    <label>What <select value=${chosen} onInput=${(event) => choose(event.target.value)}>${points.map((one) => html`<option value=${one.name}>${one.title || one.name}</option>`)}</select></label>
    ${point.problem && html`<p class="failure state">${point.problem}</p>`}
    ${point.backends.length > 1 && html`<label>Where <select name="backend:">${point.backends.map((one) => html`<option value=${one}>${one}</option>`)}</select></label>`}
    <div class="pair" key=${chosen}>${Object.entries(point.params).map(([name, param]) => html`<${Param} key=${name} name=${name} param=${param} />`)}</div>
    <label>Name <input name="name:" maxlength="200" placeholder=${point.name} /></label>
    ${problem && html`<${Failure} problem=${problem} />`}
    <div class="buttons"><button class="primary" disabled=${busy || Boolean(point.problem)}>${busy ? "Starting…" : "Start"}</button></div>
  </form>`;
}

/** The request that a form stands for. Names with a colon are no params. */
function asked(point, form) {
  const params = {};
  for (const [name, param] of Object.entries(point.params)) {
    const value = form.get(name);
    if (param.type === "bool") params[name] = value !== null;
    else if (value !== null && value !== "") params[name] = param.type === "int" || param.type === "float" ? Number(value) : value;
  }
  const body = { entry_point: point.name, backend: form.get("backend:") ?? point.backends[0], params };
  return form.get("name:") ? { ...body, name: form.get("name:") } : body;
}

function Param({ name, param }) {
  const text = html`${name} ${param.help && html`<span>(${param.help})</span>`}`;
  if (param.type === "bool") return html`<label class="check"><input type="checkbox" name=${name} defaultChecked=${param.default} /> ${text}</label>`;
  if (param.choices.length) return html`<label>${text} <select name=${name}>${param.choices.map((one) => html`<option value=${one} selected=${one === param.default}>${String(one)}</option>`)}</select></label>`;
  const number = param.type === "int" || param.type === "float";
  return html`<label>${text} <input name=${name} type=${number ? "number" : "text"} step=${param.type === "float" ? "any" : 1} min=${param.min ?? undefined} max=${param.max ?? undefined}
    required=${param.default === null} defaultValue=${param.default ?? ""} /></label>`;
}
