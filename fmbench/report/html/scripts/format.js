"use strict";

/** How numbers are written: as many decimals as their column needs, and the same for all of it. */

const MINUS = "−";

/** Return a function that writes numbers: three digits of the least mean, or two of the median half-width. */
function styleFor(shown) {
  const means = shown.map((each) => Math.abs(each.mean)).filter((mean) => mean > 0 && Number.isFinite(mean));
  const halves = shown
    .map(halfOf)
    .filter((half) => half > 0)
    .sort(d3.ascending);
  if (!means.length) return (value) => fixed(value, 0);
  const [least, most] = d3.extent(means);
  if (most >= 1e9 || least < 1e-6) return (value) => d3.format(".3~g")(value).replace("-", MINUS);
  const whole = shown.every((each) => Number.isInteger(each.mean));
  const needed = Math.max(3 - digits(least), halves.length ? 2 - digits(halves[halves.length >> 1]) : 0);
  const decimals = whole && !halves.length ? 0 : Math.min(Math.max(needed, 0), 6);
  return (value) => fixed(value, decimals);
}

function digits(value) {
  return Math.floor(Math.log10(value)) + 1;
}

const writers = new Map();

function fixed(value, decimals) {
  if (!writers.has(decimals)) {
    const digits = { minimumFractionDigits: decimals, maximumFractionDigits: decimals };
    writers.set(decimals, new Intl.NumberFormat("en-US", digits)); // slow to make, quick to use
  }
  const text = writers.get(decimals).format(value);
  return /[1-9]/.test(text) ? text.replace("-", MINUS) : text.replace("-", "");
}

/** Return half the width of a shown value's interval; NaN where it has none. */
function halfOf(shown) {
  return shown.low === null || shown.high === null ? NaN : (shown.high - shown.low) / 2;
}

/** Write a value with its interval: "1.33 ± 0.45". */
function withHalf(shown, style) {
  const half = halfOf(shown);
  return half > 0 ? `${style(shown.mean)} ± ${style(half)}` : style(shown.mean);
}

/** Write a difference: "−27% [−42, −12]". */
function percentSaid(shown) {
  const sign = (value) => (value > 0 ? "+" : "");
  if (shown.low === null) return `${sign(shown.mean)}${fixed(shown.mean, 0)}%`;
  const decimals = Math.abs(shown.high - shown.low) < 2 ? 1 : 0;
  const write = (value) => `${sign(value)}${fixed(value, decimals)}`;
  return `${write(shown.mean)}% [${write(shown.low)}, ${write(shown.high)}]`;
}

/** Write what is shown of an entry, by itself or as a difference. */
function valueSaid(shown, style, reference) {
  if (shown.mean === null) return shown.n ? "–" : "lost";
  return reference ? percentSaid(shown) : withHalf(shown, style);
}

/** Return "1 seed", "3 seeds". */
function counted(n, noun) {
  return `${n.toLocaleString("en-US")} ${noun}${n === 1 ? "" : "s"}`;
}
