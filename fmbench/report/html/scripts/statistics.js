"use strict";

/** Student's t of a few seeds, as fmbench/stats computes it. Values are arrays by seed; null is a seed without one. */

const CONFIDENCE = 0.95;
const quantiles = new Map();

/** Return the logarithm of the gamma function (Lanczos's approximation, g = 7). */
function logGamma(x) {
  const terms = [
    676.5203681218851, -1259.1392167224028, 771.32342877765313, -176.61502916214059, 12.507343278686905,
    -0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7,
  ];
  let sum = 0.99999999999980993;
  terms.forEach((term, i) => (sum += term / (x + i)));
  const t = x + 6.5;
  return 0.5 * Math.log(2 * Math.PI) + (x - 0.5) * Math.log(t) - t + Math.log(sum);
}

/** Return the regularised incomplete beta function by its continued fraction (modified Lentz). */
function incompleteBeta(x, a, b) {
  if (x <= 0 || x >= 1) return x <= 0 ? 0 : 1;
  if (x > (a + 1) / (a + b + 2)) return 1 - incompleteBeta(1 - x, b, a);
  const tiny = 1e-300;
  const kept = (value) => (Math.abs(value) < tiny ? tiny : value);
  let d = 1 / kept(1 - ((a + b) * x) / (a + 1));
  let c = 1;
  let fraction = d;
  for (let m = 1; m < 500; m += 1) {
    const even = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 / kept(1 + even * d);
    c = kept(1 + even / c);
    fraction *= d * c;
    const odd = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / kept(1 + odd * d);
    c = kept(1 + odd / c);
    fraction *= d * c;
    if (Math.abs(d * c - 1) < 1e-15) break;
  }
  const front = logGamma(a + b) - logGamma(a) - logGamma(b) + a * Math.log(x) + b * Math.log1p(-x);
  return (Math.exp(front) * fraction) / a;
}

/** Return the chance that |T| exceeds `t` where there is no difference. */
function twoSided(t, df) {
  return incompleteBeta(df / (df + t * t), df / 2, 0.5);
}

/** Return the t that |T| exceeds with the chance 1 - CONFIDENCE. */
function quantile(df) {
  if (!quantiles.has(df)) {
    let low = 0;
    let high = 20;
    while (twoSided(high, df) > 1 - CONFIDENCE) high *= 2;
    for (let i = 0; i < 200 && high - low > 1e-13 * high; i += 1) {
      const middle = (low + high) / 2;
      if (twoSided(middle, df) > 1 - CONFIDENCE) low = middle;
      else high = middle;
    }
    quantiles.set(df, (low + high) / 2);
  }
  return quantiles.get(df);
}

/** Return mean, half-width of the 95% interval (NaN with fewer than two values) and n. */
function interval(values) {
  const n = values.length;
  if (n === 0) return { mean: NaN, half: NaN, n };
  const mean = d3.fsum(values) / n;
  if (n === 1) return { mean, half: NaN, n };
  const variance = d3.fsum(values, (value) => (value - mean) ** 2) / (n - 1);
  return { mean, half: variance === 0 ? 0 : quantile(n - 1) * Math.sqrt(variance / n), n };
}

/** Return the finite values. */
function finite(values) {
  return values.filter((value) => value !== null && Number.isFinite(value));
}

/** Return the pairs of two rows of values that share a seed. */
function paired(values, reference) {
  const pairs = [];
  values.forEach((value, seed) => {
    if (Number.isFinite(value) && value !== null && Number.isFinite(reference[seed]) && reference[seed] !== null) {
      pairs.push([value, reference[seed]]);
    }
  });
  return pairs;
}

/** Return values less a reference seed by seed: {absolute, percent}. */
function difference(values, reference) {
  const pairs = paired(values, reference);
  const absolute = interval(pairs.map(([value, other]) => value - other));
  return { absolute, percent: percentOf(pairs) };
}

