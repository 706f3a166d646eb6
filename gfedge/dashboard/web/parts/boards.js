/** Dashboards and their figures: those of the server come evaluated in one answer, others are asked for panel by panel. */

import { api } from "./api.js";
import { builtIn, dashboard, filled } from "./grafana.js";
import { atOnce, legend, overTime } from "./prometheus.js";

const KEY = "boards";
export const OPENED = "file-";

const opened = () => JSON.parse(sessionStorage.getItem(KEY) ?? "{}");

/** Dashboards that were opened from a file; this tab keeps them. */
export const files = () => Object.entries(opened()).map(([uid, { title, description }]) => ({ uid, title, description, source: "file" }));

/** Takes a file in; gives its uid. */
export async function take(file) {
  let json;
  try { json = JSON.parse(await file.text()); } catch { throw new Error(`${file.name} is no JSON.`); }
  const board = dashboard(json);
  const uid = OPENED + (board.uid || board.title).replace(/[^\w-]+/g, "-").slice(0, 60);
  sessionStorage.setItem(KEY, JSON.stringify({ ...opened(), [uid]: board }));
  return uid;
}

export function drop(uid) {
  const { [uid]: _, ...rest } = opened();
  sessionStorage.setItem(KEY, JSON.stringify(rest));
}

export async function find(uid, signal) {
  if (!uid.startsWith(OPENED)) return dashboard(await api.get("/monitoring/dashboards/{uid}", { uid }, { signal }));
  const found = opened()[uid];
  if (!found) throw new Error("This dashboard was opened in another tab. Open its file again.");
  return found;
}

/** All panels of a dashboard of the server: { panelId: { times, series, problem } }. */
export async function together(uid, { start, end, step }, signal) {
  const answer = await api.get("/monitoring/dashboards/{uid}/data", { uid, from: Math.round(start * 1000), to: Math.round(end * 1000), step: `${step}s` }, { signal });
  return Object.fromEntries(answer.panels.map((panel) => [panel.id, {
    times: answer.times,
    series: panel.targets.flatMap(({ ref_id, series }) => series.map((one) => ({ ...one, ref: ref_id }))),
    problem: panel.targets.map(({ error }) => error).filter(Boolean).join("; "),
  }]));
}

/** One panel, by its expressions; what an expression refuses is told in its place. */
export async function alone(panel, time, values, interval, signal) {
  const known = { ...values, ...builtIn(time, interval) };
  const targets = (panel.targets ?? []).filter((target) => target.expr && !target.hide);
  const answers = await Promise.all(targets.map(async (target) => {
    const query = filled(target.expr, known);
    const ask = target.instant && !target.range ? atOnce(query, time.end, signal) : overTime(query, time, signal);
    return ask.then((found) => ({ target, ...found }), (problem) => { if (problem.name === "AbortError") throw problem; return { target, times: [], series: [], problem: problem.detail ?? problem.message }; });
  }));
  const times = answers.find((answer) => answer.times.length > 1)?.times ?? answers[0]?.times ?? [];
  const series = answers.flatMap((answer) => answer.series.map(({ labels, values }) => ({
    name: legend(labels, filled(answer.target.legendFormat === "__auto" ? "" : answer.target.legendFormat ?? "", known)),
    labels, ref: answer.target.refId, values: answer.times.length === times.length ? values : [...new Array(times.length - 1).fill(null), values.at(-1)],
  })));
  return { times, series, problem: answers.map(({ problem }) => problem).filter(Boolean).join("; ") };
}
