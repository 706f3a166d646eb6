/** Grafana's dashboard JSON: its rows and panels, its variables, and what stands for them in an expression. Pure. */

const COLUMNS = 24;

/** A dashboard out of a file: as exported, or as the API of a Grafana answers. */
export function dashboard(json) {
  const found = json?.dashboard ?? json;
  if (!Array.isArray(found?.panels) && !Array.isArray(found?.rows)) throw new Error("This is no dashboard of Grafana: it has no panels.");
  return { ...found, title: found.title || "Dashboard", panels: found.panels ?? found.rows.flatMap((row) => row.panels) };
}

/** Rows with their panels: [{ title, collapsed, panels }]; what stands before the first row has no title. */
export function sections(board, values = {}) {
  const found = [{ title: "", collapsed: false, panels: [] }];
  for (const panel of [...board.panels].sort(byPlace)) {
    if (panel.type === "row") found.push({ title: filled(panel.title ?? "", values), collapsed: panel.collapsed === true, panels: [...(panel.panels ?? [])] });
    else found.at(-1).panels.push(panel);
  }
  return found.filter(({ title, panels }) => title || panels.length).map((one) => ({ ...one, panels: repeated(one.panels.sort(byPlace), values) }));
}

const place = (panel) => ({ x: 0, y: 0, w: COLUMNS / 2, h: 8, ...panel.gridPos });
const byPlace = (a, b) => place(a).y - place(b).y || place(a).x - place(b).x;

/** Panels that are repeated for each value of a variable, side by side; what stands below them moves down. */
function repeated(panels, values) {
  const top = Math.min(...panels.map((panel) => place(panel).y));
  let moved = 0;
  return panels.flatMap((panel) => {
    const { x, y, w, h } = place(panel);
    const chosen = panel.repeat ? values[panel.repeat]?.chosen ?? [] : [];
    const at = y - top + moved;
    if (chosen.length < 2) return [{ panel, key: String(panel.id), values: {}, place: { x, y: at, w, h } }];
    const beside = Math.max(1, Math.min(chosen.length, panel.repeatDirection === "v" ? 1 : panel.maxPerRow ?? 4));
    const wide = Math.floor(COLUMNS / beside);
    moved += (Math.ceil(chosen.length / beside) - 1) * h;
    return chosen.map((value, index) => ({
      panel, key: `${panel.id}/${value}`, values: { [panel.repeat]: { chosen: [value] } },
      place: { x: (index % beside) * wide, y: at + Math.floor(index / beside) * h, w: wide, h },
    }));
  });
}

const NAME = /\[\[(\w+?)(?::(\w+))?\]\]|\$\{(\w+)(?:\.\w+)?(?::(\w+))?\}|\$(\w+)/g;

/** A text with its variables filled in. @param {Record<string, { chosen: string[], all?: string }>} values */
export function filled(text, values) {
  return text.replace(NAME, (written, old, oldForm, name, form, plain) => {
    const one = values[old ?? name ?? plain];
    return one === undefined ? written : formed(one, oldForm ?? form ?? "");
  });
}

function formed({ chosen, all }, form) {
  if (all !== undefined) return all;
  if (form === "csv") return chosen.join(",");
  if (form === "pipe") return chosen.join("|");
  if (form === "raw") return chosen.join(",");
  if (chosen.length === 1 && form !== "regex") return chosen[0];
  const safe = chosen.map((value) => value.replace(/[\\^$.*+?()[\]{}|]/g, "\\\\$&"));
  return safe.length === 1 ? safe[0] : `(${safe.join("|")})`;
}

/** Grafana's own variables. Seconds. */
export function builtIn({ start, end, step }, interval) {
  const of = (value) => ({ chosen: [String(value)] });
  return {
    __interval: of(`${step}s`), __interval_ms: of(step * 1000), __rate_interval: of(`${Math.max(4 * interval, step + interval)}s`),
    __range: of(`${Math.round(end - start)}s`), __range_s: of(Math.round(end - start)), __range_ms: of(Math.round((end - start) * 1000)),
    __from: of(Math.round(start * 1000)), __to: of(Math.round(end * 1000)),
  };
}

/** The variables that a person can see and that we fill in. */
export const variables = (board) => (board.templating?.list ?? []).filter((one) => !["datasource", "adhoc"].includes(one.type));

/** What a panel says of one field (a series, or a column of a table): its defaults, and on them the overrides that are meant for it. */
export function field(panel, one) {
  const { defaults = {}, overrides = [] } = panel.fieldConfig ?? {};
  const meant = overrides.filter(({ matcher }) => MATCHERS[matcher?.id]?.(matcher.options, one));
  return Object.assign({}, defaults, ...meant.flatMap(({ properties = [] }) => properties.map(({ id, value }) => ({ [id]: value }))));
}

const MATCHERS = {
  byName: (name, one) => one.name === name,
  byNames: ({ names = [], mode }, one) => names.includes(one.name) !== (mode === "exclude"),
  byRegexp: (text, one) => ruled(text)?.test(one.name) ?? false,
  byFrameRefID: (ref, one) => one.ref === ref,
  byType: (type) => type === "number",
};

/** A rule as Grafana writes it, `/text/flags` or the text alone; null for one that is none. */
function ruled(text) {
  const [, pattern, flags] = String(text).match(/^\/(.*)\/([gimsuy]*)$/s) ?? [null, text, ""];
  try { return new RegExp(pattern, flags.replace("g", "")); } catch { return null; }
}

/** What a `query` variable asks for. */
export function asked(variable) {
  const text = typeof variable.query === "string" ? variable.query : variable.query?.query ?? variable.definition ?? "";
  const parts = text.trim().match(/^(label_values|label_names|metrics|query_result)\((.*)\)$/s);
  if (!parts) return { kind: "unknown", text };
  const [, kind, inside] = parts;
  const split = inside.match(/^(?:(.*),)?\s*([\w.:]+)\s*$/s);
  return kind === "label_values" && split ? { kind, match: (split[1] ?? "").trim(), label: split[2] } : { kind, text: inside.trim() };
}

/** What a variable's `regex` leaves of its values. */
export function picked(found, regex) {
  if (!regex || regex === "//") return [...new Set(found)];
  const rule = ruled(regex);
  if (!rule) return found;
  return [...new Set(found.map((one) => one.match(rule)).filter(Boolean).map((one) => one.groups?.value ?? one[1] ?? one[0]))];
}
