/** A field that completes what is typed: arrows choose, Enter or Tab takes, Escape closes, Ctrl+Space asks. */

import { html, useEffect, useId, useLayoutEffect, useRef, useState } from "./html.js";

const MOST = 60;

/**
 * @param {{label: string, value: string, change: (text: string) => void, submit?: (text: string) => void, placeholder?: string, wrong?: string,
 *   suggest: (text: string, cursor: number) => Promise<{from: number, items: {text: string, about?: string, back?: number}[]}>}} props
 * `back`: how far before its end the cursor stands behind a text that was taken.
 */
export function Complete({ label, value, change, submit = () => {}, suggest, placeholder, wrong }) {
  const id = useId();
  const field = useRef(null), turn = useRef(0), cursor = useRef(null);
  const [list, show] = useState({ from: 0, items: [], at: -1 });
  const close = () => { turn.current++; show({ from: 0, items: [], at: -1 }); };
  const ask = async () => {
    const mine = ++turn.current;
    const found = await suggest(field.current.value, field.current.selectionStart).catch(() => ({ from: 0, items: [] }));
    if (mine === turn.current) show({ from: found.from, items: found.items.slice(0, MOST), at: found.items.length ? 0 : -1 });
  };
  const take = ({ text, back = 0 }) => {
    const { value: now, selectionStart } = field.current;
    cursor.current = list.from + text.length - back;
    change(now.slice(0, list.from) + text + now.slice(selectionStart));
    close();
  };
  useLayoutEffect(() => {
    if (cursor.current === null) return;
    field.current.focus();
    field.current.setSelectionRange(cursor.current, cursor.current);
    cursor.current = null;
  }, [value]);
  useEffect(() => { document.getElementById(`${id}-${list.at}`)?.scrollIntoView({ block: "nearest" }); }, [list.at]);
  const open = list.items.length > 0;
  const keys = (event) => {
    if (event.key === " " && event.ctrlKey) { event.preventDefault(); ask(); }
    else if (open && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
      event.preventDefault();
      const by = event.key === "ArrowDown" ? 1 : list.items.length - 1;
      show({ ...list, at: (list.at + by) % list.items.length });
    } else if (open && (event.key === "Enter" || event.key === "Tab") && !event.shiftKey) { event.preventDefault(); take(list.items[list.at]); }
    else if (open && event.key === "Escape") { event.preventDefault(); close(); }
    else if (event.key === "Enter" && !event.shiftKey) { event.preventDefault(); close(); submit(field.current.value); }
  };
  return html`<div class="complete">
    <label>${label} <textarea ref=${field} rows="1" class="mono" spellcheck=${false} autocapitalize="off" autocomplete="off" placeholder=${placeholder} value=${value}
      aria-autocomplete="list" aria-controls=${`${id}-list`} aria-activedescendant=${open ? `${id}-${list.at}` : undefined} aria-invalid=${Boolean(wrong)}
      onInput=${(event) => { change(event.target.value); ask(); }} onKeyDown=${keys} onBlur=${close}></textarea></label>
    <ul id=${`${id}-list`} class="words" role="listbox" aria-label=${`Completions of ${label}`} hidden=${!open}>
      ${list.items.map((item, index) => html`<li key=${item.text} id=${`${id}-${index}`} role="option" aria-selected=${index === list.at} onMouseDown=${(event) => { event.preventDefault(); take(item); }}>
        <span class="mono">${item.text}</span>${item.about && html`<span class="faint">${item.about}</span>`}</li>`)}
    </ul>
    ${wrong && html`<p class="wrong" role="alert">${wrong}</p>`}
  </div>`;
}

/** Those of `words` that hold what was typed, the ones that begin with it first. */
export function fitting(words, typed) {
  const lower = typed.toLowerCase();
  const rank = ({ text }) => { const at = text.toLowerCase().indexOf(lower); return at === 0 ? 0 : at > 0 ? 1 : 2; };
  return words.map((word) => [rank(word), word]).filter(([far]) => far < 2).sort(([a], [b]) => a - b).map(([, word]) => word);
}
