/** Numbers and times as people read them. Times are Unix seconds, sizes bytes. */

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];
const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto", style: "short" });
const absolute = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const SPANS = [["year", 31536000], ["month", 2592000], ["day", 86400], ["hour", 3600], ["minute", 60]];

export function bytes(value) {
  if (value === null || value === undefined) return "–";
  let step = 0;
  for (; value >= 1024 && step < UNITS.length - 1; step++) value /= 1024;
  return `${step && value < 100 ? value.toFixed(1) : Math.round(value)} ${UNITS[step]}`;
}

export function seconds(value) {
  if (value === null || value === undefined) return "–";
  if (value < 0.001) return `${(value * 1e6).toFixed(0)} µs`;
  if (value < 1) return `${(value * 1000).toFixed(0)} ms`;
  if (value < 60) return `${value.toFixed(value < 10 ? 2 : 1)} s`;
  if (value < 3600) return `${Math.floor(value / 60)} min ${Math.round(value % 60)} s`;
  if (value < 86400) return `${Math.floor(value / 3600)} h ${Math.round((value % 3600) / 60)} min`;
  return `${(value / 86400).toFixed(1)} days`;
}

/** How long ago, as `5 min. ago`. */
export function ago(at, now = Date.now() / 1000) {
  const past = at - now;
  const [unit, size] = SPANS.find(([, size]) => Math.abs(past) >= size) ?? ["second", 1];
  return relative.format(Math.round(past / size), unit);
}

export function moment(at) {
  return at ? absolute.format(new Date(at * 1000)) : "–";
}

/** A figure with the digits that matter. */
export function figure(value) {
  if (value === null || value === undefined) return "–";
  if (typeof value !== "number") return String(value);
  if (Number.isInteger(value)) return value.toLocaleString("en");
  const size = Math.abs(value);
  return size !== 0 && (size < 0.001 || size >= 1e6) ? value.toExponential(3) : String(Number(value.toPrecision(5)));
}

export function percent(ratio, digits = 0) {
  return ratio === null || ratio === undefined ? "–" : `${(ratio * 100).toFixed(digits)} %`;
}

/** The beginning of a digest or an id. */
export function short(text, length = 10) {
  return text && text.length > length + 2 ? `${text.slice(0, length)}…` : text;
}
