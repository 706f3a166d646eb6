/** Canary and shadow: a share of the jobs for a version, or every job again beside the one that serves, and how they compare. */

import { api, may } from "../parts/api.js";
import { figure, percent, seconds } from "../parts/format.js";
import { html, useEffect, useState } from "../parts/html.js";
import { ends } from "../parts/jobs.js";
import { Loaded, useLoad } from "../parts/load.js";
import { tried } from "../parts/notes.js";

const MODEL = "/ml-platform/models/{name}";

export function Traffic({ one, model, changed }) {
  const { name } = one;
  const traffic = useLoad((signal) => api.get(`${MODEL}/canary`, { name }, { signal }), [name]);
  useEffect(() => { if (traffic.value) traffic.again(); }, [ends.value]);
  const act = async (work, done) => { await tried(work, done); traffic.again(); changed(); };
  return html`<section class="card" aria-label="Canary and shadow"><h2>Canary and shadow</h2>
    <${Loaded} of=${traffic}>${(found) => html`<${Now} found=${found} name=${name} act=${act} />
      ${may("run") && model.serving !== `${name}@${one.version}` && html`<${Start} one=${one} act=${act} running=${found} />`}`}<//></section>`;
}

function Now({ found: { serving, canary, shadow, versions, comparison, watch }, name, act }) {
  const stop = (what) => () => act(() => api.delete(`${MODEL}/${what}`, { name }), `The ${what} has ended`);
  if (!canary && !shadow) return html`<p class="faint">No canary and no shadow: ${serving ? `every job runs on ${serving}` : "nothing serves"}.</p>`;
  return html`
    ${canary && html`<p>${name}@${canary.version} takes <strong>${figure(canary.percent)} %</strong> of the jobs. It loses them by itself above ${percent(watch.max_error_ratio)} failures${watch.max_latency_ratio ? ` or ${watch.max_latency_ratio} times the latency` : ""}, after ${watch.min_samples} jobs.
      ${may("run") && html` <button onClick=${stop("canary")}>End the canary</button>`}</p>`}
    ${shadow && html`<p>${name}@${shadow.version} runs in shadow. ${may("run") && html`<button onClick=${stop("shadow")}>End the shadow</button>`}</p>`}
    ${versions.length > 0 && html`<div class="scroll" tabindex="0" role="group" aria-label="Traffic by version"><table><thead><tr><th>Version</th><th class="number">Jobs</th><th class="number">Failed</th><th class="number">p50</th><th class="number">p95</th></tr></thead>
      <tbody>${versions.map((one) => html`<tr key=${one.version}><td>${one.version}</td><td class="number">${one.jobs}</td><td class="number">${one.failed} (${percent(one.error_ratio, 1)})</td><td class="number">${seconds(one.latency_p50_seconds)}</td><td class="number">${seconds(one.latency_p95_seconds)}</td></tr>`)}</tbody></table></div>`}
    ${comparison && html`<p class="faint">Of ${comparison.jobs} compared jobs ${comparison.same_pixels} gave the same pixels; PSNR ${figure(comparison.psnr_mean)} dB, SSIM ${figure(comparison.ssim_mean)}, latency ${figure(comparison.latency_ratio)} times.</p>`}`;
}

function Start({ one, act, running }) {
  const [share, set] = useState(10);
  const { name, version } = one;
  const canary = () => act(() => api.post(`${MODEL}/canary`, { name }, { version, percent: Number(share) }), `${name}@${version} takes ${share} % of the jobs`);
  const shadow = () => act(() => api.post(`${MODEL}/shadow`, { name }, { version }), `${name}@${version} runs in shadow`);
  return html`<div class="buttons"><label class="share">Share <input type="range" min="1" max="100" value=${share} onInput=${(event) => set(event.target.value)} /> <output>${share} %</output></label>
    <button onClick=${canary}>${running.canary?.version === version ? "Change the share" : "Start a canary"}</button>${running.shadow?.version !== version && html`<button onClick=${shadow}>Run in shadow</button>`}</div>`;
}
