"use strict";

/** The clipboard, and what the page says of what it did. */

/** Copy a text and say so. Where the browser gives no clipboard (a sandboxed frame), show the text, chosen, to copy. */
async function copyText(text, what) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    if (!copyBySelection(text)) {
      showText(text, `${what}: press Ctrl+C to copy`);
      return;
    }
  }
  say(`${what} copied`);
}

function copyBySelection(text) {
  const focused = document.activeElement;
  const area = document.body.appendChild(make("textarea", { class: "hidden", "aria-hidden": "true", tabindex: -1 }));
  area.value = text;
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  focused?.focus({ preventScroll: true });
  return done;
}

/** Show a text in a dialog, all of it chosen. */
function showText(text, title) {
  const area = make("textarea", { rows: 12, readonly: true, "aria-label": title });
  area.value = text;
  openDialog(title, area);
  area.select();
}

function openDialog(title, content) {
  const close = make("button", { type: "button", class: "quiet", click: () => dialog.close() }, "Close");
  const dialog = make(
    "dialog",
    { "aria-label": title, close: () => dialog.remove() },
    make("header", {}, make("h2", {}, title), close),
    content,
  );
  document.body.append(dialog);
  dialog.showModal();
}

/** Say something for a moment, in sight and to who listens. */
function say(text) {
  const toast = byId("announcer");
  toast.textContent = text;
  toast.classList.add("said");
  clearTimeout(say.timer);
  say.timer = setTimeout(() => toast.classList.remove("said"), 2500);
}
