/** Alerts: what fires, what was silenced, and what was. */

import { api } from "../parts/api.js";
import { html } from "../parts/html.js";
import { Empty, Failure, Loading, useLoad } from "../parts/load.js";

export function Alerts() {
  const found = useLoad((signal) => api.get("/monitoring/alerts", {}, { signal }));
  if (found.loading) return html`<${Loading} />`;
  if (found.problem?.status === 404) return html`<${Empty}>This server has no alerts: the version that it runs does not evaluate rules.<//>`;
  if (found.problem) return html`<${Failure} problem=${found.problem} again=${found.again} />`;
  return html`<${Empty}>Nothing fires.<//>`;
}
