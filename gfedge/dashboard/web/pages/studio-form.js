/** What the Studio asks for: a prompt with its options, or a picture to enlarge. */

import { api, may, session } from "../parts/api.js";
import { enlarge } from "../parts/drop.js";
import { html, useState } from "../parts/html.js";
import { learn } from "../parts/jobs.js";
import { useLoad } from "../parts/load.js";
import { tried } from "../parts/notes.js";
import { Picture, address } from "../parts/picture.js";
import { Unknown, useVocabulary } from "../parts/words.js";

export const empty = {
  prompt: "", negative_prompt: "", model: "", seed: "", n: "4", steps: "", guidance_scale: "", scale: "1", palette: "", background: "transparent",
  style: "", sampler: "", outline: false, tileable: false, init_image: "", strength: "0.5",
};
const PALETTES = { "": "As drawn", 4: "4 colours", 8: "8 colours", 16: "16 colours", 32: "32 colours", own: "These colours…" };
const SCALES = [1, 2, 3, 4, 8];

/** The body of a request: what was left empty is the model's own choice. */
export function asked(settings) {
  const { palette, colours, ...rest } = settings;
  const body = { prompt: rest.prompt };
  for (const name of ["negative_prompt", "model", "style", "sampler"]) if (rest[name]) body[name] = rest[name];
  for (const name of ["seed", "n", "steps", "guidance_scale", "scale"]) if (rest[name] !== "" && rest[name] !== undefined) body[name] = Number(rest[name]);
  if (palette === "own") body.palette = (colours ?? "").match(/#[0-9a-f]{6}/gi) ?? [];
  else if (palette) body.palette = Number(palette);
  if (rest.outline) body.outline = {};
  if (rest.tileable) body.tileable = true;
  if (rest.init_image) Object.assign(body, { init_image: rest.init_image, strength: Number(rest.strength) });
  if (rest.background !== "transparent") body.background = rest.background;
  return body;
}

export async function generate(body) {
  const job = await tried(() => api.post("/ai/generate", {}, body));
  if (job) learn(job);
  return job;
}

export function Form({ settings, change }) {
  const models = useLoad((signal) => api.get("/ml-platform/models", { kind: "generate" }, { signal }));
  const [sending, send] = useState(false);
  const input = (name) => ({ name, value: settings[name], onInput: (event) => change({ [name]: event.target.value }) });
  const submit = async (event) => {
    event.preventDefault();
    send(true);
    await generate(asked(settings));
    send(false);
  };
  const quick = (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) event.target.form.requestSubmit(); };
  const versions = (models.value?.models ?? []).flatMap((model) => model.versions);
  const serving = chosen(models.value, settings.model);
  const known = useVocabulary(`${settings.prompt} ${settings.negative_prompt}`, settings.model);
  const check = (name, text) => html`<label class="check"><input type="checkbox" checked=${settings[name]} onChange=${(event) => change({ [name]: event.target.checked })} /> ${text}</label>`;
  return html`<aside class="asks">
    <form class="card" onSubmit=${submit} aria-label="Generate">
      <label>Prompt <textarea ...${input("prompt")} required maxlength="2000" placeholder="a red dragon" onKeyDown=${quick}></textarea></label>
      <${Unknown} known=${known} prompt=${settings.prompt} change=${(prompt) => change({ prompt })} />
      ${settings.init_image && html`<${Start} settings=${settings} change=${change} />`}
      <div class="pair">
        <label>Pictures <input type="number" min="1" ...${input("n")} /></label>
        <label>Enlarge <select ...${input("scale")}>${SCALES.map((one) => html`<option value=${one}>${one === 1 ? "no" : `×${one}`}</option>`)}</select></label>
        <label>Style <select ...${input("style")}><option value="">none</option>${Object.keys(known?.styles ?? {}).map((name) => html`<option value=${name}>${name}</option>`)}</select></label>
        <label>Seed <input type="number" min="-1" placeholder="any" ...${input("seed")} /></label>
      </div>
      <label>Palette <select ...${input("palette")}>${Object.entries(PALETTES).map(([value, name]) => html`<option value=${value}>${name}</option>`)}</select></label>
      ${settings.palette === "own" && html`<label>Colours <input ...${input("colours")} placeholder="#1a1c2c #5d275d #ef7d57" /></label>`}
      <details><summary>More options</summary><div class="more">
        <label>Not in the picture <input ...${input("negative_prompt")} placeholder="words to keep away from" /></label>
        <${Unknown} known=${known} prompt=${settings.negative_prompt} change=${(negative_prompt) => change({ negative_prompt })} />
        <div class="pair">${check("outline", "Outline")}${check("tileable", "Tileable texture")}</div>
        <label>Sampler <select ...${input("sampler")}><option value="">model's own</option>${(known?.samplers ?? []).map((name) => html`<option value=${name}>${name}</option>`)}</select></label>
        <div class="pair">
          <label>Steps <input type="number" min="1" max=${serving?.limits?.max_steps ?? 1000} placeholder=${serving?.defaults?.steps ?? "model's own"} ...${input("steps")} /></label>
          <label>Guidance <input type="number" min="0" max="30" step="any" placeholder=${serving?.defaults?.guidance_scale ?? "model's own"} ...${input("guidance_scale")} /></label>
        </div>
        <label>Model <select ...${input("model")}><option value="">the one that serves${serving && !settings.model ? ` (${serving.name}@${serving.version})` : ""}</option>
          ${versions.map((one) => html`<option value=${`${one.name}@${one.version}`}>${one.name}@${one.version} (${one.stage})</option>`)}</select></label>
        <${Background} value=${settings.background} change=${(background) => change({ background })} />
      </div></details>
      <button class="primary" disabled=${sending || !may("run")}>${sending ? "Sending…" : "Generate"}</button>
      ${session.value && !may("run") && html`<p class="faint">Your token may look, and not ask for pictures.</p>`}
    </form>
    <${Enlarge} />
  </aside>`;
}

