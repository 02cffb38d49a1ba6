"use strict";

/** What all drawings share. */

const PLOT_STYLE = { fontSize: "12px", fontFamily: "inherit", overflow: "visible", background: "none" };

/** Draw by Observable Plot, as one picture with one description. */
function drawPlot(options, description) {
  const svg = Plot.plot({ className: "plot", style: PLOT_STYLE, ...options });
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", description);
  svg.querySelectorAll("[aria-label], [aria-description]").forEach((node) => {
    node.removeAttribute("aria-label"); // of parts of a picture nobody can be told
    node.removeAttribute("aria-description");
  });
  return svg;
}

/** Return faint lines across at some values of y. */
function gridAt(ticks) {
  return Plot.gridY(ticks, { stroke: "currentColor", strokeOpacity: 0.1 });
}

/** Return what is said of the point nearest to the pointer. */
function tipAt(points, title, place = {}) {
  return Plot.tip(
    points,
    Plot.pointer({ ...place, x: "x", y: "y", title, fill: "var(--raised)", stroke: "var(--rule)", maxRadius: 40 }),
  );
}

/** Return ticks for a logarithmic scale: round numbers, few of them. */
function logTicks(low, high) {
  const decades = d3.range(Math.floor(Math.log10(low)), Math.ceil(Math.log10(high)) + 1);
  const inside = (steps) =>
    decades.flatMap((decade) => steps.map((step) => step * 10 ** decade)).filter((tick) => tick >= low && tick <= high);
  return [[1], [1, 3], [1, 2, 5]].map(inside).find((ticks) => ticks.length >= 3) ?? d3.ticks(low, high, 4);
}

/** Return an axis for values in a range: {type, ticks, tickFormat}, logarithmic where they span much. */
function axisFor(low, high, much) {
  const log = low > 0 && high > much * low;
  return {
    type: log ? "log" : "linear",
    ticks: log ? logTicks(low, high) : d3.ticks(low, high, 4),
    tickFormat: plainTick,
    tickSize: 0,
  };
}

function plainTick(tick) {
  const size = Math.abs(tick);
  const format = size >= 1e5 || (size > 0 && size < 1e-4) ? d3.format("~s") : d3.format("~r");
  return format(Number(tick.toPrecision(6))).replace("-", MINUS);
}
