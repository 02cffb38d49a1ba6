"use strict";

/** The chart: small multiples that share their y, a line a row, intervals beside each other. */

const MOST_PANELS = 12;
const DODGE = 3.5;

/** Draw the chart of a selection into its place. */
function drawChart(selection, state, update) {
  const place = byId("chart-drawing");
  const panels = panelsOf(selection);
  const page = Math.min(state.page, Math.max(0, Math.ceil(panels.length / MOST_PANELS) - 1));
  const shown = panels.slice(page * MOST_PANELS, (page + 1) * MOST_PANELS);
  byId("chart-caption").textContent = captionOf(selection);
  drawLegend(selection, state, update);
  drawPages(panels.length, page, update);
  place.querySelectorAll(":scope > :not(.tip)").forEach((node) => node.remove());
  if (!shown.length) {
    place.prepend(make("p", { class: "empty" }, "No row with a value passes the filter."));
    return;
  }
  const layout = layoutOf(shown, selection, place.clientWidth);
  const svg = plotOf(shown, selection, state, layout);
  place.prepend(svg);
  followPointer(place, svg, shown, selection, layout, update);
}

/** Return the entries that are drawn: what is not comparable has no place on one scale, so the largest group alone. */
function drawn({ entries, metric }) {
  const groups = d3.groups(
    entries.filter((shown) => metric.groupOf(shown.entry.id) >= 0),
    (shown) => metric.groupOf(shown.entry.id),
  );
  return groups.length ? d3.greatest(groups, ([, own]) => own.length)[1] : [];
}

/** Return the panels: [{label, points, best}], in the plan's order, or the best first where they need pages. */
function panelsOf(selection) {
  const label = (row) =>
    selection.facets
      .map((axis) => axis.short[axis.every.indexOf(row.values[axis.name])])
      .filter(Boolean)
      .join(" · ");
  const points = drawn(selection)
    .map((shown) => pointOf(shown, selection))
    .filter(Boolean);
  const groups = d3.group(points, (point) => label(point.row));
  const panels = Array.from(groups, ([name, own]) => ({
    label: name,
    points: own,
    baseline: own.every((point) => point.row.baseline) && points.some((point) => !point.row.baseline),
    best:
      (selection.metric.better === "higher" ? -1 : 1) *
      (selection.metric.better === "higher" ? d3.max : d3.min)(own, (point) => point.y),
  }));
  return panels.length > MOST_PANELS ? d3.sort(panels, (panel) => panel.best) : panels;
}

function pointOf(shown, selection) {
  const { entry } = shown;
  const x = selection.x === "ms" ? costOf(entry, selection.dataset.timing.metric, selection.dataset) : entry.calls;
  if (shown.mean === null || !(x > 0)) return null;
  const value = selection.colour ? entry.row.values[selection.colour.name] : "";
  return {
    shown,
    entry,
    row: entry.row,
    x,
    y: shown.mean,
    low: shown.low ?? shown.mean,
    high: shown.high ?? shown.mean,
    value,
    mark: shown.mark,
  };
}

function captionOf(selection) {
  const { metric, reference, dataset } = selection;
  const what = reference ? `${metric.name}: difference in percent from ${reference.label}` : metric.title;
  const n = dataset.seeds.length;
  const spread = selection.seeds
    ? `every one of ${counted(n, "seed")}`
    : n > 1
      ? `mean and 95% interval over ${n} seeds`
      : "one seed";
  const left = selection.entries.length - drawn(selection).length;
  const others = left ? ` · ${counted(left, "value")} that cannot be compared with these: see the table` : "";
  return `${what}, by ${selection.x === "ms" ? "ms per sample" : "NFE"} · ${spread}${others}`;
}

