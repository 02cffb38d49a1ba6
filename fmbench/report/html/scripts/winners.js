"use strict";

/** The strip of winners: a card an NFE, computed again when the reader filters or looks at another metric. */

/** Draw the cards of a selection, and say of how many rows they are where these are not all. */
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

function winnerCard({ column, best, near, of, only }, selection, update) {
  const { metric, colour } = selection;
  const at = make("span", { class: "at" }, column.label);
  const entry = (best[0] ?? only)?.entry;
  if (!entry || metric.mean[entry.id] === null) {
    return make("li", { class: "card" }, at, make("span", { class: "muted" }, "no best"));
  }
  const shown = { mean: metric.mean[entry.id], low: metric.low[entry.id], high: metric.high[entry.id] };
  const style = styleFor([shown]);
  const half = halfOf(shown);
  const equals = best.length > 1 && `${best.length - 1} with the same values`;
  const ties = near.length > 0 && `${counted(near.length, "other")} ${near.length === 1 ? "ties" : "tie"}`;
  const alone = of > 1 ? (metric.ties && metric.n[entry.id] > 1 ? "nothing ties" : "") : "nothing else was tried";
  const title = `${entry.row.label}: pin it in the chart`;
  const pin = () => update({ pin: entry.row.id });
  const look = lookOf(colour, colour && entry.row.values[colour.name]);
  return make(
    "li",
    { class: "card" },
    at,
    make("span", { class: "value" }, style(shown.mean), half > 0 && make("small", {}, ` ± ${style(half)}`)),
    make("button", { type: "button", id: `winner-${column.key}`, title, click: pin }, swatch(look), entry.row.brief),
    make("span", { class: "muted" }, [equals, ties].filter(Boolean).join(", ") || alone),
  );
}
