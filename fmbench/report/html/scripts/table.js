"use strict";

/** The table: a row a configuration, a column an NFE. */

const FEW_ROWS = 20;
const openRows = new Set(); // of one dataset

/** Draw the table of a selection. */
function drawTable(report, selection, state, update) {
  const sort = sortOf(selection, state.sort);
  if (openRows.dataset !== selection.dataset.name) openRows.clear();
  openRows.dataset = selection.dataset.name;
  const rows = sorted(selection, sort);
  const all = state.rows === "all" || rows.length <= 1.5 * FEW_ROWS;
  const shown = all ? rows : rows.slice(0, FEW_ROWS);
  const narrow = matchMedia("(max-width: 46rem)").matches;
  const axes = narrow ? [] : selection.axes;
  const styles = new Map(
    selection.dataset.columns.map((column) => [column.key, styleFor(columnOf(selection, column))]),
  );
  const context = {
    report,
    selection,
    state,
    update,
    axes,
    styles,
    first: isBestFirst(selection, sort) ? "best" : "first",
    heat: state.heat && drawn(selection).length === selection.entries.length ? heatOf(selection) : null,
  };
  const body = make(
    "tbody",
    {},
    floorLine(context),
    shown.map((row) => rowLines(row, context)),
  );
  const table = make(
    "table",
    { class: "results" },
    make("caption", { class: "hidden" }, byId("chart-caption").textContent),
    headOf(context, sort),
    body,
  );
  refill(byId("table-place"), table);
  stickColumns(table);
  drawTableTools(rows, shown, context);
}

function columnOf(selection, column) {
  return selection.entries.filter((shown) => shown.entry.column === column.key && shown.mean !== null);
}

/** Return the column by which rows are sorted, and which way: at first the last NFE, the best first. */
function sortOf(selection, text) {
  const name = text.replace(/^-/, "");
  const known =
    name &&
    (selection.axes.some((axis) => axis.name === name) ||
      name === "row" ||
      selection.dataset.columns.some((column) => String(column.key) === name));
  const start =
    selection.dataset.columns.filter((column) => column.key !== "own").at(-1) ?? selection.dataset.columns[0];
  if (!known)
    return { name: String(start?.key ?? "row"), down: selection.metric.better === "higher" };
  return { name, down: text.startsWith("-") };
}

/** Tell whether the rows that come first are the best of a column. */
function isBestFirst({ dataset, metric }, sort) {
  const byScore = dataset.columns.some((column) => String(column.key) === sort.name);
  return byScore && Boolean(metric.better) && sort.down === (metric.better === "higher");
}

function sorted(selection, sort) {
  const axis = selection.axes.find((each) => each.name === sort.name);
  const sign = sort.down ? -1 : 1;
  const at = (row) => {
    const entry = row.entries.find((each) => String(each.column) === sort.name);
    return entry ? (selection.byEntry.get(entry.id)?.mean ?? null) : null;
  };
  const value = axis
    ? (row) => axis.every.indexOf(row.values[axis.name])
    : sort.name === "row"
      ? (row) => row.label
      : at;
  return d3.sort(selection.rows, (p, q) => {
    const [left, right] = [value(p), value(q)];
    if (left === null || right === null) return (left === null) - (right === null) || p.id - q.id;
    return sign * d3.ascending(left, right) || p.id - q.id;
  });
}

function headOf({ report, selection, axes, update }, sort) {
  const cell = (name, label, classes, title) => {
    const now = sort.name === name;
    const next = now && !sort.down ? `-${name}` : name;
    const button = make(
      "button",
      { type: "button", id: `sort-${name}`, title, click: () => update({ sort: next }) },
      label,
      make("i", { "aria-hidden": "true" }, now ? (sort.down ? "↓" : "↑") : ""),
    );
    return make(
      "th",
      { scope: "col", class: classes, "aria-sort": now ? (sort.down ? "descending" : "ascending") : null },
      button,
    );
  };
  const labels = axes.length
    ? axes.map((axis) => cell(axis.name, axis.label, "label stuck", report.terms.get(axis.name)))
    : [cell("row", "configuration", "label stuck", null)];
  const nfe = report.terms.get("NFE");
  const columns = selection.dataset.columns.map((column) => cell(String(column.key), column.label, "number", nfe));
  return make("thead", {}, make("tr", {}, labels, columns));
}

