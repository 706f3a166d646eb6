/** One picture looked at closely: crisp zoom, as a tile, before and after, and what can be made of it. */

import { api, may } from "../parts/api.js";
import { Dialog } from "../parts/dialog.js";
import { figure } from "../parts/format.js";
import { html, useEffect, useState } from "../parts/html.js";
import { learn, titled } from "../parts/jobs.js";
import { tried } from "../parts/notes.js";
import { BeforeAfter, Zoom, address } from "../parts/picture.js";
import { to } from "../parts/router.js";
import { generate } from "./studio-form.js";

const VARIATIONS = 4, STRENGTH = 0.5;

export function Viewer({ item, step, close, use }) {
  const { job, output, index } = item;
  const [view, set] = useState("zoom");
  const src = address(output.sha256);
  const name = titled(job);
  const before = job.kind === "superres" ? job.inputs[0] : null;
  useEffect(() => {
    const key = (event) => {
      if (event.target.matches("input, textarea, select, .canvas")) return;
      if (event.key === "ArrowLeft") step(-1);
      if (event.key === "ArrowRight") step(1);
    };
    addEventListener("keydown", key);
    return () => removeEventListener("keydown", key);
  });
  const tab = (key, text) => html`<button aria-pressed=${view === key} onClick=${() => set(key)}>${text}</button>`;
  return html`<${Dialog} title=${name} wide close=${close}>
    <div class="buttons">${tab("zoom", "Picture")}${tab("tile", "3×3 tiles")}${before && tab("compare", "Before / after")}
      <span class="faint">← → for the next ones</span></div>
    ${view === "compare" && before
      ? html`<${BeforeAfter} before=${address(before)} after=${src} width=${output.width} height=${output.height} />`
      : html`<${Zoom} key=${output.sha256 + view} src=${src} alt=${name} width=${output.width} height=${output.height} tiled=${view === "tile"} />`}
    <${Actions} job=${job} output=${output} index=${index} use=${use} close=${close} />
    <${About} job=${job} output=${output} index=${index} />
  <//>`;
}

/** The request of a job again, with something changed. */
function again(job, change) {
  const { params } = job;
  const kept = Object.fromEntries(Object.entries(params).filter(([, value]) => value !== null && value !== ""));
  return generate({ ...kept, ...change });
}

function Actions({ job, output, index, use, close }) {
  const act = (work) => async () => { if (await work()) close(); };
  const seed = () => Math.floor(Math.random() * 2 ** 32);
  const upscale = (scale) => act(async () => { const made = await tried(() => api.upscale(output.sha256, { scale })); if (made) learn(made); return made; });
  const vary = async () => { const made = await tried(() => api.post("/ai/variations", {}, { init_image: output.sha256, strength: STRENGTH, n: VARIATIONS })); if (made) learn(made); return made; };
  const start = () => { use({ init_image: output.sha256, prompt: job.params.prompt ?? "" }); close(); };
  const edit = () => {
    const { prompt, negative_prompt = "", n, steps, guidance_scale, scale, palette, background } = job.params;
    const colours = Array.isArray(palette) ? palette.join(" ") : "";
    use({ prompt, negative_prompt, n: String(n), steps: String(steps), guidance_scale: String(guidance_scale), scale: String(scale), background, seed: String(job.seed), palette: colours ? "own" : palette ? String(palette) : "", colours, style: job.params.style ?? "", sampler: job.params.sampler ?? "", outline: Boolean(job.params.outline), tileable: Boolean(job.params.tileable) });
    close();
  };
  const run = may("run");
  return html`<div class="buttons">
    ${job.kind === "generate" && run && html`
      <button class="primary" onClick=${act(() => again(job, { n: 1, seed: seed() }))}>Again, another seed</button>
      <button onClick=${act(vary)}>Vary</button>
      <button onClick=${edit}>Use its settings</button>`}
    ${run && html`<button onClick=${start}>Start from it</button>`}
    ${run && html`<button onClick=${upscale(2)}>Enlarge ×2</button><button onClick=${upscale(4)}>Enlarge ×4</button>`}
    <a class="button" href=${address(output.sha256)} download=${`${output.sha256.slice(0, 12)}.png`}>Download</a>
    <a class="button" href=${to("assets", output.sha256)}>Where it comes from</a>
  </div>`;
}

function About({ job, output, index }) {
  const seed = job.seed === null ? null : job.seed + index;
  return html`<dl class="facts">
    <dt>Size</dt><dd>${output.width}×${output.height}</dd>
    ${seed !== null && html`<dt>Seed</dt><dd class="mono">${seed}</dd>`}
    ${typeof output.seam_score === "number" && html`<dt>Seam score</dt><dd>${figure(output.seam_score)}</dd>`}
    ${job.model && html`<dt>Model</dt><dd><a href=${to("models", job.model.name, job.model.version)}>${job.model.name}@${job.model.version}</a></dd>`}
    <dt>Job</dt><dd><a href=${to("jobs", job.id)} class="mono">${job.id}</a></dd>
    ${job.unknown_words.length > 0 && html`<dt>Unknown words</dt><dd>${job.unknown_words.join(", ")}</dd>`}
    ${job.undocumented_words?.length > 0 && html`<dt>Not found to be drawn</dt><dd>${job.undocumented_words.join(", ")}</dd>`}
    ${job.dropped_words.length > 0 && html`<dt>Words left out</dt><dd>${job.dropped_words.join(", ")}</dd>`}
  </dl>`;
}
