/** The little Markdown that notes are written in: headings, lists, bold, code and links. Nothing of it is taken as HTML. */

import { html } from "./html.js";

const INLINE = /\*\*([^*]+)\*\*|`([^`]+)`|\[([^\]]+)\]\((https?:[^)\s]+|[#/][^)\s]*)\)/g;

export function Markdown({ text }) {
  return html`<div class="markdown">${text.trim().split(/\n{2,}|\n(?=#)|(?<=^#.*)\n/m).map((block, index) => html`<${Block} key=${index} text=${block.trim()} />`)}</div>`;
}

function Block({ text }) {
  const heading = text.match(/^(#{1,4})\s+(.*)$/);
  if (heading) return html`<h3>${inline(heading[2])}</h3>`;
  const lines = text.split("\n");
  if (lines.every((line) => /^\s*([-*]|\d+\.)\s+/.test(line))) return html`<ul>${lines.map((line, index) => html`<li key=${index}>${inline(line.replace(/^\s*([-*]|\d+\.)\s+/, ""))}</li>`)}</ul>`;
  return text && html`<p>${inline(text)}</p>`;
}

function inline(text) {
  const found = [];
  let last = 0;
  for (const { 0: whole, 1: bold, 2: code, 3: name, 4: href, index } of text.matchAll(INLINE)) {
    found.push(text.slice(last, index), bold ? html`<strong>${bold}</strong>` : code ? html`<code>${code}</code>` : html`<a href=${href}>${name}</a>`);
    last = index + whole.length;
  }
  return [...found, text.slice(last)];
}
