/** Runs by a filter, page after page, kept as they are by the live stream; and what the keys of runs are. */

import { api } from "./api.js";
import { html, useEffect, useRef, useState } from "./html.js";

const PAGE = 200;
const ATTRIBUTES = ["name", "status", "kind", "created_at", "started_at", "ended_at", "id", "parent_id", "commit"];

/** A key as the filter language writes it. */
export const written = (entity, name) => `${entity}.${/^\w[\w./:-]*$/.test(name) ? name : `\`${name}\``}`;

/** The value of a run under a key such as `metrics.loss`, `params.lr`, `tags.team`, `status`. */
export function valueOf(run, key) {
  const [, entity, name] = key.match(/^(metrics|params|tags)\.(.+)$/) ?? [];
  if (!entity) return run[key] ?? null;
  return (name.startsWith("system/") && entity === "metrics" ? run.system_metrics[name] : run[entity][name]) ?? null;
}

/** All keys that some of these runs have, metrics first. */
export function keysOf(runs) {
  const found = { metrics: new Set(), params: new Set(), tags: new Set() };
  for (const run of runs) for (const entity of Object.keys(found)) for (const name in run[entity]) found[entity].add(name);
  const named = Object.entries(found).flatMap(([entity, names]) => [...names].sort().map((name) => `${entity}.${name}`));
  return [...ATTRIBUTES.slice(0, 6), ...named];
}

/** What is asked of the server: a filter and an order; an order that is part of the filter wins. */
export function asked(filter, sort) {
  return /\border\s+by\b/i.test(filter) || !sort ? filter : `${filter} order by ${sort}`.trim();
}

/** { runs, more, all, loading, problem, again, fresh, ended }: runs as far as they were asked for; `fresh` counts those that came since. */
export function useRuns(experiment, filter) {
  const [found, set] = useState({ runs: [], loading: true, problem: null, fresh: 0, ended: false });
  const next = useRef(""), turn = useRef(0), busy = useRef(false);
  const load = async (limit = PAGE) => {
    if (busy.current || next.current === null) return;
    const mine = turn.current;
    busy.current = true;
    try {
      const page = await api.get("/ml-platform/runs", { experiment, filter, limit, cursor: next.current });
      if (mine !== turn.current) return;
      next.current = page.next ?? null;
      set((old) => ({ ...old, runs: merged(old.runs, page.runs), loading: false, problem: null, ended: next.current === null }));
    } catch (problem) {
      if (mine === turn.current) set((old) => ({ ...old, loading: false, problem }));
    } finally {
      if (mine === turn.current) busy.current = false;
    }
  };
  const again = () => { turn.current++; busy.current = false; next.current = ""; set((old) => ({ ...old, loading: true, fresh: 0, runs: [], ended: false })); load(); };
  const all = async (most) => {
    let count = -1;
    for (let runs = found.runs.length; next.current !== null && runs < most && runs !== count; runs += 1000) { count = runs; await load(1000); }
  };
  useEffect(() => again(), [experiment, filter]);
  useEffect(() => {
    let missed = false; // a second snapshot comes where the break was too long to catch up with
    const stream = api.stream("experiments", { topics: [`experiment:${experiment}`] }, (message) => {
      if (message.type !== "snapshot") return set((old) => heard(old, message, filter));
      if (missed) again();
      missed = true;
    });
    return () => stream.close();
  }, [experiment, filter]);
  return { ...found, more: () => load(), all, again };
}

function merged(old, page) {
  const known = new Set(old.map((run) => run.id));
  return [...old, ...page.filter((run) => !known.has(run.id))];
}

/** Runs that are shown change in place; new ones come on top where nothing is filtered, else they are counted. */
function heard(old, { type, data }, filter) {
  const at = old.runs.findIndex((run) => run.id === (data.id ?? data.run_id));
  if (type === "run.created" && at < 0) return filter || old.loading ? { ...old, fresh: old.fresh + 1 } : { ...old, runs: [data, ...old.runs] };
  if (at < 0) return old;
  const put = (run) => ({ ...old, runs: old.runs.with(at, run) });
  if (type === "run.changed" || type === "run.ended") return data.deleted_at ? { ...old, runs: old.runs.toSpliced(at, 1) } : put(data);
  if (type === "run.logged") return put(logged(old.runs[at], data));
  return old;
}

function logged(run, { points, params, tags }) {
  const latest = Object.fromEntries(points.map(({ key, value }) => [key, value]));
  return { ...run, metrics: { ...run.metrics, ...latest }, params: { ...run.params, ...params }, tags: { ...run.tags, ...tags } };
}

/** A badge for how a run stands. */
export const Status = ({ of }) => html`<span class="badge ${{ finished: "succeeded", killed: "cancelled", scheduled: "queued" }[of] ?? of}">${of}</span>`;
