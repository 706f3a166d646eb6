/** Where a job or a picture comes from: drawn, and in readable lines. */

import { html, useState } from "./html.js";
import { Graph } from "./graph.js";
import { Loaded, useLoad } from "./load.js";
import { api } from "./api.js";

/** @param {{path: string, params: object}} props a route that answers with a trace */
export function Trace({ path, params }) {
  const trace = useLoad((signal) => api.get(path, params, { signal }), [path, JSON.stringify(params)]);
  const [words, read] = useState(false);
  return html`<section class="card" aria-label="Where it comes from">
    <div class="head"><h2>Where it comes from</h2><div class="buttons"><button aria-pressed=${words} onClick=${() => read(!words)}>In words</button></div></div>
    <${Loaded} of=${trace}>${({ nodes, edges, subject, chain }) => words
      ? html`<ul class="lines">${chain.map((line) => html`<li key=${line} class="long">${line}</li>`)}</ul>`
      : html`<${Graph} key=${subject} nodes=${nodes} edges=${edges} subject=${subject} />`}<//>
  </section>`;
}
