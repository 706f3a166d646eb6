/** Models: the registry by stage; `#/models/NAME/VERSION` is one version. */

import { api } from "../parts/api.js";
import { ago, bytes, figure } from "../parts/format.js";
import { html, useEffect } from "../parts/html.js";
import { ends } from "../parts/jobs.js";
import { Loaded, useLoad } from "../parts/load.js";
import { to } from "../parts/router.js";
import { Version } from "./models-version.js";

const STAGES = { prod: "In prod", staging: "Staging", dev: "Dev", archived: "Archived" };

export function Page({ parts: [name, version] }) {
  if (name) return html`<${Version} key=${`${name}@${version}`} name=${name} version=${version} />`;
  return html`<${Registry} />`;
}

function Registry() {
  const found = useLoad((signal) => api.get("/ml-platform/models", {}, { signal }));
  useEffect(() => { if (found.value) found.again(); }, [ends.value]);
  return html`<div class="head"><h1>Models</h1></div>
    <${Loaded} of=${found} empty=${({ models, refused }) => !models.length && !refused.length} nothing="No model is registered. gfedge models register FOLDER brings one.">${({ models, refused }) => html`
      ${models.map((model) => html`<${Model} key=${model.name} model=${model} />`)}
      ${refused.length > 0 && html`<section class="card"><h2>Refused</h2><ul class="lines">${refused.map(({ path, reason }) => html`<li class="long"><strong>${path}</strong>: ${reason}</li>`)}</ul></section>`}`}<//>`;
}

function Model({ model }) {
  return html`<section aria-label=${model.name} class="model">
    <div class="head"><h2>${model.name}</h2><span class="faint">${model.kind} · ${model.serving ? html`serves <strong>${model.serving}</strong>` : "serves nothing"}</span></div>
    <div class="stages">${Object.entries(STAGES).map(([stage, title]) => {
      const versions = model.versions.filter((one) => one.stage === stage);
      return html`<div key=${stage} class="stage" role="group" aria-label=${title}><h3>${title} <span class="faint">${versions.length}</span></h3>
        ${versions.map((one) => html`<${Card} key=${one.version} one=${one} serves=${model.serving === `${one.name}@${one.version}`} />`)}
        ${!versions.length && html`<p class="faint">none</p>`}</div>`;
    })}</div>
  </section>`;
}

function Card({ one, serves }) {
  const [metric] = Object.entries(one.metrics ?? {});
  return html`<a class="card version" href=${to("models", one.name, one.version)}>
    <span class="head"><strong>${one.name}@${one.version}</strong>${serves && html`<span class="badge serving">serves</span>`}</span>
    <span class="cut">${one.title || one.note || one.description}</span>
    <span class="faint mono">${one.digest.slice(0, 16)}</span>
    <span class="faint">${bytes(one.bytes)} · ${ago(one.registered_at)}${metric ? ` · ${metric[0]} ${figure(metric[1])}` : ""}</span>
    ${one.aliases.length > 0 && html`<span class="faint">also ${one.aliases.join(", ")}</span>`}
  </a>`;
}
