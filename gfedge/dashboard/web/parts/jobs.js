/** The AI jobs as they are now, fed by the live stream: each has a signal of its own, so that progress redraws little. */

import { api, link } from "./api.js";
import { batch, computed, signal } from "./html.js";

const ENDED = ["succeeded", "failed", "cancelled"];
const KEPT_PREVIEWS = 64, KEPT_JOBS = 500;
const jobs = new Map();
let stream = null;
let previews = 0;

/** Ids, newest first, of the jobs that this page knows: those that wait or run, and those that ended since. */
export const known = signal([]);
/** How many wait and run. */
export const counts = signal({ queued: 0, running: 0 });
/** Counts ends, for views that list what is in the database. */
export const ends = signal(0);
/** Unfinished pictures: job id -> { index: data address }. */
export const unfinished = signal({});

export const ended = (job) => ENDED.includes(job.status);

/** What a job is about, in a few words. */
export function titled({ kind, params }) {
  if (kind === "superres") return `Enlarged ×${params.scale}${params.mode === "pixel" ? ", pixel art" : ""}`;
  return params.prompt ?? `Sheet ${params.name ?? ""}`;
}

/** Ids of the jobs that have not ended. */
export const active = computed(() => known.value.filter((id) => !ended(jobs.get(id).value)));

/** The signal of a job that this page knows; undefined of others. */
export const jobOf = (id) => jobs.get(id);

/** Takes in a job as an answer brought it, unless the stream knows better already. */
export function learn(job) {
  const old = jobs.get(job.id);
  if (old === undefined) {
    jobs.set(job.id, signal(job));
    known.value = [job.id, ...known.value].sort().reverse();
  } else if (!ended(old.value)) old.value = job;
}

/** Listens from now on; once for the page. */
export function listen() {
  stream ??= api.stream("ai-jobs", wanted(), (message) => batch(() => hear(message)), (state) => (state === "refused" ? location.reload() : (link.value = state)));
}

/** Asks for unfinished pictures while a view shows them; call what comes back when it no longer does. */
export function wantPreviews() {
  if (previews++ === 0) stream?.change(wanted());
  return () => { if (--previews === 0) { stream?.change(wanted()); unfinished.value = {}; } };
}

const wanted = () => ({ previews: previews > 0 });

function hear({ type, data }) {
  if (type === "snapshot") return snapshot(data);
  if (type === "job.queued" || type === "job.started") return learn(data);
  if (type === "job.ended") return end(data);
  if (type === "queue.moved") return move(data);
  const job = jobs.get(data?.id);
  if (type === "job.progress" && job && !ended(job.value)) job.value = { ...job.value, progress: data.progress };
  if (type === "job.preview" && job && !ended(job.value)) show(data);
}

function snapshot({ jobs: found, queued, running }) {
  const named = new Set(found.map((job) => job.id));
  const lost = known.value.filter((id) => !named.has(id) && !ended(jobs.get(id).value));
  lost.forEach((id) => api.get("/ml-platform/ai-jobs/{id}", { id }).then(end, () => forget(id)));
  found.forEach(learn);
  counts.value = { queued, running };
  ends.value += 1;
}

function end(job) {
  learn(job);
  if (!ended(job)) return;
  const { [job.id]: _, ...rest } = unfinished.value;
  unfinished.value = rest;
  ends.value += 1;
  known.value.slice(KEPT_JOBS).filter((id) => ended(jobs.get(id).value)).forEach(forget);
}

function forget(id) {
  jobs.delete(id);
  known.value = known.value.filter((other) => other !== id);
}

function move({ positions, queued, running }) {
  counts.value = { queued, running };
  for (const [id, position] of Object.entries(positions)) {
    const job = jobs.get(id);
    if (job?.value.status === "queued") job.value = { ...job.value, queue_position: position };
  }
}

function show({ id, index, png }) {
  const kept = Object.entries(unfinished.value).slice(-KEPT_PREVIEWS);
  unfinished.value = { ...Object.fromEntries(kept), [id]: { ...unfinished.value[id], [index]: `data:image/png;base64,${png}` } };
}
