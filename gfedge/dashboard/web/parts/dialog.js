/** Dialogs: what lies above the page, closed by Escape, by its button, or by a click beside it. */

import { html, signal, useEffect, useRef } from "./html.js";

const asked = signal(null);

export function Dialog({ title, close, wide = false, children }) {
  const box = useRef(null);
  useEffect(() => { box.current.showModal(); }, []);
  return html`<dialog ref=${box} class=${wide ? "wide" : ""} aria-label=${title} onClose=${close}
      onMouseDown=${(event) => event.target === box.current && box.current.close()}>
    <header><h2>${title}</h2><button class="plain" aria-label="Close" onClick=${() => box.current.close()}>×</button></header>
    <div class="inside">${children}</div>
  </dialog>`;
}

/** Asks a person; resolves to the text of the reason, or null where they did not want to. */
export function confirmed(title, text, { button = "Yes", reason = false, danger = false } = {}) {
  return new Promise((resolve) => (asked.value = { title, text, button, reason, danger, resolve }));
}

/** Shows what `confirmed` asks; stands once in the page. */
export function Question() {
  const one = asked.value;
  if (one === null) return null;
  const answer = (text) => { asked.value = null; one.resolve(text); };
  const submit = (event) => { event.preventDefault(); answer(new FormData(event.target).get("reason") ?? ""); };
  return html`<${Dialog} title=${one.title} close=${() => asked.value === one && answer(null)}>
    <form onSubmit=${submit}>
      <p>${one.text}</p>
      ${one.reason && html`<label>Reason <input name="reason" maxlength="500" autofocus /></label>`}
      <div class="buttons"><button type="button" onClick=${() => answer(null)}>No</button>
        <button class=${one.danger ? "danger" : "primary"}>${one.button}</button></div>
    </form>
  <//>`;
}
