"""How a run gets on where there is no terminal, in a log say: one line a minute."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from fmbench.io.printable_text import count
from fmbench.io.threads import start_thread

EVERY = 60.0
"""Seconds from one line to the next."""
LONGEST = 100
"""Letters of what is at work."""
UNITS = {
    "preparing": "prepared",
    "training": "steps trained",
    "evaluation": "cells evaluated",
    "timing": "samplers timed",
    "logging": "runs logged",
    "merging": "cells merged",
}


@dataclass
class Stage:
    """How far a stage is; `first` units of it were done when it began, at `began` on the clock."""

    total: int
    done: int
    first: int
    began: float

    def seconds_left(self, now: float) -> float | None:
        """Return the seconds to go at the pace so far; None where nothing shows it."""
        if self.done <= self.first or now <= self.began:
            return None
        return (self.total - self.done) * (now - self.began) / (self.done - self.first)


class ProgressLines:
    """Counts what an observer of a run is told, and says it: how much is done, what is at work, the time to go, what
    failed. `tick` says a line where the last one is EVERY seconds old; a thread calls it between `start` and `stop`.
    """

    def __init__(self, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._say, self._clock = say, clock
        self._stages: dict[str, Stage] = {}
        self._at_work: dict[str, str] = {}
        self._failed = 0
        self._begun = self._last = clock()
        self._lock, self._over = threading.Lock(), threading.Event()

    def start(self) -> None:
        """Begin to say lines."""
        start_thread(self._attend)

    def stop(self) -> None:
        """Say no more lines."""
        self._over.set()

    def begin(self, stage: str, total: int, done: int) -> None:
        """A stage begins, or has a new total."""
        with self._lock:
            known = self._stages.get(stage)
            first, began = (known.first, known.began) if known else (done, self._clock())
            self._stages[stage] = Stage(total, done, first, began)

    def advance(self, stage: str, amount: int) -> None:
        """So many units of a stage are done."""
        with self._lock:
            self._stages[stage].done += amount

    def end(self, stage: str) -> None:
        """A stage has ended."""
        with self._lock:
            self._stages.pop(stage, None)

    def began(self, unit: str, what: str) -> None:
        """A worker has begun a unit."""
        with self._lock:
            self._at_work[unit] = what

    def ended(self, unit: str, *, failed: bool) -> None:
        """A unit has ended."""
        with self._lock:
            self._at_work.pop(unit, None)
            self._failed += failed

    def tick(self) -> None:
        """Say a line where one is due."""
        with self._lock:
            now = self._clock()
            if not self._stages or now - self._last < EVERY:
                return
            self._last = now
            line = self._line(now)
        self._say(line)

    def _attend(self) -> None:
        while not self._over.wait(1.0):
            self.tick()

    def _line(self, now: float) -> str:
        said = [self._stage(name, stage, now) for name, stage in self._stages.items()]
        if self._at_work:
            units = Counter(unit.partition(" ")[0] for unit in self._at_work)
            counted = ", ".join(count(number, unit) for unit, number in units.items())
            first = next(iter(self._at_work.values()))
            said.append(f"at work: {counted} ({first[:LONGEST]}{', ...' if len(self._at_work) > 1 else ''})")
        said.append(f"{self._failed} failed" if self._failed else "none failed")
        return f"After {duration(now - self._begun)}: {'; '.join(said)}"

    def _stage(self, name: str, stage: Stage, now: float) -> str:
        left = stage.seconds_left(now)
        ahead = f", about {duration(left)} to go" if left is not None and stage.done < stage.total else ""
        return f"{stage.done:,} of {stage.total:,} {UNITS[name]}{ahead}"


def duration(seconds: float) -> str:
    """Say how long something takes: "40 s", "3 min", "2 h 5 min"."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"
