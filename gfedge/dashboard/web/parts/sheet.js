/** Sprite sheets: pictures side by side in one PNG, and a JSON atlas that game engines read (TexturePacker's "hash"). */

import { loaded } from "./picture.js";

/** Lays pictures out in rows, none over another. @param {{name: string, width: number, height: number}[]} pictures */
export function layout(pictures, padding = 1) {
  const cell = { width: Math.max(...pictures.map((one) => one.width)), height: Math.max(...pictures.map((one) => one.height)) };
  const columns = Math.ceil(Math.sqrt(pictures.length));
  const lines = Math.ceil(pictures.length / columns);
  const frames = pictures.map((one, index) => ({
    ...one,
    x: padding + (index % columns) * (cell.width + padding),
    y: padding + Math.floor(index / columns) * (cell.height + padding),
  }));
  return { frames, width: padding + columns * (cell.width + padding), height: padding + lines * (cell.height + padding) };
}

export function atlas({ frames, width, height }, image) {
  const entry = ({ x, y, width: w, height: h }) => ({
    frame: { x, y, w, h }, rotated: false, trimmed: false, spriteSourceSize: { x: 0, y: 0, w, h }, sourceSize: { w, h },
  });
  return {
    frames: Object.fromEntries(frames.map((one) => [one.name, entry(one)])),
    meta: { app: "gfedge", version: "1.0", image, format: "RGBA8888", size: { w: width, h: height }, scale: "1" },
  };
}

/** Makes the sheet and its atlas and downloads both. @param {{name: string, src: string, width: number, height: number}[]} pictures */
export async function download(pictures, name = "sprites") {
  const plan = layout(pictures);
  const canvas = new OffscreenCanvas(plan.width, plan.height);
  const pen = canvas.getContext("2d");
  for (const { src, x, y } of plan.frames) pen.drawImage(await loaded(src), x, y);
  save(await canvas.convertToBlob({ type: "image/png" }), `${name}.png`);
  save(new Blob([JSON.stringify(atlas(plan, `${name}.png`), null, 1)], { type: "application/json" }), `${name}.json`);
}

/** Hands a file to the person. */
export function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
