"""What a check found: comparisons with their verdicts, events, and the exit code."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from fmbench.results.snapshot import said

Verdict = Literal["worse", "better", "same", "cannot tell"]
Happening = Literal["failed", "vanished", "still failing", "new", "not compared"]
ALARMS: tuple[Happening, ...] = ("failed", "vanished")
CORE: Mapping[str, tuple[str, ...]] = dict.fromkeys(("training code", "evaluation code"), ("training", "evaluation"))
"""The core's code, and the scopes of the metrics that follow from it."""
NOTHING_WORSE, SOMETHING_WORSE, AT_FAULT = 0, 1, 2


@dataclass(frozen=True)
class Comparison:
    """One comparison of tonight with the baseline.

    `what` is compared, as a person says it: by what varies in the suite. `level` is "cell" (one cell over its seeds) or
    "component" (the mean over all cells with what `axes` name; no axes: the whole suite). `effect` is the mean relative
    difference, positive where tonight is *worse*, with `low` and `high` its 95% interval; `p` is adjusted for all
    comparisons of the night. `detectable` is the effect that would be called worse in 9 nights of 10. `before` and
    `after` are the means of a single cell. `explained_by` names the culprit of which this shows another side. `is_time`
    tells a wall time from a score, and `scope` is the metric's.
    """

    metric: str
    level: Literal["cell", "component"]
    what: str
    axes: Mapping[str, str]
    verdict: Verdict
    reason: str = ""
    effect: float | None = None
    low: float | None = None
    high: float | None = None
    seeds: int = 0
    p: float | None = None
    detectable: float | None = None
    before: float | None = None
    after: float | None = None
    explained_by: str = ""
    is_time: bool = False
    scope: str = ""


@dataclass(frozen=True)
class Happened:
    """Something that is not a number: cells or metrics that failed, vanished, are new or were not compared."""

    what: Happening
    name: str
    reason: str = ""
    axes: Mapping[str, str] = field(default_factory=dict)

    @property
    def alarming(self) -> bool:
        """Whether it is a regression."""
        return self.what in ALARMS


@dataclass(frozen=True)
class CodeChange:
    """Code that is not the baseline's: a component's or a metric's, by its label, or modules of the core's.

    `moves` are the comparisons, one a metric, over the cells that the code has a part in.
    """

    kind: str
    labels: tuple[str, ...]
    moves: tuple[Comparison, ...] = ()

    @property
    def is_core(self) -> bool:
        """Whether it is code of the core, which has modules and no label of a suite's."""
        return self.kind in CORE


@dataclass(frozen=True)
class Outcome:
    """Everything that a check found.

    `culprits` are the comparisons that are worse and that no other one explains, the one that explains most first, and
    `improved` those that are better. `changes` is whose code has changed since the baseline, None where the baseline
    does not tell. `trace` says which cells came out differently. With `strict`, a score that moved is a
    regression in whichever direction.
    `not_compared` are the judged metrics of which not one cell could be compared. `fault` is why, where that must not
    pass for a night without a regression; "" where every judged metric was compared, or has a reason to be left out
    (a time on other hardware).
    """

    suite: str
    comparisons: tuple[Comparison, ...]
    events: tuple[Happened, ...]
    culprits: tuple[Comparison, ...] = ()
    notes: tuple[str, ...] = ()
    fault: str = ""
    baseline: Mapping[str, Any] = field(default_factory=dict)
    not_compared: tuple[str, ...] = ()
    improved: tuple[Comparison, ...] = ()
    changes: tuple[CodeChange, ...] | None = None
    trace: str = ""
    strict: bool = False

    @property
    def counts(self) -> dict[str, int]:
        """How many single cells had each verdict, and how many events of each kind there were."""
        verdicts = Counter(c.verdict for c in self.comparisons if c.level == "cell")
        return {
            **{verdict: verdicts[verdict] for verdict in ("worse", "better", "same", "cannot tell")},
            **Counter(event.what for event in self.events),
        }

    @property
    def worse(self) -> list[Comparison]:
        """What got worse, components and cells alike."""
        return [c for c in self.comparisons if c.verdict == "worse"]

    @property
    def shared(self) -> str:
        """What all culprits have in common and other cells have not, "" where there is nothing or one culprit."""
        if len(self.culprits) < 2:
            return ""
        common = set.intersection(*(set(culprit.axes.items()) for culprit in self.culprits))
        metrics = {culprit.metric for culprit in self.culprits}
        cells = [set(c.axes.items()) for c in self.comparisons if c.level == "cell" and c.metric in metrics]
        everywhere = set.intersection(*cells) if cells else set()
        return said(dict(pair for pair in self.culprits[0].axes.items() if pair in common - everywhere))

    @property
    def exit_code(self) -> int:
        """0 nothing got worse, 1 something got worse, failed or vanished (or better, with `strict`), 2 nothing, or no
        cell of a metric, could be compared.
        """
        if self.worse or any(event.alarming for event in self.events) or (self.strict and self.improved):
            return SOMETHING_WORSE
        return AT_FAULT if self.fault else NOTHING_WORSE

    def as_data(self) -> dict[str, Any]:
        """Return plain data for a machine."""
        return {
            "suite": self.suite,
            "exit_code": self.exit_code,
            "counts": self.counts,
            "shared": self.shared,
            "culprits": [{"what": c.what, "metric": c.metric, "effect": c.effect} for c in self.culprits],
            "improved": [{"what": c.what, "metric": c.metric, "effect": c.effect} for c in self.improved],
            "changes": None if self.changes is None else [asdict(change) for change in self.changes],
            "trace": self.trace,
            "events": [asdict(event) for event in self.events],
            "comparisons": [asdict(c) for c in self.comparisons],
            "notes": list(self.notes),
            "not_compared": list(self.not_compared),
            "fault": self.fault,
            "baseline": dict(self.baseline),
        }
