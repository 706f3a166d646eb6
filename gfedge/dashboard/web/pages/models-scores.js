/** What judges said of the sprites of a model's versions: a score is compared with others of the same judge alone. */

import { figure, moment, percent, short } from "../parts/format.js";
import { html } from "../parts/html.js";
import { to } from "../parts/router.js";

const SCORE = "judge_score";
const pair = (drawn, real) => `${percent(drawn)} (${percent(real)})`;

/** The scores of all versions, newest first; nothing where none has one. */
export function Scores({ one, versions }) {
  const scored = versions.filter(({ metrics }) => metrics[SCORE] !== undefined);
  if (!scored.length) return null;
  const judges = new Set(scored.map(({ evaluation }) => evaluation.judge));
  return html`<section class="card" aria-label="Scores"><h2>Scores</h2>
    <div class="scroll" tabindex="0" role="group" aria-label="Scores of the versions"><table><thead><tr><th>Version</th><th>Score</th><th>Named first (of real pictures)</th><th>Among five (of real pictures)</th><th>Copies</th><th>Judge</th><th>Measured</th></tr></thead>
      <tbody>${scored.map((other) => html`<${Row} key=${other.id} of=${other} current=${other === one} />`)}</tbody></table></div>
    ${judges.size > 1 && html`<p class="faint">Scores of different judges are no comparison.</p>`}</section>`;
}

function Row({ of: { id, name, version, metrics, evaluation }, current }) {
  return html`<tr aria-current=${current ? "true" : undefined}><td><a href=${to("models", name, version)}>${id}</a></td><td><strong>${figure(metrics[SCORE])}</strong></td>
    <td>${pair(metrics.judge_top1, metrics.judge_top1_real)}</td><td>${pair(metrics.judge_top5, metrics.judge_top5_real)}</td><td>${percent(metrics.copied)}</td>
    <td class="mono" title=${evaluation.judge}>${evaluation.judge ? short(evaluation.judge.replace("sha256:", "")) : "–"}</td>
    <td>${evaluation.run ? html`<a href=${to("runs", evaluation.run)}>${moment(evaluation.evaluated_at)}</a>` : html`<span class="faint">by its makers</span>`}</td></tr>`;
}
