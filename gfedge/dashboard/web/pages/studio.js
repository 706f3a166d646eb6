/** The Studio: words to pictures, pictures enlarged, and what came of it. */

import { html, useEffect, useState } from "../parts/html.js";
import { active, jobOf, titled, unfinished, wantPreviews } from "../parts/jobs.js";
import { api, may } from "../parts/api.js";
import { percent } from "../parts/format.js";
import { tried } from "../parts/notes.js";
import { Picture, address } from "../parts/picture.js";
import { to } from "../parts/router.js";
import { Form, empty } from "./studio-form.js";
import { Gallery } from "./studio-gallery.js";

export function Page() {
  const [settings, set] = useState(remembered);
  const change = (more) => set((old) => ({ ...old, ...more }));
  useEffect(wantPreviews, []);
  useEffect(() => sessionStorage.setItem("studio", JSON.stringify(settings)), [settings]);
  return html`<h1 class="hidden">Studio</h1>
    <div class="studio-split">
      <${Form} settings=${settings} change=${change} />
      <div class="made"><${Active} /><${Gallery} use=${change} /></div>
    </div>`;
}

function remembered() {
  try {
    return { ...empty, ...JSON.parse(sessionStorage.getItem("studio")) };
  } catch {
    return empty;
  }
}

/** Jobs that wait or run, as they go on. */
function Active() {
  const ids = active.value;
  if (!ids.length) return null;
  return html`<section class="card" aria-label="Jobs under way"><h2>Under way</h2>
    <ul class="lines">${ids.slice(0, 12).map((id) => html`<${Under} key=${id} id=${id} />`)}</ul>
    ${ids.length > 12 && html`<a href=${to("jobs")}>and ${ids.length - 12} more</a>`}
  </section>`;
}

function Under({ id }) {
  const job = jobOf(id).value;
  const previews = Object.entries(unfinished.value[id] ?? {}).slice(0, 8);
  const cancel = () => tried(() => api.post("/ml-platform/ai-jobs/{id}/cancel", { id }), "Cancelled");
  const { ratio, stage, step, steps } = job.progress;
  const said = job.status === "queued" ? `waiting${job.queue_position ? `, number ${job.queue_position} in the queue` : ""}` : `${stage || "running"} ${steps ? `${step}/${steps}` : ""}`;
  return html`<li class="under">
    <div class="previews">${previews.length
      ? previews.map(([index, src]) => html`<${Picture} key=${index} src=${src} alt=${`Picture ${Number(index) + 1}, unfinished`} size=${64} />`)
      : job.inputs[0] && html`<${Picture} src=${address(job.inputs[0])} alt="What is enlarged" size=${64} />`}</div>
    <div><p class="cut"><a href=${to("jobs", id)}>${titled(job)}</a></p>
      <progress max="1" value=${ratio} aria-label="Progress"></progress>
      <p class="faint">${said} · ${percent(ratio)}</p></div>
    ${may("run") && html`<button onClick=${cancel}>Cancel</button>`}
  </li>`;
}
