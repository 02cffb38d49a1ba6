"use strict";

/** Training: losses, metrics over t, how t is drawn, what a training costs. */

/** Draw the section of a dataset. */
function drawTraining(report, selection) {
  const { trainings } = selection.dataset;
  const place = byId("training-place");
  const width = place.clientWidth;
  const kept = (training) =>
    Object.entries(selection.only).every(
      ([axis, values]) => !(axis in trainings.values[training]) || values.includes(trainings.values[training][axis]),
    );
  const look = colouring(trainings);
  const parts = [
    trainings.loss && lossFigure(trainings, kept, look, width),
    ...trainings.over_t.map((each) => overTFigure(each, trainings, kept, look, width)),
    report.t_densities && densityFigure(report, width),
    trainings.course && courseFigure(report, trainings, kept, look, width),
    trainingTable(trainings, kept),
  ].filter(Boolean);
  refill(place, parts.length ? parts : make("p", { class: "empty" }, "Nothing was trained here."));
}

/** Return how lines of trainings look: by what varies besides the t-distribution, which has a panel each. */
function colouring(trainings) {
  const others = trainings.varying.filter((axis) => axis.name !== "t_distribution");
  const name = (training) =>
    others
      .map((axis) => trainings.values[training][axis.name])
      .filter(Boolean)
      .join(" + ");
  const names = [...new Set(trainings.labels.map((_, training) => name(training)))];
  const axis = { every: names };
  return { name, names, of: (training) => lookOf(axis, name(training)) };
}

function panelOf(trainings, training) {
  return trainings.varying.some((axis) => axis.name === "t_distribution")
    ? trainings.values[training].t_distribution
    : "";
}

function lossFigure(trainings, kept, look, width) {
  const { loss } = trainings;
  const points = loss.training.flatMap((training, line) =>
    kept(training)
      ? loss.step[line].map((x, i) => ({
          training,
          panel: panelOf(trainings, training),
          x,
          y: loss.mean[line][i],
          low: loss.low[line][i],
          high: loss.high[line][i],
        }))
      : [],
  );
  return lineFigure(
    "Training loss",
    "mean of the seeds, and their range; losses of two t-distributions are not comparable",
    points,
    { look, trainings, width, x: "step" },
  );
}

function overTFigure(metric, trainings, kept, look, width) {
  const points = metric.training.flatMap((training, line) => {
    const parts = metric.mean[line].length;
    return kept(training)
      ? metric.mean[line].map((y, i) => ({
          training,
          panel: panelOf(trainings, training),
          x: (i + 0.5) / parts,
          y,
          low: metric.low[line][i],
          high: metric.high[line][i],
        }))
      : [];
  });
  return lineFigure(metric.title || metric.name, "over t, from noise (0) to data (1)", points, {
    look,
    trainings,
    width,
    x: metric.over || "t",
  });
}

function courseFigure(report, trainings, kept, look, width) {
  const { course } = trainings;
  const metric = typeof course.metric === "number" ? report.metrics[course.metric].name : course.metric;
  const points = course.lines
    .filter((line) => kept(line.training))
    .flatMap((line) =>
      line.step.map((x, i) => ({
        training: line.training,
        panel: line.nfe === null ? "" : `NFE ${line.nfe}`,
        x,
        y: line.mean[i],
        low: line.low[i],
        high: line.high[i],
        z: line.row,
      })),
    );
  return lineFigure(`${metric} in the course of training`, "mean of the seeds and its interval", points, {
    look,
    trainings,
    width,
    x: "step",
  });
}

