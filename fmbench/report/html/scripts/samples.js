"use strict";

/** Samples: two configurations beside real data, from the same noise, with one slider over NFE or over t. */

const sampleStore = { parsed: null };

/** Return the samples of a dataset, which are parsed when they are first asked for. */
function samplesOf(report, dataset) {
  sampleStore.parsed ??= JSON.parse(byId("samples-data").textContent);
  return sampleStore.parsed.datasets[report.datasets.indexOf(dataset)] ?? null;
}

/** Tell whether there is a picture of an entry. */
function sampled(samples, entry) {
  return Boolean(samples && (samples.kind === "images" ? samples.sheets : samples.points)?.[entry.id]);
}

/** Draw the section for a selection. */
function drawSamples(report, selection, state, update) {
  const { dataset } = selection;
  const samples = samplesOf(report, dataset);
  const entries = samples ? dataset.entries.filter((entry) => sampled(samples, entry)) : [];
  const place = byId("samples-place");
  byId("samples-note").textContent = samples?.note ?? "";
  if (!entries.length) {
    place.replaceChildren(make("p", { class: "empty" }, samples?.note ? "" : "No samples were kept."));
    return;
  }
  const columns = dataset.columns.filter((column) => entries.some((entry) => entry.column === column.key));
  const column = columns.find((each) => String(each.key) === state.nfe) ?? columns[Math.min(2, columns.length - 1)];
  const sides = sidesOf(selection, state, entries, column);
  const context = { report, selection, samples, entries, columns, column, sides, state, update };
  refill(place, sampleControls(context), samplePictures(context));
}

/** Return the two rows that stand side by side: at first the best at this NFE and the baseline with its sampler. */
function sidesOf(selection, state, entries, column) {
  const { dataset } = selection;
  const rows = new Set(entries.map((entry) => entry.row));
  const given = (id) => (id === "" ? null : (dataset.rows[Number(id)] ?? null));
  const metric = dataset.byName.get(dataset.headline) ?? selection.metric;
  const here = entries.filter((entry) => entry.column === column.key && metric.mean[entry.id] !== null);
  const ranked = d3
    .sort(here, (entry) => (metric.better === "higher" ? -1 : 1) * metric.mean[entry.id])
    .map((entry) => entry.row);
  const left = given(state.left) ?? ranked[0] ?? [...rows][0];
  const base = dataset.rows[left.against] ?? ranked.find((row) => row.baseline && row !== left);
  const right = given(state.right) ?? (base && rows.has(base) ? base : (ranked.find((row) => row !== left) ?? left));
  return [
    { id: "left", row: left, why: state.left === "" ? (left === ranked[0] ? "best here" : "") : "" },
    { id: "right", row: right, why: right.baseline ? "baseline" : "" },
  ];
}

function sampleControls({ samples, columns, column, sides, entries, state, update }) {
  const over = timesOf(samples, sides);
  const flowing = state.time !== "" && over.length > 0;
  const place = flowing ? Math.min(over.length - 1, Number(state.time) || 0) : columns.indexOf(column);
  const last = (flowing ? over : columns).length - 1;
  const said = flowing ? `t = ${over[place].toFixed(2)}` : column.label;
  const change = (value) => update(flowing ? { time: String(value) } : { nfe: String(columns[value].key) });
  const slider = make("input", {
    type: "range",
    id: "samples-slider",
    min: 0,
    max: last,
    step: 1,
    "aria-label": flowing ? "t" : "NFE",
    "aria-valuetext": said,
    input: (event) => change(Number(event.target.value)),
  });
  slider.value = place;
  const play = make(
    "button",
    { type: "button", id: "samples-play", click: () => playSamples(slider) },
    playing.timer ? "Pause" : "Play",
  );
  const mode =
    over.length > 0 &&
    makeChoice(
      "Slider over",
      [
        ["", "NFE"],
        ["0", "flow, t from 0 to 1"],
      ],
      flowing ? "0" : "",
      (value) => update({ time: value }),
    );
  const rows = [...new Set(entries.map((entry) => entry.row))].map((row) => [row.id, row.label]);
  const auto = { left: "the best at this NFE", right: "the baseline, same sampler" };
  const selects = sides.map((side) =>
    labelled(
      side.id === "left" ? "First" : "Second",
      `samples-${side.id}`,
      [["", auto[side.id]], ...rows],
      state[side.id],
      (value) => update({ [side.id]: value }),
    ),
  );
  return make(
    "div",
    { class: "sample-controls" },
    mode,
    play,
    slider,
    make("output", { for: "samples-slider" }, said),
    selects,
  );
}

const playing = { timer: null };

