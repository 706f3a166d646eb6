/** Two versions side by side on the same inputs: the golden ones of the gates, prompts of one's own, or a picture. */

import { api, may } from "../parts/api.js";
import { html, useEffect, useState } from "../parts/html.js";
import { learn } from "../parts/jobs.js";
import { tried } from "../parts/notes.js";
import { Picture, address } from "../parts/picture.js";
import { to } from "../parts/router.js";

const WAIT = { headers: { Prefer: "wait=60" } };

export function Golden({ one, model }) {
  const others = model.versions.filter((other) => other.version !== one.version && !["archived"].includes(other.stage));
  const [against, choose] = useState("");
  const [golden, know] = useState({ prompts: [], pictures: [] });
  const [prompts, say] = useState("");
  const [picture, take] = useState(null);
  const [rows, set] = useState([]);
  const [busy, work] = useState(false);
  useEffect(() => {
    api.get("/ml-platform/models/{name}/versions/{version}/golden", { name: one.name, version: one.version }).then((found) => {
      know(found);
      say(found.prompts.join("\n"));
    }, () => {}); // files that are missing: the page says so elsewhere
  }, [one.id]);
  if (!may("run")) return null;
  const rival = others.find((other) => other.version === against) ?? others.find((other) => `${other.name}@${other.version}` === model.serving) ?? others[0];
  const sides = [one, rival].filter(Boolean).map((side) => `${side.name}@${side.version}`);
  const draw = (reference, prompt) => api.post("/ai/generate", {}, { prompt, seed: 7, model: reference }, WAIT);
  const enlarge = (reference, file) => api.upscale(file, { model: reference }, WAIT);
  const run = async (event) => {
    event.preventDefault();
    work(true);
    set([]);
    const lines = prompts.split("\n").map((line) => line.trim()).filter(Boolean);
    const files = picture ? [picture] : golden.pictures.map(file);
    const inputs = model.kind === "generate" ? lines.map((line) => [line, (side) => draw(side, line)]) : files.map((one) => [one.name, (side) => enlarge(side, one)]);
    for (const [input, ask] of inputs) {
      const jobs = await tried(() => Promise.all(sides.map(ask)));
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
        : html`<label>A picture (none: the ${golden.pictures.length} golden ones) <input type="file" accept="image/png,image/jpeg,image/webp" onChange=${(event) => take(event.target.files[0])} /></label>`}
      <div class="buttons"><button class="primary" disabled=${busy}>${busy ? "Running…" : "Run"}</button></div>
    </form>
    ${rows.length > 0 && html`<div class="scroll" tabindex="0" role="group" aria-label="Results side by side"><table><thead><tr><th>Input</th>${sides.map((side) => html`<th key=${side}>${side}</th>`)}<th>Pixels</th></tr></thead>
      <tbody>${rows.map(({ input, jobs }) => html`<tr key=${input}><td>${input}</td>${jobs.map((job) => html`<td key=${job.id}><${Result} job=${job} /></td>`)}<td>${same(jobs)}</td></tr>`)}</tbody></table></div>`}
  </section>`;
}

/** A golden picture as a file. */
function file(base64, number) {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  return new File([bytes], `golden ${number + 1}`, { type: "image/png" });
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
