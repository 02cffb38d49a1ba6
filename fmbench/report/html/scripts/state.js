"use strict";

/** What the reader has chosen, and the address's hash that holds it. Only what differs from the start is written. */

const START = {
  dataset: "",
  metric: "",
  x: "nfe",
  colour: "",
  facets: "",
  scale: "auto",
  show: "intervals",
  against: "",
  text: "",
  sort: "",
  rows: "20",
  heat: "",
  page: 0,
  nfe: "",
  left: "",
  right: "",
  time: "",
  cost: "",
};

/** Return the state that a hash holds; `only` maps an axis to the values that are kept, `pinned` are rows. */
function readState(hash) {
  const found = { ...START, only: {}, pinned: [] };
  for (const [name, value] of new URLSearchParams(hash.replace(/^#/, ""))) {
    if (name.startsWith("only.")) (found.only[name.slice(5)] ??= []).push(value);
    else if (name === "pin") found.pinned.push(value);
    else if (name === "page") found.page = Math.max(0, Number.parseInt(value, 10) || 0);
    else if (Object.hasOwn(START, name)) found[name] = value;
  }
  return found;
}

/** Return the hash of a state: "" where nothing was chosen. */
function hashOf(state) {
  const written = new URLSearchParams();
  for (const [name, value] of Object.entries(START)) {
    if (String(state[name]) !== String(value)) written.set(name, state[name]);
  }
  for (const [axis, values] of Object.entries(state.only))
    values.forEach((value) => written.append(`only.${axis}`, value));
  state.pinned.forEach((row) => written.append("pin", row));
  return written.size ? `#${written}` : "";
}

/** Write the state into the address. A sandboxed frame has none that may be changed; there the page goes on without. */
function writeState(state) {
  try {
    history.replaceState(null, "", hashOf(state) || location.href.split("#")[0]);
  } catch (error) {
    if (error.name !== "SecurityError") throw error;
  }
}

/** Return what the browser keeps for this page under a name, or null where it keeps nothing (a sandboxed frame). */
function kept(name) {
  try {
    return localStorage.getItem(`fmbench.${name}`);
  } catch {
    return null;
  }
}

/** Keep a value under a name, where the browser keeps anything. */
function keep(name, value) {
  try {
    localStorage.setItem(`fmbench.${name}`, value);
  } catch {
    // A sandboxed frame: what was chosen lasts as long as the page.
  }
}