/** Return sizes: how many panels stand beside each other, and how high they are. */
function layoutOf(panels, selection, width) {
  const n = panels.length;
  const last = selection.facets.at(-1);
  const across = last
    ? new Set(panels.flatMap((panel) => panel.points.map((point) => point.row.values[last.name]))).size
    : 1;
  const square = n <= 4 ? n : n <= 6 ? 3 : 4;
  const natural =
    selection.facets.length === 2 && across * Math.ceil(n / across) === n && across <= 4 ? across : square;
  const columns = Math.max(1, Math.min(natural, Math.floor(width / 165)));
  const rows = Math.ceil(n / columns);
  const room = (window.innerHeight - topOf(byId("chart-drawing")) - 80) / rows; // down to the end of the first screen
  const least = width < 600 ? 132 : 98;
  const each = Math.min(Math.max(room, least), rows === 1 ? 330 : rows === 2 ? 185 : 132);
  return {
    columns,
    rows,
    width,
    height: rows * each + 40,
    marginLeft: 48,
    marginRight: 10,
    marginTop: 6,
    marginBottom: 30,
  };
}

function topOf(node) {
  return node.getBoundingClientRect().top + window.scrollY;
}

/** Return the drawing. Each point learns its panel's place, by which the pointer finds it. */
function plotOf(panels, selection, state, layout) {
  const at = (i) => ({ fx: i % layout.columns, fy: Math.floor(i / layout.columns) });
  const points = panels.flatMap((panel, i) => panel.points.map((point) => Object.assign(point, at(i))));
  const titles = panels.map((panel, i) => ({
    ...at(i),
    text: panel.baseline ? `${panel.label} (baseline)` : panel.label,
  }));
  const seeds = selection.seeds ? points.flatMap((point) => seedPoints(point, selection)) : [];
  const [low, high] = extentOf(points, seeds, selection);
  const ticks = selection.log ? logTicks(low, high) : d3.ticks(low, high, 4);
  const options = {
    ...layout,
    x: xScale(points, selection),
    y: {
      type: selection.log ? "log" : "linear",
      domain: [low, high],
      nice: !selection.log,
      label: null,
      ticks,
      tickFormat: tickFormat(selection, ticks),
      tickSize: 0,
    },
    fx: { axis: null, padding: 0.06 },
    fy: { axis: null, padding: 0.16 },
    marks: [
      gridAt(ticks),
      selection.reference && Plot.ruleY([0], { stroke: "currentColor", strokeOpacity: 0.55 }),
      floorMark(selection, low),
      seriesMarks(points, seeds, selection, state),
      Plot.text(titles, {
        fx: "fx",
        fy: "fy",
        text: "text",
        frameAnchor: "top-left",
        dx: 2,
        dy: -3,
        lineAnchor: "bottom",
        fontSize: 11.5,
        fontWeight: 600,
        title: "text",
        textOverflow: "ellipsis",
        lineWidth: titleWidth(layout),
      }),
    ],
  };
  return drawPlot(
    options,
    `${byId("chart-caption").textContent}. ${counted(panels.length, "panel")}. The table below holds all values.`,
  );
}

function titleWidth(layout) {
  return ((layout.width - layout.marginLeft) / layout.columns - 24) / 12.2;
}

/** Return lines, intervals (or seeds) and points, value by value of the colour's axis, so that these stand side by side. */
function seriesMarks(points, seeds, selection, state) {
  const pinned = new Set(state.pinned.map(Number));
  const dim = (point) => (pinned.size && !pinned.has(point.row.id) ? 0.25 : 1);
  const groups = d3.groups(points, (point) => point.value);
  const spread =
    d3.max(points, (point) => point.x) > d3.min(points, (point) => point.x) && selection.x === "nfe" ? DODGE : 0;
  const place = d3.scalePoint(
    groups
      .map(([value]) => value)
      .sort((p, q) => lookOf(selection.colour, p).place - lookOf(selection.colour, q).place),
    [(-spread * (groups.length - 1)) / 2, (spread * (groups.length - 1)) / 2],
  );
  return groups.map(([value, own]) => {
    const look = lookOf(selection.colour, value);
    const dx = place(value) || 0;
    own.forEach((point) => (point.dx = dx));
    const common = { fx: "fx", fy: "fy", x: "x", dx };
    const intervals = selection.seeds
      ? Plot.dot(
          seeds.filter((point) => point.value === value),
          { ...common, y: "y", r: 1.8, fill: look.colour, fillOpacity: (point) => 0.75 * dim(point) },
        )
      : Plot.ruleX(own, {
          ...common,
          y1: (point) => clamped(point.low, selection),
          y2: "high",
          stroke: look.colour,
          strokeOpacity: (point) => 0.55 * dim(point),
          strokeWidth: 1.6,
        });
    return [
      Plot.line(
        d3.sort(
          own.filter((point) => point.entry.nfe !== null || own.length > 1),
          (point) => point.x,
        ),
        {
          ...common,
          y: "y",
          z: (point) => point.row.id,
          stroke: look.colour,
          strokeWidth: (point) => (pinned.has(point.row.id) ? 3 : 1.6),
          strokeOpacity: dim,
          strokeDasharray: look.dashes,
        },
      ),
      intervals,
      Plot.dot(own, { ...common, y: "y", symbol: look.symbol, r: 3, fill: look.colour, fillOpacity: dim }),
      Plot.dot(
        own.filter((point) => point.mark === 1 && point.entry.nfe !== null && !selection.reference),
        { ...common, y: "y", r: 6.5, stroke: "currentColor", strokeWidth: 1.3 },
      ),
    ];
  });
}