/** Return a row's line, and below it its details where it is open. */
function rowLines(row, context) {
  const { selection, state, axes } = context;
  const pinned = state.pinned.includes(String(row.id));
  const look = lookOf(selection.colour, selection.colour && row.values[selection.colour.name]);
  const open = openRows.has(row.id);
  const toggle = make(
    "button",
    {
      type: "button",
      class: "open",
      id: `open-${row.id}`,
      "aria-expanded": String(open),
      "aria-label": `Details of ${row.label}`,
    },
    make("i", { "aria-hidden": "true" }, "›"),
  );
  const texts = axes.length ? axes.map((axis) => row.values[axis.name] || "–") : [row.label];
  const labels = texts.map((text, i) => {
    const marked = axes.length ? axes[i] === selection.colour : true;
    const tag = row.baseline && i === texts.length - 1 && make("small", { class: "tag" }, "baseline");
    return make("th", { scope: "row", class: "label stuck" }, i === 0 && toggle, marked && swatch(look), text, tag);
  });
  const cells = selection.dataset.columns.map((column) => cellOf(row, column, context));
  const line = make("tr", { id: `row-${row.id}`, class: pinned ? "marked" : null }, labels, cells);
  const width = labels.length + cells.length;
  const details = () => make("tr", { class: "opened" }, make("td", { colspan: width }, openedRow(row, context)));
  line.addEventListener("click", (event) => {
    if (event.target.closest("a, button:not(.open)") || String(getSelection())) return;
    const now = !openRows.has(row.id);
    if (now) openRows.add(row.id);
    else openRows.delete(row.id);
    toggle.setAttribute("aria-expanded", String(now));
    if (now) line.after(details());
    else line.nextElementSibling.remove();
  });
  return open ? [line, details()] : [line];
}

function openedRow(row, { report, selection, state, update }) {
  const pinned = state.pinned.includes(String(row.id));
  const pin = make(
    "button",
    { type: "button", class: "quiet", id: `pin-${row.id}`, click: () => update({ pin: row.id }) },
    pinned ? "Unpin from the chart" : "Pin in the chart",
  );
  return [rowDetails(row, report, selection), pin];
}

function cellOf(row, column, { selection, styles, heat }) {
  const entry = row.entries.find((each) => each.column === column.key);
  const shown = entry && selection.byEntry.get(entry.id);
  if (!shown) return make("td", { class: "number none", title: "The suite has no such cell" }, "–");
  if (shown.mean === null) return make("td", { class: "number none" }, lostSaid(shown, selection));
  const style = styles.get(column.key);
  const half = halfOf(shown);
  const tone = selection.reference && ["better", "worse"].includes(shown.verdict) ? shown.verdict : null;
  const parts = selection.reference
    ? differenceParts(shown)
    : [
        make("span", { class: "mean" }, style(shown.mean)),
        half > 0 && make("span", { class: "spread" }, ` ± ${style(half)}`),
      ];
  const marks = ["", "best", "tied"][shown.mark];
  return make(
    "td",
    {
      class: `number ${selection.reference ? "" : marks}`,
      "data-tone": tone,
      style: heat ? `--heat: ${heat(shown).toFixed(3)}` : null,
    },
    parts,
    !selection.reference &&
      shown.mark === 2 &&
      make("span", { class: "mark", title: "Not distinguishable from the best" }, "†"),
    shown.lost > 0 && make("small", { class: "note" }, ` n = ${shown.n}`),
    column.key === "own" &&
      make("small", { class: "note" }, ` at ${entry.calls === null ? "?" : d3.format(".3~r")(entry.calls)}`),
  );
}

function lostSaid(shown, selection) {
  if (selection.reference && shown.n) return selection.reference.of(shown.entry.row) ? "–" : "reference";
  return selection.metric.whyLost(shown.entry.id)[0] ?? "–";
}

