/** Monitoring: dashboards, `explore` for PromQL, `alerts`, `gpus`. */

import { api } from "../parts/api.js";
import { drop, files, take } from "../parts/boards.js";
import { html, useState } from "../parts/html.js";
import { Loaded, useLoad } from "../parts/load.js";
import { tried } from "../parts/notes.js";
import { go, to } from "../parts/router.js";
import { Tabs } from "../parts/tabs.js";
import { Alerts } from "./monitoring-alerts.js";
import { Board } from "./monitoring-board.js";
import { Explore } from "./monitoring-explore.js";
import { Gpus } from "./monitoring-gpus.js";

const TABS = { "": "Dashboards", explore: "Explore", alerts: "Alerts", gpus: "GPUs" };

export function Page({ parts: [tab = "", uid], query }) {
  const inside = { explore: Explore, alerts: Alerts, gpus: Gpus }[tab] ?? Boards;
  return html`<div class="head"><h1>Monitoring</h1><${Tabs} page="monitoring" of=${TABS} open=${tab === "boards" ? "" : tab} /></div>
    ${tab === "boards" ? html`<${Board} key=${uid} uid=${uid} query=${query} />` : html`<${inside} query=${query} />`}`;
}

function Boards() {
  const found = useLoad((signal) => api.get("/monitoring/dashboards", {}, { signal }));
  const [own, set] = useState(files());
  const open = async (event) => {
    const [file] = event.target.files;
    const uid = file && (await tried(() => take(file)));
    event.target.value = "";
    if (uid) go("monitoring", "boards", uid);
  };
  return html`<${Loaded} of=${found}>${({ dashboards, grafana }) => html`
      <ul class="cards plainlist" aria-label="Dashboards">${[...dashboards, ...own].map((one) => html`<${Card} key=${one.uid} one=${one} forget=${() => { drop(one.uid); set(files()); }} />`)}</ul>
      ${grafana.status === "unreachable" && html`<p class="faint">The Grafana at ${grafana.url} does not answer: ${grafana.detail}</p>`}`}<//>
    <label class="well inline">Open a dashboard of Grafana from its JSON file <input type="file" accept="application/json,.json" onChange=${open} /></label>
    <p class="faint">A Grafana of your own: <a href=${api.url("/monitoring/grafana/provisioning.tar.gz")}>its provisioning, with these dashboards</a>.</p>`;
}

function Card({ one, forget }) {
  return html`<li class="card"><h2><a href=${to("monitoring", "boards", one.uid)}>${one.title}</a></h2>
    <p class="faint">${one.description}</p>
    <p class="faint">${one.source === "gfedge" ? "comes with the server" : one.source === "file" ? html`opened from a file <button class="plain" onClick=${forget}>Close it</button>` : html`of the Grafana · <a href=${one.url}>open it there</a>`}</p></li>`;
}
