/** Sprite sheets: pictures side by side in one PNG, made by the server as a job, and the atlas that an engine reads. */

import { api } from "./api.js";
import { learn } from "./jobs.js";

/** Formats of the atlas, as their engines have them. */
export const FORMATS = { json: "JSON (TexturePacker)", godot: "Godot", unity: "Unity" };
const FILES = { json: (name) => `${name}.json`, godot: (name) => `${name}.tres`, unity: (name) => `${name}.png.meta` };

/** Makes the sheet and its atlas and hands both over. @param {{name: string, sha256: string}[]} pictures */
export async function download(pictures, { format = "json", padding = 1, name = "sheet" } = {}) {
  const body = { pictures: pictures.map((one) => one.sha256), names: pictures.map((one) => one.name), name, padding };
  const job = await api.post("/ai/sheets", {}, body, { headers: { Prefer: "wait=60" } });
  learn(job);
  if (job.status !== "succeeded") throw new Error(job.error?.detail ?? "the sheet takes longer: it is among the jobs");
  const picture = await api.fetch("GET", "/assets/{sha256}", { sha256: job.outputs[0].sha256 });
  save(await picture.blob(), `${name}.png`);
  const atlas = await api.fetch("GET", "/ml-platform/ai-jobs/{id}/atlas", { id: job.id, format });
  save(await atlas.blob(), FILES[format](name));
}

/** Hands a file to the person. */
export function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
