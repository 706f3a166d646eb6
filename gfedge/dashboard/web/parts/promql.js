/** What may follow in a PromQL expression: metrics, functions and words; labels and their values; durations. */

import { fitting } from "./complete.js";
import { labels, metadata, names, values } from "./prometheus.js";

const AGGREGATIONS = "sum avg min max count group stddev stdvar topk bottomk quantile count_values limitk limit_ratio";
const INSTANT = "abs ceil floor exp ln log2 log10 sqrt sgn deg rad sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh absent sort sort_desc timestamp scalar vector minute hour day_of_week day_of_month day_of_year days_in_month month year round clamp clamp_min clamp_max histogram_quantile histogram_quantiles histogram_avg histogram_count histogram_sum histogram_stddev histogram_stdvar histogram_fraction label_replace label_join sort_by_label sort_by_label_desc info";
const OVER_TIME = "rate increase delta irate idelta deriv changes resets absent_over_time avg_over_time sum_over_time min_over_time max_over_time count_over_time last_over_time first_over_time present_over_time stddev_over_time stdvar_over_time mad_over_time ts_of_min_over_time ts_of_max_over_time ts_of_last_over_time ts_of_first_over_time quantile_over_time predict_linear double_exponential_smoothing";
const NUMBERS = "time pi start end step range min_of max_of";
const WORDS = "by without on ignoring group_left group_right and or unless offset bool";
const DURATIONS = ["1m", "5m", "15m", "1h", "6h", "1d", "7d"];

const called = (text, about) => text.split(" ").map((name) => ({ text: `${name}()`, about, back: 1 }));
const FUNCTIONS = [
  ...called(OVER_TIME, "of a range of time: metric[5m]"), ...called(AGGREGATIONS, "over series"), ...called(INSTANT, "function"), ...called(NUMBERS, "number"),
  ...WORDS.split(" ").map((text) => ({ text, about: "word" })),
];

/** Where the cursor stands: { kind: "label" | "value" | "duration" | "word" | "none", from, typed, metric, label }. */
export function context(text, cursor) {
  const before = text.slice(0, cursor);
  const brace = before.lastIndexOf("{");
  if (brace > before.lastIndexOf("}")) return inBraces(before, brace);
  const window = before.match(/\[(\w*)$/);
  if (window) return { kind: "duration", typed: window[1], from: cursor - window[1].length };
  const grouped = before.match(/\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^()]*)$/);
  if (grouped) return ofWord(before, "label", "");
  if ((before.match(/"/g) ?? []).length % 2) return { kind: "none", typed: "", from: cursor };
  return ofWord(before, "word", "");
}

function ofWord(before, kind, metric) {
  const [typed] = before.match(/[\w:]*$/);
  return { kind: /^\d/.test(typed) ? "none" : kind, typed, from: before.length - typed.length, metric };
}

function inBraces(before, brace) {
  const metric = before.slice(0, brace).match(/[\w:]+$/)?.[0] ?? "";
  const value = before.slice(brace + 1).match(/(\w+)\s*(?:=~|!~|!=|=)\s*"([^"]*)$/);
  if (value) return { kind: "value", label: value[1], typed: value[2], from: before.length - value[2].length, metric };
  return ofWord(before, "label", metric);
}

export async function suggest(text, cursor) {
  const at = context(text, cursor);
  const closed = text[cursor] === '"';
  const found = {
    none: () => [],
    duration: () => DURATIONS.map((length) => ({ text: text[cursor] === "]" ? length : `${length}]` })),
    label: async () => (await labels(at.metric)).filter((name) => name !== "__name__").map((text) => ({ text, about: "label" })),
    value: async () => (await values(at.label, at.metric)).map((text) => ({ text: closed ? text : `${text}"`, about: at.label })),
    word: async () => (at.typed ? [...(await metrics()), ...FUNCTIONS] : []),
  };
  return { from: at.from, items: fitting(await found[at.kind](), at.typed).filter((item) => item.text !== at.typed) };
}

async function metrics() {
  const [known, about] = await Promise.all([names(), metadata()]);
  const of = (name) => about[name]?.[0] ?? about[name.replace(/_(bucket|sum|count)$/, "")]?.[0];
  return known.map((text) => ({ text, about: of(text) ? `${of(text).type} · ${of(text).help}` : "metric" }));
}
