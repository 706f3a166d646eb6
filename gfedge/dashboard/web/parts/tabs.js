/** Links to the parts of a page. */

import { html } from "./html.js";
import { to } from "./router.js";

/** @param {{page: string, of: Record<string, string>, open: string}} props the key "" is the page itself. */
export function Tabs({ page, of, open }) {
  return html`<nav class="tabs" aria-label="Parts of this page">${Object.entries(of).map(([name, title]) => html`
    <a key=${name} class="button" href=${name ? to(page, name) : to(page)} aria-current=${name === open ? "page" : undefined}>${title}</a>`)}</nav>`;
}
