"use strict";

/** The page's numbers, from columns of integers to rows and entries that know each other. */

/** Return the report that a payload holds. */
function readReport(payload) {
  const terms = new Map(payload.glossary);
  return { ...payload, terms, datasets: payload.datasets.map((each) => readDataset(payload, each)) };
}

function readDataset(payload, given) {
  const varying = given.varying.map((i) => readAxis(payload.axes[i], given.rows.axes[i]));
  const rows = given.rows.training.map((training, id) => readRow(payload, given, id, training));
  const entries = given.entries.row.map((row, id) => readEntry(given, rows[row], id));
  const metrics = given.metrics.map((each) => readMetric(payload, each));
  const byName = new Map(metrics.map((metric) => [metric.name, metric]));
  const clock = given.clock === null ? null : (byName.get(payload.metrics[given.clock].name) ?? null);
  return {
    ...given,
    varying,
    rows,
    entries,
    metrics: metrics.filter((metric) => given.timing.shown || !metric.time),
    byName,
    headline: given.headline === null ? null : payload.metrics[given.headline].name,
    timing: {
      ...given.timing,
      metric: given.timing.shown && clock && !clock.group ? clock : null, // times of two machines share no axis
      reason: given.timing.reason || (clock?.group ? "times of several machines share no axis" : ""),
      unsteady: new Set(given.timing.unsteady.map(([entry]) => entry)),
    },
    columns: columnsOf(given, entries),
    trainings: readTrainings(payload, given.trainings),
  };
}

/** Return an axis with the values that some row has, in order. */
function readAxis(axis, column) {
  const used = new Set(column);
  const values = axis.values.filter((_, i) => used.has(i));
  return { ...axis, label: axis.name.replaceAll("_", " "), values, every: axis.values, short: shortened(axis.said) };
}

/** Return names without their parameters, where that leaves them different. */
function shortened(names) {
  const bare = (name) => name.replace(/[({].*$/, "").trim();
  const counts = d3.rollup(names, (same) => same.length, bare);
  return names.map((name) => (counts.get(bare(name)) === 1 && bare(name) ? bare(name) : name));
}

function readRow(payload, given, id, training) {
  const values = Object.fromEntries(payload.axes.map((axis, i) => [axis.name, axis.values[given.rows.axes[i][id]]]));
  const filters = payload.axes.map((axis, i) => axis.filters[given.rows.axes[i][id]]).filter(Boolean);
  return {
    id,
    training,
    values,
    entries: [],
    label: nameOfRow(payload, given, id, (axis) => axis.said),
    brief: nameOfRow(payload, given, id, (axis) => shortened(axis.said)),
    baseline: given.rows.baseline.includes(id),
    against: given.rows.against[id],
    adaptive: given.rows.adaptive.includes(id),
    elsewhere: given.rows.elsewhere.includes(id),
    command: [payload.report.command, given.filter, ...filters].filter(Boolean).join(" "),
  };
}

/** Return what a row is called: how it was trained, and how it is sampled. */
function nameOfRow(payload, given, id, names) {
  const said = (role) =>
    given.varying
      .filter((i) => payload.axes[i].role === role && payload.axes[i].values[given.rows.axes[i][id]])
      .map((i) => names(payload.axes[i])[given.rows.axes[i][id]]);
  const [trained, sampled] = [said("training").join(" + "), said("sampler").join(", ")];
  return [trained, sampled].filter(Boolean).join(" with ") || given.name;
}

/** Return an entry: a row at an NFE. `nfe` is null where it is not known beforehand, as with adaptive solvers. */
function readEntry(given, row, id) {
  const place = given.entries.nfe[id];
  const nfe = place === null ? null : given.nfe[place];
  const entry = { id, row, nfe, calls: nfe ?? given.entries.calls[id], column: nfe ?? "own" };
  row.entries.push(entry);
  return entry;
}

function columnsOf(given, entries) {
  const own = entries.some((entry) => entry.nfe === null);
  const columns = given.nfe.map((nfe) => ({ key: nfe, label: `NFE ${nfe}` }));
  return own ? [...columns, { key: "own", label: "own NFE" }] : columns;
}

/** Return a metric with a look-up of its values: `bySeed(i)` of an entry or training, null where a seed has none. */
function readMetric(payload, given) {
  const facts = payload.metrics[given.metric];
  const nothing = given.values[0].map(() => null);
  const lost = new Map((given.missing ?? []).map(([at, seed, reason]) => [`${at} ${seed}`, payload.reasons[reason]]));
  return {
    ...facts,
    ...given,
    mean: given.mean ?? given.values[0], // seeds that share their values have no mean of their own
    low: given.low ?? nothing,
    high: given.high ?? nothing,
    bySeed: (at) => given.values.map((values) => values[at]),
    whyLost: (at) => given.values.map((_, seed) => lost.get(`${at} ${seed}`)).filter(Boolean),
    groupOf: (at) => (given.group ? given.group[at] : 0),
  };
}

function readTrainings(payload, given) {
  const axes = payload.axes.filter((axis) => axis.role === "training");
  const varying = axes
    .map((axis, i) => ({ axis, column: given.axes[i] }))
    .filter(({ column }) => new Set(column).size > 1);
  const count = given.axes[0]?.length ?? 0;
  const labels = d3.range(count).map((id) =>
    varying
      .map(({ axis, column }) => axis.values[column[id]] && axis.said[column[id]])
      .filter(Boolean)
      .join(" + "),
  );
  const values = d3
    .range(count)
    .map((id) => Object.fromEntries(axes.map((axis, i) => [axis.name, axis.values[given.axes[i][id]]])));
  return {
    ...given,
    labels,
    values,
    varying: varying.map(({ axis }) => axis),
    metrics: given.metrics.map((each) => readMetric(payload, each)),
  };
}
