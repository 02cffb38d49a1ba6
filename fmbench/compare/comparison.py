"""The comparison as data: a verdict for each configuration that both sides have, and for all of them together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from fmbench.compare.compared_results import ComparedResults
from fmbench.results.records import MetricFacts
from fmbench.results.snapshot import CellGroup, Section, grouped
from fmbench.stats.paired_seeds import Interval, Percent


@dataclass(frozen=True)
class RowComparison:
    """One metric of one configuration: B less A.

    `groups` are its labels in A and in B. `gap` and `percent` are None where nothing is compared, and `reason` says
    why, or, where there is a verdict, how else it must be read. `verdict` holds jointly with those of all rows that are
    judged; it is "" where a metric is shown and not judged. `needed` says how many seeds would tell. `by_seed` are the
    values of A and B of the seeds that are paired.
    """

    groups: tuple[CellGroup, CellGroup]
    before: Interval
    after: Interval
    gap: Interval | None = None
    percent: Percent | None = None
    p: float | None = None
    paired: bool = True
    verdict: str = ""
    needed: str = ""
    reason: str = ""
    by_seed: Mapping[int, tuple[float, float]] = field(default_factory=dict)

    @property
    def is_identical(self) -> bool:
        """Whether all seeds have the same values on both sides, to the last bit."""
        return bool(self.by_seed) and all(before == after for before, after in self.by_seed.values())


@dataclass(frozen=True)
class Overall:
    """The mean over all configurations of a metric: how much larger B is, in percent, by seed.

    It is the mean of logarithms of ratios, so that no configuration counts more because its values are large.
    """

    percent: Percent
    rows: int
    p: float | None
    verdict: str
    needed: str


@dataclass(frozen=True)
class MetricComparison:
    """All that is said of one metric. `judged` tells whether it has verdicts, and `why` why not."""

    facts: MetricFacts
    section: Section
    rows: Sequence[RowComparison]
    judged: bool
    why: str = ""
    overall: Overall | None = None

    @property
    def refused(self) -> dict[str, int]:
        """Why rows are not compared, and how many."""
        reasons = grouped((row.reason, row) for row in self.rows if row.gap is None)
        return {reason: len(rows) for reason, rows in reasons.items()}


@dataclass(frozen=True)
class ResultsComparison:
    """Two sides compared. `only_before` and `only_after` are configurations that one side alone has, in words, by
    section; `differing` what else differs between them, `lost` cells that A
    has and that failed in B, and `judged_together` how many verdicts on rows hold jointly.
    """

    before: ComparedResults
    after: ComparedResults
    metrics: Sequence[MetricComparison]
    only_before: Mapping[Section, Sequence[str]]
    only_after: Mapping[Section, Sequence[str]]
    differing: Sequence[str]
    notes: Sequence[str]
    lost: Sequence[str]
    judged_together: int

    def with_verdict(self, verdict: str) -> list[tuple[MetricComparison, RowComparison]]:
        """Return the rows of a verdict, with their metric."""
        return [(each, row) for each in self.metrics if each.judged for row in each.rows if row.verdict == verdict]

    @property
    def got_worse(self) -> bool:
        """Whether any row, or a metric over all rows, is worse in B, or a cell of A's failed in B."""
        overall = bool(self.lost) or any(each.overall and each.overall.verdict == "worse" for each in self.metrics)
        return overall or bool(self.with_verdict("worse"))
