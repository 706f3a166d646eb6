/** One training job: its curves as they grow, its samples, its log, and how to end it. */

import { api, link, may } from "../parts/api.js";
import { Artifacts } from "../parts/artifacts.js";
import { Metric, useLook } from "../parts/curves.js";
import { confirmed } from "../parts/dialog.js";
import { Facts } from "../parts/facts.js";
import { bytes, percent, seconds } from "../parts/format.js";
import { html, useEffect, useMemo, useRef, useState } from "../parts/html.js";
import { Lineage } from "../parts/lineage.js";
import { Loaded, useLoad } from "../parts/load.js";
import { tried } from "../parts/notes.js";
import { to } from "../parts/router.js";

const ONE = "/ml-platform/training-jobs/{id}";
const ENDED = ["succeeded", "failed", "cancelled"];
const MOST_LOG = 200_000;

export function Training({ id }) {
  const found = useLoad((signal) => api.get(ONE, { id }, { signal }), [id]);
  return html`<${Loaded} of=${found}>${(first) => html`<${Known} first=${first} />`}<//>`;
}

/** The job as the stream tells it, and the points that came since it was loaded. */
function useLive(first) {
  const [job, set] = useState(first);
  const [fresh, grow] = useState([]);
  const [turn, next] = useState(0);
  useEffect(() => {
    const hear = ({ type, data }) => {
      if (type === "snapshot") { api.get(ONE, { id: first.id }).then(set, () => {}); grow([]); next((turn) => turn + 1); }
      if (/^job\.(created|changed|ended)$/.test(type)) { set(data); next((turn) => turn + 1); }
      if (type === "job.progress") set((old) => ({ ...old, progress: data.progress, progress_ratio: data.progress_ratio, eta_seconds: data.eta_seconds }));
      if (type === "job.usage") set((old) => ({ ...old, usage: data.usage ?? old.usage }));
      if (type === "job.metrics") grow((old) => [...old, ...data.points]);
    };
    const stream = api.stream("training-jobs", { topics: [`job:${first.id}`], interval: 0.5 }, hear);
    return () => stream.close();
  }, []);
  return [job, fresh, turn];
}

function Known({ first }) {
  const [job, fresh, turn] = useLive(first);
  const over = ENDED.includes(job.state);
  const cancel = async () => {
    if ((await confirmed("Cancel the training", "Its processes are asked to end, and ended when they do not.", { button: "Cancel it", danger: true })) !== null) await tried(() => api.post(`${ONE}/cancel`, { id: job.id }), "It is being cancelled");
  };
  const [name, version] = job.model.split("@");
  return html`<div class="head"><h1>${job.name}</h1><span class="badge ${job.state}">${job.state}</span>
      ${job.model && html`<a href=${to("models", name, version)}>${job.model}</a>`}
      <div class="buttons">${!over && may("run") && html`<button class="danger" onClick=${cancel}>Cancel…</button>`}<a class="button" href=${to("runs", job.run_id)}>Its run</a></div></div>
    ${job.reason && html`<p class="faint">${job.reason}</p>`}
    ${job.error && html`<p class="failure state"><strong>${job.error.detail}</strong><span class="faint">${job.error.code}</span></p>`}
    <${Progress} job=${job} over=${over} />
    <${Curves} job=${job} fresh=${fresh} turn=${turn} />
    <div class="split"><${Artifacts} id=${job.run_id} turn=${turn} />
      <section class="card" aria-label="What was asked"><h2>What was asked</h2><${Facts} of=${job} leave=${["params", "progress", "metrics", "log_tail", "url", "usage", "state", "reason", "error", "progress_ratio", "eta_seconds", "name"]} /><${Facts} of=${job.params} /></section></div>
    <${Log} id=${job.id} />
    <${Lineage} kind="training_job" id=${job.id} />`;
}

function Progress({ job, over }) {
  const { step, steps, epoch, epochs, message } = job.progress;
  const { usage } = job;
  return html`<section class="card" aria-label="Progress">
    <progress max="1" value=${job.progress_ratio ?? 0} aria-label="Progress"></progress>
    <p>${percent(job.progress_ratio)} · step ${step}${steps ? ` of ${steps}` : ""}${epoch ? ` · epoch ${epoch}${epochs ? ` of ${epochs}` : ""}` : ""}${message ? ` · ${message}` : ""}${!over && job.eta_seconds ? ` · ${seconds(job.eta_seconds)} left` : ""}</p>
    ${usage && !over && html`<p class="faint">${usage.cpu_ratio.toFixed(1)} cores · ${bytes(usage.rss_bytes)}${usage.gpu_memory_bytes ? ` · GPU ${bytes(usage.gpu_memory_bytes)} ${percent(usage.gpu_ratio)}` : ""} · ${usage.processes} ${usage.processes === 1 ? "process" : "processes"}</p>`}
  </section>`;
}

function Curves({ job, fresh, turn }) {
  const [look, controls] = useLook();
  const found = useLoad((signal) => api.get("/ml-platform/runs/{id}", { id: job.run_id }, { signal }), [job.run_id, turn]);
  const run = useMemo(() => [{ id: job.run_id, name: job.name }], [job.run_id]);
  const keys = [...new Set([...Object.keys(found.value?.metrics ?? {}), ...Object.keys(job.metrics), ...fresh.map((one) => one.key)])].filter((key) => !key.startsWith("system/")).sort();
  return html`<section class="card" aria-label="Curves"><div class="head"><h2>Curves</h2>${controls}</div>
    ${keys.length ? html`<div class="cards">${keys.map((key) => html`<${Curve} key=${key} metric=${key} runs=${run} fresh=${fresh} look=${look} />`)}</div>` : html`<p class="faint">It has reported no metrics yet.</p>`}</section>`;
}

function Curve({ metric, runs, fresh, look }) {
  const mine = useMemo(() => ({ [runs[0].id]: fresh.filter((one) => one.key === metric).map(({ step, time, value }) => ({ step, value, time: time ?? Date.now() / 1000 })) }), [fresh]);
  return html`<${Metric} metric=${metric} runs=${runs} look=${look} fresh=${mine} />`;
}

/** The end of the log, and what is written to it from then on. */
function Log({ id }) {
  const box = useRef(null);
  const [text, set] = useState("");
  const lost = link.value === "lost";
  useEffect(() => {
    const stop = new AbortController();
    if (!lost) follow(id, stop.signal, (more, fresh) => set((old) => (fresh ? more : old + more).slice(-MOST_LOG))).catch(() => {});
    return () => stop.abort();
  }, [id, lost]);
  useEffect(() => { box.current.scrollTop = box.current.scrollHeight; }, [text]);
  return html`<section class="card" aria-label="Log"><div class="head"><h2>Log</h2><div class="buttons"><a class="button" href=${api.url(`${ONE}/log`, { id })} download=${`${id}.log`}>Download</a></div></div>
    <pre class="log" ref=${box} tabindex="0" role="log" aria-label="The end of the log">${text || "Nothing was written yet."}</pre></section>`;
}

async function follow(id, signal, hear) {
  const answer = await api.fetch("GET", `${ONE}/log`, { id, offset: -MOST_LOG, follow: true }, undefined, { signal });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let fresh = true;
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    hear(part.value, fresh);
    fresh = false;
  }
}
