/** Whatever is known of a thing, by name: times, sizes and lists as people read them. */

import { bytes, figure, moment, seconds } from "./format.js";
import { html } from "./html.js";

const empty = (value) => value === null || value === undefined || value === "" || (typeof value === "object" && !Object.keys(value).length);

/** @param {{of: Record<string, any>, leave?: string[]}} props */
export function Facts({ of, leave = [] }) {
  const shown = Object.entries(of).filter(([name, value]) => !leave.includes(name) && !empty(value));
  return html`<dl class="facts">${shown.map(([name, value]) => html`<dt key=${name}>${name.replace(/_(at|seconds)$/, "").replaceAll("_", " ")}</dt><dd>${said(name, value)}</dd>`)}</dl>`;
}

export function said(name, value) {
  if (name === "seed") return html`<span class="mono">${value}</span>`;
  if (name.endsWith("_at") && typeof value === "number") return moment(value);
  if ((name === "seconds" || name.endsWith("_seconds")) && typeof value === "number") return seconds(value);
  if (/(^|_)bytes$/.test(name)) return bytes(value);
  if (Array.isArray(value) && value.every((one) => typeof one !== "object")) return value.join(", ");
  if (typeof value === "object") return html`<${Nested} value=${value} />`;
  if (typeof value === "string" && /^(sha256:)?[0-9a-f-]{32,}$/.test(value)) return html`<span class="mono">${value}</span>`;
  return figure(value);
}

function Nested({ value }) {
  if (Array.isArray(value)) return html`<details><summary>${value.length} of them</summary><pre>${JSON.stringify(value, null, 1)}</pre></details>`;
  const flat = Object.entries(value).filter(([, one]) => !empty(one));
  if (flat.some(([, one]) => typeof one === "object")) return html`<details><summary>${flat.length} fields</summary><pre>${JSON.stringify(value, null, 1)}</pre></details>`;
  return flat.map(([name, one]) => html`<div><span class="faint">${name.replaceAll("_", " ")}</span> ${said(name, one)}</div>`);
}
