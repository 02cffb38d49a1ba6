"use strict";

/** What is shown: the rows that pass the reader's filter, their entries, and who is best among them. */

/** Return the selection that a state makes of a report. Names in the state that nothing has are passed over. */
function select(report, state) {
  const dataset = report.datasets.find((each) => each.name === state.dataset) ?? report.datasets[0];
  const metric = dataset.byName.get(state.metric) ?? dataset.byName.get(dataset.headline) ?? dataset.metrics[0];
  const only = filterOf(dataset, state.only);
  const rows = dataset.rows.filter((row) => passes(row, only, state.text));
  const axes = dataset.varying;
  const colour =
    axes.find((axis) => axis.name === state.colour) ?? axes.find((axis) => axis.name === "solver") ?? axes[0];
  const selection = {
    dataset,
    metric,
    rows,
    only,
    axes,
    colour,
    facets: facetsOf(axes, colour, state.facets),
    whole: rows.length === dataset.rows.length,
    x: state.x === "ms" && dataset.timing.metric ? "ms" : "nfe",
    reference: referenceOf(dataset, state.against),
    seeds: state.show === "seeds",
  };
  selection.entries = rows
    .flatMap((row) => row.entries)
    .map((entry) => shownOf(entry, selection))
    .filter(Boolean);
  selection.byEntry = new Map(selection.entries.map((shown) => [shown.entry.id, shown]));
  markBest(selection);
  if (selection.reference) judgeJointly(selection);
  const means = selection.entries.map((shown) => shown.mean).filter((mean) => mean !== null);
  selection.canLog = !selection.reference && means.length > 0 && means.every((mean) => mean > 0);
  const wide = selection.canLog && d3.max(means) > 8 * d3.min(means);
  selection.log = selection.canLog && (state.scale === "log" || (state.scale === "auto" && wide));
  return selection;
}

/** Return the values that are kept on each axis, without those that no row of the dataset has. */
function filterOf(dataset, wanted) {
  const has = (axis, value) => dataset.rows.some((row) => row.values[axis] === value);
  const found = Object.entries(wanted).map(([axis, values]) => [axis, values.filter((value) => has(axis, value))]);
  return Object.fromEntries(found.filter(([, values]) => values.length));
}

function passes(row, only, searched) {
  const kept = Object.entries(only).every(([axis, values]) => values.includes(row.values[axis]));
  const words = searched.toLowerCase().split(/\s+/).filter(Boolean);
  const text = row.label.toLowerCase();
  return kept && words.every((word) => text.includes(word));
}

/** Return the axes that have a panel a value: at first all but the colour's. */
function facetsOf(axes, colour, chosen) {
  const others = axes.filter((axis) => axis !== colour);
  if (!chosen) return others;
  const names = chosen.split(" ");
  return others.filter((axis) => names.includes(axis.name));
}

/** Return how the row is found that a row is compared with; null where values are shown as they are. */
function referenceOf(dataset, against) {
  if (against === "baseline")
    return { label: "the baseline, same sampler", of: (row) => dataset.rows[row.against] ?? null };
  const row = against === "" ? undefined : dataset.rows[Number(against)];
  return row ? { label: row.label, of: (other) => (other === row ? null : row), row } : null;
}

/** Return an entry as it is shown: its value or its difference in percent, or null where the suite has no such cell. */
function shownOf(entry, selection) {
  const { metric, reference } = selection;
  const n = metric.n[entry.id];
  const lost = metric.lost ? metric.lost[entry.id] : 0;
  if (!n && !lost) return null;
  const shown = {
    entry,
    n,
    lost,
    mark: 0,
    mean: metric.mean[entry.id],
    low: metric.low[entry.id],
    high: metric.high[entry.id],
    verdict: "",
  };
  if (reference) Object.assign(shown, differenceOf(entry, selection));
  return shown;
}

/** Return the difference of an entry from its reference at the same NFE, in percent. */
function differenceOf(entry, { metric, reference }) {
  const other = reference.of(entry.row)?.entries.find((each) => each.column === entry.column);
  const none = { mean: null, low: null, high: null, verdict: "" };
  if (!other) return none;
  const group = metric.groupOf(entry.id);
  if (group !== metric.groupOf(other.id) || group < 0) return none;
  const found = difference(metric.bySeed(entry.id), metric.bySeed(other.id));
  const or = (value) => (Number.isFinite(value) ? value : null);
  return {
    mean: or(found.percent.mean),
    low: or(found.percent.low),
    high: or(found.percent.high),
    verdict: "",
    gap: found.absolute,
  };
}

/** Say better or worse of the differences that are shown, jointly: the risk that any of these words is wrong is 5%. */
function judgeJointly({ entries, metric }) {
  const verdicts = jointVerdicts(
    entries.filter((shown) => shown.gap).map((shown) => ({ key: shown, gap: shown.gap })),
    metric.better,
  );
  verdicts.forEach((said, shown) => (shown.verdict = said));
}

/** Mark the best of each column and what ties with it. Of all rows Python has said so; of some it is computed here. */
function markBest(selection) {
  const { metric, whole, entries } = selection;
  if (whole) {
    for (const shown of entries) shown.mark = metric.mark[shown.entry.id];
    return;
  }
  const comparable = entries.filter((shown) => metric.groupOf(shown.entry.id) >= 0);
  const columns = d3.group(comparable, (shown) => `${shown.entry.column} ${metric.groupOf(shown.entry.id)}`);
  const candidate = (shown) => ({
    key: shown,
    values: metric.bySeed(shown.entry.id),
    mean: metric.mean[shown.entry.id],
    complete: shown.lost === 0 && shown.n > 0,
  });
  const { first, near } = rank(
    Array.from(columns.values(), (column) => column.map(candidate)),
    metric.better,
  );
  first.forEach((shown) => (shown.mark = 1));
  near.forEach((shown) => (shown.mark = 2));
}

/** Return who leads each column: [{column, best, near, of, only}]; `only` is there where nothing is compared. */
function winnersOf(selection) {
  return selection.dataset.columns
    .filter((column) => column.key !== "own")
    .map((column) => {
      const shown = selection.entries.filter((each) => each.entry.column === column.key);
      const marked = (mark) => shown.filter((each) => each.mark === mark);
      return { column, best: marked(1), near: marked(2), of: shown.length, only: shown.length === 1 ? shown[0] : null };
    })
    .filter((each) => each.of > 0);
}
