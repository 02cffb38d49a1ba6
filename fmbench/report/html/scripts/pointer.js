"use strict";

/** What the chart says of the point under the pointer, or under the arrow keys. */

/** Let the reader point at the points of a drawing; a click or Enter pins a row. */
function followPointer(place, svg, panels, selection, layout, update) {
  const tip = place.querySelector(".tip") ?? place.appendChild(make("div", { class: "tip", hidden: true }));
  tip.hidden = true;
  const points = positionsOf(svg, panels, layout);
  const delaunay = d3.Delaunay.from(
    points,
    (point) => point.px,
    (point) => point.py,
  );
  const ring = d3.select(svg).append("circle").attr("class", "aim").attr("r", 8).attr("visibility", "hidden");
  let current = null;
  const show = (point) => {
    current = point;
    ring.attr("visibility", point ? "visible" : "hidden");
    tip.hidden = !point;
    if (!point) return;
    ring.attr("cx", point.px).attr("cy", point.py);
    tip.replaceChildren(...tipOf(point, selection));
    placeTip(tip, point, place);
  };
  const nearest = (event) => {
    const [x, y] = d3.pointer(event, svg);
    const point = points[delaunay.find(x, y)];
    return point && Math.hypot(point.px - x, point.py - y) < 40 ? point : null;
  };
  svg.addEventListener("pointermove", (event) => show(nearest(event)));
  svg.addEventListener("pointerleave", () => show(null));
  svg.addEventListener("click", (event) => {
    const point = nearest(event);
    if (point) update({ pin: point.row.id });
  });
  place.onblur = () => show(null);
  place.onkeydown = (event) => {
    if (event.key === "Escape") show(null);
    if (event.key === "Enter" && current) update({ pin: current.row.id });
    const next = besides(points, current, event.key);
    if (!next) return;
    event.preventDefault();
    show(next);
    announce(tip.textContent);
  };
}

/** Return the points with their places in the drawing, in pixels. */
function positionsOf(svg, panels, layout) {
  const scale = Object.fromEntries(["x", "y", "fx", "fy"].map((name) => [name, svg.scale(name)]));
  const points = panels.flatMap((panel) => panel.points);
  for (const point of points) {
    point.px = scale.x.apply(point.x) + (point.dx ?? 0) + scale.fx.apply(point.fx) - layout.marginLeft;
    point.py = scale.y.apply(point.y) + scale.fy.apply(point.fy) - layout.marginTop;
  }
  return points;
}

/** Return the point beside another: along its row by left and right, across rows of its panel by up and down. */
function besides(points, current, key) {
  if (!["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"].includes(key)) return null;
  if (!current) return points[0];
  const along = key === "ArrowLeft" || key === "ArrowRight";
  const forward = key === "ArrowRight" || key === "ArrowDown" ? 1 : -1;
  const line = along
    ? d3.sort(
        points.filter((point) => point.row === current.row),
        (point) => point.x,
      )
    : d3.sort(
        points.filter((point) => point.entry.column === current.entry.column),
        (point) => point.fy,
        (point) => point.fx,
        (point) => point.py,
      );
  return line[line.indexOf(current) + forward] ?? null;
}

function tipOf(point, selection) {
  const { shown, entry, row } = point;
  const { metric, reference } = selection;
  const style = styleFor(selection.entries.filter((each) => each.mean !== null));
  const seeds = finite(metric.bySeed(entry.id)).map(style).join(", ");
  const mark = point.mark === 1 ? " · best" : point.mark === 2 ? " · ties with the best" : "";
  const lost = shown.lost ? `, ${shown.lost} lost` : "";
  return [
    make("b", {}, row.label),
    make(
      "div",
      { class: "value" },
      valueSaid(shown, style, reference),
      make("small", {}, ` ${nameOfColumn(entry)}${mark}`),
    ),
    reference &&
      make(
        "div",
        {},
        `${shown.verdict} than ${reference.label}`.replace(/^(not distinguishable|cannot tell) than/, "$1 from"),
      ),
    make("div", { class: "muted" }, `${counted(shown.n, "seed")}${lost}: ${seeds}`),
    make("code", {}, entry.nfe === null ? row.command : `${row.command} --filter nfe=${entry.nfe}`),
    make("div", { class: "muted" }, "Click to pin: seeds, command, MLflow"),
  ].filter(Boolean);
}

function nameOfColumn(entry) {
  return entry.nfe === null
    ? `at ${entry.calls === null ? "an unknown NFE" : `${d3.format(".3~r")(entry.calls)} NFE, its own choice`}`
    : `at NFE ${entry.nfe}`;
}

function placeTip(tip, point, place) {
  const width = tip.offsetWidth;
  const left = point.px + 14 + width > place.clientWidth ? point.px - width - 14 : point.px + 14;
  tip.style.left = `${Math.max(0, Math.min(left, place.clientWidth - width))}px`;
  tip.style.top = `${Math.max(-40, point.py - tip.offsetHeight / 2)}px`;
}
