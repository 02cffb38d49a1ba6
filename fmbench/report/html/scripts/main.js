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
  let selection = null;
  const lazy = new Map();
  const draw = (changed) => {
    selection = select(report, state);
    drawControls(report, selection, state, update);
    drawWinners(report, selection, update);
    drawChart(selection, state, update);
    drawPinned(report, selection, state, update);
    drawTable(report, selection, state, update);
    lazy.forEach((section) => section.refresh(changed));
  };
  const update = (change) => {
    const next = Object.hasOwn(change, "pin")
      ? { ...state, pinned: toggled(state.pinned, String(change.pin)) }
      : { ...state, ...change };
    const changed = Object.keys(next).filter((name) => next[name] !== state[name]);
    state = next;
    writeState(state);
    if (changed.length && changed.every((name) => name in SAMPLES_ONLY)) lazy.get("samples").refresh(changed);
    else if (changed.length === 1 && changed[0] === "cost") lazy.get("cost").refresh(changed);
    else draw(changed);
  };
  startSection(lazy, "samples", () => drawSamples(report, selection, state, update));
  startSection(lazy, "cost", () => drawCost(selection, state, update));
  startSection(lazy, "training", () => drawTraining(report, selection, state));
  startTheme(() => lazy.get("samples").refresh());
  startText(state, update);
  startSaving();
  draw([]);
  document.addEventListener("click", closeMenus);
  window.addEventListener("hashchange", () => {
    if (location.hash.includes("=") || location.hash.length < 2) {
      state = readState(location.hash);
      byId("filter-text").value = state.text;
      draw([]);
    }
  });
  redrawOnResize(byId("chart-drawing"), () => draw([]));
}

const SAMPLES_ONLY = { nfe: 1, left: 1, right: 1, time: 1 };

function toggled(list, item) {
  return list.includes(item) ? list.filter((each) => each !== item) : [...list, item];
}

/** Draw a section when it comes near, and from then on with each change. */
function startSection(sections, id, drawSection) {
  const section = { drawn: false, refresh: () => section.drawn && drawSection() };
  sections.set(id, section);
  const observer = new IntersectionObserver(
    (seen) => {
      if (!seen.some((each) => each.isIntersecting)) return;
      observer.disconnect();
      section.drawn = true;
      drawSection();
    },
    { rootMargin: "600px" },
  );
  observer.observe(byId(id));
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
