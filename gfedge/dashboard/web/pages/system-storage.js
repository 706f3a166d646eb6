/** What is stored: the disk, what a collection would free, backups, and whether all of it is sound. */

import { api, may } from "../parts/api.js";
import { confirmed } from "../parts/dialog.js";
import { ago, bytes, figure, moment, percent } from "../parts/format.js";
import { html, useEffect, useState } from "../parts/html.js";
import { Loaded, useLoad } from "../parts/load.js";
import { tried } from "../parts/notes.js";

const GC = "/ml-platform/gc", BACKUPS = "/admin/backups", EXPORTS = "/admin/exports", LOOK_MS = 1000;

export function Storage() {
  const status = useLoad((signal) => api.get("/monitoring/status", {}, { signal }));
  return html`<${Loaded} of=${status}>${({ storage }) => html`<${Disk} of=${storage} />`}<//>
    <${Collection} />
    ${may("admin") ? html`<div class="split"><${Backups} /><${Verify} /></div><${Archive} />` : html`<p class="faint">Backups, verification and the archive need a token with the scope admin.</p>`}`;
}

function Disk({ of: { data, disk_free_bytes, disk_size_bytes, database_bytes, wal_bytes } }) {
  const used = disk_size_bytes ? 1 - disk_free_bytes / disk_size_bytes : null;
  return html`<section class="card" aria-label="Disk"><h2>Disk</h2>
    ${used !== null && html`<div class="meter ${used > 0.95 ? "bad" : used > 0.85 ? "warn" : ""}" role="meter" aria-label="Disk in use" aria-valuenow=${Math.round(used * 100)} aria-valuemin="0" aria-valuemax="100"><span>${percent(used)} in use</span><span>${bytes(disk_free_bytes)} free of ${bytes(disk_size_bytes)}</span><span class="part"><span style=${{ width: `${used * 100}%` }}></span></span></div>`}
    <dl class="facts"><dt>Folder</dt><dd class="mono">${data}</dd><dt>Database</dt><dd>${bytes(database_bytes)} and ${bytes(wal_bytes)} of log</dd></dl></section>`;
}

/** What goes, told before it goes. */
function Collection() {
  const [report, show] = useState(null);
  const [busy, set] = useState(false);
  const past = useLoad((signal) => api.get(GC, {}, { signal }), [report?.id]);
  const collect = async (dry_run) => {
    set(true);
    const found = await tried(() => api.post(GC, {}, { dry_run }), dry_run ? "" : "Collected");
    if (found) show(found);
    set(false);
  };
  const really = async () => {
    if ((await confirmed("Free this space", `${bytes(report.bytes)} of ${counted(report)} are deleted for good.`, { button: "Delete them", danger: true })) !== null) collect(false);
  };
  return html`<section class="card" aria-label="Collection"><div class="head"><h2>What nobody needs any more</h2>
      ${may("admin") && html`<div class="buttons"><button disabled=${busy} onClick=${() => collect(true)}>${busy ? "Looking…" : "What would a collection free?"}</button>
        ${report?.dry_run && report.bytes + total(report) > 0 && html`<button class="danger" disabled=${busy} onClick=${really}>Free ${bytes(report.bytes)}…</button>`}</div>`}</div>
    ${report ? html`<${Report} of=${report} />` : html`<p class="faint">A collection removes old jobs, deleted runs and files without an owner, by the settings keep_job_days, keep_jobs, keep_job_bytes and restore_days. A dry run only tells.</p>`}
    <${Loaded} of=${past}>${({ collections }) => collections.length > 0 && html`<details><summary>Collections before: ${collections.length}</summary><ul class="lines past">${collections.map((one) => html`<li key=${one.id}>${moment(one.started_at)} · freed ${bytes(one.bytes)}, ${counted(one)} <span class="faint">by ${one.by}</span></li>`)}</ul></details>`}<//>
  </section>`;
}

const total = (report) => Object.values(report.totals).reduce((sum, one) => sum + one.count, 0);
const counted = (report) => Object.entries(report.totals).map(([kind, { count }]) => `${figure(count)} ${kind}${count === 1 ? "" : "s"}`).join(", ") || "nothing";

function Report({ of }) {
  return html`<p role="status"><strong>${of.dry_run ? "It would free" : "Freed"} ${bytes(of.bytes)}</strong>: ${counted(of)}.${of.young ? ` ${of.young} files are too new to be judged.` : ""}</p>
    ${of.removed.length > 0 && html`<details><summary>${of.dry_run ? "What would go" : "What went"}, and why</summary><div class="scroll tall" tabindex="0" role="group" aria-label="What goes"><table><thead><tr><th scope="col">kind</th><th scope="col">id</th><th scope="col" class="number">size</th><th scope="col">why</th></tr></thead>
      <tbody>${of.removed.slice(0, 300).map((one) => html`<tr key=${one.kind + one.id}><td>${one.kind}</td><td class="mono">${one.id.slice(0, 16)}</td><td class="number">${bytes(one.bytes)}</td><td>${one.reason}</td></tr>`)}</tbody></table></div></details>`}
    ${of.kept.length > 0 && html`<details><summary>What stays because something needs it: ${of.kept.length}</summary><ul class="lines">${of.kept.slice(0, 100).map((one) => html`<li key=${one.id}>${one.kind} <span class="mono">${one.id.slice(0, 16)}</span> <span class="faint">${one.reason}</span></li>`)}</ul></details>`}`;
}