function differenceParts(shown) {
  const said = percentSaid(shown);
  const cut = said.indexOf(" [");
  return cut < 0
    ? [make("span", { class: "mean" }, said)]
    : [make("span", { class: "mean" }, said.slice(0, cut)), make("span", { class: "spread" }, said.slice(cut))];
}

/** Return how warm an entry is, from 0 (the worst of its column) to 1 (the best). */
function heatOf(selection) {
  const scales = new Map();
  for (const column of selection.dataset.columns) {
    const means = columnOf(selection, column).map((shown) => shown.mean);
    const log = means.every((mean) => mean > 0);
    const [low, high] = d3.extent(means);
    const scale = (log ? d3.scaleLog() : d3.scaleLinear())
      .domain(low === high ? [low, low + 1] : [low, high])
      .range(selection.metric.better === "higher" ? [0, 1] : [1, 0]);
    scales.set(column.key, scale);
  }
  return (shown) => scales.get(shown.entry.column)(shown.mean);
}

/** Return the line of what real data score, above all rows. */
function floorLine({ selection, axes, styles }) {
  const { floor } = selection.metric;
  if (!floor || selection.reference || floor.mean === null) return null;
  const label = make(
    "th",
    { scope: "row", class: "label stuck", colspan: Math.max(1, axes.length), title: floor.note },
    floor.label,
  );
  const cells = selection.dataset.columns.map((column) => {
    const half = halfOf(floor);
    const style = styles.get(column.key);
    return make(
      "td",
      { class: "number" },
      make("span", { class: "mean" }, style(floor.mean)),
      half > 0 && make("span", { class: "spread" }, ` ± ${style(half)}`),
    );
  });
  return make("tr", { class: "floor-line" }, label, cells);
}

/** Keep the first columns in sight when the table is scrolled sideways, where they leave room for the numbers. */
function stickColumns(table) {
  const heads = [...table.querySelectorAll("thead .stuck")];
  const widths = heads.map((head) => head.offsetWidth);
  const fits = d3.sum(widths) < 0.6 * byId("table-place").clientWidth;
  const edges = d3.cumsum([0, ...widths]);
  heads.forEach((_, i) => table.style.setProperty(`--edge-${i}`, fits || i === 0 ? `${edges[i]}px` : "auto"));
}

function notesOf({ metric, reference }) {
  if (!metric.better) return "";
  if (reference)
    return "In colour: better or worse beyond chance, seed by seed, with all of the table judged jointly (Holm).";
  return "Bold: best of its column; †: not distinguishable from it, seed by seed, each by itself.";
}

function drawTableTools(rows, shown, context) {
  const { selection, state, update, first } = context;
  byId("count").textContent =
    shown.length < rows.length ? `${first} ${shown.length} of ${counted(rows.length, "row")}` : counted(rows.length, "row");
  const more =
    rows.length > 1.5 * FEW_ROWS &&
    makeChoice(
      "Rows",
      [
        ["20", `${first} 20`],
        ["all", "all"],
      ],
      state.rows,
      (value) => update({ rows: value }),
    );
  const heat = make(
    "label",
    { class: "check", for: "heat" },
    make("input", {
      type: "checkbox",
      id: "heat",
      checked: Boolean(state.heat),
      change: (event) => update({ heat: event.target.checked ? "on" : "" }),
    }),
    make("span", {}, "heat"),
  );
  const copies = [
    ["csv", "CSV"],
    ["markdown", "Markdown"],
    ["latex", "LaTeX"],
  ].map(([form, name]) =>
    make(
      "button",
      {
        type: "button",
        id: `copy-${form}`,
        class: "quiet",
        "aria-label": `Copy the table as ${name}`,
        click: () => copyText(tableAs(form, plainTable(rows, context)), `${counted(rows.length, "row")} as ${name}`),
      },
      name,
    ),
  );
  byId("table-notes").textContent = [notesOf(selection), ...selection.metric.why].join(" ");
  refill(
    byId("table-tools"),
    more,
    heat,
    make("span", { class: "copies", role: "group", "aria-label": "Copy the table" }, "Copy", copies),
  );
}
