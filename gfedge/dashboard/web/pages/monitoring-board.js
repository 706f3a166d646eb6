/** One dashboard: its time, its variables, its rows and panels. */

import { find, alone, OPENED, together } from "../parts/boards.js";
import { filled, sections, variables } from "../parts/grafana.js";
import { html, useState } from "../parts/html.js";
import { Failure, Loaded, useLoad } from "../parts/load.js";
import { Panel } from "../parts/panels.js";
import { spread } from "../parts/prometheus.js";
import { Range, time, useTurns } from "../parts/range.js";
import { ask } from "../parts/router.js";
import { useVariables, Variables } from "./monitoring-variables.js";

const INTERVAL = 5;
/** Pixels of a row of Grafana's grid, and what a panel has around its plot. */
const ROW = 36, AROUND = 92;

export function Board({ uid, query }) {
  const found = useLoad((signal) => find(uid, signal), [uid]);
  return html`<${Loaded} of=${found}>${(board) => html`<${Drawn} uid=${uid} board=${board} query=${query} />`}<//>`;
}

function Drawn({ uid, board, query }) {
  const from = query.from ?? board.time?.from ?? "now-1h", to = query.to ?? board.time?.to ?? "now";
  const refresh = query.refresh ?? (board.refresh || "off");
  const [turn, again] = useTurns(refresh);
  const known = useVariables(board, query, turn);
  const whole = useLoad(async () => spread(time(from), time(to), INTERVAL), [from, to, turn]);
  const shared = !uid.startsWith(OPENED) && !variables(board).length && board.panels.every((panel) => panel.type !== "row" || !panel.panels?.length);
  return html`<div class="head"><h2>${board.title}</h2><${Range} from=${from} to=${to} refresh=${refresh} change=${ask} again=${again} /></div>
    <${Variables} known=${known} change=${ask} />
    ${whole.value && !known.loading && html`<${shared ? Together : Alone} uid=${uid} board=${board} at=${whole.value} values=${known.values} />`}`;
}

/** The figures of all panels come in one answer. */
function Together({ uid, board, at, values }) {
  const found = useLoad((signal) => together(uid, at, signal), [at]);
  return html`${found.problem && html`<${Failure} problem=${found.problem} again=${found.again} />`}
    <${Sections} board=${board} values=${values} draw=${({ panel, values, height }) => html`<${Panel} panel=${panel} values=${values} height=${height} sync=${uid} data=${found.value && (found.value[panel.id] ?? NOTHING)} />`} />`;
}

const NOTHING = { times: [], series: [], problem: "" };

/** Each panel asks for its own. */
function Alone({ uid, board, at, values }) {
  return html`<${Sections} board=${board} values=${values} draw=${(props) => html`<${One} ...${props} at=${at} sync=${uid} />`} />`;
}

function One({ panel, values, height, at, sync }) {
  const found = useLoad((signal) => alone(panel, at, values, INTERVAL, signal), [at, JSON.stringify(values)]);
  if (found.problem && !found.value) return html`<${Failure} problem=${found.problem} again=${found.again} />`;
  return html`<${Panel} panel=${panel} values=${values} height=${height} sync=${sync} data=${found.value} />`;
}

function Sections({ board, values, draw }) {
  return sections(board, values).map(({ title, collapsed, panels }, index) => (title
    ? html`<${Row} key=${title + index} title=${title} collapsed=${collapsed}><${Grid} panels=${panels} values=${values} draw=${draw} /><//>`
    : html`<${Grid} key=${index} panels=${panels} values=${values} draw=${draw} />`));
}

function Row({ title, collapsed, children }) {
  const [open, set] = useState(!collapsed);
  return html`<section class="boardrow"><h3><button class="plain" aria-expanded=${open} onClick=${() => set(!open)}>${open ? "▾" : "▸"} ${title}</button></h3>${open && children}</section>`;
}

function Grid({ panels, values, draw }) {
  return html`<div class="board">${panels.map(({ panel, key, values: own, place }) => {
    const inside = { ...values, ...own };
    const title = filled(panel.title ?? "", inside);
    return html`<section key=${key} class="card panel" aria-label=${title || panel.type} style=${{ "--column": place.x + 1, "--columns": place.w, "--row": place.y + 1, "--rows": place.h }}>
      ${title && html`<h3 title=${panel.description ?? ""}>${title}</h3>`}
      ${draw({ panel: { ...panel, title }, values: inside, height: Math.max(110, place.h * ROW - AROUND) })}</section>`;
  })}</div>`;
}
