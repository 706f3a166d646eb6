/**
 * The dashboard of gfedge: a client of the public REST and WebSocket API and nothing else.
 *
 * - `gfedge.js` is the one module that talks to the server, for any frontend; `parts/api.js` holds the page's client.
 * - `parts/` are what views are made of: `html.js` (Preact, htm, signals), `router.js` (`#/page/part?query`), `load.js`
 *   (the states loading, problem, empty and there), `rows.js` (windowed lists), `picture.js`, `plot.js`, `graph.js`, ...
 * - `pages/NAME.js` is one view, loaded when it is opened; it exports `Page({ parts, query })`. PAGES below lists them.
 * - `app.css` is the one style sheet: colours and sizes are custom properties, light and dark at once.
 *
 * No build step: what is here is what runs. The policy forbids inline scripts and styles, and eval; set styles by
 * `style=${{ ... }}` objects, never by strings. Keep files short: a view beyond 300 lines is two.
 */

import { api, link, session } from "./parts/api.js";
import { Question } from "./parts/dialog.js";
import { Drop } from "./parts/drop.js";
import { effect, html, render, signal, useEffect, useErrorBoundary, useRef, useState } from "./parts/html.js";
import { counts, listen } from "./parts/jobs.js";
import { Failure, Loading } from "./parts/load.js";
import { Notes } from "./parts/notes.js";
import { route, to } from "./parts/router.js";

const PAGES = [
  { name: "studio", title: "Studio", load: () => import("./pages/studio.js") },
  { name: "jobs", title: "Jobs", load: () => import("./pages/jobs.js") },
  { name: "assets", title: "Trace", load: () => import("./pages/asset.js") },
  { name: "models", title: "Models", load: () => import("./pages/models.js") },
  { name: "training", title: "Training", load: () => import("./pages/training.js") },
  { name: "experiments", title: "Experiments", load: () => import("./pages/experiments.js") },
  { name: "runs", title: "Runs", hidden: true, load: () => import("./pages/runs.js") },
  { name: "lineage", title: "Lineage", hidden: true, load: () => import("./pages/lineage.js") },
  { name: "monitoring", title: "Monitoring", load: () => import("./pages/monitoring.js") },
  { name: "system", title: "System", load: () => import("./pages/system.js") },
];
const THEMES = { "": "◐ System", light: "○ Light", dark: "● Dark" };
const theme = signal(localStorage.getItem("theme") ?? "");

function Shell() {
  const open = PAGES.find((page) => page.name === route.value.page);
  return html`
    <a class="skip" href="#main" onClick=${skip}>Skip to the page</a>
    <${Bar} open=${open} />
    <main id="main" tabindex="-1">
      ${link.value === "lost" && html`<p class="gone" role="alert">The server does not answer. This page goes on by itself when it is back.</p>`}
      ${open ? html`<${View} key=${open.name} page=${open} at=${route.value} />` : html`<p class="state empty">There is no page “${route.value.page}”. <a href=${to("studio")}>Begin at the Studio</a></p>`}
    </main>
    <${Drop} /><${Question} /><${Notes} />`;
}

function skip(event) {
  event.preventDefault();
  document.getElementById("main").focus();
}

function Bar({ open }) {
  const nav = useRef(null);
  useEffect(() => nav.current.querySelector("[aria-current]")?.scrollIntoView({ inline: "nearest", block: "nearest" }), [open]);
  return html`<header class="bar">
    <a class="brand" href="#/"><span aria-hidden="true"></span>gfedge</a>
    <nav aria-label="Pages" ref=${nav}>
      ${PAGES.filter((page) => !page.hidden).map((page) => html`<a key=${page.name} href=${to(page.name)} aria-current=${page === open ? "page" : undefined}>${page.title}</a>`)}
    </nav>
    <div class="now"><${Queue} /><${Link} /><${Theme} /><${Who} /></div>
  </header>`;
}

function Queue() {
  const { queued, running } = counts.value;
  return html`<a class="queue" href=${to("jobs")} title="Jobs that run, and that wait">${running} running · ${queued} waiting</a>`;
}

const LINKS = { live: "Connected", connecting: "Connecting", lost: "Disconnected", refused: "Logged out" };

function Link() {
  return html`<span class="link ${link.value}" role="status"><span aria-hidden="true"></span>${LINKS[link.value]}</span>`;
}

function Theme() {
  useEffect(() => {
    document.documentElement.dataset.theme = theme.value;
    localStorage.setItem("theme", theme.value);
  }, [theme.value]);
  const names = Object.keys(THEMES);
  const next = names[(names.indexOf(theme.value) + 1) % names.length];
  return html`<button class="plain" onClick=${() => (theme.value = next)} title="Light, dark, or as the system has it">${THEMES[theme.value]}</button>`;
}

function Who() {
  const who = session.value;
  if (!who?.token_id) return null;
  const leave = () => api.logout().finally(() => location.reload());
  return html`<span class="who">${who.name} (${who.scope})</span><button class="plain" onClick=${leave}>Log out</button>`;
}

/** One page, loaded when it is first opened. What it throws stays within it. */
function View({ page, at }) {
  const [module, set] = useState(null);
  const [problem, reset] = useErrorBoundary();
  const [failed, fail] = useState(null);
  const main = useRef(null);
  const load = () => page.load().then((found) => { fail(null); set(found); }, (problem) => { fail(problem); renew().catch(() => {}); });
  useEffect(() => { document.title = `${page.title} · gfedge`; load(); }, []);
  useEffect(() => { if (failed && link.value === "live") load(); }, [link.value]);
  useEffect(() => { if (module) scrollTo(0, 0); }, [module, at.path]);
  if (problem) return html`<${Failure} problem=${problem} again=${reset} />`;
  if (failed) return html`<${Failure} problem=${{ detail: "This part of the dashboard could not be loaded.", code: "unreachable" }} again=${load} />`;
  if (!module) return html`<${Loading} />`;
  return html`<div class="page ${page.name}" ref=${main}><${module.Page} parts=${at.parts} query=${at.query} /></div>`;
}

/** A server that answers and lacks a file of ours is a newer one: its own page is loaded, once in half a minute at most. */
async function renew() {
  await api.fetch("GET", "/health");
  if (Date.now() - Number(sessionStorage.getItem("renewed")) < 30_000) return;
  sessionStorage.setItem("renewed", String(Date.now()));
  location.reload();
}

listen();
effect(() => { if (link.value !== "lost" && !session.peek()) api.session().then((found) => (session.value = found), () => {}); });
render(html`<${Shell} />`, document.getElementById("app"));
