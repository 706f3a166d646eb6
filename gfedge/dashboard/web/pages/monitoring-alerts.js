/** Alerts as they are now: acknowledged and silenced here; what was, the rules, and who is told. */

import { api, may } from "../parts/api.js";
import { ago, figure, moment, seconds } from "../parts/format.js";
import { html, useEffect, useState } from "../parts/html.js";
import { Empty, Failure, Loaded, Loading, useLoad } from "../parts/load.js";
import { tried } from "../parts/notes.js";
import { Receivers, Rules, Silence, Silences } from "./monitoring-rules.js";

const AT = "/monitoring/alerts";

export function Alerts() {
  const found = useLoad((signal) => api.get(AT, {}, { signal }));
  if (found.loading) return html`<${Loading} />`;
  if (found.problem?.status === 404) return html`<${Empty}>This server has no alerts: the version that it runs does not evaluate rules.<//>`;
  if (!found.value) return html`<${Failure} problem=${found.problem} again=${found.again} />`;
  return html`<${Live} first=${found.value.alerts} />`;
}

/** Alerts and silences as the stream tells them; `turn` changes with each change. */
function useLive(first) {
  const [now, set] = useState({ alerts: first, silences: [], turn: 0 });
  useEffect(() => {
    const stream = api.stream("alerts", {}, ({ type, data }) => set((old) => ({ ...heard(old, type, data), turn: old.turn + 1 })));
    return () => stream.close();
  }, []);
  return now;
}

function heard(old, type, data) {
  if (type === "snapshot") return { ...old, alerts: data.alerts, silences: data.silences };
  const others = (list) => list.filter((one) => one.id !== data.id);
  if (type.startsWith("silence.")) return { ...old, silences: [data, ...others(old.silences)] };
  if (!type.startsWith("alert.")) return old;
  const over = type === "alert.resolved" || type === "alert.dropped";
  return { ...old, alerts: over ? others(old.alerts) : [data, ...others(old.alerts)] };
}

function fits({ name, op, value }, labels) {
  const found = labels[name] ?? "";
  try {
    const same = op.endsWith("~") ? new RegExp(`^(?:${value})$`).test(found) : found === value;
    return op.startsWith("!") ? !same : same;
  } catch {
    return false; // the server's expressions (RE2) know forms that a browser's do not
  }
}

const urgent = (a, b) => (a.state === b.state ? a.active_at - b.active_at : a.state === "firing" ? -1 : 1);

function Live({ first }) {
  const { alerts, silences, turn } = useLive(first);
  const [quiet, silence] = useState(null);
  const firing = alerts.filter((one) => one.state === "firing").length;
  const silent = (alert) => silences.some((one) => one.state === "active" && one.matchers.every((matcher) => fits(matcher, alert.labels)));
  return html`<section class="card" aria-label="Alerts now"><div class="head"><h2>${firing ? `${firing} firing` : "Nothing fires"}</h2><span class="faint">${alerts.length - firing} pending</span></div>
      ${alerts.length === 0 && html`<p class="faint">No rule finds anything wrong.</p>`}
      <ul class="lines alerts">${[...alerts].sort(urgent).map((one) => html`<${Alert} key=${one.id} one=${one} silenced=${silent(one)} silence=${() => silence(one)} />`)}</ul></section>
    ${quiet && html`<${Silence} of=${quiet} close=${() => silence(null)} />`}
    <div class="split"><${Silences} of=${silences} /><${Past} turn=${turn} /></div>
    <${Rules} turn=${turn} />
    <${Receivers} />`;
}

function Alert({ one, silenced, silence }) {
  const [comment, say] = useState(null);
  const path = `${AT}/{id}/acknowledge`;
  const acknowledge = (event) => { event.preventDefault(); say(null); tried(() => api.post(path, { id: one.id }, { comment }), "Acknowledged"); };
  const back = () => tried(() => api.delete(path, { id: one.id }), "Taken back");
  return html`<li class="alert ${one.state}"><div class="head"><span class="badge ${one.state}">${one.state}</span><strong>${one.name}</strong>
      ${one.severity && html`<span class="badge ${one.severity}">${one.severity}</span>`}
      ${silenced && html`<span class="badge paused">silenced</span>`}${one.acknowledged_at && html`<span class="badge ok">acknowledged by ${one.acknowledged_by}</span>`}
      ${may("run") && html`<div class="buttons">${one.acknowledged_at ? html`<button onClick=${back}>Take it back</button>` : comment === null && html`<button onClick=${() => say("")}>Acknowledge…</button>`}
        ${!silenced && html`<button onClick=${silence}>Silence…</button>`}</div>`}</div>
    <p>${one.annotations.summary ?? one.annotations.description ?? ""}</p>
    ${one.annotations.summary && one.annotations.description && html`<p class="faint">${one.annotations.description}</p>`}
    ${one.comment && html`<p>“${one.comment}”</p>`}
    <p class="faint">${labelled(one.labels)} · value ${figure(one.value)} · since ${ago(one.active_at)}</p>
    ${comment !== null && html`<form class="filter" aria-label="Acknowledge" onSubmit=${acknowledge}><label>What you do about it <input value=${comment} maxlength="1000" onInput=${(event) => say(event.target.value)} ref=${(field) => field?.focus()} /></label><button class="primary">Acknowledge</button><button type="button" onClick=${() => say(null)}>No</button></form>`}
  </li>`;
}

const labelled = (labels) => Object.entries(labels).filter(([name]) => !["alertname", "severity"].includes(name)).map(([name, value]) => `${name}=${value}`).join(" ") || "no labels";

function Past({ turn }) {
  const [count, want] = useState(20);
  const found = useLoad((signal) => api.get(`${AT}/history`, { limit: count }, { signal }), [turn, count]);
  return html`<section class="card" aria-label="History"><h2>History</h2><${Loaded} of=${found} empty=${({ alerts }) => !alerts.length} nothing="Nothing has fired yet.">${({ alerts, next }) => html`
    <ul class="lines">${alerts.map((one) => html`<li key=${one.id}><span class="badge ${one.state === "resolved" ? "inactive" : one.state}">${one.state}</span> <strong>${one.name}</strong>
      <span class="faint"> ${labelled(one.labels)} · ${moment(one.fired_at)}${one.resolved_at ? `, for ${seconds(one.resolved_at - one.fired_at)}` : ""}${one.acknowledged_by ? ` · acknowledged by ${one.acknowledged_by}${one.comment ? `: ${one.comment}` : ""}` : ""}</span></li>`)}</ul>
    ${next && count < 1000 && html`<button onClick=${() => want(Math.min(1000, count * 3))}>Older ones</button>`}`}<//></section>`;
}

