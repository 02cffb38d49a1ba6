"""What is compared: a snapshot, where it comes from, and which of its rows are meant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from fmbench.errors import UserError
from fmbench.results.snapshot import AXES, SECTIONS, CellGroup, CellValues, SeededGroup, Snapshot


@dataclass(frozen=True)
class ComparedResults:
    """The results of one side. `name` is what the user called them.

    `known` says whether each value comes with its identity; a records.csv alone holds none.
    """

    name: str
    snapshot: Snapshot
    known: bool = True

    @property
    def said(self) -> str:
        """What these results are, in a line: suite, date, hardware, commit."""
        made = self.snapshot.made
        commit = made.get("environment", {}).get("git_commit")
        parts = [self.snapshot.suite, str(made.get("variant") or ""), str(made.get("date") or "")]
        parts += [self.snapshot.hardware if self.known else "", f"commit {commit}" if commit else ""]
        return ", ".join(filter(None, parts))


def selected(results: ComparedResults, filters: Sequence[str]) -> ComparedResults:
    """Return the rows that filters such as "path=linear" or "nfe=1,4" keep. Raises UserError where one keeps none."""
    wanted = dict(map(_filter, filters))
    snapshot = results.snapshot
    for axis, labels in wanted.items():
        if not any(_is(g, axis, labels) for section in SECTIONS for g, _ in snapshot.rows(section) if _has(g, axis)):
            raise UserError(
                f"--filter {axis}={','.join(labels)} keeps nothing of {results.name}; it has "
                f"{', '.join(sorted(labels_on(snapshot, axis))) or 'no labels there'}."
            )
    kept = {section: _kept(snapshot.rows(section), wanted) for section in SECTIONS}
    return replace(results, snapshot=replace(snapshot, trainings=kept["training"], evaluations=kept["evaluation"]))


def axis_named(text: str) -> str:
    """Return the axis that somebody names. Raises UserError where there is no such axis."""
    if text not in AXES["evaluation"] and text != "seed":
        raise UserError(f"{text!r} is no axis; axes are {', '.join(AXES['evaluation'])} and seed.")
    return text


def labels_on(snapshot: Snapshot, axis: str) -> set[str]:
    """Return the labels that a snapshot has on an axis."""
    if axis == "seed":
        return {str(seed) for _, seed in snapshot.evaluations}
    position = AXES["evaluation"].index(axis)
    return {group[position] for group, _ in snapshot.evaluations if group[position]}


def _filter(text: str) -> tuple[str, tuple[str, ...]]:
    axis, equals, labels = text.partition("=")
    if not equals or not labels:
        raise UserError(f"--filter is AXIS=VALUE, such as path=linear or nfe=1,4; found {text!r}.")
    return axis_named(axis), tuple(labels.split(",") if "(" not in labels else [labels])


def _kept(
    rows: Mapping[SeededGroup, CellValues], wanted: Mapping[str, tuple[str, ...]]
) -> dict[SeededGroup, CellValues]:
    return {
        (group, seed): values
        for (group, seed), values in rows.items()
        if all(
            str(seed) in labels if axis == "seed" else not _has(group, axis) or _is(group, axis, labels)
            for axis, labels in wanted.items()
        )
    }


def _has(group: CellGroup, axis: str) -> bool:
    """Tell whether a group has an axis; the training axes come first, and trainings have these alone."""
    return axis == "seed" or AXES["evaluation"].index(axis) < len(group)


def _is(group: CellGroup, axis: str, labels: Sequence[str]) -> bool:
    if axis == "seed":
        return True
    label = group[AXES["evaluation"].index(axis)]
    return label in labels or label.partition("(")[0] in labels
