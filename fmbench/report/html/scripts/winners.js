"use strict";

/** The strip of winners: a card an NFE, computed again when the reader filters or looks at another metric. */

/** Draw the cards of a selection; `base` names the comparison where it is not the whole report's. */
function drawWinners(report, selection, update) {
  const { dataset, metric } = selection;
  const winners = metric.better ? winnersOf(selection) : [];
  const cards = winners.map((winner) => winnerCard(winner, selection, update)).filter(Boolean);
  refill(byId("winners"), cards);
  const several = report.datasets.length > 1 ? `${dataset.name}: ` : "";
  const among = selection.whole ? "" : `, among the ${counted(selection.rows.length, "row")} that pass the filter`;
  byId("winners-of").textContent = cards.length ? `${several}best ${metric.name} at each NFE${among}` : "";
  byId("sentence").textContent = dataset.sentence;
}

function winnerCard({ column, best, near, of }, selection, update) {
  const style = styleFor(columnOf(selection, column));
  const at = make("span", { class: "at" }, column.label);
  if (!best.length)
    return make("li", { class: "card" }, at, make("span", { class: "muted" }, of === 1 ? "one row" : "no best"));
  const { entry } = best[0];
  const value = selection.dataset.byName.get(selection.metric.name);
  const shown = { mean: value.mean[entry.id], low: value.low[entry.id], high: value.high[entry.id] };
  const half = halfOf(shown);
  const equals = best.length > 1 ? `${counted(best.length - 1, "other")} with the same values` : "";
  const ties = near.length ? `${counted(near.length, "other")} ${near.length === 1 ? "ties" : "tie"}` : "";
  const look = lookOf(selection.colour, selection.colour && entry.row.values[selection.colour.name]);
  const name = make(
    "button",
    {
      type: "button",
      id: `winner-${column.key}`,
      title: `Pin ${entry.row.label} in the chart`,
      click: () => update({ pin: entry.row.id }),
    },
    swatch(look),
    entry.row.label,
  );
  return make(
    "li",
    { class: "card" },
    at,
    make("span", { class: "value" }, style(shown.mean), half > 0 && make("small", {}, ` ± ${style(half)}`)),
    name,
    make("span", { class: "muted" }, [equals, ties].filter(Boolean).join("; ") || (of > 1 ? "nothing ties" : "")),
  );
}
