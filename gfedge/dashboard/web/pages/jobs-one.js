/** One job: what was asked, how it goes on, what came of it, and whether the same comes of it again. */

import { api, may } from "../parts/api.js";
import { Facts } from "../parts/facts.js";
import { figure, moment, percent, seconds } from "../parts/format.js";
import { html, useEffect, useState } from "../parts/html.js";
import { ended, jobOf, learn, titled, unfinished, wantPreviews } from "../parts/jobs.js";
import { Loaded, useLoad } from "../parts/load.js";
import { tried } from "../parts/notes.js";
import { Picture, address } from "../parts/picture.js";
import { to } from "../parts/router.js";
import { Trace } from "../parts/trace.js";

const ONE = "/ml-platform/ai-jobs/{id}";

export function Job({ id }) {
  const asked = useLoad((signal) => api.get(ONE, { id }, { signal }), [id]);
  useEffect(() => { if (asked.value && !ended(asked.value)) learn(asked.value); }, [asked.value]);
  useEffect(wantPreviews, []);
  return html`<${Loaded} of=${asked}>${(first) => html`<${Known} first=${first} />`}<//>`;
}

function Known({ first }) {
  const job = jobOf(first.id)?.value ?? first;
  const { id } = job;
  const cancel = () => tried(() => api.post(`${ONE}/cancel`, { id }), "Cancelled");
  return html`<div class="head"><h1>${titled(job)}</h1><span class="badge ${job.status}">${job.status}</span>
      <div class="buttons">${!ended(job) && may("run") && html`<button class="danger" onClick=${cancel}>Cancel</button>`}${job.status === "succeeded" && may("run") && html`<${Replay} id=${id} />`}</div></div>
    ${job.error && html`<p class="failure state"><strong>${job.error.detail}</strong><span class="faint">${job.error.code}</span></p>`}
    ${!ended(job) && html`<${Going} job=${job} />`}
    <${Pictures} job=${job} />
    <div class="split">
      <section class="card" aria-label="What was asked"><h2>What was asked</h2><${Facts} of=${{ kind: job.kind, ...job.params, seed: job.seed }} />
        ${job.unknown_words.length > 0 && html`<p>The model never saw: <strong>${job.unknown_words.join(", ")}</strong></p>`}
        ${job.undocumented_words?.length > 0 && html`<p>The model was not found to draw: <strong>${job.undocumented_words.join(", ")}</strong></p>`}
        ${job.dropped_words.length > 0 && html`<p>Left out: <strong>${job.dropped_words.join(", ")}</strong></p>`}</section>
      <section class="card" aria-label="How it went"><h2>How it went</h2><${Went} job=${job} /></section>
    </div>
    ${ended(job) && html`<${Trace} path=${`${ONE}/trace`} params=${{ id }} />`}`;
}

function Going({ job }) {
  const { step, steps, stage, ratio } = job.progress;
  const previews = Object.entries(unfinished.value[job.id] ?? {});
  return html`<section class="card" aria-label="Progress"><progress max="1" value=${ratio} aria-label="Progress"></progress>
    <p>${job.status === "queued" ? `Number ${job.queue_position ?? "?"} in the queue` : `${stage} ${steps ? `${step} of ${steps}` : ""} · ${percent(ratio)}`}</p>
    <div class="pictures">${previews.map(([index, src]) => html`<${Picture} key=${index} src=${src} alt=${`Picture ${Number(index) + 1}, unfinished`} size=${96} />`)}</div></section>`;
}

function Pictures({ job }) {
  return html`<div class="pictures">
    ${job.inputs.map((sha256) => html`<a key=${sha256} href=${to("assets", sha256)}><${Picture} src=${address(sha256)} alt="What went in" size=${128} /><span class="faint">in</span></a>`)}
    ${job.outputs.map(({ sha256, width, height }) => html`<a key=${sha256} href=${to("assets", sha256)}><${Picture} src=${address(sha256)} alt=${`Result, ${width}×${height}`} size=${128} width=${width} height=${height} /><span class="faint">${width}×${height}</span></a>`)}
  </div>`;
}

function Went({ job }) {
  const { timings } = job;
  const model = (ref) => html`<a href=${to("models", ref.name, ref.version)}>${ref.name}@${ref.version}</a> <span class="mono faint">${ref.digest.slice(0, 12)}</span>`;
  return html`<dl class="facts">
    ${job.model && html`<dt>Model</dt><dd>${model(job.model)}</dd>`}
    ${job.upscaler && html`<dt>Enlarged by</dt><dd>${model(job.upscaler)}</dd>`}
    <dt>Asked at</dt><dd>${moment(job.created_at)}</dd><dt>Ended at</dt><dd>${moment(job.finished_at)}</dd>
    ${["queue", "load", "decode", "inference", "encode", "total"].map((part) => html`<dt key=${part}>${part}</dt><dd>${seconds(timings[`${part}_seconds`])}</dd>`)}
    <dt>Run</dt><dd><a class="mono" href=${to("runs", job.run_id)}>${job.run_id}</a></dd>
    ${job.replay_of && html`<dt>Replay of</dt><dd><a class="mono" href=${to("jobs", job.replay_of)}>${job.replay_of}</a></dd>`}
    ${Object.entries(job.surroundings ?? {}).map(([name, value]) => html`<dt key=${name}>${name.replaceAll("_", " ")}</dt><dd>${value}</dd>`)}
  </dl>`;
}

/** Runs the job again as recorded and says how the two compare. */
function Replay({ id }) {
  const [state, set] = useState(null);
  const run = async () => {
    set("running");
    set((await tried(() => api.post(`${ONE}/replay`, { id }, undefined, { headers: { Prefer: "wait=60" } }))) ?? null);
  };
  if (state === "running") return html`<span class="faint"><span class="spinner"></span> running again…</span>`;
  return html`${state && html`<${Verdict} replay=${state} />`}<button onClick=${run}>Replay</button>`;
}

const VERDICTS = { identical: "The same bytes came of it", same_pixels: "The same pixels came of it", different: "Something else came of it" };

function Verdict({ replay }) {
  const { comparison } = replay;
  if (!comparison) return html`<a href=${to("jobs", replay.job.id)}>It runs again</a>`;
  return html`<span role="status" class="badge ${comparison.result === "different" ? "failed" : "passed"}">${VERDICTS[comparison.result] ?? comparison.result}${comparison.psnr ? ` (${figure(comparison.psnr)} dB)` : ""}</span>`;
}
