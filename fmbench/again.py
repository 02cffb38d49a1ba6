"""An alarm about time is measured again at another moment, and only what holds each time is one.

A machine that others share is slower for a while, and not for everything alike: the calibration beside a measurement
does not take all of that away.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from fmbench.computation import Computation, Observer
from fmbench.records import Records
from fmbench.regression import Outcome, alarmed_samplers
from fmbench.session import Session

MOMENTS = 2
"""How often, at most, what seems slower is measured again."""


def confirm(
    session: Session, records: Records, judge: Callable[[Records], Outcome], observer: Observer
) -> tuple[Records, Outcome]:
    """Judge the records; measure again, at other moments, what is worse about times, and judge with the least of them.

    Both measurements stay in the store (see `fmbench.timings.joined`). Return the records and the outcome in the end.
    """
    first = outcome = judge(records)
    for moment in range(1, MOMENTS + 1):
        cells = alarmed_samplers(records, outcome)
        if not cells:
            break
        observer.say(f"{len(cells)} samplers seem slower than in the baseline: measured again ({moment})")
        Computation(session, session.survey(), observer, None).time_again(cells)
        records = session.records(session.survey())
        outcome = judge(records)
    if first is outcome:
        return records, outcome
    return records, replace(outcome, notes=(*outcome.notes, _said(first, outcome)))


def _said(first: Outcome, last: Outcome) -> str:
    alarms, held = (
        {(c.metric, c.what) for c in each.comparisons if c.verdict == "worse" and c.is_time} for each in (first, last)
    )
    lost = [f"{metric} of {what}" for metric, what in sorted(alarms - held)]
    shown = "; ".join(lost[:2]) + (f" and {len(lost) - 2} more" if len(lost) > 2 else "")
    return "times that seemed worse were measured again: " + (f"no alarm for {shown}" if lost else "they still do")
