"use strict";

/** Return a new element. Attributes that are null or false are left out, functions become listeners, and children that
 * are no nodes become text: nothing is ever read as HTML. */
function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") node.addEventListener(name, value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** Return the element with an id. */
function byId(id) {
  return document.getElementById(id);
}

/** Return a select; `options` are [value, text, reason why it cannot be chosen], or {group, options}. */
function makeSelect(id, options, chosen, onChange) {
  const option = ([value, text, reason]) =>
    make(
      "option",
      { value, selected: String(value) === String(chosen), disabled: Boolean(reason), title: reason },
      text,
    );
  const items = options.map((each) =>
    Array.isArray(each) ? option(each) : make("optgroup", { label: each.group }, each.options.map(option)),
  );
  return make("select", { id, change: (event) => onChange(event.target.value) }, items);
}

/** Return two or three buttons of which one is pressed. */
function makeChoice(label, options, chosen, onChange) {
  const buttons = options.map(([value, text]) =>
    make(
      "button",
      { type: "button", "data-value": value, "aria-pressed": String(value === chosen), click: () => onChange(value) },
      text,
    ),
  );
  return make("div", { class: "choice", role: "group", "aria-label": label }, buttons);
}

/** Say something to who listens instead of looking. */
function announce(text) {
  byId("announcer").textContent = text;
}

/** Replace what an element holds, and give the keyboard's focus back to the element that bears the same id. */
function refill(place, ...children) {
  const focused = place.contains(document.activeElement) ? document.activeElement.id : "";
  place.replaceChildren(
    ...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false),
  );
  if (focused) byId(focused)?.focus({ preventScroll: true });
}

/** Return a link; an address that is none of the web is written as text. */
function makeLink(address, text) {
  return /^https?:\/\//.test(address)
    ? make("a", { href: address, target: "_blank", rel: "noopener noreferrer" }, text)
    : text;
}
