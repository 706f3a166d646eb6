/** Plots by uPlot: lines over time or steps, with a live legend, zoom by dragging (double click: all of it), colour-blind-safe. */

import uPlot from "../vendor/uplot.js";
import { figure, moment } from "./format.js";
import { html, signal, useLayoutEffect, useRef } from "./html.js";

// Okabe and Ito's colours, those that show on each ground; beyond them lines are dashed.
const COLOURS = {
  light: ["#0072b2", "#d55e00", "#007a5a", "#b3478b", "#8a6100", "#3a7ca5", "#1a1d25"],
  dark: ["#56b4e9", "#ff9e4a", "#2fd3a5", "#ef9fcb", "#f0e442", "#9fb7ff", "#e8eaf0"],
};
const DASHES = [[], [6, 4], [2, 3], [10, 3, 2, 3]];
const system = matchMedia("(prefers-color-scheme: dark)");
const dark = signal(isDark());

system.addEventListener("change", () => (dark.value = isDark()));
new MutationObserver(() => (dark.value = isDark())).observe(document.documentElement, { attributeFilter: ["data-theme"] });
addStyle();

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : system.matches;
}

function addStyle() {
  const link = document.createElement("link");
  link.rel = "stylesheet";
  link.href = new URL("../vendor/uplot.css", import.meta.url);
  document.head.prepend(link);
}

export const colour = (index) => { const some = COLOURS[dark.value ? "dark" : "light"]; return some[index % some.length]; };

/**
 * @param {{title: string, x: number[], series: {name: string, values: (number|null)[], points?: boolean, faint?: boolean, colour?: number, lines?: (number|null)[][], format?: (value: number) => string}[],
 *   time?: boolean, log?: boolean, height?: number, format?: (value: number) => string, range?: [number, number], sync?: string, legend?: boolean, names?: string[]}} props; `names` stand along x in the place of 0, 1, 2, ...; thousands of `lines` are drawn as one series, whose `values` are one of them
 */
export function Plot({ title, x, series, time = false, log = false, height = 220, format = figure, range, sync, legend = true, scatter = false, xLabel, names }) {
  const box = useRef(null), made = useRef(null), now = useRef(series);
  now.current = series;
  const shape = JSON.stringify([series.map(({ name, faint, colour }) => [name, faint, colour]), time, log, height, dark.value, legend, scatter, xLabel, names]);
  useLayoutEffect(() => {
    const options = settings({ title, series, time, log, height, format, range, sync, legend, scatter, xLabel, names, now, width: box.current.clientWidth || 400 });
    const plot = (made.current = new uPlot(options, aligned(x, series, log), box.current));
    const watch = new ResizeObserver(() => plot.setSize({ width: box.current.clientWidth, height }));
    watch.observe(box.current);
    return () => { watch.disconnect(); plot.destroy(); made.current = null; };
  }, [shape]);
  useLayoutEffect(() => { made.current?.setData(aligned(x, series, log)); }, [x, series]);
  const last = series.slice(0, 5).map(({ name, values }) => `${name} ${format(values.findLast((one) => one !== null) ?? null)}`);
  return html`<div class="plot" ref=${box} role="img" aria-label=${`${title}: ${last.join(", ") || "no values"}`}></div>`;
}

/** On a log axis what is not above zero cannot stand. */
function aligned(x, series, log) {
  return [x, ...series.map(({ values }) => (log ? values.map((one) => (one > 0 ? one : null)) : values))];
}

function settings({ series, time, log, height, width, format, range, sync, legend, scatter, xLabel, names, now }) {
  const text = dark.value ? "#a0a8ba" : "#5a6273", line = dark.value ? "#343a48" : "#dfe3ea";
  const letters = 0.8 * parseFloat(getComputedStyle(document.documentElement).fontSize);
  const axis = { stroke: text, font: `${letters}px system-ui, sans-serif`, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 } };
  return {
    width, height, legend: { show: legend && series.length < 30 },
    cursor: { drag: { x: true, y: scatter, uni: 20 }, ...(sync && { sync: { key: sync } }) },
    scales: { x: { time }, y: { distr: log ? 3 : 1, ...(range && !log && { range: () => range }) } },
    axes: [{ ...axis, ...(xLabel && { label: xLabel }), ...along(time, names) }, { ...axis, size: (_, texts) => Math.max(44, 18 + 0.55 * letters * Math.max(0, ...(texts ?? []).map((one) => one.length))), values: (_, splits) => splits.map((one) => (one === null ? "" : format(one))) }],
    series: [
      { label: time ? "time" : (xLabel ?? "step"), value: (_, value) => (value === null ? "–" : time ? moment(value) : figure(value)) },
      ...series.map((one, index) => ({ ...lineOf(one, one.colour ?? index, one.format ?? format, scatter), ...(one.lines && many(() => now.current[index].lines)) })),
    ],
  };
}

function along(time, names) {
  if (time) return { values: clock, space: 48 };
  return names ? { values: (_, splits) => splits.map((at) => names[at] ?? ""), incrs: [1, 2, 5, 10, 20, 50, 100] } : { values: (_, splits) => splits.map(figure) };
}

const DAY = new Intl.DateTimeFormat("en", { day: "numeric", month: "short" });

/** Times of an axis, in 24 hours; the day stands where it changes. */
function clock(_, splits, axis, space, step) {
  let day = "";
  return splits.map((at) => {
    const date = new Date(at * 1000), today = DAY.format(date), whole = date.getSeconds() === 0 || step >= 60;
    const text = whole ? date.toTimeString().slice(0, 5) : date.toTimeString().slice(5, 8);
    if (step >= 86400) return today;
    const shown = today === day ? text : `${text}\n${today}`;
    day = today;
    return shown;
  });
}

/** Many lines as one path. */
function many(lines) {
  const paths = (plot) => {
    const stroke = new Path2D(), at = plot.data[0].map((x) => plot.valToPos(x, "x", true));
    for (const line of lines()) {
      let drawn = false;
      line.forEach((value, index) => {
        if (value === null) { drawn = false; return; }
        stroke[drawn ? "lineTo" : "moveTo"](at[index], plot.valToPos(value, "y", true));
        drawn = true;
      });
    }
    return { stroke, fill: null, clip: null, band: null, gaps: null, flags: 1 };
  };
  return { paths, width: 1, points: { show: false } };
}

function lineOf({ name, faint }, index, format, scatter) {
  const stroke = colour(index);
  return {
    label: name, stroke: faint ? `${stroke}55` : stroke, width: 2, dash: DASHES[Math.floor(index / COLOURS.light.length) % DASHES.length],
    spanGaps: false, class: faint ? "raw" : undefined, value: (_, value) => (value === null || value === undefined ? "–" : format(value)),
    ...(scatter && { paths: () => null, points: { show: true, size: 9, fill: stroke } }),
  };
}
