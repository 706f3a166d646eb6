/** Jobs that the database holds, newest first, page after page; the newest are read again whenever a job ends. */

import { api } from "./api.js";
import { useEffect, useRef, useState } from "./html.js";
import { ends } from "./jobs.js";

const PAGE = 100;
const NOTHING = { jobs: [], loading: true, problem: null };

/** { jobs, loading, problem, more, again }: the jobs that a filter lets through, as far as they were scrolled to. */
export function useHistory(filter) {
  const [found, set] = useState(NOTHING);
  const of = useRef(filter), next = useRef(""), due = useRef(new Set()), busy = useRef(false);
  const read = async (cursor) => {
    const mine = of.current;
    try {
      const page = await api.get("/ml-platform/ai-jobs", { ...mine, limit: PAGE, cursor });
      if (mine !== of.current) return;
      if (cursor === next.current) next.current = page.next ?? null;
      set((old) => ({ jobs: merged(old.jobs, page.jobs), loading: false, problem: null }));
    } catch (problem) {
      if (mine === of.current) set((old) => ({ ...old, loading: false, problem }));
    }
  };
  // One at a time. What ends while an answer is under way may not be in it: then the newest are read once more.
  const load = async (cursor) => {
    due.current.add(cursor);
    if (busy.current) return;
    busy.current = true;
    for (const one of due.current) {
      due.current.delete(one);
      if (one === "" || one === next.current) await read(one);
    }
    busy.current = false;
  };
  const asked = JSON.stringify(filter);
  useEffect(() => { of.current = filter; next.current = ""; set(NOTHING); }, [asked]);
  useEffect(() => { load(""); }, [asked, ends.value]);
  return { ...found, more: () => next.current && load(next.current), again: () => load("") };
}

/** Both, each job once, newest first; the fresh one where both have it. */
export function merged(old, fresh) {
  const named = new Map([...old, ...fresh].map((job) => [job.id, job]));
  return [...named.values()].sort((a, b) => (a.id < b.id ? 1 : -1));
}
