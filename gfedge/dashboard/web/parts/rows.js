/** Long lists: only what is seen is in the document. Rows of one height, or tiles of one size. */

import { html, useEffect, useLayoutEffect, useRef, useState } from "./html.js";

const AROUND = 4;

/**
 * @param {{items: any[], size: number, width?: number, label: string, more?: () => void, children: (item, index) => any}} props
 * `size` is the height of a row in px; with `width` there are as many tiles in a row as fit. `more` is called near the end.
 */
export function Rows({ items, size, width = 0, label, more, children, gap = 0 }) {
  const show = Array.isArray(children) ? children[0] : children;
  const box = useRef(null);
  const [seen, look] = useState({ top: 0, height: 800, columns: 1 });
  useLayoutEffect(() => {
    const element = box.current;
    const measure = () => {
      const { top } = element.getBoundingClientRect();
      const columns = width ? Math.max(1, Math.floor((element.clientWidth + gap) / (width + gap))) : 1;
      const next = { top: Math.max(0, -top), height: innerHeight, columns };
      look((old) => (old.top === next.top && old.height === next.height && old.columns === columns ? old : next));
    };
    const watch = new ResizeObserver(measure);
    watch.observe(element);
    addEventListener("scroll", measure, { passive: true });
    addEventListener("resize", measure);
    return () => { watch.disconnect(); removeEventListener("scroll", measure); removeEventListener("resize", measure); };
  }, [width]);
  const lines = Math.ceil(items.length / seen.columns);
  const first = Math.max(0, Math.floor(seen.top / size) - AROUND);
  const last = Math.min(lines, Math.ceil((seen.top + seen.height) / size) + AROUND);
  useEffect(() => { if (more && last >= lines) more(); }, [last, lines, items.length]);
  const shown = items.slice(first * seen.columns, last * seen.columns);
  return html`<div ref=${box} class="rows" role="list" aria-label=${label} style=${{ height: `${lines * size}px` }}>
    <div class=${width ? "tiles" : ""} style=${{ transform: `translateY(${first * size}px)`, gridTemplateColumns: width ? `repeat(${seen.columns}, 1fr)` : "", gap: `${gap}px` }}>
      ${shown.map((item, index) => show(item, first * seen.columns + index))}
    </div>
  </div>`;
}