/** Return the mean difference of pairs in percent of the reference's mean, and Fieller's interval of it. */
function percentOf(pairs) {
  const n = pairs.length;
  const nothing = { mean: NaN, low: NaN, high: NaN, n };
  const middle = n ? d3.fsum(pairs, (pair) => pair[1]) / n : 0;
  if (!(Math.abs(middle) > 0)) return nothing;
  const scale = Math.abs(middle);
  const gaps = pairs.map(([value, other]) => (value - other) / scale);
  const base = pairs.map((pair) => (pair[1] / scale) * Math.sign(middle));
  const mean = d3.fsum(gaps) / n;
  if (n === 1) return { mean: 100 * mean, low: NaN, high: NaN, n };
  const factor = quantile(n - 1) ** 2 / n;
  const a = 1 - factor * covariance(base, base);
  const b = mean - factor * covariance(gaps, base);
  const c = mean ** 2 - factor * covariance(gaps, gaps);
  if (a <= 0) return nothing;
  const width = Math.sqrt(Math.max(b * b - a * c, 0));
  return { mean: 100 * mean, low: (100 * (b - width)) / a, high: (100 * (b + width)) / a, n };
}

function covariance(left, right) {
  const n = left.length;
  const [means, others] = [d3.fsum(left) / n, d3.fsum(right) / n];
  return d3.fsum(left, (value, i) => (value - means) * (right[i] - others)) / (n - 1);
}

/** Return the chance of a mean difference so far from zero where there is none; 1 where all differences are zero. */
function chanceOf(gap, n) {
  if (gap.half === 0) return gap.mean === 0 ? 1 : 0;
  return twoSided((Math.abs(gap.mean) / gap.half) * quantile(n - 1), n - 1);
}

/** Return Holm's adjusted chances: to believe those up to 1 - CONFIDENCE keeps the risk that any is wrong at that. */
function holm(chances) {
  const order = d3.sort(d3.range(chances.length), (i) => chances[i]);
  const adjusted = new Array(chances.length);
  let least = 0;
  order.forEach((at, place) => {
    least = Math.max(least, Math.min(1, chances[at] * (chances.length - place)));
    adjusted[at] = least;
  });
  return adjusted;
}

/** Give comparisons {key, gap} that stand side by side their joint verdicts: a Map from key to verdict. Of fewer than
 * two seeds nothing can be told, and what is the same to the last bit is no comparison. */
function jointVerdicts(comparisons, better) {
  const verdicts = new Map(
    comparisons.map(({ key, gap }) => [key, gap.n < 2 || !better ? "cannot tell" : "not distinguishable"]),
  );
  const family = comparisons.filter(({ gap }) => gap.n >= 2 && !(gap.half === 0 && gap.mean === 0) && better);
  const adjusted = holm(family.map(({ gap }) => chanceOf(gap, gap.n)));
  family.forEach(({ key, gap }, i) => {
    if (adjusted[i] <= 1 - CONFIDENCE) verdicts.set(key, gap.mean < 0 === (better === "lower") ? "better" : "worse");
  });
  return verdicts;
}

/** Say whether the seeds tell two candidates apart, by Student's t of their differences. */
function isToldFrom(one, other) {
  const gap = difference(one.values, other.values).absolute;
  return gap.n >= 2 && Math.abs(gap.mean) > gap.half;
}

/** Rank columns of candidates {key, values, mean, complete}, one column an NFE: `first` are the best of their column and
 * its equals, `near` what the seeds cannot tell from it, each by itself. Who lost a seed is neither, and where
 * all means of a column are equal nobody is marked. */
function rank(columns, better) {
  const first = [];
  const near = [];
  for (const column of better ? columns : []) {
    const order = column.filter((each) => each.complete);
    const [low, high] = d3.extent(order, (each) => each.mean);
    if (!order.length || low === high) continue;
    const best = order.find((each) => each.mean === (better === "lower" ? low : high));
    const same = (each) => each.values.every((value, seed) => value === best.values[seed]);
    first.push(...order.filter(same));
    if (finite(best.values).length < 2) continue;
    const others = order.filter((each) => !same(each));
    near.push(...others.filter((each) => !isToldFrom(each, best)));
  }
  return { first: first.map((each) => each.key), near: near.map((each) => each.key) };
}
