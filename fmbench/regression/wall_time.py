"""Wall time: the ratio of a sampler's time to a calibration's, both measured in one process, tonight and then.

A metric of scope "sampler" gives the ratio as `<name>_relative` and the distance between the quartiles of its repeats
as `<name>_relative_iqr`. Seeds and weights have no part in it, so each sampler is measured once a night. The noise of a
measurement is what the samplers' ratios scatter by around their median, or what its own repeats scatter by where that
is more: on a busy machine they do, and then nothing can be told. A test must find the ratio beyond the threshold, and
beyond the noise. Components are judged by the median of their samplers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from fmbench.cells.setting_axes import SETTING_AXES
from fmbench.regression.hypothesis_tests import Test, partition, varying_axes
from fmbench.regression.paired_values import PairedValues, all_series, listed
from fmbench.results.records import MetricFacts
from fmbench.results.snapshot import AXES, CellGroup, Snapshot, named, said

NOT_MEASURED = ("path", "coupling", "t_distribution", *SETTING_AXES)
"""Axes that a sampler's time does not depend on."""
IQR_OF_NORMAL = 1.349
MEDIAN_OF_NORMAL = math.sqrt(math.pi / 2)
LEAST_NOISE, LEAST_DF = 0.02, 6.0
LARGEST_LOG = 138.0
"""Above it a ratio is beyond 1e59, and it does not matter how far."""


def timing_tests(before: Snapshot, after: Snapshot, facts: MetricFacts, slower: float) -> list[Test]:
    """Return the tests of one relative time: each sampler's, each component's median. `slower` is the threshold."""
    series, spreads = all_times(before, after, facts)
    measured, reasons = _measured(series)
    if not measured:
        return [_untimed(each, slower, _varying(list(reasons))) for each in reasons.values()]
    representatives = list(measured.values())
    scatter = _scatter(representatives)
    noises = {each.group: max(scatter, own_noise(each, spreads.get(each.group))) for each in representatives}
    df = max(len(representatives) - 1.0, LEAST_DF)
    varying = _varying([*measured, *reasons])
    tests = [_untimed(each, slower, varying) for key, each in reasons.items() if key not in measured]
    tests += [_sampler(each, noises[each.group], df, slower, varying) for each in representatives]
    return tests + _components(representatives, noises, df, slower)


def all_times(
    before: Snapshot, after: Snapshot, facts: MetricFacts
) -> tuple[list[PairedValues], dict[CellGroup, PairedValues]]:
    """Return the series of a relative time, of which less is better, and by group those of its repeats' spread."""
    facts = replace(facts, better="lower")
    spreads = all_series(before, after, replace(facts, name=f"{facts.name}_iqr"))
    return [_with_times(each) for each in all_series(before, after, facts)], {each.group: each for each in spreads}


def _with_times(series: PairedValues) -> PairedValues:
    """Return the series with a reason where one of its times is none: a ratio needs times above 0."""
    for night, values in (("the baseline", series.before), ("tonight", series.after)):
        for seed, value in values.items():
            if not series.reason and value <= 0:
                return replace(series, reason=f"a time of {value:g} in {night} ({listed([seed])}) has no ratio")
    return series


def _measured(series: Sequence[PairedValues]) -> tuple[dict[CellGroup, PairedValues], dict[CellGroup, PairedValues]]:
    """Return one series for each measurement, and one for each that cannot be compared."""
    measured: dict[CellGroup, PairedValues] = {}
    not_comparable: dict[CellGroup, PairedValues] = {}
    for each in series:
        found = not_comparable if each.reason else measured
        found.setdefault(_measurement(each), each)
    return measured, not_comparable


def _measurement(series: PairedValues) -> CellGroup:
    """Return what a measurement is named by; an adaptive solver's calls depend on the weights, so on the training."""
    axes = AXES["evaluation"]
    if series.group[axes.index("nfe")] == "":
        return series.group
    return tuple("" if axis in NOT_MEASURED else label for axis, label in zip(axes, series.group, strict=True))


def _axes(series: PairedValues) -> dict[str, str]:
    return named("evaluation", _measurement(series))


def _log_ratio(series: PairedValues) -> float:
    return float(np.median([math.log(series.after[seed]) - math.log(series.before[seed]) for seed in series.seeds]))


