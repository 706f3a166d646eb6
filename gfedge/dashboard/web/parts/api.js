/** The page's one client, who is logged in, and whether the server is there. */

import { connect } from "../gfedge.js";
import { signal } from "./html.js";

/** Whether the server answers: "live", "connecting", "lost" (it comes back by itself) or "refused". */
export const link = signal("connecting");

/** Who this page is logged in as: { name, scope }. */
export const session = signal(null);

export const api = connect({
  onProblem(problem) {
    if (problem.status === 401) location.reload(); // the server shows its login page instead of this one
  },
});

const LADDER = ["read", "run", "admin"];

/** Whether who is logged in may do what needs this scope. */
export function may(scope) {
  return LADDER.indexOf(session.value?.scope) >= LADDER.indexOf(scope);
}
