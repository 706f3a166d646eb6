/** Every view is in one of four states: loading, a problem, empty, or there. Here they look the same everywhere. */

import { html, useEffect, useState } from "./html.js";
import { link } from "./api.js";

/**
 * Loads something and again when one of `deps` changes, when `again()` is called, or when a lost server is back.
 * @param {(signal: AbortSignal) => Promise<any>} ask
 */
export function useLoad(ask, deps = []) {
  const [state, set] = useState({ value: undefined, problem: null });
  const [turn, setTurn] = useState(0);
  const again = () => setTurn((turn) => turn + 1);
  useEffect(() => {
    const stop = new AbortController();
    ask(stop.signal).then(
      (value) => set({ value, problem: null }),
      (problem) => problem.name !== "AbortError" && set((old) => ({ value: old.value, problem })),
    );
    return () => stop.abort();
  }, [...deps, turn]);
  const back = state.problem?.code === "unreachable" && link.value === "live";
  useEffect(() => { if (back) again(); }, [back]);
  return { ...state, again, loading: state.value === undefined && !state.problem };
}

/** Something loaded; `children` is a function of it. `empty` tells when it is empty and what to say then. */
export function Loaded({ of, empty = () => false, nothing = "Nothing is here yet.", children }) {
  const show = Array.isArray(children) ? children[0] : children;
  if (of.loading) return html`<${Loading} />`;
  if (of.value === undefined) return html`<${Failure} problem=${of.problem} again=${of.again} />`;
  return html`
    ${of.problem && html`<${Failure} problem=${of.problem} again=${of.again} />`}
    ${empty(of.value) ? html`<${Empty}>${nothing}<//>` : show(of.value)}
  `;
}

export function Loading() {
  return html`<p class="state" role="status"><span class="spinner"></span> Loading…</p>`;
}

export function Empty({ children }) {
  return html`<p class="state empty">${children}</p>`;
}

export function Failure({ problem, again }) {
  return html`<div class="state failure" role="alert">
    <p><strong>${problem.detail ?? problem.message}</strong></p>
    <p class="faint">${problem.code ?? problem.name}${problem.field ? ` · ${problem.field}` : ""}</p>
    ${again && html`<button onClick=${again}>Try again</button>`}
  </div>`;
}
