/** The panels of dashboards: timeseries, stat, gauge, bar gauge, table, text; what is of another kind says so. */

import { figure } from "./format.js";
import { html } from "./html.js";
import { field, filled } from "./grafana.js";
import { Markdown } from "./markdown.js";
import { Plot } from "./plot.js";
import { Spark } from "./spark.js";
import { unit } from "./units.js";

const KINDS = {
  timeseries: Lines, graph: Lines, trend: Lines, stat: Stat, singlestat: Stat, gauge: Gauge, bargauge: Bars, barchart: Bars, piechart: Bars,
  table: Table, "table-old": Table, text: Text,
};
const CALCS = {
  last: (values) => values.at(-1), lastNotNull: (values) => values.findLast(there), first: (values) => values[0], firstNotNull: (values) => values.find(there),
  min: (values) => least(values, Math.min), max: (values) => least(values, Math.max), sum: (values) => total(values), total: (values) => total(values),
  mean: (values) => total(values) / values.filter(there).length, count: (values) => values.filter(there).length,
  range: (values) => least(values, Math.max) - least(values, Math.min), delta: (values) => values.findLast(there) - values.find(there), diff: (values) => values.findLast(there) - values.find(there),
};
const there = (value) => value !== null && value !== undefined;
const total = (values) => values.filter(there).reduce((sum, value) => sum + value, 0);
const least = (values, of) => (values.some(there) ? of(...values.filter(there)) : null);

/** @param {{panel: object, data: {times: number[], series: object[], problem: string}, values: object, height: number, sync: string}} props */
export function Panel({ panel, data, values, height, sync }) {
  const Kind = KINDS[panel.type];
  if (!Kind) return html`<p class="faint">A panel of the kind “${panel.type}” is not drawn here.</p>`;
  if (Kind === Text) return html`<${Text} panel=${panel} values=${values} />`;
  if (!data) return html`<p class="faint" role="status"><span class="spinner"></span></p>`;
  const { unit: common, decimals } = panel.fieldConfig?.defaults ?? {};
  const known = { ...data, series: data.series.map((one) => described(panel, one)).filter(({ of }) => !of["custom.hideFrom"]?.viz) };
  return html`${data.problem && html`<p class="wrong" role="alert">${data.problem}</p>`}
    ${known.series.some((one) => one.values.some(there)) ? html`<${Kind} panel=${panel} data=${known} write=${unit(common, decimals)} height=${height} sync=${sync} />` : !data.problem && html`<p class="faint none">No data in this time</p>`}`;
}

/** A series with what its panel says of it: `of`, how it is called, and how its figures are written. */
function described(panel, one) {
  const of = field(panel, one);
  return { ...one, of, name: named(of, one.name, one.labels), write: unit(of.unit, of.decimals) };
}

const named = ({ displayName }, name, labels = {}) => (displayName ?? name).replace(/\$\{__(?:series|field)\.(?:labels\.)?(\w+)\}/g, (_, label) => (label === "name" ? name : labels[label] ?? ""));

function Lines({ panel, data, write, height, sync }) {
  const { min, max, custom } = panel.fieldConfig?.defaults ?? {};
  const range = there(min) && there(max) ? [min, max] : undefined;
  const series = data.series.map((one) => ({ name: one.name, values: one.values, format: one.write }));
  return html`<${Plot} title=${panel.title} x=${data.times} series=${stacked(series, custom)} time height=${height} format=${write} range=${range} sync=${sync} log=${custom?.scaleDistribution?.type === "log"} legend=${panel.options?.legend?.showLegend !== false} />`;
}

function stacked(series, custom) {
  if (!["normal", "percent"].includes(custom?.stacking?.mode)) return series;
  const below = [];
  return series.map((one) => ({ ...one, values: one.values.map((value, at) => (there(value) ? (below[at] = (below[at] ?? 0) + value) : null)) }));
}

/** The one figure of a series that a panel shows. */
function reduced(panel, values) {
  const [calc] = panel.options?.reduceOptions?.calcs ?? [];
  return (CALCS[calc] ?? CALCS.lastNotNull)(values) ?? null;
}

/** How bad a figure is, by the thresholds of its field: "", "good", "warn" or "bad". */
function judged({ thresholds, min = 0, max = 100 }, value) {
  const at = thresholds?.mode === "percentage" ? ((value - min) / (max - min)) * 100 : value;
  const step = (thresholds?.steps ?? []).filter((one) => one.value === null || one.value === undefined || at >= one.value).at(-1);
  return Object.entries({ bad: /red/i, warn: /orange|yellow/i, good: /green/i }).find(([, colour]) => colour.test(step?.color ?? ""))?.[0] ?? "";
}

