/** The words of a prompt that the model never saw, each with the nearest ones that it knows. */

import { api } from "./api.js";

const STOP = new Set("a an and at by for from her his in is it its my of on or some that the their this to very with your".split(" "));
const vocabularies = new Map();

/** The words that a model version knows: { words, aliases }; null where it does not say. */
export function vocabulary(version) {
  const key = `${version.name}@${version.version}`;
  if (!vocabularies.has(key)) {
    const path = { name: version.name, version: version.version, file: "vocab.json" };
    const asked = "vocab.json" in (version.files ?? {}) ? api.get("/ml-platform/models/{name}/versions/{version}/files/{file}", path) : Promise.resolve(null);
    vocabularies.set(key, asked.then((found) => found && prepared(found)).catch(() => { vocabularies.delete(key); return null; }));
  }
  return vocabularies.get(key);
}

function prepared({ words, aliases = {} }) {
  const known = new Set([...words.slice(1), ...Object.keys(aliases)]);
  return { words: words.slice(1), known };
}

/** [{ word, near: [known words] }] of a prompt, split as the model splits it. */
export function unknown(prompt, { words, known }) {
  const said = [...new Set(prompt.toLowerCase().match(/\p{L}+/gu) ?? [])].filter((word) => word.length > 1 && !STOP.has(word));
  return said.filter((word) => !singulars(word).some((one) => known.has(one))).map((word) => ({ word, near: nearest(word, words) }));
}

/** A word and what it may be the plural of. */
function singulars(word) {
  const found = [word];
  for (const [ending, repair] of [["ves", "f"], ["ves", "ff"], ["ies", "y"], ["es", ""], ["s", ""]]) {
    if (word.endsWith(ending) && word.length > ending.length + 1) found.push(word.slice(0, -ending.length) + repair);
  }
  return found;
}

function nearest(word, words, count = 3) {
  const most = Math.max(2, Math.ceil(word.length / 2));
  const ranked = words.map((other) => [distance(word, other, most), other]).filter(([far]) => far <= most);
  return ranked.sort(([a, one], [b, other]) => a - b || one.localeCompare(other)).slice(0, count).map(([, other]) => other);
}

/** Edits between two words (Levenshtein), or more than `most`. */
function distance(one, other, most) {
  if (Math.abs(one.length - other.length) > most) return most + 1;
  let row = Array.from({ length: other.length + 1 }, (_, index) => index);
  for (let i = 1; i <= one.length; i++) {
    const next = [i];
    for (let j = 1; j <= other.length; j++) {
      next.push(Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (one[i - 1] === other[j - 1] ? 0 : 1)));
    }
    row = next;
  }
  return row[other.length];
}
