/** Tokens, and what admins did. */

import { api, may } from "../parts/api.js";
import { confirmed, Dialog } from "../parts/dialog.js";
import { ago, moment } from "../parts/format.js";
import { html, useRef, useState } from "../parts/html.js";
import { Empty, Loaded, useLoad } from "../parts/load.js";
import { note, tried } from "../parts/notes.js";

const AT = "/admin/tokens";
const SCOPES = { metrics: "metrics: scrape /metrics", read: "read: look at everything", run: "run: make pictures, runs and models", admin: "admin: all of it" };
const LIVES = { "": "until it is revoked", 86400: "1 day", 604800: "1 week", 2592000: "30 days", 31536000: "1 year" };

const Refused = () => html`<${Empty}>This needs a token with the scope admin.<//>`;

export function Tokens() {
  if (!may("admin")) return html`<${Refused} />`;
  return html`<${List} />`;
}

function List() {
  const found = useLoad((signal) => api.get(AT, {}, { signal }));
  const [made, show] = useState(null);
  const revoke = async (one) => {
    if ((await confirmed("Revoke a token", `Whoever uses “${one.name}” is locked out at once.`, { button: "Revoke it", danger: true })) !== null && (await tried(() => api.delete(`${AT}/{id}`, { id: one.id }), "Revoked"))) found.again();
  };
  return html`<${Form} done=${(token) => { show(token); found.again(); }} />
    ${made && html`<${Made} of=${made} close=${() => show(null)} />`}
    <${Loaded} of=${found} empty=${({ tokens }) => !tokens.length} nothing="No token was made yet.">${({ tokens }) => html`<section class="card" aria-label="Tokens"><div class="scroll" tabindex="0" role="group" aria-label="All tokens"><table>
      <thead><tr><th scope="col">name</th><th scope="col">scope</th><th scope="col">state</th><th scope="col">made</th><th scope="col">used last</th><th scope="col">ends</th><th scope="col"><span class="hidden">what to do</span></th></tr></thead>
      <tbody>${tokens.map((one) => html`<tr key=${one.id}><th scope="row" class="name">${one.name} <span class="faint mono">${one.id}</span></th><td>${one.scope}</td><td><span class="badge ${{ valid: "ok", expired: "archived", revoked: "failed" }[one.state]}">${one.state}</span></td>
        <td title=${moment(one.created_at)}>${ago(one.created_at)}</td><td>${one.used_at ? ago(one.used_at) : "never"}</td><td>${one.expires_at ? moment(one.expires_at) : "–"}</td><td>${one.state === "valid" && html`<button onClick=${() => revoke(one)} aria-label=${`Revoke ${one.name}`}>Revoke…</button>`}</td></tr>`)}</tbody></table></div></section>`}<//>`;
}

function Form({ done }) {
  const submit = async (event) => {
    event.preventDefault();
    const form = event.target, data = new FormData(form);
    const lives = Number(data.get("lives"));
    const token = await tried(() => api.post(AT, {}, { name: data.get("name"), scope: data.get("scope"), ...(lives && { expires_in_seconds: lives }) }));
    if (token) { form.reset(); done(token); }
  };
  return html`<form class="card filter" aria-label="A new token" onSubmit=${submit}>
    <label>For whom or what <input name="name" required maxlength="100" placeholder="unreal-plugin" /></label>
    <label>Scope <select name="scope">${Object.entries(SCOPES).map(([value, text]) => html`<option value=${value} selected=${value === "run"}>${text}</option>`)}</select></label>
    <label>Lives <select name="lives">${Object.entries(LIVES).sort(([a], [b]) => a - b).map(([value, text]) => html`<option value=${value}>${text}</option>`)}</select></label>
    <button class="primary">Make a token</button></form>`;
}

/** The text of a new token; nobody can show it again. */
function Made({ of, close }) {
  const field = useRef(null);
  const copy = () => navigator.clipboard?.writeText(of.token).then(() => note("Copied"), () => field.current.select()) ?? field.current.select();
  return html`<${Dialog} title=${`The token of ${of.name}`} close=${close}>
    <p>Copy it now: it is shown this once and stored nowhere.</p>
    <label>Token <input ref=${field} class="mono" readonly value=${of.token} onFocus=${(event) => event.target.select()} /></label>
    <div class="buttons"><button class="primary" onClick=${copy}>Copy</button><button onClick=${close}>Done</button></div><//>`;
}

export function Audit() {
  if (!may("admin")) return html`<${Refused} />`;
  return html`<${Records} />`;
}

function Records() {
  const [older, add] = useState([]);
  const found = useLoad((signal) => api.get("/admin/audit", { limit: 100 }, { signal }));
  const [next, at] = useState(undefined);
  const cursor = next === undefined ? found.value?.next : next;
  const more = async () => {
    const page = await tried(() => api.get("/admin/audit", { limit: 100, cursor }));
    if (page) { add([...older, ...page.records]); at(page.next ?? null); }
  };
  return html`<${Loaded} of=${found} empty=${({ records }) => !records.length} nothing="Nobody changed anything yet.">${({ records }) => html`<section class="card" aria-label="Audit log"><p class="faint">Each record holds the digest of the one before it, so that none can be taken out unseen.</p>
    <div class="scroll" tabindex="0" role="group" aria-label="Records"><table><thead><tr><th scope="col">when</th><th scope="col">who</th><th scope="col">did</th><th scope="col">to</th><th scope="col">detail</th><th scope="col">from</th></tr></thead>
    <tbody>${[...records, ...older].map((one) => html`<tr key=${one.number}><td class="name">${moment(one.made_at)}</td><td>${one.name}</td><td class="mono">${one.action}</td><td class="mono long">${one.target}</td><td>${one.detail}</td><td class="mono">${one.address}</td></tr>`)}</tbody></table></div>
    ${cursor && html`<button onClick=${more}>Older ones</button>`}</section>`}<//>`;
}