/** The version that a form's choice means. */
function chosen(page, reference) {
  const every = (page?.models ?? []).flatMap((model) => model.versions);
  const model = page?.models.find((one) => one.name === "sprite") ?? page?.models[0];
  const wanted = reference || model?.serving;
  return every.find((one) => `${one.name}@${one.version}` === wanted);
}

function Background({ value, change }) {
  const plain = value !== "transparent";
  return html`<fieldset><legend class="faint">Background</legend><div class="buttons">
    <label class="check"><input type="radio" name="ground" checked=${!plain} onChange=${() => change("transparent")} /> transparent</label>
    <label class="check"><input type="radio" name="ground" checked=${plain} onChange=${() => change("#202020")} /> colour</label>
    ${plain && html`<input type="color" aria-label="Background colour" value=${value} onInput=${(event) => change(event.target.value)} />`}
  </div></fieldset>`;
}

/** The picture that the next ones start from. */
function Start({ settings, change }) {
  return html`<div class="start"><${Picture} src=${address(settings.init_image)} alt="The picture to start from" size=${48} />
    <label>How much may change <input type="range" min="0.05" max="1" step="0.05" value=${settings.strength} onInput=${(event) => change({ strength: event.target.value })} /></label>
    <button type="button" class="plain" aria-label="Start from nothing" onClick=${() => change({ init_image: "" })}>×</button></div>`;
}

function Enlarge() {
  const [params, set] = useState({ scale: 4, mode: "smooth", tileable: false });
  const [over, hover] = useState(false);
  const take = (files) => { hover(false); if (files.length) enlarge([...files], params); };
  const drop = (event) => { event.preventDefault(); take(event.dataTransfer.files); };
  return html`<section class="card" aria-label="Enlarge a picture"><h2>Enlarge a picture</h2>
    <label class="well ${over ? "over" : ""}" onDragOver=${(event) => { event.preventDefault(); hover(true); }} onDragLeave=${() => hover(false)} onDrop=${drop}>
      <span>Drop a PNG, JPEG or WebP here, or choose one</span>
      <input type="file" accept="image/png,image/jpeg,image/webp" multiple disabled=${!may("run")} onChange=${(event) => { take(event.target.files); event.target.value = ""; }} />
    </label>
    <div class="pair">
      <label>Scale <select value=${params.scale} onInput=${(event) => set({ ...params, scale: Number(event.target.value) })}>${SCALES.slice(1).map((one) => html`<option value=${one}>×${one}</option>`)}</select></label>
      <label>How <select value=${params.mode} onInput=${(event) => set({ ...params, mode: event.target.value })}><option value="smooth">smooth (net)</option><option value="pixel">pixel art</option></select></label>
    </div>
    <label class="check"><input type="checkbox" checked=${params.tileable} onChange=${(event) => set({ ...params, tileable: event.target.checked })} /> The texture repeats: keep its edges matching</label>
  </section>`;
}
