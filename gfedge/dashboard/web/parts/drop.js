/** Pictures that are dropped anywhere on the page: to be enlarged, or to find out where they came from. */

import { api } from "./api.js";
import { html, useEffect, useState } from "./html.js";
import { learn } from "./jobs.js";
import { note, tried } from "./notes.js";
import { go } from "./router.js";

const holdsFiles = (event) => event.dataTransfer?.types.includes("Files");

/** The two places to let go of a picture, while one is dragged over the page. */
export function Drop() {
  const [over, set] = useState(false);
  useEffect(() => {
    const enter = (event) => { if (holdsFiles(event)) { event.preventDefault(); set(true); } };
    const leave = (event) => { if (!event.relatedTarget) set(false); };
    const drop = (event) => { if (holdsFiles(event)) event.preventDefault(); set(false); };
    const heard = { dragenter: enter, dragover: enter, dragleave: leave, drop };
    Object.entries(heard).forEach(([name, hear]) => addEventListener(name, hear));
    return () => Object.entries(heard).forEach(([name, hear]) => removeEventListener(name, hear));
  }, []);
  const taken = (work) => (event) => { event.preventDefault(); set(false); work([...event.dataTransfer.files]); };
  return html`<div class="drop" hidden=${!over}>
    <div onDrop=${taken((files) => enlarge(files))}><strong>Enlarge</strong><span>a new job for each picture</span></div>
    <div onDrop=${taken(([file]) => trace(file))}><strong>Where does it come from?</strong><span>its job, model and training</span></div>
  </div>`;
}

/** A job for each picture; the Studio shows them. */
export async function enlarge(files, params = {}) {
  for (const file of files) {
    const job = await tried(() => api.upscale(file, params));
    if (job) { learn(job); note(`${file.name ?? "The picture"} is in the queue`); go("studio"); }
  }
}

/** Opens the trace of a picture, if anything is known of it. */
export async function trace(file) {
  const found = await tried(() => api.post("/trace", {}, file));
  if (!found) return;
  const at = found.subject.indexOf(":");
  const kind = found.subject.slice(0, at);
  note(`Known by its ${found.matched}`);
  go(kind === "job" ? "jobs" : "assets", found.subject.slice(at + 1));
}
