/** Where in the dashboard we are: the fragment of the address, as `#/jobs/ID?status=failed`. */

import { signal } from "./html.js";

/** The address of a run that MLflow's client prints when it ends. */
const MLFLOW = /^experiments\/[^/]+\/(?=runs\/.)/;

export const route = signal(read());

addEventListener("hashchange", () => (route.value = read()));

function read() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").replace(MLFLOW, "").split("?");
  const [page, ...parts] = path.split("/").map(decodeURIComponent);
  return { page: page || "studio", parts, query: Object.fromEntries(new URLSearchParams(query)), path };
}

/** The address of a page, for links. */
export function to(page, ...parts) {
  return `#/${[page, ...parts].map(encodeURIComponent).join("/")}`;
}

export function go(page, ...parts) {
  location.hash = to(page, ...parts);
}

/** Changes the query of this page without a new step in the history. */
export function ask(query) {
  const kept = new URLSearchParams(Object.entries({ ...route.value.query, ...query }).filter(([, value]) => value));
  history.replaceState(null, "", `#/${route.value.path}${kept.size ? `?${kept}` : ""}`);
  route.value = read();
}
