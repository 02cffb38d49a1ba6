"""Tests of one metric: every cell over its seeds, and every component over its cells; how false alarms are held at 5%.

**The question.** Training is deterministic, so an unchanged night on the same machine repeats the baseline bit for bit.
Another machine, or a harmless change of code (another order of a sum, other draws), gives another draw of the same
noise: every value moves by what the seeds move it. The hypothesis that a test rejects is therefore: *tonight's seeds
are another draw from where the baseline's seeds came from*. How much such draws differ is said in `noise_model` and in
`fmbench.stats.variance`.

**What is tested.** Beside single cells, components: the mean over all cells with one solver, one path, and so on, which
a fault in that component moves as a whole. The whole suite is tested as well: a fault in every training moves each by
too little to be seen in three seeds, and all of them together by enough.

**Many tests.** One false alarm in all the night's tests has a chance of 5% at most: Holm 1979, A simple sequentially
rejective multiple test procedure, section 4 with weights, over all metrics, wall time included. The whole suite, its
components, combinations of them and single cells have a part of the 5% each (SHARES). Tests are one-sided, and *worse*
has the 5% to itself; *better* has its own.

tests/benchmarks/simulate_nights.py measures what these promises are worth.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from fmbench.regression.noise_model import noise_of_cells, noise_of_means
from fmbench.regression.outcome import Comparison, Verdict
from fmbench.regression.paired_values import PairedValues, is_relative, listed
from fmbench.results.records import TRAINING_AXES, MetricFacts
from fmbench.results.snapshot import AXES, CellGroup, grouped, named, said
from fmbench.stats import multiple_testing
from fmbench.stats.student_t import half_width, quantile
from fmbench.stats.variance import Noise, mean_of

T = TypeVar("T")
Level = Literal["cell", "component"]
Tier = Literal["suite", "component", "combination", "cell"]
SHARES: Mapping[Tier, float] = {"suite": 0.2, "component": 0.4, "combination": 0.2, "cell": 0.2}
"""What each tier may take of the false alarms: a fault in all trainings shows in the whole suite first, and one of a
component in all of its cells, where the noise is less; combinations are trainings and samplers."""
FEW = 2
"""Seeds below which nothing is known of their spread."""


@dataclass(frozen=True)
class Test:
    """A mean relative difference, positive where tonight is worse, with its standard error (NaN: not known).

    `least` is the effect below which a difference does not matter. `parts` are the groups that the mean is over, and
    `settled` is a verdict that needs no test.
    """

    metric: MetricFacts
    level: Level
    what: str
    axes: Mapping[str, str]
    parts: frozenset[CellGroup]
    effect: float
    error: float
    df: float
    least: float
    seeds: int
    reason: str = ""
    settled: Verdict | None = None
    before: float | None = None
    after: float | None = None

    __test__ = False  # no test of pytest's

    @property
    def tier(self) -> Tier:
        """Which share of the false alarms it draws on."""
        if self.level == "cell":
            return "cell"
        tiers: tuple[Tier, ...] = ("suite", "component", "combination")
        return tiers[min(len(self.axes), 2)]


def tests_of(series: Sequence[PairedValues], least: float) -> list[Test]:
    """Return the tests of one metric: its cells, then its components."""
    usable = [each for each in series if not each.reason and len(each.before) >= FEW]
    noises = noise_of_cells(usable)
    varying = varying_axes(series)
    cells = [_cell(each, noises.get(each.group), least, varying) for each in series]
    return cells + _components(usable, least)


def varying_axes(series: Sequence[PairedValues]) -> list[int]:
    """Return the axes on which groups differ."""
    return [i for i in range(len(series[0].group)) if len({each.group[i] for each in series}) > 1] if series else []


def in_words(series: PairedValues, varying: Sequence[int]) -> str:
    """Return a group by what varies, or by its dataset where nothing does."""
    axes = AXES[series.section]
    return said({axes[i]: series.group[i] for i in varying or [0] if series.group[i] != ""})


def _cell(series: PairedValues, noise: Noise | None, least: float, varying: Sequence[int]) -> Test:
    seeds, axes = series.seeds, named(series.section, series.group)
    effect = mean_of(series.differences.values()) if seeds else math.nan
    error, df, reason = math.nan, 0.0, series.reason
    settled: Verdict | None = None
    if series.reason:
        settled = "cannot tell"
    elif series.identical:
        settled, error, reason = "same", 0.0, "bit for bit"
    elif noise is None:
        reason = f"the baseline has {listed(series.before)} only, which says nothing about the spread between seeds"
        settled = "cannot tell"
    else:
        error, df = math.sqrt(noise.variance / len(seeds)), noise.df
    return Test(
        metric=series.metric,
        level="cell",
        what=in_words(series, varying),
        axes=axes,
        parts=frozenset({series.group}),
        effect=effect,
        error=error,
        df=df,
        least=least,
        seeds=len(seeds),
        reason=reason,
        settled=settled,
        before=mean_of(series.before.values()),
        after=mean_of(series.after.values()),
    )


def _components(series: Sequence[PairedValues], least: float) -> list[Test]:
    """Return a test for each component, each sampler, each training and the whole suite, as far as they differ."""
    if len(series) < 2:
        return []
    section = series[0].section
    axes = AXES[section]
    varying = varying_axes(series)
    training = [i for i in varying if axes[i] in TRAINING_AXES]
    sampler = [i for i in varying if axes[i] not in TRAINING_AXES]
    seen: set[frozenset[CellGroup]] = set()
    by_group = {each.group: each for each in series}
    tests: list[Test] = []
    for chosen in [[], *([i] for i in varying), training, sampler]:
        sets = partition(by_group, chosen, seen)
        noises = noise_of_means(sets.values(), moderate=bool(chosen) and set(chosen) <= set(training))
        for (labels, members), noise in zip(sets.items(), noises, strict=True):
            where = {axes[i]: label for i, label in zip(chosen, labels, strict=True)}
            tests.append(_component(members, where, noise, least))
    return tests


def partition(
    members: Mapping[CellGroup, T], chosen: Sequence[int], seen: set[frozenset[CellGroup]]
) -> dict[tuple[str, ...], list[T]]:
    """Return what groups have by their labels on the chosen axes, without single cells and sets that were seen before.

    What it returns counts as seen from then on.
    """
    sets = grouped((tuple(group[i] for i in chosen), group) for group in members)
    kept = {labels: groups for labels, groups in sets.items() if len(groups) > 1 and frozenset(groups) not in seen}
    seen.update(map(frozenset, kept.values()))
    return {labels: [members[group] for group in groups] for labels, groups in kept.items()}


def _component(members: Sequence[PairedValues], axes: Mapping[str, str], noise: Noise, least: float) -> Test:
    effect = mean_of([mean_of(each.differences.values()) for each in members])
    seeds = min(len(each.seeds) for each in members)
    identical = all(each.identical for each in members)
    return Test(
        metric=members[0].metric,
        level="component",
        what=said(axes) or "the whole suite",
        axes=axes,
        parts=frozenset(each.group for each in members),
        effect=effect,
        error=0.0 if identical else math.sqrt(noise.variance / seeds),
        df=noise.df,
        least=least,
        seeds=seeds,
        reason="bit for bit" if identical else "",
        settled="same" if identical else None,
    )


def judge(tests: Sequence[Test], alpha: float = multiple_testing.FALSE_ALARMS) -> list[Comparison]:
    """Return the verdicts on all tests of a night."""
    shares = _shares(tests)
    sides = [multiple_testing.holm([_p(test, sign) for test in tests], shares) if tests else [] for sign in (1.0, -1.0)]
    return [
        _compared(test, worse, better, alpha, share)
        for test, worse, better, share in zip(tests, *sides, shares, strict=True)
    ]


def _p(test: Test, sign: float) -> float:
    return 1.0 if test.settled else multiple_testing.p_worse(sign * test.effect, test.error, test.df)


def _shares(tests: Sequence[Test]) -> list[float]:
    """Return the weight of each test: the tiers share the false alarms as SHARES says, and the tests of one evenly."""
    sizes = Counter(test.tier for test in tests)
    total = math.fsum(SHARES[tier] for tier in sizes)
    return [SHARES[test.tier] / total / sizes[test.tier] for test in tests]


def _compared(test: Test, p_worse: float, p_better: float, alpha: float, share: float) -> Comparison:
    known = test.settled is None
    half = half_width(test.error, test.df) if known else 0.0
    low, high = test.effect - half, test.effect + half
    verdict, reason = test.settled, test.reason
    if verdict is None:
        beyond = min(p_worse, p_better) <= alpha
        if beyond and abs(test.effect) >= test.least:
            verdict = "worse" if test.effect > 0 else "better"
        elif (-test.least < low and high < test.least) or beyond:
            verdict, reason = "same", f"within {100 * test.least:.0f}%"
        else:
            verdict = "cannot tell"
            reason = test.reason or "the noise leaves room for both a change and none"
    detectable = None
    if test.df > 0 and math.isfinite(test.error) and known:
        first, power = (quantile(test.df, q) for q in (1 - alpha * share, multiple_testing.POWER))
        detectable = max((first + power) * test.error, test.least)
    shown = known or verdict == "same"
    return Comparison(
        test.metric.name, test.level, test.what, test.axes, verdict, reason,
        test.effect if shown else None, low if shown else None, high if shown else None, test.seeds,
        min(p_worse, p_better) if known else None, detectable, test.before, test.after, "", is_relative(test.metric),
        test.metric.scope,
    )  # fmt: skip