/** Return a figure of lines, a panel a t-distribution. */
function lineFigure(title, note, given, { look, trainings, width, x }) {
  const points = given.filter((point) => point.y !== null);
  if (!points.length) return null;
  const panels = [...new Set(points.map((point) => point.panel))];
  const across = Math.max(1, Math.min(panels.length, Math.floor(width / 220), 4));
  const place = new Map(panels.map((panel, i) => [panel, { fx: i % across, fy: Math.floor(i / across) }]));
  points.forEach((point) => Object.assign(point, place.get(point.panel)));
  const rows = Math.ceil(panels.length / across);
  const up = axisFor(...d3.extent(points, (point) => point.y), 8);
  const facet = { fx: "fx", fy: "fy" };
  const z = (point) => `${point.training} ${point.z}`;
  const said = (point) =>
    `${trainings.labels[point.training]}\n${x} ${plainTick(point.x)}: ${d3.format(".3~r")(point.y)}`;
  const marks = d3
    .groups(points, (point) => look.name(point.training))
    .map(([, own]) => {
      const { colour, dashes } = look.of(own[0].training);
      const known = own.filter((point) => point.low !== null);
      return [
        Plot.areaY(known, { ...facet, x: "x", y1: "low", y2: "high", z, fill: colour, fillOpacity: 0.12 }),
        Plot.line(own, { ...facet, x: "x", y: "y", z, stroke: colour, strokeDasharray: dashes }),
      ];
    });
  const titles = panels.map((panel) => ({ ...place.get(panel), text: panel }));
  const options = {
    width,
    height: rows * 190 + 44,
    marginLeft: 52,
    marginBottom: 36,
    x: { label: `${x} →`, tickSize: 0, ticks: 4, tickFormat: d3.format("~s") },
    y: { ...up, label: null, nice: up.type === "linear" },
    fx: { axis: null, padding: 0.06 },
    fy: { axis: null, padding: 0.16 },
    marks: [
      gridAt(up.ticks),
      marks,
      Plot.text(titles, {
        ...facet,
        text: "text",
        frameAnchor: "top-left",
        dy: -3,
        dx: 2,
        lineAnchor: "bottom",
        fontWeight: 600,
      }),
      tipAt(points, said, facet),
    ],
  };
  const svg = drawPlot(options, `${title}, ${note}`);
  const legend =
    look.names.length > 1
      ? make(
          "div",
          { class: "legend" },
          look.names.map((name) =>
            make("span", { class: "key" }, swatch(lookOf({ every: look.names }, name)), name || "–"),
          ),
        )
      : null;
  return make(
    "figure",
    { class: "lines" },
    make("figcaption", {}, make("b", {}, title), make("span", { class: "muted" }, ` · ${note}`)),
    legend,
    svg,
  );
}

function densityFigure(report, width) {
  const { labels, values } = report.t_densities;
  const axis = { every: labels };
  const points = labels.flatMap((label, i) =>
    values[i].map((y, part) => ({ label, x: (part + 0.5) / values[i].length, y })),
  );
  const highest = Math.min(
    4,
    d3.max(points, (point) => point.y),
  );
  const options = {
    width: Math.min(width, 560),
    height: 220,
    marginLeft: 40,
    marginBottom: 36,
    x: { label: "t →", tickSize: 0, ticks: 5, domain: [0, 1] },
    y: { label: null, tickSize: 0, ticks: 4, domain: [0, highest], clamp: true },
    marks: [
      gridAt(d3.ticks(0, highest, 4)),
      labels.map((label) =>
        Plot.line(
          points.filter((point) => point.label === label),
          { x: "x", y: "y", stroke: lookOf(axis, label).colour, strokeDasharray: lookOf(axis, label).dashes },
        ),
      ),
    ],
  };
  const svg = drawPlot(options, `Densities of the training times t: ${labels.join(", ")}`);
  const legend = make(
    "div",
    { class: "legend" },
    labels.map((label) => make("span", { class: "key" }, swatch({ ...lookOf(axis, label), symbol: null }), label)),
  );
  return make(
    "figure",
    { class: "lines" },
    make(
      "figcaption",
      {},
      make("b", {}, "Where training times lie"),
      make("span", { class: "muted" }, " · density of t, from noise (0) to data (1)"),
    ),
    legend,
    svg,
  );
}

/** Return a table of what is known of each training: its cost, its size, its validation loss. */
function trainingTable(trainings, kept) {
  if (!trainings.metrics.length) return null;
  const ids = d3.range(trainings.labels.length).filter(kept);
  const styles = trainings.metrics.map((metric) =>
    styleFor(ids.map((id) => ({ mean: metric.mean[id] ?? NaN, low: metric.low[id], high: metric.high[id] }))),
  );
  const head = make(
    "tr",
    {},
    make("th", { scope: "col", class: "label" }, "training"),
    trainings.metrics.map((metric) =>
      make("th", { scope: "col", title: metric.explanation || metric.title }, metric.name.replaceAll("_", " ")),
    ),
  );
  const cell = (metric, style, id) => {
    const shown = { mean: metric.mean[id], low: metric.low[id], high: metric.high[id] };
    return make("td", { class: "number" }, shown.mean === null ? "–" : withHalf(shown, style));
  };
  const body = ids.map((id) =>
    make(
      "tr",
      {},
      make("th", { scope: "row" }, trainings.labels[id] || "all"),
      trainings.metrics.map((metric, i) => cell(metric, styles[i], id)),
    ),
  );
  return make(
    "div",
    { class: "scroll", tabindex: 0, role: "region", "aria-label": "Trainings" },
    make("table", {}, make("thead", {}, head), make("tbody", {}, body)),
  );
}
