"""Simulated histories: how often does `fmbench history` find a step where there is none, and how often one that is?

    python tests/benchmarks/simulate_history.py [--histories 1000] [--suites 200]

Single lines have nights of normal noise; steps are of three standard deviations of a night, at any place that leaves
five nights on either side. Suites have two paths, three solvers, two NFE and three seeds, so 12 cells and 8 lines above
them. Their noise is that of trainings (a path and seed), which all evaluations of a training share, and that of cells:

- "nights": both are drawn anew each night, as where sums are added in any order;
- "repeats": nights repeat each other bit for bit, but at five of them everything is drawn anew, as where a harmless
  change of code changes what is drawn.

A planted step makes one solver worse by 20%.

Measured (1000 lines and 150 suites of each kind, no least effect), by nights:

|                                                        | 10    | 30    | 100   |
|--------------------------------------------------------|-------|-------|-------|
| unchanged lines with any step                          | 2.6%  | 3.4%  | 3.1%  |
| the same, one night off by 10 standard deviations      | 0.5%  | 1.3%  | 2.0%  |
| steps found within a night                             |       | 95.7% | 97.2% |
| lines with a step that also have one elsewhere         |       | 7.2%  | 5.7%  |
| "nights": unchanged suites with any step in any line   | 1.3%  | 4.7%  | 2.7%  |
| "nights": suites whose faulty solver is named          | 100%  | 100%  | 100%  |
| "repeats": unchanged suites with any step in any line  | 2.0%  | 3.3%  | 3.3%  |
| "repeats": suites whose faulty solver is named         | 88.0% | 95.3% | 98.7% |
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import product

import numpy as np
import pandas as pd

from fmbench.history import History, StepsOfLine, TrendLine, find_steps, make_lines, told_first
from fmbench.history.change_points import DF, scatter
from fmbench.history.night import AXIS_COLUMNS, NightFacts
from fmbench.results.records import MetricFacts

FID = MetricFacts("fid", "lower", "", "evaluation", "fid")
TRAINING, CELL = 0.03, 0.02
"""Standard deviations of the logarithm of a value: what a training's evaluations share, and what each has alone."""


def night(number: int) -> NightFacts:
    """Return the facts of a night, each with a commit of its own."""
    time = (pd.Timestamp("2026-01-01T02:00:00") + pd.Timedelta(days=number)).isoformat()
    return NightFacts(f"{time}+00:00", time, f"{number:012x}", False, "a machine", "v", "0", f"c{number}", f"{number}")


def history(values: dict[tuple[str, str, str, int], np.ndarray]) -> History:
    """Return a history from values `(nights,)` by path, solver, NFE and seed."""
    rows = []
    for (path, solver, nfe, seed), series in values.items():
        labels = {"path": path, "solver": solver, "nfe": nfe, "dataset": "digits"}
        for number, value in enumerate(series):
            rows.append((number, *(labels.get(axis, "-") for axis in AXIS_COLUMNS), seed, float(value)))
    frame = pd.DataFrame(rows, columns=["night", *AXIS_COLUMNS, "seed", "value"])
    frame = frame.assign(section="evaluation", metric="fid", status="ok", identity="i")
    nights = [night(number) for number in range(int(frame["night"].max()) + 1)]
    return History("simulated", nights, frame, {"fid": FID}, {}, {})


def suite(rng: np.random.Generator, nights: int, kind: str, factor: float = 1.0, start: int = 0) -> History:
    """Return a simulated suite; from the night `start` on, solver c is worse by `factor`."""
    drawn = (
        np.arange(nights) if kind == "nights" else np.searchsorted(np.sort(rng.choice(nights, 5)), np.arange(nights))
    )
    of_training = {each: rng.normal(0, TRAINING, nights)[drawn] for each in product("ab", range(3))}
    values = {}
    for path, solver, nfe, seed in product("ab", "abc", "48", range(3)):
        logs = 1.0 + of_training[path, seed] + rng.normal(0, CELL, nights)[drawn]
        values[path, solver, nfe, seed] = np.exp(logs) * np.where(
            (np.arange(nights) >= start) & (solver == "c"), factor, 1
        )
    return history(values)


