/** What a model knows: its styles, its samplers, and the words of a prompt that it never saw or does not draw. */

import { api } from "./api.js";
import { html, useEffect, useState } from "./html.js";

const PAUSE = 250;

/** { styles, samplers, looked_up } for a prompt, asked for when the typing pauses; the last answer until then. */
export function useVocabulary(prompt, model) {
  const [known, set] = useState(null);
  useEffect(() => {
    const stop = new AbortController();
    const ask = () => api.get("/ai/vocabulary", { words: prompt.slice(0, 2000), model }, { signal: stop.signal }).then(set, () => {});
    const timer = setTimeout(ask, known ? PAUSE : 0);
    return () => { clearTimeout(timer); stop.abort(); };
  }, [prompt, model]);
  return known;
}

/** Words that the model never saw or was not found to draw, each with the nearest that it knows; a click takes one of them. */
export function Unknown({ known, prompt, change }) {
  const standing = (word) => new RegExp(`(?<!\\p{L})${word}(?!\\p{L})`, "giu");
  const found = (known?.looked_up ?? []).filter(({ word, means, undocumented }) => (means === null || undocumented) && standing(word).test(prompt));
  if (!found.length) return null;
  const swap = (word, other) => change(prompt.replace(standing(word), other));
  return html`<ul class="lines unknown" aria-label="Words that the model does not know or draw">
    ${found.map(({ word, means, nearest }) => html`<li key=${word}>The model ${means === null ? "never saw" : "was not found to draw"} <strong>${word}</strong>${nearest.length > 0 && html`; it ${means === null ? "knows" : "draws"} ${nearest.map((other) => html`<button key=${other} type="button" onClick=${() => swap(word, other)}>${other}</button>`)}`}</li>`)}
  </ul>`;
}
