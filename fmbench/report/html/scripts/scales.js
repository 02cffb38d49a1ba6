"use strict";

/** The ranges and ticks of the chart. */

/** Return the range of y. Real data's score is in it where that does not squeeze the rest. */
function extentOf(points, seeds, selection) {
  const drawn = selection.seeds
    ? [...seeds, ...points].map((point) => point.y)
    : points.flatMap((point) => [point.low, point.high]);
  if (!selection.log) {
    const [low, high] = d3.extent(selection.reference ? [0, ...drawn] : drawn);
    const zero = low > 0 && low < 0.6 * high ? 0 : low;
    return low === high ? [low - 1, high + 1] : [zero, high];
  }
  const least = d3.min(points, (point) => point.y);
  const [low, high] = d3.extent(drawn.filter((y) => y >= least / 3));
  const floor = selection.metric.floor?.mean;
  const reach = floor > 0 && floor < low && floor > least / 4 ? floor : low;
  return [reach / 1.15, high * 1.15];
}

/** An interval may reach below zero, where a logarithmic scale has no place: it then ends at the frame. */
function clamped(low, selection) {
  return selection.log ? Math.max(low, 1e-12) : low;
}

function tickFormat(selection, ticks) {
  if (selection.reference)
    return (tick) => `${tick > 0 ? "+" : ""}${fixed(tick, d3.max(ticks, Math.abs) < 3 ? 1 : 0)}%`;
  return plainTick;
}

function xScale(points, selection) {
  const [low, high] = d3.extent(points, (point) => point.x);
  const domain = low === high ? [low / 2, low * 2] : [low, high];
  const common = { base: 2, domain, label: null, inset: 14 };
  if (selection.x === "ms") return { ...common, ...axisFor(low, high, 1.5) };
  const type = high > 3 * low ? "log" : "linear";
  return { ...common, type, ticks: budgetTicks(selection, low, high), tickFormat: d3.format("~r"), tickSize: 0 };
}

/** Return the budgets as ticks, and beyond the last, where solvers choose their own NFE, its doubles. */
function budgetTicks(selection, low, high) {
  const ticks = selection.dataset.nfe.filter((nfe) => nfe >= low && nfe <= high);
  if (!ticks.length) return high > 3 * low ? logTicks(low, high) : d3.ticks(low, high, 4);
  while (ticks.at(-1) * 2 <= high) ticks.push(ticks.at(-1) * 2);
  return ticks.length > 8 ? ticks.filter((_, i) => i % 2 === 0) : ticks;
}
