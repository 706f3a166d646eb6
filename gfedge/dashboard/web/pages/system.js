/** System: whether all is well, what is stored, who may come in, what was done, and how the server is set. */

import { html } from "../parts/html.js";
import { Tabs } from "../parts/tabs.js";
import { Health } from "./system-health.js";
import { Settings } from "./system-settings.js";
import { Storage } from "./system-storage.js";
import { Audit, Tokens } from "./system-tokens.js";

const TABS = { "": "Health", storage: "Storage", tokens: "Tokens", audit: "Audit log", settings: "Settings" };
const INSIDE = { "": Health, storage: Storage, tokens: Tokens, audit: Audit, settings: Settings };

export function Page({ parts: [tab = ""] }) {
  const Inside = INSIDE[tab] ?? Health;
  return html`<div class="head"><h1>System</h1><${Tabs} page="system" of=${TABS} open=${tab} /></div><${Inside} />`;
}