/** A line that real data would reach, where it can be drawn at all. */
function floorMark(selection, low) {
  const { floor } = selection.metric;
  if (!floor || selection.reference || floor.mean === null || floor.mean < low) return null;
  return Plot.ruleY([floor.mean], { stroke: "currentColor", strokeOpacity: 0.6, strokeDasharray: "2 3" });
}

function seedPoints(point, selection) {
  const own = selection.metric.bySeed(point.entry.id);
  if (!selection.reference) return finite(own).map((y) => ({ ...point, y }));
  const other = selection.reference.of(point.row)?.entries.find((each) => each.column === point.entry.column);
  const pairs = other ? paired(own, selection.metric.bySeed(other.id)) : [];
  const scale = Math.abs(d3.mean(pairs, (pair) => pair[1]));
  return pairs.map(([value, reference]) => ({ ...point, y: (100 * (value - reference)) / scale }));
}

/** Draw the legend: each value is a button that leaves the others out, or brings them back. */
function drawLegend(selection, state, update) {
  const { colour, metric } = selection;
  const present = new Set(selection.entries.map((shown) => colour && shown.entry.row.values[colour.name]));
  const only = (value) => {
    const alone = state.only[colour.name]?.length === 1 && state.only[colour.name][0] === value;
    const { [colour.name]: _, ...rest } = state.only;
    update({ only: alone ? rest : { ...rest, [colour.name]: [value] }, page: 0 });
  };
  const items = (colour?.values ?? []).map((value, i) =>
    make(
      "button",
      {
        type: "button",
        id: `legend-${i}`,
        class: "key",
        "aria-pressed": String(present.has(value)),
        title: `Only ${value}`,
        click: () => only(value),
      },
      swatch(lookOf(colour, value)),
      colour.said[colour.every.indexOf(value)] || value || "–",
    ),
  );
  const best =
    !selection.reference && metric.better
      ? [make("span", { class: "key" }, make("i", { class: "ring" }), "best at its NFE")]
      : [];
  const floor =
    metric.floor && !selection.reference
      ? [make("span", { class: "key", title: metric.floor.note }, make("i", { class: "floor" }), metric.floor.label)]
      : [];
  const focused = document.activeElement?.id;
  byId("chart-legend").replaceChildren(...items, ...best, ...floor);
  if (focused?.startsWith("legend-")) byId(focused)?.focus({ preventScroll: true });
}

function drawPages(count, page, update) {
  const pages = Math.ceil(count / MOST_PANELS);
  const place = byId("chart-pages");
  const step = (to, text) =>
    make(
      "button",
      { type: "button", class: "quiet", disabled: to < 0 || to >= pages, click: () => update({ page: to }) },
      text,
    );
  const said = `panels ${page * MOST_PANELS + 1} to ${Math.min(count, (page + 1) * MOST_PANELS)} of ${count}, best first`;
  place.replaceChildren(
    ...(pages > 1 ? [step(page - 1, "‹ Previous"), make("span", {}, said), step(page + 1, "Next ›")] : []),
  );
}
