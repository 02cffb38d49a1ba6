"""What came out differently, by more than rounding.

On one machine an unchanged night repeats the baseline: to the last bit, or to rounding where other cells were computed
in one call with it. So the cells which do not repeat show where something changed, however small it is.

Three stages follow from each other: trainings, the samples that are drawn from them, and the scores of the samples. The
first stage with a difference is where the change lies. If all trainings differ, nothing can be told from later stages.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from fmbench.regression.paired_values import is_judged
from fmbench.results.snapshot import (
    AXES,
    SECTIONS,
    CellGroup,
    CellValues,
    Repeated,
    Section,
    SeededGroup,
    Snapshot,
    grouped,
    training_of,
)

TELLING = 6
"""A value of more significant digits is not shared by two nights by chance; a count or a share of a few has fewer."""
NEAR = 1e-4
"""The relative difference that passes for rounding: it was 4e-5 at most where other cells trained together."""
LISTED = 3


@dataclass(frozen=True)
class Trace:
    """Where two nights differ by more than rounding.

    `stage` is "trainings", "samples", "scores", or "" where nothing differs. `axes` are the labels, by axis, which the
    differing cells of that stage have and no other cell has: each axis alone tells them where they are `alike`, or else
    all of them together; empty where all differ (`everywhere`), or where no labels tell them apart. `metrics` are those
    whose values differ, of stage "scores". `repeated` are the trainings that repeat to the last bit, with their
    seeds.
    """

    stage: str = ""
    everywhere: bool = False
    alike: bool = False
    axes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    metrics: tuple[str, ...] = ()
    repeated: Repeated = field(default_factory=dict)

    def suspects(self, changed: Collection[tuple[str, str]], core: bool) -> set[frozenset[tuple[str, str]]]:
        """Return the labels that the differing cells lead to: those of the one component that tells them from all
        others by itself, or else of the one among their labels whose code has changed, as far as `changed` knows; none,
        which is the whole suite, where all differ and code of the `core` has changed.
        """
        if self.everywhere:
            return {frozenset()} if core else set()
        single = {(axis, labels[0]) for axis, labels in self.axes.items() if len(labels) == 1}
        return {frozenset({label}) for label in single if self.alike or label in changed}

    def __str__(self) -> str:
        if self.stage == "scores":
            return f"only {_listed(self.metrics)} came out differently, of trainings and samples that repeat"
        if not self.stage:
            return ""
        if self.everywhere:
            of = "" if self.stage == "trainings" else ", of trainings that repeat"
            return f"all {self.stage} came out differently{of}"
        if not self.axes:
            return f"some {self.stage} came out differently, and others repeat"
        named = (f"{'NFE' if axis == 'nfe' else axis} {_listed(labels)}" for axis, labels in self.axes.items())
        those = (" = " if self.alike else " at ").join(named)
        return f"the {self.stage} of {those} came out differently, and no others"


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names[:LISTED]) + (f" and {len(names) - LISTED} more" if len(names) > LISTED else "")


def trace(before: Snapshot, after: Snapshot) -> Trace:
    """Return where two nights differ by more than rounding."""
    judged = {name: facts.scope for name, facts in after.metrics.items() if is_judged(facts)}
    repeated = grouped(place for place, repeats in _repeating(before, after, judged, 0.0) if repeats)
    known = {group: frozenset(seeds) for group, seeds in repeated.items()}
    trainings = dict(_repeating(before, after, judged, NEAR))
    if changed := {group for (group, _), repeats in trainings.items() if not repeats}:
        return _located("trainings", changed, {group for group, _ in trainings}, known)
    rows = _both(before, after, "evaluation")
    samples = {place: _equal(then, now, judged, NEAR) for place, then, now in rows}
    compared = {place: found for place, found in samples.items() if found is not None}
    if changed := {group for (group, _), repeats in compared.items() if not repeats}:
        return _located("samples", changed, {group for group, _ in compared}, known)
    metrics = tuple(_differing(before, after, judged))
    return Trace("scores" if metrics else "", metrics=metrics, repeated=known)


def _located(stage: str, changed: set[CellGroup], everything: set[CellGroup], repeated: Repeated) -> Trace:
    """Return a trace to the labels that exactly the changed groups have."""
    if changed == everything:
        return Trace(stage, everywhere=True, repeated=repeated)
    axes = AXES["training" if stage == "trainings" else "evaluation"]
    labels = {axis: {group[i] for group in changed} for i, axis in enumerate(axes)}

    def told_by(chosen: Collection[str]) -> bool:
        places = [(axes.index(axis), labels[axis]) for axis in chosen]
        return {group for group in everything if all(group[i] in known for i, known in places)} == changed

    if single := [axis for axis in axes if told_by([axis])]:
        fewest = min(len(labels[axis]) for axis in single)
        chosen = [axis for axis in single if len(labels[axis]) == fewest]
        return Trace(stage, axes=_sorted(labels, chosen), alike=True, repeated=repeated)
    chosen = list(axes)
    for axis in axes:
        if told_by(rest := [each for each in chosen if each != axis]):
            chosen = rest
    return Trace(stage, axes=_sorted(labels, chosen if told_by(chosen) else ()), repeated=repeated)


def _sorted(labels: Mapping[str, set[str]], axes: Collection[str]) -> dict[str, tuple[str, ...]]:
    return {axis: tuple(sorted(labels[axis])) for axis in axes}


def _repeating(
    before: Snapshot, after: Snapshot, judged: Mapping[str, str], near: float
) -> Iterator[tuple[SeededGroup, bool]]:
    """Yield each training of which both nights tell, and whether some value that follows from its weights repeats."""
    found: dict[SeededGroup, list[bool]] = {}
    for section in SECTIONS:
        for (group, seed), then, now in _both(before, after, section):
            if (equal := _equal(then, now, judged, near)) is not None:
                found.setdefault((training_of(group), seed), []).append(equal)
    return ((place, any(equal)) for place, equal in found.items())


def _both(before: Snapshot, after: Snapshot, section: Section) -> Iterator[tuple[SeededGroup, CellValues, CellValues]]:
    now = after.rows(section)
    return ((place, row, now[place]) for place, row in before.rows(section).items() if place in now)


def _equal(then: CellValues, now: CellValues, judged: Mapping[str, str], near: float) -> bool | None:
    """Tell whether some telling value of a cell is equal, but for `near`; None where it has no such value."""
    names = [name for name in judged if name in then.values and name in now.values]
    pairs = [(then.values[name], now.values[name]) for name in names]
    telling = [pair for pair in pairs if any(map(is_telling, pair))]
    if not telling:
        return None
    return any(is_telling(a) and math.isclose(a, b, rel_tol=near) for a, b in telling)


def is_telling(value: float) -> bool:
    """Tell whether another night cannot have this value by chance: a real number, no count and no share of a few."""
    digits = repr(value).lower().partition("e")[0].replace(".", "").lstrip("-0")
    return len(digits) > TELLING


def _differing(before: Snapshot, after: Snapshot, judged: Mapping[str, str]) -> Iterator[str]:
    for name, scope in judged.items():
        rows = ((then.values, now.values) for _, then, now in _both(before, after, SECTIONS[scope != "training"]))
        values = ((then[name], now[name]) for then, now in rows if name in then and name in now)
        if any(not math.isclose(a, b, rel_tol=NEAR) for a, b in values):
            yield name
