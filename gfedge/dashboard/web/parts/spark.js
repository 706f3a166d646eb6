/** A small line without axes, by uPlot. */

import uPlot from "../vendor/uplot.js";
import { html, useLayoutEffect, useRef } from "./html.js";
import { colour } from "./plot.js";

export function Spark({ x, values, height = 44 }) {
  const box = useRef(null), made = useRef(null);
  const stroke = colour(0);
  useLayoutEffect(() => {
    const options = {
      width: box.current.clientWidth || 120, height, legend: { show: false }, cursor: { show: false }, padding: [4, 0, 4, 0],
      scales: { x: { time: false } }, axes: [{ show: false }, { show: false }], series: [{}, { stroke, width: 1.5, fill: `${stroke}22`, points: { show: false } }],
    };
    const plot = (made.current = new uPlot(options, [x, values], box.current));
    const watch = new ResizeObserver(() => plot.setSize({ width: box.current.clientWidth, height }));
    watch.observe(box.current);
    return () => { watch.disconnect(); plot.destroy(); };
  }, [stroke]);
  useLayoutEffect(() => { made.current.setData([x, values]); }, [x, values]);
  return html`<div class="spark" ref=${box} aria-hidden="true"></div>`;
}
