/** What params did to a metric: a scatter of one against the other, or all of them as parallel coordinates. */

import { figure } from "../parts/format.js";
import { html, useMemo } from "../parts/html.js";
import { Plot } from "../parts/plot.js";
import { ask } from "../parts/router.js";
import { keysOf, valueOf } from "../parts/runs.js";

const MOST = 10_000;

export function Chart({ experiment, found, query }) {
  const keys = useMemo(() => keysOf(found.runs.slice(0, 1000)), [found.runs.length]);
  const metrics = keys.filter((key) => key.startsWith("metrics.")), params = keys.filter((key) => key.startsWith("params."));
  const y = metrics.includes(query.y) ? query.y : metrics.find((key) => key === `metrics.${experiment.headline?.metric}`) ?? metrics[0];
  const x = [...params, ...metrics].includes(query.x) ? query.x : params.find((key) => new Set(found.runs.map((run) => valueOf(run, key))).size > 1) ?? params[0];
  if (!y || !x) return html`<p class="state empty">These runs have no param and metric to draw against each other.</p>`;
  const choice = (name, label, value, of) => html`<label>${label} <select value=${value} onInput=${(event) => ask({ [name]: event.target.value })}>${of.map((key) => html`<option value=${key}>${key}</option>`)}</select></label>`;
  return html`<form class="filter" aria-label="What is drawn" onSubmit=${(event) => event.preventDefault()}>
      ${choice("x", "Across", x, [...params, ...metrics])}${choice("y", "Up", y, metrics)}
      ${!found.ended && html`<button type="button" onClick=${() => found.all(MOST)}>Load the rest</button>`}<span class="faint">${figure(found.runs.length)}${found.ended ? "" : "+"} runs</span></form>
    <section class="card" aria-label="Scatter"><h2>${y} by ${x}</h2><${Scatter} runs=${found.runs} x=${x} y=${y} /></section>
    <section class="card" aria-label="Parallel coordinates"><h2>All params, and ${y}</h2><${Parallel} runs=${found.runs} keys=${params} y=${y} highest=${experiment.headline?.goal === "max"} /></section>`;
}

/** Numbers as they are; of other values the place among them, sorted. */
function scale(values) {
  const numbers = values.map((value) => (value === null || value === "" ? null : Number(value)));
  if (numbers.every((value) => value === null || !Number.isNaN(value))) return { numbers, names: null };
  const names = [...new Set(values.filter((value) => value !== null))].sort();
  return { numbers: values.map((value) => (value === null ? null : names.indexOf(value))), names };
}

function Scatter({ runs, x, y }) {
  const drawn = useMemo(() => {
    const across = scale(runs.map((run) => valueOf(run, x)));
    const points = across.numbers.map((at, index) => [at, valueOf(runs[index], y)]).filter(([at, up]) => Number.isFinite(at) && Number.isFinite(up)).sort(([a], [b]) => a - b);
    return { at: points.map(([at]) => at), series: [{ name: y, values: points.map(([, up]) => up) }], names: across.names };
  }, [runs, x, y]);
  if (!drawn.at.length) return html`<p class="faint">No run has numbers for both.</p>`;
  return html`<${Plot} title=${`${y} by ${x}`} x=${drawn.at} series=${drawn.series} scatter height=${360} xLabel=${x} names=${drawn.names ?? undefined} />`;
}

/** Each run is a line over the axes, from the lowest value of each to the highest; the best tenth stands out. */
function Parallel({ runs, keys, y, highest }) {
  const drawn = useMemo(() => {
    const some = runs.filter((run) => Number.isFinite(valueOf(run, y)));
    const axes = [...keys.filter((key) => new Set(some.map((run) => valueOf(run, key))).size > 1).slice(0, 10), y];
    const parts = axes.map((key) => share(scale(some.map((run) => valueOf(run, key))).numbers));
    const far = parts.at(-1).map((value) => (highest ? 1 - value : value));
    const best = [...far].sort((a, b) => a - b)[Math.floor(some.length * 0.1)];
    const lines = (stands) => some.flatMap((_, index) => (far[index] <= best === stands ? [parts.map((values) => values[index])] : []));
    const series = [{ name: "the others", lines: lines(false), colour: 0, faint: true }, { name: "the best tenth", lines: lines(true), colour: 1 }].filter((one) => one.lines.length);
    return { axes, count: some.length, series: series.map((one) => ({ ...one, values: one.lines[0] })), x: axes.map((_, index) => index) };
  }, [runs, keys, y, highest]);
  if (drawn.axes.length < 2) return html`<p class="faint">No param differs between these runs.</p>`;
  return html`<${Plot} title="Parallel coordinates" x=${drawn.x} series=${drawn.series} legend=${false} height=${320} range=${[-0.02, 1.02]} names=${drawn.axes.map((key) => key.replace(/^\w+\./, ""))} />
    <p class="faint">Each from its lowest value (0) to its highest (1), of ${figure(drawn.count)} runs; the tenth of them with the ${highest ? "highest" : "lowest"} ${y} stands out.</p>`;
}

function share(values) {
  const known = values.filter((value) => value !== null);
  const low = Math.min(...known), high = Math.max(...known);
  return values.map((value) => (value === null ? null : high === low ? 0.5 : (value - low) / (high - low)));
}
