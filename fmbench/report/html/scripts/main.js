"use strict";

/** What happens in which order: the payload is read, the state is taken from the address, and each change draws anew. */

/** Start the page. */
function start() {
  const report = readReport(JSON.parse(byId("data").textContent));
  startContents();
  if (!report.datasets.some((dataset) => dataset.entries.length && dataset.metrics.length)) {
    document.documentElement.classList.remove("scripted"); // there is nothing to explore
    return;
  }
  let state = readState(location.hash);
  let selection = select(report, state);
  const parts = {
    controls: () => drawControls(report, selection, state, update),
    winners: () => drawWinners(report, selection, update),
    chart: () => drawChart(selection, state, update),
    pinned: () => drawPinned(report, selection, state, update),
    table: () => drawTable(report, selection, state, update),
    samples: whenSeen("samples", () => drawSamples(report, selection, state, update)),
    cost: whenSeen("cost", () => drawCost(selection, state, update)),
    training: whenSeen("training", () => drawTraining(report, selection)),
  };
  const draw = (names) => names.forEach((name) => parts[name]());
  const enter = (next) => {
    const changed = Object.keys(next).filter((name) => next[name] !== state[name]);
    state = next;
    if (changed.some((name) => !(name in TOUCHED))) selection = select(report, state);
    draw(touched(changed, Object.keys(parts)));
    byId("reset").disabled = hashOf(state) === "";
    if (byId("filter-text").value !== state.text) byId("filter-text").value = state.text;
  };
  const update = (change) => {
    const pinned = "pin" in change ? toggled(state.pinned, String(change.pin)) : state.pinned;
    const { pin: _, ...others } = change;
    enter({ ...state, pinned, ...others });
    writeState(state);
  };
  startTheme(parts.samples);
  startText(state, update);
  startSaving();
  draw(Object.keys(parts));
  document.addEventListener("click", closeMenus);
  window.addEventListener("hashchange", () => {
    if (location.hash.includes("=") || location.hash.length < 2) enter(readState(location.hash));
  });
  redrawOnResize(byId("chart-drawing"), () => draw(Object.keys(parts)));
}

/** What is drawn anew where a part of the state changes. What is not named here changes what is selected: everything. */
const TOUCHED = {
  page: ["chart"],
  pinned: ["chart", "pinned", "table"],
  sort: ["table"],
  rows: ["table"],
  heat: ["table"],
  nfe: ["samples"],
  left: ["samples"],
  right: ["samples"],
  time: ["samples"],
  cost: ["cost"],
};

function touched(changed, all) {
  if (changed.some((name) => !(name in TOUCHED))) return all;
  return all.filter((part) => changed.some((name) => TOUCHED[name].includes(part)));
}

function toggled(list, item) {
  return list.includes(item) ? list.filter((each) => each !== item) : [...list, item];
}

/** Return how a section far down is drawn: at once where it is near, and else when the reader comes near. */
function whenSeen(id, drawSection) {
  const observer = new IntersectionObserver(
    (seen) => {
      if (!seen.some((each) => each.isIntersecting)) return;
      observer.disconnect();
      drawSection();
    },
    { rootMargin: "400px" },
  );
  return () => {
    observer.disconnect(); // it then tells anew whether the section is near
    observer.observe(byId(id));
  };
}

/** Let the field beside the table narrow the rows as the reader types. */
function startText(state, update) {
  const field = byId("filter-text");
  field.value = state.text;
  let timer = null;
  field.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => update({ text: field.value, page: 0 }), 80);
  });
}

function startSaving() {
  for (const form of ["svg", "png"]) {
    byId(`save-${form}`).addEventListener("click", () =>
      saveDrawing(byId("chart-drawing").querySelector("svg"), "chart", form),
    );
  }
}

/** Go to a section without touching the address's hash, which holds the state; mark the section that is being read. */
function startContents() {
  const links = [...document.querySelectorAll('a[href^="#"]')];
  for (const link of links) {
    link.addEventListener("click", (event) => {
      const target = byId(link.getAttribute("href").slice(1));
      if (!target) return;
      event.preventDefault();
      for (let fold = target.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
      target.scrollIntoView();
      target.setAttribute("tabindex", "-1");
      target.focus({ preventScroll: true });
    });
  }
  const observer = new IntersectionObserver(
    (seen) => {
      const here = seen.filter((each) => each.isIntersecting).at(-1);
      if (!here) return;
      document.querySelectorAll(".contents a").forEach((link) => {
        if (link.getAttribute("href") === `#${here.target.id}`) link.setAttribute("aria-current", "true");
        else link.removeAttribute("aria-current");
      });
    },
    { rootMargin: "-20% 0px -70% 0px" },
  );
  document.querySelectorAll("main > section[id]").forEach((section) => observer.observe(section));
}

function redrawOnResize(place, redraw) {
  let width = place.clientWidth;
  new ResizeObserver(() => {
    if (place.clientWidth === width || !place.clientWidth) return;
    width = place.clientWidth;
    requestAnimationFrame(redraw);
  }).observe(place);
}

try {
  start();
} catch (error) {
  document.documentElement.classList.remove("scripted"); // what was written for readers without scripts is there for all
  throw error;
}