/** Move the slider on, step by step, until it is stopped; after the last step comes the first. */
function playSamples(slider) {
  if (playing.timer) {
    clearInterval(playing.timer);
    playing.timer = null;
    byId("samples-play").textContent = "Play";
    return;
  }
  const pause = Number(slider.max) > 12 ? 60 : 900;
  playing.timer = setInterval(() => {
    const now = byId("samples-slider");
    if (!now) return;
    now.value = Number(now.value) >= Number(now.max) ? 0 : Number(now.value) + 1;
    now.dispatchEvent(new Event("input"));
  }, pause);
  byId("samples-play").textContent = "Pause";
}

/** Return the times of the flows that both rows have; none where they are pictures. */
function timesOf(samples, sides) {
  const { flows } = samples;
  return flows && sides.some((side) => flows.paths[side.row.training]) ? flows.times : [];
}

function samplePictures(context) {
  const { samples, sides, column, selection, state } = context;
  const flowing = state.time !== "" && timesOf(samples, sides).length > 0;
  const figures = sides.map((side) => {
    const entry = side.row.entries.find((each) => each.column === column.key);
    const picture = flowing
      ? flowPicture(samples, side.row, state)
      : entry && sampled(samples, entry)
        ? pictureOf(samples, entry.id, `Samples of ${side.row.label}, ${column.label}`)
        : null;
    const value = entry && !flowing ? valueOfHeadline(entry, selection) : "";
    return captioned(
      picture ?? make("p", { class: "empty" }, flowing ? "Its flow was not kept." : `No samples at ${column.label}.`),
      side.row.label,
      [value, side.row.elsewhere && "noise of its own", side.why],
    );
  });
  const real = pictureOf(samples, null, "Real data");
  return make("div", { class: "sheets" }, figures, real && captioned(real, "Real data", []));
}

function captioned(picture, name, notes) {
  const said = notes.filter(Boolean).join(" · ");
  return make(
    "figure",
    { class: "sheet" },
    picture,
    make("figcaption", {}, make("b", {}, name), said && make("span", { class: "muted" }, said)),
  );
}

function valueOfHeadline(entry, { dataset, metric: shown }) {
  const metric = dataset.byName.get(dataset.headline) ?? shown;
  if (metric.mean[entry.id] === null) return "";
  const value = { mean: metric.mean[entry.id], low: metric.low[entry.id], high: metric.high[entry.id] };
  return `${metric.name} ${withHalf(value, styleFor([value]))}`;
}

/** Return the picture of an entry, or of real data; null where there is none. */
function pictureOf(samples, id, label) {
  if (samples.kind === "images") {
    const source = id === null ? samples.real : samples.sheets[id];
    if (!source) return null;
    return make("img", {
      src: source,
      alt: label,
      width: samples.width,
      height: samples.height,
      class: samples.pixelated ? "pixelated" : null,
    });
  }
  const points = id === null ? samples.real : samples.points[id];
  return points ? pointsPicture(points, samples, label) : null;
}

function flowPicture(samples, row, state) {
  const path = samples.flows.paths[row.training];
  if (!path) return null;
  const time = Math.min(path.length - 1, Number(state.time) || 0);
  return pointsPicture(
    path[time],
    samples.flows,
    `Flow of ${row.label} at t = ${samples.flows.times[time].toFixed(2)}`,
  );
}

/** Draw points in the plane, [x, y, x, y, ...] in units of the frame. */
function pointsPicture(points, { levels, frame }, label) {
  const size = 300;
  const height = Math.round((size * (frame[3] - frame[1])) / (frame[2] - frame[0])) || size;
  const canvas = make("canvas", {
    width: 2 * size,
    height: 2 * height,
    role: "img",
    "aria-label": label,
    class: "points",
  });
  const draw = canvas.getContext("2d");
  const [across, up] = [(2 * size) / levels, (2 * height) / levels];
  draw.fillStyle = getComputedStyle(byId("samples-place")).outlineColor; // the only way from a variable to a colour
  for (let i = 0; i < points.length; i += 2) {
    draw.beginPath();
    draw.arc(points[i] * across, 2 * height - points[i + 1] * up, 3.2, 0, 2 * Math.PI);
    draw.fill();
  }
  return canvas;
}

/** Return small pictures of a row at each NFE. */
function thumbnails(row, report, selection) {
  const samples = samplesOf(report, selection.dataset);
  const entries = row.entries.filter((entry) => sampled(samples, entry));
  if (!entries.length) return null;
  const figures = entries.map((entry) =>
    make(
      "figure",
      { class: "thumbnail" },
      pictureOf(samples, entry.id, `Samples of ${row.label} ${nameOfColumn(entry)}`),
      make("figcaption", {}, nameOfColumn(entry).replace("at ", "")),
    ),
  );
  return make("div", { class: "thumbnails" }, figures);
}