def own_noise(series: PairedValues, spread: PairedValues | None) -> float:
    """Return the standard deviation of a log ratio that the repeats of both measurements show."""
    if spread is None or not spread.seeds:
        return 0.0
    seed = spread.seeds[0]
    parts = (spread.before[seed] / series.before[seed], spread.after[seed] / series.after[seed])
    return min(math.hypot(*parts) / IQR_OF_NORMAL, LARGEST_LOG)


def _scatter(series: Sequence[PairedValues]) -> float:
    """Return the standard deviation of the log ratios, at least LEAST_NOISE.

    It is that around the median of each network with each solver, so that one of them that is slower does not
    pass for noise; where there are too few for that, around the median of all.
    """
    logs = np.array([_log_ratio(each) for each in series])
    axes = AXES["evaluation"]
    chosen = [axes.index(axis) for axis in ("dataset", "network", "solver")]
    of = [tuple(each.group[i] for i in chosen) for each in series]
    if len(logs) < 2 * len(set(of)):
        of = [()] * len(logs)
    middles = {key: np.median(logs[[other == key for other in of]]) for key in set(of)}
    residuals = logs - np.array([middles[key] for key in of])
    quartiles = np.quantile(residuals, [0.25, 0.75])
    lost = math.sqrt(len(logs) / max(len(logs) - len(middles), 1))
    return max(lost * float(quartiles[1] - quartiles[0]) / IQR_OF_NORMAL, LEAST_NOISE)


def _varying(measurements: Sequence[CellGroup]) -> list[str]:
    """Return the axes on which measurements differ, or the dataset where there is one measurement only."""
    axes = AXES["evaluation"]
    return [axis for axis, labels in zip(axes, zip(*measurements, strict=True), strict=True) if len(set(labels)) > 1]


def _what(series: PairedValues, varying: Sequence[str]) -> str:
    """Return a measurement by what varies, or by its dataset where nothing does."""
    return said({axis: label for axis, label in _axes(series).items() if axis in (varying or AXES["evaluation"][:1])})


def _untimed(series: PairedValues, slower: float, varying: Sequence[str]) -> Test:
    return timed(_axes(series), _what(series, varying), [series], slower, reason=series.reason)


def _sampler(series: PairedValues, noise: float, df: float, slower: float, varying: Sequence[str]) -> Test:
    unstable = f"its times are known to {100 * noise:.0f}% only" if noise > math.log(slower) / 3 else ""
    test = timed(_axes(series), _what(series, varying), [series], slower, _log_ratio(series), noise, df)
    return replace(test, reason=unstable)


def _components(
    series: Sequence[PairedValues], noises: Mapping[CellGroup, float], df: float, slower: float
) -> list[Test]:
    """Return the tests of medians over what shares a dataset, objective, network, solver, ..., and over everything."""
    axes = AXES["evaluation"]
    varying = [i for i in varying_axes(series) if axes[i] not in NOT_MEASURED]
    seen: set[frozenset[CellGroup]] = set()
    by_group = {each.group: each for each in series}
    tests = []
    for chosen in [[], *([i] for i in varying)]:
        for labels, members in partition(by_group, chosen, seen).items():
            where = {axes[i]: label for i, label in zip(chosen, labels, strict=True)}
            middle = float(np.median([_log_ratio(each) for each in members]))
            noise = math.sqrt(sum(noises[each.group] ** 2 for each in members) / len(members))
            error = MEDIAN_OF_NORMAL * noise / math.sqrt(len(members))
            tests.append(timed(where, said(where) or "the whole suite", members, slower, middle, error, df))
    return tests


def timed(
    axes: Mapping[str, str],
    what: str,
    members: Sequence[PairedValues],
    slower: float,
    log_ratio: float = math.nan,
    error: float = math.nan,
    df: float = 0.0,
    reason: str = "",
) -> Test:
    """Return a test of a log ratio, said on the scale of the ratio: effect over error stays what it is."""
    log_ratio = min(log_ratio, LARGEST_LOG)
    effect = math.expm1(log_ratio)
    single = members[0] if len(members) == 1 else None
    return Test(
        metric=members[0].metric,
        level="component" if single is None else "cell",
        what=what,
        axes=axes,
        parts=frozenset(each.group for each in members),
        effect=effect,
        error=error * (effect / log_ratio if log_ratio else 1.0),
        df=df,
        least=slower - 1,
        seeds=1,
        reason=reason,
        settled="cannot tell" if reason else None,
        before=None if single is None else float(np.median(list(single.before.values()))),
        after=None if single is None else float(np.median(list(single.after.values()))),
    )
