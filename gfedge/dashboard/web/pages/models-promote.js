/** Promotion: what the gates say before anything changes, and their figures after it. */

import { api, may } from "../parts/api.js";
import { Dialog } from "../parts/dialog.js";
import { figure, seconds } from "../parts/format.js";
import { html, useState } from "../parts/html.js";
import { Failure, Loaded, useLoad } from "../parts/load.js";

const NEXT = { dev: "staging", staging: "prod", archived: "staging" };

export function Promote({ one, serving, close, changed }) {
  const [from] = useState(one.stage);
  const [stage, choose] = useState(NEXT[from] ?? "staging");
  const [reason, say] = useState("");
  const [force, push] = useState(false);
  const [done, set] = useState(null);
  const [problem, fail] = useState(null);
  const [busy, work] = useState(false);
  const ask = (body, signal) => api.post("/ml-platform/models/{name}/promote", { name: one.name }, { version: one.version, stage, ...body }, { signal });
  const before = useLoad((signal) => ask({ dry_run: true }, signal).catch((problem) => { if (problem.said?.gates) return { ...problem.said, passed: false }; throw problem; }), [stage]);
  const promote = async (event) => {
    event.preventDefault();
    work(true);
    try { set(await ask({ reason, force })); fail(null); changed(); } catch (problem) { fail(problem); }
    work(false);
  };
  return html`<${Dialog} title=${`Promote ${one.name}@${one.version}`} wide close=${close}>
    <form onSubmit=${promote}>
      <div class="pair"><label>To <select value=${stage} disabled=${done} onInput=${(event) => choose(event.target.value)}>${["dev", "staging", "prod", "archived"].filter((other) => other !== from).map((other) => html`<option value=${other}>${other}</option>`)}</select></label>
        <label>Why <input value=${reason} maxlength="500" onInput=${(event) => say(event.target.value)} placeholder="sharper edges" /></label></div>
      ${stage === "prod" && serving && html`<p class="faint">${serving} serves now; jobs under way end on it.</p>`}
      <h3>Gates before</h3>
      <${Loaded} of=${before}>${({ gates, passed }) => html`<${Gates} gates=${gates} passed=${passed} />`}<//>
      ${problem && html`<${Failure} problem=${problem} />`}
      ${done && html`<h3>Gates after</h3><${Gates} gates=${done.gates} passed=${done.passed} />
        <p role="status"><strong>${done.name}@${done.version} is in ${done.to_stage}</strong>${done.replaced ? ` in place of ${done.replaced}` : ""}${done.load_seconds ? `, loaded in ${seconds(done.load_seconds)}` : ""}${done.forced ? " (forced)" : ""}.</p>`}
      ${!done && html`<div class="buttons">
        ${before.value?.passed === false && may("admin") && html`<label class="check"><input type="checkbox" checked=${force} onChange=${(event) => push(event.target.checked)} /> although gates fail (recorded)</label>`}
        <button class="primary" disabled=${busy || before.loading || (before.value?.passed === false && !force)}>${busy ? "Promoting…" : "Promote"}</button></div>`}
    </form>
  <//>`;
}

export function Gates({ gates, passed }) {
  if (!gates?.length) return html`<p class="faint">This stage asks for nothing.</p>`;
  return html`<div class="scroll" tabindex="0" role="group" aria-label="Gates"><table class="gates"><thead><tr><th>Gate</th><th>Result</th><th class="number">Figure</th><th class="number">Bound</th><th>Note</th></tr></thead>
    <tbody>${gates.map((one) => html`<tr key=${one.gate}><td>${one.gate}</td><td><span class="badge ${one.passed ? "passed" : "failed"}">${one.passed ? "passed" : "failed"}</span></td>
      <td class="number">${figure(one.figure)}</td><td class="number">${figure(one.bound)}</td><td class="long">${one.note}</td></tr>`)}</tbody></table></div>
    <p class="faint">${passed ? "All gates are passed." : "Not all gates are passed."}</p>`;
}
