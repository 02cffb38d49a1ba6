"""Where the store keeps what samplers cost, a folder for each sampler and each hardware, and which times are steady.

On a busy machine a time says more of the machine than of the sampler. It is unsteady where its repeats differ much, or
where the same solver seems to take less time for more calls.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import combinations
from typing import Any, NamedTuple

from fmbench.cells.keys import digest

Result = Mapping[str, Any] | None
"""The result of a finished cell, or None."""

RELATIVE = "_relative"
"""What the name of a time in units of a calibration ends with."""
SPREAD = "_iqr"
"""What follows a time's name in the name of its spread: the distance between the quartiles of its repeats."""
MOST_SPREAD = 0.25
"""A time is unsteady where its spread is more than this part of it."""


UNKNOWN_HARDWARE = "hardware not recorded"


class Measured(NamedTuple):
    """A time and its spread, in one unit; the spread is 0 where it is not known."""

    time: float
    spread: float

    @property
    def wide(self) -> bool:
        """Whether the repeats differ too much for the time to be a fact."""
        return self.spread > MOST_SPREAD * self.time


def measured(values: Mapping[str, float], name: str) -> Measured:
    """Return the time of this name, NaN where there is none, with its spread."""
    return Measured(float(values.get(name, float("nan"))), float(values.get(name + SPREAD, 0.0)))


def falling(by_nfe: Mapping[int, Measured]) -> set[int]:
    """Return the fewest numbers of calls whose times contradict the others: more calls took clearly less time."""
    least = {nfe: measured.time - measured.spread / 2 for nfe, measured in by_nfe.items()}
    most = {nfe: measured.time + measured.spread / 2 for nfe, measured in by_nfe.items()}
    pairs = {(few, many) for few, many in combinations(sorted(by_nfe), 2) if most[many] < least[few]}
    found: set[int] = set()
    while pairs:
        against = Counter(nfe for pair in sorted(pairs) for nfe in pair)
        worst = max(against, key=lambda nfe: (against[nfe], by_nfe[nfe].spread))
        found.add(worst)
        pairs = {pair for pair in pairs if worst not in pair}
    return found


def sampler_place(key: str, hardware: str) -> str:
    """Return the folder, in the store's section "sampler", of what a sampler costs on some hardware.

    `key` is `fmbench.results.cell_keys.sampler_key`, `hardware` the line of `fmbench.runtime.environment.hardware`.
    Older stores have a folder that is named by the key alone: that hardware's whose times it holds.
    """
    return f"{key}-{digest('hardware', hardware)}"


def key_of(place: str) -> str:
    """Return the key of the sampler that a folder belongs to."""
    return place.partition("-")[0]


def hardware_of(result: Result) -> str:
    """Return the hardware on which a finished cell was computed or measured; "" where that is not on record."""
    return str((result or {}).get("facts", {}).get("hardware", ""))


def place_of(key: str, hardware: str, results: Mapping[str, Result]) -> str:
    """Return the folder of a sampler's cost on some hardware, among those that are there or as a new one.

    `results` are those of the sampler's folders. One of an older store, that was not finished, may be gone on with.
    """
    own = sampler_place(key, hardware)
    usable = (place for place in (own, key) if place in results)
    return next((p for p in usable if results[p] is None or hardware_of(results[p]) == hardware), own)


def leading_hardware(results: Iterable[Result], here: str, *, anywhere: bool) -> str:
    """Return the hardware whose costs have the metrics' plain names: this one, or else that of most measurements.

    It is this one in any case unless `anywhere`.
    """
    lines = Counter(hardware_of(result) for result in results if result is not None)
    if here in lines or not (anywhere and lines):
        return here
    return max(sorted(lines), key=lambda line: lines[line])


def joined(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metrics of a sampler that was measured again: of each the moment at which it took least.

    So that a time is long only where it was at every moment. The values of all moments are kept, in order, as
    "moments". Times that have a calibration are compared in its unit.
    """
    found = {}
    for key, new in after.items():
        old = before.get(key, {})
        if not old.get("values") or not new.get("values"):
            found[key] = new
            continue
        least = min((old, new), key=_time)
        found[key] = {**least, "moments": [*old.get("moments", [old["values"]]), new["values"]]}
    return found


def _time(entry: Mapping[str, Any]) -> float:
    values = entry["values"]
    relative = (value for name, value in values.items() if name.endswith(RELATIVE))
    return float(next(relative, next(iter(values.values()))))
