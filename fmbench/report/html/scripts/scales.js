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
  const log = selection.x === "ms" || high > 3 * low;
  const budgets = selection.dataset.nfe.filter((nfe) => nfe >= low && nfe <= high);
  const ticks =
    selection.x === "nfe"
      ? budgets.length > 7
        ? budgets.filter((_, i) => i % 2 === 0)
        : budgets
      : log
        ? logTicks(low, high)
        : d3.ticks(low, high, 4);
  const domain = low === high ? [low / 2, low * 2] : [low, high];
  return {
    type: log ? "log" : "linear",
    base: 2,
    domain,
    label: null,
    ticks,
    tickFormat: d3.format("~r"),
    tickSize: 0,
    inset: 14,
  };
}
