/** Pictures with their transparency on a checkerboard and their pixels crisp. */

import { api } from "./api.js";
import { html, useRef, useState } from "./html.js";

export const address = (sha256) => api.url("/assets/{sha256}", { sha256 });

/** A picture that fits where it stands. */
export function Picture({ src, alt, size = 0, width, height }) {
  const crisp = !width || width <= 256;
  return html`<span class="picture" style=${size ? { width: `${size}px`, height: `${size}px` } : {}}>
    <img src=${src} alt=${alt} class=${crisp ? "crisp" : ""} loading="lazy" decoding="async" width=${width} height=${height} />
  </span>`;
}

/** A picture at a whole number of screen pixels for each of its own; the wheel and the buttons change it. */
export function Zoom({ src, alt, width, height, tiled = false }) {
  const count = tiled ? 3 : 1;
  const start = Math.max(1, Math.min(12, Math.floor(Math.min(480, innerWidth - 80) / Math.max(width, height) / count)));
  const [zoom, set] = useState(start);
  const by = (step) => set((old) => Math.max(1, Math.min(32, old + step)));
  const wheel = (event) => { if (event.ctrlKey || event.metaKey) { event.preventDefault(); by(event.deltaY < 0 ? 1 : -1); } };
  return html`<div class="zoom">
    <div class="canvas picture" tabindex="0" role="group" aria-label=${`${alt}, scrolls`} onWheel=${wheel}>
      <div class="tiled" style=${{ gridTemplateColumns: `repeat(${count}, ${width * zoom}px)` }}>
        ${Array.from({ length: count * count }, (_, index) => html`<img key=${index} src=${src} alt=${index ? "" : alt} class="crisp" style=${{ width: `${width * zoom}px`, height: `${height * zoom}px` }} />`)}
      </div>
    </div>
    <p class="tools"><button onClick=${() => by(-1)} aria-label="Smaller">−</button><output>${zoom}×</output>
      <button onClick=${() => by(1)} aria-label="Larger">+</button><span class="faint">${width}×${height}</span></p>
  </div>`;
}

/** Two pictures of the same thing, one behind the other, with a slider between them. */
export function BeforeAfter({ before, after, width, height }) {
  const box = useRef(null);
  const shown = Math.min(512, width * Math.max(1, Math.floor(512 / width)));
  const slide = (event) => box.current.style.setProperty("--cut", `${event.target.value}%`);
  return html`<div class="compare" ref=${box} style=${{ width: `${shown}px`, aspectRatio: `${width} / ${height}` }}>
    <img src=${after} alt="After" class="crisp" /><img src=${before} alt="Before" class="crisp before" />
    <input type="range" min="0" max="100" value="50" aria-label="How much of before is shown" onInput=${slide} />
    <span class="tag left" aria-hidden="true">before</span><span class="tag right" aria-hidden="true">after</span>
  </div>`;
}

/** The pixels of a picture, ready to be drawn. */
export async function loaded(src) {
  const image = new Image();
  image.src = src;
  await image.decode();
  return image;
}
