"use strict";

/** How the values of an axis look: a value keeps its colour, symbol and dashes wherever it is drawn. */

const COLOURS = 8;
const SYMBOLS = ["circle", "square", "triangle", "diamond", "star", "cross", "wye", "square2"];
const DASHES = [null, "5 3", "2 3", "8 3 2 3"];

/** Return the look of the value of an axis; beyond the palette, colours come again with other dashes. */
function lookOf(axis, value) {
  const place = axis ? Math.max(0, axis.every.indexOf(value)) : 0;
  const round = Math.floor(place / COLOURS);
  return {
    colour: `var(--series-${place % COLOURS})`,
    symbol: SYMBOLS[(place + round) % SYMBOLS.length],
    dashes: DASHES[round % DASHES.length],
    place,
  };
}

const swatches = new Map();

/** Return a small drawing of a look, for legends and tables. */
function swatch(look) {
  const key = `${look.colour} ${look.symbol} ${look.dashes}`;
  if (!swatches.has(key)) swatches.set(key, drawSwatch(look));
  return swatches.get(key).cloneNode(true);
}

function drawSwatch(look) {
  const svg = d3.create("svg").attr("class", "swatch").attr("viewBox", "-11 -6 22 12");
  svg.attr("width", 22).attr("height", 12).attr("aria-hidden", "true");
  const line = svg.append("line").attr("x1", -11).attr("x2", 11);
  line.attr("stroke", look.colour).attr("stroke-width", 2).attr("stroke-dasharray", look.dashes);
  if (look.symbol) svg.append("path").attr("d", symbolOf(look.symbol)).attr("fill", look.colour);
  return svg.node();
}

function symbolOf(name) {
  const types = {
    circle: d3.symbolCircle,
    square: d3.symbolSquare,
    triangle: d3.symbolTriangle,
    diamond: d3.symbolDiamond,
    wye: d3.symbolWye,
    star: d3.symbolStar,
    cross: d3.symbolCross,
  };
  return d3.symbol(types[name] ?? d3.symbolSquare, 44)();
}
