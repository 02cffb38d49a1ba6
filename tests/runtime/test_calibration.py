"""How often a training is timed beside a calibration, on a clock of the test's own: no real time is looked at."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from fmbench.runtime import calibration
from fmbench.runtime.calibration import SHARE, TIMES, Pace

STEPS = 100 * TIMES


@dataclass
class Clock:
    """A clock on which a step takes a second and a calibration so many."""

    calibration: float
    now: float = 0.0

    def calibrate(self, matrix: object) -> float:
        self.now += self.calibration
        return 0.0

    def train(self, members: int) -> tuple[Pace, list[float]]:
        """Train for STEPS; return the pace, and the seconds of each calibration that took place."""
        pace, taken = Pace("cpu", STEPS, _began=self.now), []
        for step in range(1, STEPS + 1):
            self.now += 1.0
            taken.append(pace.note(step, members))
        return pace, [seconds for seconds in taken if seconds]


@pytest.fixture(params=[0.01, 1.0, 10.0, 100.0])
def clock(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock(request.param)
    monkeypatch.setattr(calibration.time, "perf_counter", lambda: found.now)
    monkeypatch.setattr(calibration, "calibrate", found.calibrate)
    return found


def test_calibrations_take_their_share_of_a_training_at_most(clock: Clock) -> None:
    _, taken = clock.train(members=1)
    assert len(taken) <= TIMES
    assert sum(taken[:-1]) <= SHARE * clock.now  # the last one began within its share


def test_where_they_are_cheap_all_of_them_take_place(clock: Clock) -> None:
    _, taken = clock.train(members=1)
    assert (len(taken) == TIMES) is (clock.calibration <= 1.0)
    assert taken, "a long training has at least one"


def test_the_pace_is_the_time_of_a_member_s_step_in_calibrations(clock: Clock) -> None:
    pace, taken = clock.train(members=4)
    assert pace.ratios == pytest.approx([1.0 / 4 / clock.calibration] * (len(taken) - 1))
    expected = (1.0 / 4 / clock.calibration if len(taken) > 1 else 0.0, 0.0)
    assert pace.middle() == pytest.approx(expected)
