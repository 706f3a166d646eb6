/** The server's own Prometheus interface: expressions at one time and over a range, and the names to complete them with. */

import { api } from "./api.js";

const BASE = "/prometheus/api/v1";
const POINTS = 250;
const kept = new Map();

/** Over what time: { start, end, step } in whole seconds, about 250 points, none closer than `least`. */
export function spread(start, end, least = 1) {
  const step = Math.max(1, Math.ceil(Math.max(least, (end - start) / POINTS)));
  return { start: Math.floor(start / step) * step, end, step };
}

/** { times, series: [{ labels, values }] }; what is no finite number is null. */
export async function overTime(query, { start, end, step }, signal) {
  const { data } = await api.get(`${BASE}/query_range`, { query, start, end, step }, { signal });
  const times = Array.from({ length: Math.floor((end - start) / step) + 1 }, (_, index) => start + index * step);
  return { times, series: data.result.map(({ metric, values }) => ({ labels: metric, values: placed(values, start, step, times.length) })) };
}

function placed(values, start, step, count) {
  const found = new Array(count).fill(null);
  for (const [at, text] of values) found[Math.round((at - start) / step)] = finite(text);
  return found;
}

/** The same at one time. */
export async function atOnce(query, time, signal) {
  const { data } = await api.get(`${BASE}/query`, { query, time }, { signal });
  if (data.resultType === "vector") return { times: [time], series: data.result.map(({ metric, value }) => ({ labels: metric, values: [finite(value[1])] })) };
  if (data.resultType === "matrix") throw new Error("This gives a range of values at each time: put a function such as rate(…) around it.");
  return { times: [time], series: [{ labels: {}, values: [finite(data.result[1])] }] };
}

function finite(text) {
  const value = Number(text);
  return Number.isFinite(value) ? value : null;
}

/** How a series is called: Grafana's format, else the labels as PromQL writes them. */
export function legend(labels, format) {
  if (format) return format.replace(/\{\{\s*([\w.]+)\s*\}\}/g, (_, name) => labels[name] ?? "").trim();
  const pairs = Object.entries(labels).filter(([name]) => name !== "__name__").map(([name, value]) => `${name}="${value}"`);
  return (labels.__name__ ?? "") + (pairs.length || !labels.__name__ ? `{${pairs.join(", ")}}` : "");
}

function once(key, ask) {
  if (!kept.has(key)) {
    kept.set(key, ask().catch((problem) => { kept.delete(key); throw problem; }));
    setTimeout(() => kept.delete(key), 10_000);
  }
  return kept.get(key);
}

/** Names of metrics that have series. */
export const names = () => values("__name__");

/** { metric: [{ type, help, unit }] }. */
export const metadata = () => once("metadata", async () => (await api.get(`${BASE}/metadata`)).data);

export const labels = (match = "") => once(`labels ${match}`, async () => (await api.get(`${BASE}/labels`, { "match[]": match })).data);

export const values = (label, match = "") => once(`values ${label} ${match}`, async () => (await api.get(`${BASE}/label/{label}/values`, { label, "match[]": match })).data);
