/** Over what time a view looks, and how often it looks again. */

import { html, useEffect, useState } from "./html.js";

const UNITS = { s: 1, m: 60, h: 3600, d: 86400, w: 604800, M: 2592000, y: 31536000 };
const RANGES = { "now-5m": "5 minutes", "now-15m": "15 minutes", "now-1h": "1 hour", "now-3h": "3 hours", "now-6h": "6 hours", "now-12h": "12 hours", "now-24h": "24 hours", "now-2d": "2 days", "now-7d": "7 days", "now-30d": "30 days", "now-90d": "90 days" };
const REFRESHES = { off: "off", "5s": "5 s", "10s": "10 s", "30s": "30 s", "1m": "1 min", "5m": "5 min" };

/** Unix seconds of `now-6h`, a date, or a number; null where it is none of them. */
export function time(text, now = Date.now() / 1000) {
  const relative = String(text).trim().match(/^now(?:([-+])(\d+)([smhdwMy]))?(?:\/[smhdwMy])?$/);
  if (relative) return now + (relative[1] ? (relative[1] === "-" ? -1 : 1) * relative[2] * UNITS[relative[3]] : 0);
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text) > 1e11 ? Number(text) / 1000 : Number(text);
  const found = Date.parse(text) / 1000;
  return Number.isNaN(found) ? null : found;
}

export const span = (text) => { const [, count, unit] = String(text).match(/^(\d+)([smhd])$/) ?? []; return count ? count * UNITS[unit] : 0; };

/** Counts up every so often while the page is looked at. */
export function useTurns(refresh) {
  const [turn, set] = useState(0);
  const again = () => set((turn) => turn + 1);
  const every = span(refresh);
  useEffect(() => {
    if (!every) return;
    const timer = setInterval(() => { if (!document.hidden) again(); }, every * 1000);
    return () => clearInterval(timer);
  }, [every]);
  return [turn, again];
}

/** @param {{from: string, to: string, refresh: string, change: (query: object) => void, again: () => void}} props */
export function Range({ from, to, refresh, change, again }) {
  const known = from in RANGES && to === "now";
  const [own, show] = useState(!known);
  const choose = ({ target: { value } }) => { show(value === "own"); if (value !== "own") change({ from: value, to: "now" }); };
  return html`<div class="range" role="group" aria-label="When">
    <label>Time <select value=${own ? "own" : from} onInput=${choose}>
      ${Object.entries(RANGES).map(([value, text]) => html`<option value=${value}>last ${text}</option>`)}<option value="own">from … to …</option></select></label>
    ${own && html`<${Moment} label="From" value=${from} set=${(from) => change({ from })} /><${Moment} label="To" value=${to} set=${(to) => change({ to })} />`}
    <label>Refresh <select value=${refresh || "off"} onInput=${(event) => change({ refresh: event.target.value })}>
      ${Object.entries({ ...REFRESHES, ...(refresh && !(refresh in REFRESHES) && { [refresh]: refresh }) }).map(([value, text]) => html`<option value=${value}>${text}</option>`)}</select></label>
    <button onClick=${again}>Look again</button>
  </div>`;
}

function Moment({ label, value, set }) {
  const [wrong, tell] = useState(false);
  const take = ({ target }) => { const fine = time(target.value) !== null; tell(!fine); if (fine) set(target.value.trim()); };
  return html`<label>${label} <input value=${value} onChange=${take} aria-invalid=${wrong} title="now-6h, or 2026-01-31 12:00" />${wrong && html`<span class="wrong">now-6h, or 2026-01-31 12:00</span>`}</label>`;
}
