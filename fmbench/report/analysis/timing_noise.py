"""Which measured times a report takes as fact, and what it says of the others."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from fmbench.io.printable_text import count
from fmbench.report.result_table import ResultTable, Row
from fmbench.results.records import MetricFacts
from fmbench.store.sampler_timings import MOST_SPREAD, Measured, falling, measured

MOST_UNSTEADY = 0.25
"""Where more than this part of the times is unsteady, none of them is drawn or judged."""
WIDE = f"the middle half of the repeats spreads over more than {MOST_SPREAD:.0%} of the time"
FALLS = "a sampler seems to take less time for more calls"

EvaluationPoint = tuple[Row, int | None]
"""An evaluation row and its NFE budget, None for an adaptive solver."""


@dataclass(frozen=True)
class Steadiness:
    """How many times of a metric a result table has, and why some of them do not count, by row and budget."""

    clock: str
    times: int
    unsteady: Mapping[EvaluationPoint, str]

    @property
    def hidden(self) -> bool:
        """Whether so many times are unsteady that none is drawn or judged."""
        return len(self.unsteady) > MOST_UNSTEADY * self.times

    def note(self) -> str:
        """Say how many times do not count, and why; "" where all do."""
        if not self.unsteady:
            return ""
        reasons = "; ".join(sorted(set(self.unsteady.values())))
        consequence = (
            "no figure shows times, and nothing is judged by them" if self.hidden else "figures leave them out"
        )
        return (
            f"Unsteady are {len(self.unsteady)} of {count(self.times, 'time')} of {self.clock}, measured twice "
            f"({reasons}), so that {consequence}. On a quiet machine `fmbench retry` measures them again."
        )


def steadiness(result_table: ResultTable, clock: MetricFacts) -> Steadiness:
    """Return which times of a result table are unsteady. A metric without a spread is steady as far as that goes."""
    times: dict[EvaluationPoint, Measured] = {}
    for place, records in result_table.cells.items():
        known = [found for r in records if math.isfinite((found := measured(r.metrics, clock.name)).time)]
        if known:
            times[place] = max(known, key=lambda found: found.spread / (found.time or 1.0))
    unsteady = {place: WIDE for place, found in times.items() if found.wide}
    rows: dict[Row, dict[int, Measured]] = {}
    for (row, nfe), found in times.items():
        if nfe is not None and (row, nfe) not in unsteady:
            rows.setdefault(row, {})[nfe] = found
    unsteady |= {(row, nfe): FALLS for row, by_nfe in rows.items() for nfe in falling(by_nfe)}
    return Steadiness(clock.name, len(times), unsteady)