def line(level: np.ndarray) -> TrendLine:
    """Return a single line of one seed."""
    nights = np.arange(len(level))
    none = np.full(len(level), np.nan)
    return TrendLine("line", "cell", {}, frozenset({("x",)}), nights, level, level[:, None], level, none, False, False)


def single(
    rng: np.random.Generator, nights: int, size: float = 0.0, start: int = 0, outlier: float = 0.0
) -> StepsOfLine:
    """Return what is found in a line of normal noise with a step of `size` and one night that is off by `outlier`."""
    level = rng.normal(size=nights) + size * (np.arange(nights) >= start)
    level[nights // 3] += outlier
    return find_steps([line(level)], FID, effect=0.0)[0]


def false_lines(rng: np.random.Generator, histories: int, nights: int, outlier: float = 0.0) -> float:
    """Return the part of unchanged lines that have a step."""
    return float(np.mean([bool(single(rng, nights, outlier=outlier).steps) for _ in range(histories)]))


def found_lines(rng: np.random.Generator, histories: int, nights: int, size: float = 3.0) -> tuple[float, float]:
    """Return the part of steps that are found within a night, and that of lines with a step elsewhere."""
    near, elsewhere = [], []
    for _ in range(histories):
        start = int(rng.integers(5, nights - 4))
        at = [step.after for step in single(rng, nights, size, start).steps]
        near.append(any(abs(each - start) <= 1 for each in at))
        elsewhere.append(any(abs(each - start) > 1 for each in at))
    return float(np.mean(near)), float(np.mean(elsewhere))


def suites(
    rng: np.random.Generator, count: int, nights: int, kind: str, factor: float = 1.0
) -> Iterator[list[StepsOfLine]]:
    """Yield what is found in simulated suites; a planted fault begins at two thirds."""
    for _ in range(count):
        known = suite(rng, nights, kind, factor, 2 * nights // 3)
        yield find_steps(make_lines(known, FID), FID, effect=0.0)


def false_suites(rng: np.random.Generator, count: int, nights: int, kind: str) -> float:
    """Return the part of unchanged suites in which any line has a step."""
    return float(np.mean([any(one.steps for one in found) for found in suites(rng, count, nights, kind)]))


def named_suites(rng: np.random.Generator, count: int, nights: int, kind: str) -> float:
    """Return the part of faulty suites whose first step told is that of the solver, within a night."""
    named = []
    for found in suites(rng, count, nights, kind, 1.2):
        told = [(one.line.name, abs(step.after - 2 * nights // 3) <= 1) for one, step in told_first(found)]
        named.append(("solver c", True) in told)
    return float(np.mean(named))


def degrees_of_freedom(rng: np.random.Generator, histories: int, nights: int) -> float:
    """Return the degrees of freedom a difference that the scatter of `scatter` shows."""
    from scipy.optimize import brentq
    from scipy.special import polygamma

    logs = np.log([scatter(rng.normal(size=nights)).variance for _ in range(histories)])
    return float(2 * brentq(lambda half: polygamma(1, half) - np.var(logs), 1e-2, 1e5) / (nights - 1))


def main() -> None:
    """Print all of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--histories", type=int, default=1000)
    parser.add_argument("--suites", type=int, default=200)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    for nights in (10, 30, 100):
        few, many = options.histories, options.suites
        print(f"{nights} nights: degrees of freedom a difference {degrees_of_freedom(rng, few, nights):.2f} ({DF})")
        print(f"  unchanged lines with a step {false_lines(rng, few, nights):.3f}")
        print(f"  the same with one night off by 10 sigma {false_lines(rng, few, nights, 10.0):.3f}")
        if nights > 10:
            near, elsewhere = found_lines(rng, few, nights)
            print(f"  steps of 3 sigma found within a night {near:.3f}, lines with a step elsewhere {elsewhere:.3f}")
        for kind in ("nights", "repeats"):
            print(f"  {kind}: unchanged suites with a step {false_suites(rng, many, nights, kind):.3f}", end="")
            print(f", faulty suites whose solver is named {named_suites(rng, many, nights, kind):.3f}", flush=True)


if __name__ == "__main__":
    main()
