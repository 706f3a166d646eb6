/** The settings that the server runs with, and which of them differ from their defaults. */

import { api, may } from "../parts/api.js";
import { html, useState } from "../parts/html.js";
import { Empty, Loaded, useLoad } from "../parts/load.js";
import { note, tried } from "../parts/notes.js";

export function Settings() {
  if (!may("admin")) return html`<${Empty}>This needs a token with the scope admin.<//>`;
  return html`<${All} />`;
}

function All() {
  const found = useLoad((signal) => api.get("/admin/settings", {}, { signal }));
  const [word, search] = useState("");
  const reload = async () => {
    const told = await tried(() => api.post("/admin/reload"));
    if (!told) return;
    const said = told.reloads.flatMap((one) => one.said);
    note(said.join("; ") || "Read again: nothing has changed.");
    found.again();
  };
  const fits = (one) => `${one.name} ${one.help} ${one.value} ${one.source}`.toLowerCase().includes(word.toLowerCase());
  return html`<form class="filter" aria-label="Which settings" onSubmit=${(event) => event.preventDefault()}>
      <label>Search <input type="search" value=${word} onInput=${(event) => search(event.target.value)} /></label>
      <button type="button" onClick=${reload} title="gfedge.toml and whatever else can change without a restart">Read them again</button></form>
    <${Loaded} of=${found}>${({ settings }) => html`<section class="card" aria-label="Settings"><p class="faint">Set in gfedge.toml, as GFEDGE_NAME in the environment, or as flags; the later wins. A setting marked live changes when it is read again, the others at a restart.</p>
      <ul class="lines settings">${settings.filter(fits).map((one) => html`<li key=${one.name}><div class="head"><strong class="mono">${one.name}</strong><span class="mono value">${text(one.value)}</span>
        ${one.value !== one.default && html`<span class="badge warning">default ${text(one.default)}</span>`}${one.source !== "default" && html`<span class="faint">from <span class="mono">${one.source}</span></span>`}${one.live && html`<span class="badge inactive">live</span>`}</div><p class="faint">${one.help}</p></li>`)}</ul></section>`}<//>`;
}

const text = (value) => (value === "" || value === null ? "(empty)" : String(value));
