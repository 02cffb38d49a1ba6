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
  const alike = drawn({ entries: drawn({ entries: selection.entries, metric: quality }), metric: cost });
  const points = alike
    .map(({ entry }) => ({
      entry,
      row: entry.row,
      x: costOf(entry, cost, dataset),
      y: quality.mean[entry.id],
      complete: !quality.lost?.[entry.id],
      value: selection.colour ? entry.row.values[selection.colour.name] : "",
    }))
    .filter((point) => point.x > 0 && point.y !== null);
  const chooser =
    costs.length > 1 &&
    labelled("Cost", "choose-cost", costs.map(metricOption), cost.name, (value) => update({ cost: value }));
  const caption = make(
    "p",
    { class: "caption" },
    `${quality.title} · against ${cost.title} · the line joins what nothing beats in both`,
  );
  const legend = make("div", { class: "legend" }, keysOf(selection, points));
  refill(
    place,
    chooser,
    caption,
    legend,
    points.length
      ? costPlot(points, cost, quality, selection, place.clientWidth)
      : make("p", { class: "empty" }, "No row has both."),
  );
}

/** Return what an entry costs; null where its time is unsteady, and so none. */
function costOf(entry, cost, dataset) {
  return cost === dataset.timing.metric && dataset.timing.unsteady.has(entry.id) ? null : cost.mean[entry.id];
}

/** Return the names of the colours that some point has. */
function keysOf({ colour }, points) {
  const present = new Set(points.map((point) => point.value));
  return (colour?.values ?? [])
    .filter((value) => present.has(value))
    .map((value) => make("span", { class: "key" }, swatch(lookOf(colour, value)), value || "–"));
}

function costPlot(points, cost, quality, selection, width) {
  const front = frontOf(points, quality.better);
  const style = styleFor(points.map((point) => ({ mean: point.y, low: null, high: null })));
  const costStyle = styleFor(points.map((point) => ({ mean: point.x, low: null, high: null })));
  const across = axisFor(...d3.extent(points, (point) => point.x), 3);
  const up = axisFor(...d3.extent(points, (point) => point.y), 3);
  const said = (point) =>
    `${point.row.label}\n${nameOfColumn(point.entry)}\n${quality.name} ${style(point.y)}, ${cost.name} ${costStyle(point.x)}`;
  const dots = ([value, own]) => {
    const look = lookOf(selection.colour, value);
    return Plot.dot(own, {
      x: "x",
      y: "y",
      symbol: look.symbol,
      r: 3.5,
      fill: look.colour,
      fillOpacity: (point) => (front.includes(point) ? 1 : 0.45),
    });
  };
  const options = {
    width,
    height: Math.min(420, Math.max(280, width * 0.5)),
    marginLeft: 52,
    marginBottom: 40,
    x: { ...across, label: cost.unit ? `${cost.name} (${cost.unit}) →` : `${cost.name} →`, inset: 12 },
    y: { ...up, label: null, inset: 8 },
    marks: [
      gridAt(up.ticks),
      Plot.line(front, { x: "x", y: "y", stroke: "currentColor", strokeOpacity: 0.45, curve: "step-after" }),
      d3.groups(points, (point) => point.value).map(dots),
      tipAt(points, said),
    ],
  };
  const names = front
    .map((point) => `${point.row.label} ${nameOfColumn(point.entry)}`)
    .slice(0, 12)
    .join("; ");
  return drawPlot(options, `${quality.name} against ${cost.name}. On the front: ${names}.`);
}

/** Return the points that no other beats in cost and quality, the cheapest first; who lost a seed is none of them. */
function frontOf(points, better) {
  const sign = better === "higher" ? -1 : 1;
  const front = [];
  for (const point of d3.sort(
    points.filter((each) => each.complete),
    (each) => each.x,
    (each) => sign * each.y,
  )) {
    if (!front.length || sign * point.y < sign * front.at(-1).y) front.push(point);
  }
  return front;
}
