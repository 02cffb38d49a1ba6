"use strict";

/** What is known of one row: its seeds, the command that computes it again, its runs in MLflow, its samples. */

/** Return the details of a row, for the table and for what is pinned. */
function rowDetails(row, report, selection) {
  return make(
    "div",
    { class: "row-details" },
    seedsTable(row, report, selection),
    commandLine(row.command),
    thumbnails(row, report, selection),
  );
}

/** Return a table of a row's values by seed and NFE; a value is linked to its run, where one is known. */
function seedsTable(row, report, selection) {
  const { dataset, metric } = selection;
  const entries = row.entries.filter((entry) => metric.n[entry.id] || metric.lost?.[entry.id]);
  const style = styleFor(
    entries.map((entry) => ({ mean: metric.mean[entry.id], low: metric.low[entry.id], high: metric.high[entry.id] })),
  );
  const lines = metric.shared ? ["all seeds"] : dataset.seeds.map((seed) => `seed ${seed}`);
  const cell = (entry, seed) => {
    const value = metric.bySeed(entry.id)[seed];
    const text = value === null ? "–" : style(value);
    return make("td", { class: "number" }, metric.shared ? text : runLink(report, dataset, entry, seed, text));
  };
  const reasons = [...new Set(entries.flatMap((entry) => metric.whyLost(entry.id)))];
  const head = make(
    "tr",
    {},
    make("th", { scope: "col", class: "label" }, metric.name),
    entries.map((entry) => make("th", { scope: "col" }, nameOfColumn(entry).replace("at ", ""))),
  );
  const body = lines.map((line, seed) =>
    make(
      "tr",
      {},
      make("th", { scope: "row" }, line),
      entries.map((entry) => cell(entry, seed)),
    ),
  );
  return make(
    "div",
    { class: "scroll", tabindex: 0, role: "region", "aria-label": `Seeds of ${row.label}` },
    make("table", { class: "seeds" }, make("thead", {}, head), make("tbody", {}, body)),
    reasons.map((reason) => make("p", { class: "note" }, reason)),
  );
}

/** Return a cell's value, linked to its run in MLflow; the key is said where one points at it. */
function runLink(report, dataset, entry, seed, text) {
  const run = dataset.cells.run?.[seed]?.[entry.id];
  const key = dataset.cells.key[seed]?.[entry.id];
  const address = run && report.tracking?.link ? report.tracking.link.replace("{run}", encodeURIComponent(run)) : "";
  const shown = address ? makeLink(address, text) : make("span", {}, text);
  if (shown instanceof Element && key)
    shown.setAttribute("title", address ? `Its run in MLflow; cell ${key}` : `cell ${key}`);
  return shown;
}

function commandLine(command) {
  return make(
    "p",
    { class: "command" },
    make("code", { tabindex: 0 }, command),
    make(
      "button",
      { type: "button", class: "quiet", click: (event) => copyText(command, "The command", event.target) },
      "Copy",
    ),
  );
}

/** Draw what is pinned below the chart. */
function drawPinned(report, selection, state, update) {
  const rows = state.pinned.map((id) => selection.dataset.rows[Number(id)]).filter(Boolean);
  const cards = rows.map((row) => {
    const look = lookOf(selection.colour, selection.colour && row.values[selection.colour.name]);
    const head = make("h3", {}, swatch(look), row.label, row.baseline && make("small", {}, "baseline"));
    const unpin = make(
      "button",
      {
        type: "button",
        class: "quiet",
        id: `unpin-${row.id}`,
        "aria-label": `Unpin ${row.label}`,
        click: () => update({ pin: row.id }),
      },
      "Unpin",
    );
    return make("article", { class: "pinned" }, make("header", {}, head, unpin), rowDetails(row, report, selection));
  });
  refill(byId("pinned"), cards);
}