function Backups() {
  const found = useLoad((signal) => api.get(BACKUPS, {}, { signal }));
  const [busy, set] = useState("");
  const make = async (path, done) => {
    set(path);
    if (await tried(() => api.post(path, {}, {}), done)) found.again();
    set("");
  };
  const remove = async ({ name }) => {
    if ((await confirmed("Delete a backup", `${name} is deleted for good.`, { button: "Delete it", danger: true })) !== null && (await tried(() => api.delete(`${BACKUPS}/{name}`, { name }), "Deleted"))) found.again();
  };
  return html`<section class="card" aria-label="Backups"><div class="head"><h2>Backups</h2><div class="buttons">
      <button class="primary" disabled=${busy} onClick=${() => make(BACKUPS, "Backed up")}>${busy === BACKUPS ? "Backing up…" : "Back up now"}</button>
      </div></div>
    <${Loaded} of=${found} empty=${({ backups }) => !backups.length} nothing="No backup was made yet.">${({ backups }) => html`<ul class="lines">${backups.map((one) => html`<li key=${one.name} class="entry">
      <div><strong>${one.name}</strong> <span class="faint">${ago(one.made_at)} · ${bytes(one.bytes)} in ${figure(one.files)} files, ${figure(one.rows)} rows</span><p class="faint mono long">${one.path}</p></div><button onClick=${() => remove(one)}>Delete…</button></li>`)}</ul>`}<//>
  </section>`;
}

/** Parquet files for other engines, kept up to date. */
function Archive() {
  const found = useLoad((signal) => api.get(EXPORTS, {}, { signal }));
  const running = found.value?.export?.state === "running";
  useEffect(() => {
    if (!running) return undefined;
    const timer = setTimeout(found.again, LOOK_MS);
    return () => clearTimeout(timer);
  }, [found.value]);
  const begin = async () => { if (await tried(() => api.post(EXPORTS, {}, {}))) found.again(); };
  return html`<section class="card" aria-label="Archive"><div class="head"><h2>Archive</h2><div class="buttons"><button disabled=${running} onClick=${begin}>${running ? "Exporting…" : "Export now"}</button></div></div>
    <${Loaded} of=${found}>${(of) => html`<p role="status">${exported(of)}</p><p class="faint mono long">${of.folder}</p>
      ${of.made_at !== null && html`<details><summary>${figure(Object.keys(of.tables).length)} tables</summary><ul class="lines">${Object.entries(of.tables).filter(([, one]) => one.rows).map(([name, one]) => html`<li key=${name}><span class="mono">${name}</span> ${figure(one.rows)} rows in ${figure(one.files)} files, ${bytes(one.bytes)} <span class="faint">${one.about}</span></li>`)}</ul></details>`}`}<//></section>`;
}

function exported({ export: last, made_at, next_at }) {
  if (last?.state === "running") return `Writing ${last.table}: ${figure(last.files)} of ${figure(last.files_total)} files.`;
  if (last?.state === "failed") return `The last export failed: ${last.error}`;
  if (made_at === null) return "Nothing was exported yet: runs, jobs and lineage go to Parquet files that DuckDB, Spark and Trino read.";
  return `Complete ${ago(made_at)}. ${next_at === null ? "By itself it is not exported: the setting export_hours." : `The next export is due ${moment(next_at)}.`}`;
}

function Verify() {
  const [found, show] = useState(null);
  const [busy, set] = useState(false);
  const verify = async () => { set(true); show(await tried(() => api.post("/admin/verify"))); set(false); };
  return html`<section class="card" aria-label="Verification"><div class="head"><h2>Is it all sound?</h2><div class="buttons"><button disabled=${busy} onClick=${verify}>${busy ? "Reading everything…" : "Verify"}</button></div></div>
    ${found ? html`<p role="status"><span class="badge ${found.sound ? "passed" : "failed"}">${found.sound ? "sound" : `${found.faults.length} faults`}</span> ${Object.entries(found.checked).map(([kind, count]) => `${figure(count)} ${kind.replaceAll("_", " ")}${count === 1 ? "" : "s"}`).join(", ")}</p>
      <ul class="lines">${found.faults.map((one) => html`<li key=${one.kind + one.id}>${one.kind} <span class="mono long">${one.id}</span>: ${one.text}</li>`)}</ul>`
    : html`<p class="faint">Reads every block of the database and every file that it names, and compares their digests. It takes a while.</p>`}
  </section>`;
}
