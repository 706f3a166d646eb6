/** Figures in the units that Grafana's dashboards name. */

import { bytes, figure, moment, percent, seconds } from "./format.js";

const shortly = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 2 });
const after = (text) => (value) => `${figure(value)} ${text}`;
const UNITS = {
  none: figure, string: String, short: (value) => (Math.abs(value) < 1000 ? figure(value) : shortly.format(value)),
  s: seconds, ms: (value) => seconds(value / 1e3), µs: (value) => seconds(value / 1e6), ns: (value) => seconds(value / 1e9), dtdurations: seconds,
  bytes, decbytes: bytes, bits: after("bit"), kbytes: (value) => bytes(value * 1024), mbytes: (value) => bytes(value * 1024 ** 2), gbytes: (value) => bytes(value * 1024 ** 3),
  Bps: (value) => `${bytes(value)}/s`, binBps: (value) => `${bytes(value)}/s`, bps: (value) => `${shortly.format(value)}bit/s`,
  percentunit: (value) => percent(value, Math.abs(value) < 0.1 && value ? 1 : 0), percent: (value) => `${figure(value)} %`,
  celsius: after("°C"), watt: after("W"), hertz: (value) => `${shortly.format(value)}Hz`, joule: after("J"), volt: after("V"),
  reqps: after("req/s"), ops: after("ops/s"), rps: after("reads/s"), wps: after("writes/s"), iops: after("io/s"), cps: after("/s"), opm: after("ops/min"),
  dateTimeAsIso: (value) => moment(value / 1000), dateTimeFromNow: (value) => moment(value / 1000),
};

/** @returns {(value: number|null) => string} */
export function unit(name, decimals) {
  const known = UNITS[name] ?? (name ? after(name.replace(/^(suffix|si|currency):?/, "")) : UNITS.short);
  const write = Number.isInteger(decimals) && [UNITS.none, UNITS.short].includes(known) ? (value) => value.toFixed(decimals) : known;
  return (value) => (value === null || value === undefined ? "–" : write(value));
}
