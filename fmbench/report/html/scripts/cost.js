"use strict";

/** Cost: quality against the time of a sample, or against another cost, and who is beaten by nobody. */

/** Draw the section; where times are not to be trusted, say why instead. */
function drawCost(selection, state, update) {
  const { dataset, metric } = selection;
  const costs = dataset.metrics.filter((each) => each.cost && each.mean.some((mean) => mean > 0));
  const place = byId("cost-place");
  byId("cost-note").textContent = dataset.timing.shown ? dataset.timing.note : dataset.timing.reason;
  const quality = metric.cost ? dataset.byName.get(dataset.headline) : metric;
  if (!costs.length || !quality?.better) {
    place.replaceChildren();
    return;
  }
  const cost = costs.find((each) => each.name === state.cost) ?? dataset.timing.metric ?? costs[0];
  const points = selection.entries
    .map(({ entry }) => ({ entry, row: entry.row, x: cost.mean[entry.id], y: quality.mean[entry.id], value: selection.colour ? entry.row.values[selection.colour.name] : "" }))
    .filter((point) => point.x > 0 && point.y !== null);
  const chooser = costs.length > 1 && labelled("Cost", "choose-cost", costs.map(metricOption), cost.name, (value) => update({ cost: value }));
  const caption = make("p", { class: "caption" }, `${quality.title} · against ${cost.title} · the line joins what nothing beats in both`);
  const legend = make("div", { class: "legend" }, keysOf(selection, points));
  refill(place, chooser, caption, legend, points.length ? costPlot(points, cost, quality, selection, place.clientWidth) : make("p", { class: "empty" }, "No row has both."));
}

/** Return the names of the colours that some point has. */
function keysOf({ colour }, points) {
  const present = new Set(points.map((point) => point.value));
  return (colour?.values ?? []).filter((value) => present.has(value)).map((value) => make("span", { class: "key" }, swatch(lookOf(colour, value)), value || "–"));
}

function costPlot(points, cost, quality, selection, width) {
  const log = points.every((point) => point.y > 0);
  const front = frontOf(points, quality.better);
  const style = styleFor(points.map((point) => ({ mean: point.y, low: null, high: null })));
  const costStyle = styleFor(points.map((point) => ({ mean: point.x, low: null, high: null })));
  const [low, high] = d3.extent(points, (point) => point.x);
  const ticks = high > 3 * low ? logTicks(low, high) : d3.ticks(low, high, 4);
  const [least, most] = d3.extent(points, (point) => point.y);
  const yTicks = log && most > 3 * least ? logTicks(least, most) : d3.ticks(least, most, 5);
  const groups = d3.groups(points, (point) => point.value);
  const said = (point) => `${point.row.label}\n${nameOfColumn(point.entry)}\n${quality.name} ${style(point.y)}, ${cost.name} ${costStyle(point.x)}`;
  const svg = Plot.plot({
    width,
    height: Math.min(420, Math.max(280, width * 0.5)),
    marginLeft: 52,
    marginBottom: 40,
    className: "plot",
    style: { fontSize: "12px", fontFamily: "inherit", overflow: "visible", background: "none" },
    x: { type: high > low ? "log" : "linear", label: cost.unit ? `${cost.name} (${cost.unit}) →` : `${cost.name} →`, ticks, tickFormat: d3.format("~r"), tickSize: 0, inset: 12 },
    y: { type: log ? "log" : "linear", label: null, ticks: yTicks, tickFormat: d3.format("~r"), tickSize: 0, inset: 8 },
    marks: [
      Plot.gridY(yTicks, { stroke: "currentColor", strokeOpacity: 0.1 }),
      Plot.line(front, { x: "x", y: "y", stroke: "currentColor", strokeOpacity: 0.45, curve: quality.better === "lower" ? "step-after" : "step-after" }),
      groups.map(([value, own]) => {
        const look = lookOf(selection.colour, value);
        return Plot.dot(own, { x: "x", y: "y", symbol: look.symbol, r: 3.5, fill: look.colour, fillOpacity: (point) => (front.includes(point) ? 1 : 0.45) });
      }),
      Plot.tip(points, Plot.pointer({ x: "x", y: "y", title: said, fill: "var(--raised)", stroke: "var(--rule)", maxRadius: 40 })),
    ],
  });
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", `${quality.name} against ${cost.name}. On the front: ${front.map((point) => `${point.row.label} ${nameOfColumn(point.entry)}`).slice(0, 12).join("; ")}.`);
  return svg;
}

/** Return the points that no other beats in cost and quality, the cheapest first. */
function frontOf(points, better) {
  const sign = better === "higher" ? -1 : 1;
  const front = [];
  for (const point of d3.sort(points, (each) => each.x, (each) => sign * each.y)) {
    if (!front.length || sign * point.y < sign * front.at(-1).y) front.push(point);
  }
  return front;
}
