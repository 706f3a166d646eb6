/** What may follow in a filter over runs: keys, signs, words, and values that runs have. */

import { fitting } from "./complete.js";
import { keysOf, valueOf, written } from "./runs.js";

const SIGNS = ["=", "!=", "<", "<=", ">", ">=", "like", "ilike", "in (", "is null", "is not null"];
const WORDS = ["and ", "or ", "not ", "order by ", "desc"];
const STATUSES = ["running", "scheduled", "finished", "failed", "killed"];
const KEY = /((?:metrics|params|tags|attributes)\.(?:`[^`]*`|[\w./:-]+)|\b(?:name|status|kind|created_at|started_at|ended_at|id|parent_id|commit)\b)/;
const SIGN = /(?:=|!=|<>|<=?|>=?|\blike|\bilike)/;

/** Makes the `suggest` of a field, from the runs that are known. */
export function suggesting(runs) {
  const keys = keysOf(runs).map((key) => ({ text: keyed(key), about: /^\w+\./.test(key) ? example(runs, key) : "attribute" }));
  return async (text, cursor) => {
    const before = text.slice(0, cursor);
    const value = before.match(new RegExp(`${KEY.source}\\s*${SIGN.source}\\s*(['"]?)([^'"\\s]*)$`, "i"));
    if (value) return { from: cursor - value[3].length - value[2].length, items: fitting(values(runs, value[1]), value[3]) };
    const sign = before.match(new RegExp(`${KEY.source}\\s+([<>=!a-z]*)$`, "i"));
    if (sign && !/\b(order\s+by|,)\s*\S*\s+\w*$/i.test(before)) return { from: cursor - sign[2].length, items: fitting(SIGNS.map((text) => ({ text: `${text} ` })), sign[2]) };
    const [typed] = before.match(/[\w.`/:-]*$/);
    const after = /(['"\d)]|null|desc)\s+\w*$/i.test(before) && !/\b(and|or|not|by|,)\s+\w*$/i.test(before);
    const words = WORDS.map((text) => ({ text, about: "word" }));
    return { from: cursor - typed.length, items: fitting(after ? words : [...keys, ...words], typed) };
  };
}

function keyed(key) {
  const [, entity, name] = key.match(/^(metrics|params|tags)\.(.+)$/) ?? [];
  return entity ? written(entity, name) : key;
}

function example(runs, key) {
  const value = runs.map((run) => valueOf(run, key)).find((value) => value !== null);
  return `as ${String(value).slice(0, 40)}`;
}

function values(runs, key) {
  const plain = key.replace(/`/g, "");
  if (plain === "status") return STATUSES.map((text) => ({ text: `'${text}'` }));
  const numeric = plain.startsWith("metrics.") || plain.endsWith("_at");
  const found = [...new Set(runs.map((run) => valueOf(run, plain)).filter((value) => value !== null))].slice(0, 200);
  return found.map((value) => ({ text: numeric ? String(value) : `'${String(value).replaceAll("'", "''")}'` }));
}
