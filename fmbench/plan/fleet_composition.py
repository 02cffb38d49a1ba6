"""Which cells train together: fleets, composed from a plan's cells alone, so that the same plan has the same fleets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from fmbench.cells.cells import TrainingCell

WORTH_A_FLEET = 500
"""With fewer steps, added up over the cells, they train alone."""


def may_join(cells: Sequence[TrainingCell]) -> bool:
    """Whether cells of one `fleet_key` may be fleets, of a size that is still to be found: not where torch.compile was
    asked for, nor where there is little to do.
    """
    steps = len(cells) * int(cells[0].settings["steps"])
    return len(cells) > 1 and cells[0].compile is not True and not cells[0].is_given and steps >= WORTH_A_FLEET


def compose(
    cells: Sequence[TrainingCell], size: int, processes: int, starts: Mapping[str, int] | None = None
) -> list[tuple[TrainingCell, ...]]:
    """Share out cells of one `fleet_key` to fleets of at most `size`, as many as keep so many processes busy.

    The order of the cells does not matter. `starts` are the steps of shorter trainings from which some go on, by key:
    those of another start have fleets of their own.
    """
    groups: dict[int, list[TrainingCell]] = {}
    for cell in cells:
        groups.setdefault((starts or {}).get(cell.key, 0), []).append(cell)
    return [fleet for _, group in sorted(groups.items()) for fleet in _split(group, size, processes)]


def _split(cells: Sequence[TrainingCell], size: int, processes: int) -> list[tuple[TrainingCell, ...]]:
    """Split cells into fleets of about equal size.

    Those of one seed stay together, so that what they draw alike is drawn once, and then those whose losses and samples
    are computed in one call.
    """
    if size == 1:
        return [(cell,) for cell in cells]
    number = min(len(cells), processes * -(-len(cells) // (size * processes)))
    ordered = sorted(cells, key=_order)
    edges = [len(ordered) * i // number for i in range(number + 1)]
    return [tuple(ordered[first:last]) for first, last in pairwise(edges)]


def _order(cell: TrainingCell) -> tuple[int, str, str, str, str, str]:
    alike = (cell.coupling.digest, cell.objective.digest, cell.path.digest, cell.t_distribution.digest)
    return (cell.seed, *alike, cell.key)


def shorter_trainings(cells: Sequence[TrainingCell]) -> dict[str, str]:
    """Return, by the keys of cells, the key of the next shorter training among them that is the same step by step."""
    courses: dict[str, list[TrainingCell]] = {}
    if len({cell.settings["steps"] for cell in cells}) < 2:
        return {}
    for cell in sorted(cells, key=lambda cell: int(cell.settings["steps"])):
        if cell.course_key:
            courses.setdefault(cell.course_key, []).append(cell)
    return {longer.key: shorter.key for course in courses.values() for shorter, longer in pairwise(course)}