/** The text of a figure, by the value mappings of its field. */
function mapped({ mappings = [] }, value, write) {
  for (const { type, options } of mappings) {
    if (type === "value" && options[String(value)]?.text) return options[String(value)].text;
    if (type === "range" && value >= (options.from ?? -Infinity) && value <= (options.to ?? Infinity)) return options.result?.text ?? write(value);
    if (type === "special" && value === null && /null/.test(options.match)) return options.result?.text ?? write(value);
  }
  return write(value);
}

function Stat({ panel, data }) {
  const graph = panel.options?.graphMode !== "none";
  return html`<div class="figures">${data.series.map((one) => {
    const value = reduced(panel, one.values);
    return html`<div key=${one.name} class="figure">${data.series.length > 1 && html`<span class="faint cut" title=${one.name}>${one.name}</span>`}
      <strong class=${one.of.thresholds ? judged(one.of, value) : ""}>${mapped(one.of, value, one.write)}</strong>
      ${graph && one.values.length > 1 && html`<${Spark} x=${data.times} values=${one.values} />`}</div>`;
  })}</div>`;
}

/** What a meter needs: its figure, its share of the scale, and how it is judged. */
function metered(panel, one, data) {
  const { min = 0, max, unit } = one.of;
  const top = max ?? ({ percent: 100, percentunit: 1 }[unit] ?? Math.max(...data.series.map(({ values }) => reduced(panel, values) ?? 0), Number.MIN_VALUE));
  const value = reduced(panel, one.values);
  return { value, min, top, part: Math.max(0, Math.min(1, (value - min) / (top - min))), judged: judged(one.of, value) };
}

const meter = (one, { value, min, top }, text) => ({ role: "meter", "aria-label": one.name || "value", "aria-valuenow": value, "aria-valuemin": min, "aria-valuemax": top, "aria-valuetext": text });

function Gauge({ panel, data }) {
  return html`<div class="figures">${data.series.map((one) => {
    const found = metered(panel, one, data), text = mapped(one.of, found.value, one.write);
    return html`<div key=${one.name} class="gauge ${found.judged}" ...${meter(one, found, text)}><span class="arc" style=${{ "--part": found.part }}></span><strong>${text}</strong>
      ${data.series.length > 1 && html`<span class="faint cut">${one.name}</span>`}</div>`;
  })}</div>`;
}

function Bars({ panel, data }) {
  return html`<div class="meters">${data.series.map((one) => {
    const found = metered(panel, one, data), text = mapped(one.of, found.value, one.write);
    return html`<div key=${one.name} class="meter ${found.judged}" ...${meter(one, found, text)}><span class="cut" title=${one.name}>${one.name}</span><span>${text}</span><span class="part"><span style=${{ width: `${found.part * 100}%` }}></span></span></div>`;
  })}</div>`;
}

/** Labels and the last figure of each series that there is now, after Grafana's "organize". */
function Table({ panel, data }) {
  const { excludeByName = {}, renameByName = {}, indexByName = {} } = panel.transformations?.find(({ id }) => id === "organize")?.options ?? {};
  const now = data.series.filter((one) => one.values.slice(-2).some(there));
  const targets = new Set(now.map((one) => one.ref));
  const column = (one) => (targets.size > 1 ? `Value #${one.ref}` : "Value");
  const every = [...new Set([...now.flatMap((one) => Object.keys(one.labels)), ...now.map(column)])];
  const fields = Object.fromEntries(every.map((name) => [name, field(panel, { name: renameByName[name] || name, ref: name.match(/^Value #(.+)$/)?.[1] })]));
  const names = every.filter((name) => !excludeByName[name] && !fields[name]["custom.hidden"]);
  names.sort((a, b) => (indexByName[a] ?? 99) - (indexByName[b] ?? 99));
  const cell = (one, name) => (name === column(one) ? mapped(fields[name], one.values.findLast(there), unit(fields[name].unit, fields[name].decimals)) : one.labels[name] ?? "");
  return html`<div class="scroll" tabindex="0" role="group" aria-label=${`${panel.title}, a table`}><table><thead><tr>${names.map((name) => html`<th key=${name} scope="col">${named(fields[name], renameByName[name] || name)}</th>`)}</tr></thead>
    <tbody>${now.slice(0, 500).map((one, index) => html`<tr key=${index}>${names.map((name) => html`<td key=${name}>${cell(one, name)}</td>`)}</tr>`)}</tbody></table></div>
    ${now.length > 500 && html`<p class="faint">the first 500 of ${figure(now.length)}</p>`}`;
}

function Text({ panel, values }) {
  const { content = panel.content ?? "", mode = panel.mode } = panel.options ?? {};
  const text = filled(content, values);
  return html`<${Markdown} text=${mode === "html" ? new DOMParser().parseFromString(text, "text/html").body.textContent : text} />`;
}
