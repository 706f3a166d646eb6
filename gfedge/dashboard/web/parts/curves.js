/** Metrics of runs as curves: loaded once, thinned by the server, and grown by what the live stream tells. */

import { api } from "./api.js";
import { html, useMemo, useState } from "./html.js";
import { Loaded, useLoad } from "./load.js";
import { Plot } from "./plot.js";

const POINTS = 1000;

/** The points of a metric of a run: { steps, times, values }. */
export function points(id, key, signal) {
  return api.get("/ml-platform/runs/{id}/metrics/{key}", { id, key, points: POINTS }, { signal });
}

/** How curves are looked at: smoothing, axes. */
export function useLook() {
  const [look, set] = useState({ smooth: 0, log: false, by: "step" });
  const change = (more) => set((old) => ({ ...old, ...more }));
  const controls = html`<form class="filter look" aria-label="How curves are drawn" onSubmit=${(event) => event.preventDefault()}>
    <label>Smoothing <input type="range" min="0" max="0.99" step="0.01" value=${look.smooth} onInput=${(event) => change({ smooth: Number(event.target.value) })} /></label>
    <label>Over <select value=${look.by} onInput=${(event) => change({ by: event.target.value })}><option value="step">steps</option><option value="time">time</option><option value="since">time since the start</option></select></label>
    <label class="check"><input type="checkbox" checked=${look.log} onChange=${(event) => change({ log: event.target.checked })} /> log axis</label>
  </form>`;
  return [look, controls];
}

/** Exponential smoothing without the bias at the beginning (as Adam corrects it). */
export function smoothed(values, weight) {
  if (!weight) return values;
  let last = 0, count = 0;
  return values.map((value) => {
    if (value === null || !Number.isFinite(value)) return value;
    last = last * weight + value * (1 - weight);
    count += 1;
    return last / (1 - weight ** count);
  });
}

/** Curves of one metric, one for each run. @param {{title: string, curves: {name: string, steps: number[], times: number[], values: number[]}[], look: object}} props */
export function Curves({ title, curves, look, height = 220 }) {
  const [x, series] = useMemo(() => joined(curves, look), [curves, look]);
  return html`<figure class="curve"><figcaption>${title}</figcaption><${Plot} title=${title} x=${x} series=${series} time=${look.by === "time"} log=${look.log} height=${height} xLabel=${look.by === "since" ? "seconds" : undefined} /></figure>`;
}

/** Curves over one common axis; a raw curve stands faintly behind its smoothed one. */
function joined(curves, { smooth, by }) {
  const at = curves.map(({ steps, times }) => (by === "step" ? steps : by === "time" ? times : times.map((time) => time - times[0])));
  const x = [...new Set(at.flat())].sort((a, b) => a - b);
  const place = new Map(x.map((value, index) => [value, index]));
  const spread = (index, values) => {
    const line = new Array(x.length).fill(curves.length > 1 ? undefined : null);
    at[index].forEach((value, point) => (line[place.get(value)] = values[point]));
    return line;
  };
  const series = curves.flatMap(({ name, values }, index) => [
    ...(smooth ? [{ name: `${name} (raw)`, values: spread(index, values), faint: true, colour: index }] : []),
    { name, values: spread(index, smoothed(values, smooth)), colour: index },
  ]);
  return [x, series];
}

/** One metric of several runs. `fresh` are points that came since: { run id: [{step, time, value}] }. */
export function Metric({ metric, runs, look, fresh = {}, turn = 0 }) {
  const ids = runs.map((run) => run.id).join();
  const found = useLoad((signal) => Promise.all(runs.map((run) => points(run.id, metric, signal))), [ids, metric, turn]);
  return html`<${Loaded} of=${found} empty=${(all) => all.every(({ values }, index) => !values.length && !fresh[runs[index].id]?.length)} nothing=${`No values of ${metric} yet.`}>
    ${(all) => html`<${Grown} title=${metric} runs=${runs} loaded=${all} fresh=${fresh} look=${look} />`}<//>`;
}

function Grown({ title, runs, loaded, fresh, look }) {
  const curves = useMemo(() => loaded.map((one, index) => grown(one, runs[index], fresh[runs[index].id] ?? [])), [loaded, fresh, runs.length]);
  return html`<${Curves} title=${title} curves=${curves} look=${look} />`;
}

function grown({ steps, times, values }, run, fresh) {
  const last = steps.length ? steps.at(-1) : -Infinity;
  const more = fresh.filter(({ step }) => step > last);
  return { name: run.name || run.id.slice(-8), steps: [...steps, ...more.map((one) => one.step)], times: [...times, ...more.map((one) => one.time)], values: [...values, ...more.map((one) => one.value)] };
}
