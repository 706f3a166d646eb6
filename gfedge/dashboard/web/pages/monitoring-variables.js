/** The variables of a dashboard: what they can be, what is chosen, and their fields. */

import { asked, filled, picked, variables } from "../parts/grafana.js";
import { html } from "../parts/html.js";
import { useLoad } from "../parts/load.js";
import { atOnce, labels, legend, names, values } from "../parts/prometheus.js";

const ALL = "$__all";

/** { list: [{ variable, options, chosen }], values: what stands for them, loading, problem }. */
export function useVariables(board, query, turn) {
  const wanted = JSON.stringify(Object.entries(query).filter(([name]) => name.startsWith("var-")));
  const found = useLoad(() => resolved(board, query), [board, wanted, turn]);
  return { list: [], values: {}, ...found.value, loading: found.loading, problem: found.problem };
}

async function resolved(board, query) {
  const list = [], known = {};
  for (const variable of variables(board)) {
    const options = await possible(variable, known);
    const chosen = choice(variable, options, query[`var-${variable.name}`]);
    const every = chosen.includes(ALL);
    known[variable.name] = { chosen: every ? options : chosen, ...(every && { all: variable.allValue || (options.length ? undefined : ".*") }) };
    list.push({ variable, options, chosen });
  }
  return { list, values: known };
}

async function possible(variable, known) {
  if (variable.type === "custom" || variable.type === "interval") return split(filled(text(variable), known));
  if (variable.type === "constant" || variable.type === "textbox") return [text(variable)];
  const { kind, match, label, text: rest } = asked(variable);
  const found = {
    label_values: () => values(label, filled(match, known)),
    label_names: () => labels(),
    metrics: async () => (await names()).filter((name) => new RegExp(filled(rest, known)).test(name)),
    query_result: async () => (await atOnce(filled(rest, known), Date.now() / 1000)).series.map((one) => `${legend(one.labels)} ${one.values[0]}`),
    unknown: () => [],
  };
  return picked(await found[kind]().catch?.(() => []) ?? [], variable.regex);
}

const text = (variable) => (typeof variable.query === "string" ? variable.query : variable.query?.query ?? "");
const split = (list) => list.split(",").map((one) => one.trim().split(/\s+:\s+/).at(-1)).filter(Boolean);

/** What the address says, else what the dashboard was saved with, else all, else the first. */
function choice(variable, options, asked) {
  if (asked !== undefined) return asked.split(",").filter(Boolean);
  const saved = [variable.current?.value ?? []].flat().filter((one) => options.includes(one) || one === ALL);
  if (saved.length) return saved;
  return variable.includeAll ? [ALL] : options.slice(0, 1);
}

export function Variables({ known, change }) {
  const shown = known.list.filter(({ variable }) => variable.hide !== 2 && variable.type !== "constant");
  if (!shown.length) return null;
  return html`<form class="filter" aria-label="Variables" onSubmit=${(event) => event.preventDefault()}>
    ${shown.map(({ variable, options, chosen }) => html`<${Field} key=${variable.name} variable=${variable} options=${options} chosen=${chosen} set=${(value) => change({ [`var-${variable.name}`]: value })} />`)}</form>`;
}

function Field({ variable, options, chosen, set }) {
  const label = variable.label || variable.name;
  if (variable.type === "textbox") return html`<label>${label} <input value=${chosen[0] ?? ""} onChange=${(event) => set(event.target.value)} /></label>`;
  const take = ({ target }) => { const some = [...target.selectedOptions].map((one) => one.value); set((some.length > 1 ? some.filter((one) => one !== ALL) : some).join(",")); };
  return html`<label>${label} <select multiple=${variable.multi} size=${variable.multi ? Math.min(4, options.length + 1) : undefined} onChange=${take}>
    ${variable.includeAll && html`<option value=${ALL} selected=${chosen.includes(ALL)}>all</option>`}
    ${options.map((one) => html`<option key=${one} value=${one} selected=${chosen.includes(one)}>${one}</option>`)}</select></label>`;
}
