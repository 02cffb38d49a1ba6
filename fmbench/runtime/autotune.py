"""What the short measured probes share: a clock, rounds in which ways take turns, and the record of what was found.

Imports torch where it is used only: the driver looks into records, too.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from fmbench.errors import DamagedFile
from fmbench.io.json_forms import MOST_WHOLE
from fmbench.runtime.device import device_type, synchronise
from fmbench.runtime.environment import measured_on
from fmbench.store.atomic_files import read_sealed, write_sealed

log = logging.getLogger(__name__)

ROUNDS, MOST_ROUNDS, LONG = 5, 101, 0.05
"""Rounds in which ways take turns, after a call of each to warm up: more, where calls are short, until they took so
many seconds together. A few calls of a fraction of a millisecond would show what disturbed them."""

FLEET_SIZE = {"size": int}
"""What must be on record of the size of a fleet."""


def read_cached(file: Path, form: Mapping[str, type]) -> dict[str, Any] | None:
    """Return what a probe left in a file, of the names and types in `form`.

    None where it left nothing, where that is damaged, or where another version left something else: then it is measured
    again. A whole number counts things, and is 1 at least.
    """
    try:
        known = read_sealed(file)
    except DamagedFile as error:
        log.warning("%s, so it is measured again", error)
        return None
    if not isinstance(known, dict) or any(type(known.get(name)) is not kind for name, kind in form.items()):
        return None
    if any(kind is int and not 1 <= known[name] < MOST_WHOLE for name, kind in form.items()):
        return None
    return {name: known[name] for name in form}


def cached_or_measured(
    file: Path, form: Mapping[str, type], measure: Callable[[], Mapping[str, Any]]
) -> Mapping[str, Any]:
    """Return what is on record in a file, or else measure it and leave it there."""
    known: Mapping[str, Any] | None = read_cached(file, form)
    if known is None:
        known = measure()
        write_sealed(file, known)
    return known


def machine(device: str, threads: int) -> tuple[str, ...]:
    """Return what two probes must share to find the same."""
    return (device_type(device), str(threads), *measured_on(device).values())


def seconds(work: Callable[[], object], device: str, threads: int) -> float:
    """Return the seconds that a call takes, until the device has done all of it."""
    # One thread's own time is not disturbed by what else the machine computes.
    clock = time.process_time if device == "cpu" and threads == 1 else time.perf_counter
    synchronise(device)
    began = clock()
    work()
    synchronise(device)
    return clock() - began


def interleaved(
    ways: Mapping[str, Callable[[], object]],
    device: str,
    threads: int,
    *,
    rounds: int,
    most: int | None = None,
    long: float = 0.0,
) -> dict[str, list[float]]:
    """Return the seconds that each of some ways takes, round by round.

    Each round runs all ways, one after the other, in an order that is turned around each time: on a machine
    that is slow for a while all ways are, and what is compared is what stood side by side. Beyond `rounds` there are
    more, up to `most`, until they took `long` seconds together.
    """
    taken: dict[str, list[float]] = {name: [] for name in ways}
    number, spent = 0, 0.0
    while number < rounds or (number < (most or rounds) and spent < long):
        for name in sorted(ways, reverse=bool(number % 2)):
            taken[name].append(seconds(ways[name], device, threads))
            spent += taken[name][-1]
        number += 1
    return taken


def interleaved_calls(ways: Mapping[str, Callable[[], object]], device: str, threads: int) -> dict[str, list[float]]:
    """Return what `interleaved` does for calls of networks, which may be short: in as many rounds as those need."""
    return interleaved(ways, device, threads, rounds=ROUNDS, most=MOST_ROUNDS, long=LONG)


def is_faster(candidate: Sequence[float], best: Sequence[float], gain: float) -> bool:
    """Whether a candidate takes less than the share `gain` of the seconds of the best so far, round by round.

    It does if the median of the ratios says so, and four ratios of five are below 1 at all; in doubt it does not.
    """
    ratios = [new / old for new, old in zip(candidate, best, strict=True)]
    return median(ratios) < gain and sum(ratio < 1 for ratio in ratios) >= 0.8 * len(ratios)
