/** Two versions side by side on the same inputs: the same prompts with the same seed, or the same picture enlarged. */

import { api, may } from "../parts/api.js";
import { html, useState } from "../parts/html.js";
import { learn } from "../parts/jobs.js";
import { tried } from "../parts/notes.js";
import { Picture, address } from "../parts/picture.js";
import { to } from "../parts/router.js";

const WAIT = { headers: { Prefer: "wait=60" } };
const PROMPTS = "red dragon\nblue potion\ngold sword\nstone wall";

export function Golden({ one, model }) {
  const others = model.versions.filter((other) => other.version !== one.version && !["archived"].includes(other.stage));
  const [against, choose] = useState("");
  const [prompts, say] = useState(PROMPTS);
  const [picture, take] = useState(null);
  const [rows, set] = useState([]);
  const [busy, work] = useState(false);
  if (!may("run")) return null;
  const rival = others.find((other) => other.version === against) ?? others.find((other) => `${other.name}@${other.version}` === model.serving) ?? others[0];
  const sides = [one, rival].filter(Boolean).map((side) => `${side.name}@${side.version}`);
  const draw = (reference, prompt) => api.post("/ai/generate", {}, { prompt, seed: 7, model: reference }, WAIT);
  const enlarge = (reference) => api.upscale(picture, { model: reference }, WAIT);
  const run = async (event) => {
    event.preventDefault();
    work(true);
    set([]);
    const inputs = model.kind === "generate" ? prompts.split("\n").map((line) => line.trim()).filter(Boolean) : [picture?.name];
    for (const input of inputs) {
      const jobs = await tried(() => Promise.all(sides.map((side) => (model.kind === "generate" ? draw(side, input) : enlarge(side)))));
      if (!jobs) break;
      jobs.forEach(learn);
      set((old) => [...old, { input, jobs }]);
    }
    work(false);
  };
  return html`<section class="card" aria-label="Side by side"><h2>Side by side</h2>
    <form class="golden" onSubmit=${run}>
      ${others.length > 0 ? html`<label>Against <select value=${rival?.version} onInput=${(event) => choose(event.target.value)}>${others.map((other) => html`<option value=${other.version}>${other.name}@${other.version} (${other.stage})</option>`)}</select></label>` : html`<p class="faint">There is no other version to hold it against; its own results are shown.</p>`}
      ${model.kind === "generate" ? html`<label>Prompts, one a line <textarea rows="4" value=${prompts} onInput=${(event) => say(event.target.value)}></textarea></label>`
        : html`<label>A picture <input type="file" accept="image/png,image/jpeg,image/webp" required onChange=${(event) => take(event.target.files[0])} /></label>`}
      <div class="buttons"><button class="primary" disabled=${busy}>${busy ? "Running…" : "Run"}</button></div>
    </form>
    ${rows.length > 0 && html`<div class="scroll" tabindex="0" role="group" aria-label="Results side by side"><table><thead><tr><th>Input</th>${sides.map((side) => html`<th key=${side}>${side}</th>`)}<th>Pixels</th></tr></thead>
      <tbody>${rows.map(({ input, jobs }) => html`<tr key=${input}><td>${input}</td>${jobs.map((job) => html`<td key=${job.id}><${Result} job=${job} /></td>`)}<td>${same(jobs)}</td></tr>`)}</tbody></table></div>`}
  </section>`;
}

function same([first, second]) {
  if (!second) return "";
  return first.outputs[0]?.pixels_sha256 === second.outputs[0]?.pixels_sha256 ? "the same" : "different";
}

function Result({ job }) {
  const [output] = job.outputs;
  if (!output) return html`<a href=${to("jobs", job.id)}>${job.error?.detail ?? job.status}</a>`;
  return html`<a href=${to("jobs", job.id)}><${Picture} src=${address(output.sha256)} alt=${`Result of ${job.model.name}@${job.model.version}`} size=${160} width=${output.width} height=${output.height} /></a>`;
}
