/** Silences, the rules that find alerts, and the receivers that are told. */

import { api, may } from "../parts/api.js";
import { Dialog } from "../parts/dialog.js";
import { ago, moment, seconds } from "../parts/format.js";
import { html } from "../parts/html.js";
import { Loaded, useLoad } from "../parts/load.js";
import { tried } from "../parts/notes.js";
import { to } from "../parts/router.js";

const LENGTHS = { 900: "15 minutes", 3600: "1 hour", 14400: "4 hours", 86400: "1 day", 604800: "1 week" };

/** Asks for how long an alert is silenced. */
export function Silence({ of, close }) {
  const submit = async (event) => {
    event.preventDefault();
    const data = new FormData(event.target);
    const body = { duration_seconds: Number(data.get("length")), comment: data.get("comment") };
    if (await tried(() => api.post("/monitoring/alerts/{id}/silence", { id: of.id }, body), "Silenced")) close();
  };
  return html`<${Dialog} title=${`Silence ${of.name}`} close=${close}><form onSubmit=${submit}>
    <p>Nobody is told of exactly this alert for a while; it still stands here.</p>
    <label>For <select name="length">${Object.entries(LENGTHS).map(([value, text]) => html`<option value=${value} selected=${value === "3600"}>${text}</option>`)}</select></label>
    <label>Why <input name="comment" maxlength="1000" /></label>
    <div class="buttons"><button type="button" onClick=${close}>No</button><button class="primary">Silence</button></div></form><//>`;
}

export function Silences({ of }) {
  const holding = of.filter((one) => one.state !== "expired");
  const end = (id) => tried(() => api.delete("/monitoring/silences/{id}", { id }), "Ended");
  return html`<section class="card" aria-label="Silences"><h2>Silences</h2>${holding.length === 0 && html`<p class="faint">None holds now.</p>`}
    <ul class="lines">${holding.map((one) => html`<li key=${one.id} class="entry"><div><span class="mono long">${one.matchers.map(({ name, op, value }) => `${name}${op}"${value}"`).join(", ")}</span>
      <p class="faint">until ${moment(one.ends_at)}, by ${one.created_by}${one.comment ? `: ${one.comment}` : ""}</p></div>${may("run") && html`<button onClick=${() => end(one.id)}>End it</button>`}</li>`)}</ul></section>`;
}

export function Rules({ turn }) {
  const found = useLoad((signal) => api.get("/monitoring/rules", {}, { signal }), [turn]);
  const again = async () => { await tried(() => api.post("/monitoring/rules/reload"), "Read again"); found.again(); };
  return html`<section class="card" aria-label="Rules"><div class="head"><h2>Rules</h2>${may("admin") && html`<div class="buttons"><button onClick=${again}>Read the files again</button></div>`}</div>
    <${Loaded} of=${found} empty=${({ groups, faults }) => !groups.length && !faults.length} nothing="No rules are set.">${({ groups, faults }) => html`
      ${faults.map((text) => html`<p class="wrong" key=${text} role="alert">${text}</p>`)}
      ${groups.map((group) => html`<details key=${group.file + group.name} open=${group.rules.some((rule) => rule.state === "firing" || rule.health === "err")}><summary>${group.name} <span class="faint">${group.rules.length} rules, each ${seconds(group.interval_seconds)}</span></summary>
        <ul class="lines past">${group.rules.map((rule) => html`<${Rule} key=${rule.name} rule=${rule} />`)}</ul></details>`)}`}<//></section>`;
}

function Rule({ rule }) {
  return html`<li><span class="badge ${rule.state || "inactive"}">${rule.state || rule.type}</span> <strong>${rule.name}</strong> ${rule.for_seconds > 0 && html`<span class="faint">for ${seconds(rule.for_seconds)}</span>`}
    <p><a class="mono long" href=${`${to("monitoring", "explore")}?q=${encodeURIComponent(rule.query)}`}>${rule.query}</a></p>
    ${rule.last_error && html`<p class="wrong">${rule.last_error}</p>`}</li>`;
}

export function Receivers() {
  const found = useLoad((signal) => api.get("/monitoring/receivers", {}, { signal }));
  const test = async (name) => { await tried(() => api.post("/monitoring/receivers/{name}/test", { name }), "Sent"); found.again(); };
  return html`<section class="card" aria-label="Receivers"><h2>Who is told</h2><${Loaded} of=${found} empty=${({ receivers, fault }) => !receivers.length && !fault} nothing="Nobody: no file of receivers is set.">${({ receivers, fault }) => html`
    ${fault && html`<p class="wrong" role="alert">${fault}</p>`}
    <ul class="lines">${receivers.map((one) => html`<li key=${one.name} class="entry"><div><strong>${one.name}</strong> <span class="faint">${one.kind} · ${one.target}${one.min_severity ? ` · from ${one.min_severity}` : ""} · ${one.sent_at ? `told ${ago(one.sent_at)}` : "never told yet"}</span>
      ${one.failing_since && html`<p class="wrong">failing since ${moment(one.failing_since)} (${one.failures} times): ${one.error}</p>`}</div>${may("admin") && html`<button onClick=${() => test(one.name)}>Send a test</button>`}</li>`)}</ul>`}<//></section>`;
}
