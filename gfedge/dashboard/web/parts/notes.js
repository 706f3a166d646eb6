/** Short notes at the edge of the page: what was done, or why it was not. */

import { html, signal } from "./html.js";

const notes = signal([]);
let last = 0;

export function note(text, kind = "done") {
  const one = { id: ++last, text, kind };
  notes.value = [...notes.value.slice(-3), one];
  setTimeout(() => drop(one), kind === "failed" ? 9000 : 4000);
}

/** Runs something a person asked for; where it fails, they are told. Gives undefined then. */
export async function tried(work, done = "") {
  try {
    const found = await work();
    if (done) note(done);
    return found;
  } catch (problem) {
    note(problem.detail ?? String(problem), "failed");
    return undefined;
  }
}

function drop(one) {
  notes.value = notes.value.filter((other) => other !== one);
}

export function Notes() {
  return html`<div class="notes" role="status" aria-live="polite">
    ${notes.value.map((one) => html`<div key=${one.id} class="note ${one.kind}">
      <span>${one.text}</span><button class="plain" aria-label="Close this note" onClick=${() => drop(one)}>×</button>
    </div>`)}
  </div>`;
}
