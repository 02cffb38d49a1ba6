"""What a merge did with each cell, as data."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

OUTCOMES = {
    "copied": "the store did not have it",
    "completed": "the store had it damaged, failed or half-finished, and now has it finished, or farther",
    "extended": "the store had it, with the same result; metrics were added",
    "there": "the store has it, and nothing is new",
    "differing": "both have it finished with other results; the store's own was kept",
    "apart": "it was made from a training that the store does not have, or has with other weights; not taken",
    "unfinished": "it was begun, and nothing is kept of it yet",
    "earlier": "an earlier version of fmbench wrote it, and did not note what its files belong to; not taken",
    "damaged": "a file of it is not what was written; not taken",
    "unreadable": "a file of it cannot be read; not taken",
    "busy": "another process works on it in the store; not taken",
}
"""What can become of a cell, and what that means."""

BROUGHT = ("copied", "completed", "extended", "there", "differing")
"""The outcomes after which the store has a cell of the source."""

SKIPPED = ("earlier", "damaged", "unreadable", "busy")
"""The outcomes that are a fault, so that the merge must be repeated, or goes without."""


@dataclass(frozen=True)
class Merged:
    """One cell of a source. `outcome` is one of OUTCOMES, `why` says more where there is more to say."""

    source: Path
    section: str
    key: str
    outcome: str
    why: str = ""


@dataclass(frozen=True)
class MergeResult:
    """What became of all cells of all sources; with `dry_run`, what would have.

    `passed_over` says what the stores hold that is no cell's, and was left where it is.
    """

    into: str
    cells: tuple[Merged, ...]
    dry_run: bool = False
    passed_over: tuple[str, ...] = ()

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """The number of cells by section and outcome."""
        sections = dict.fromkeys(cell.section for cell in self.cells)
        tally = Counter((cell.section, cell.outcome) for cell in self.cells)
        return {
            section: {outcome: tally[section, outcome] for outcome in OUTCOMES if tally[section, outcome]}
            for section in sections
        }

    @property
    def brought(self) -> bool:
        """Whether the store has, or would have, anything of what the sources hold."""
        return any(cell.outcome in BROUGHT for cell in self.cells)

    @property
    def skipped(self) -> list[Merged]:
        """The cells that were not taken because of a fault."""
        return [cell for cell in self.cells if cell.outcome in SKIPPED]

    def as_data(self) -> dict[str, Any]:
        """Return the result as plain values; of cells that are there already, the number only."""
        told = [cell for cell in self.cells if cell.outcome != "there"]
        fields = ("section", "key", "outcome", "why")
        passed = {"passed_over": list(self.passed_over)}
        cells = [{"source": str(c.source), **{name: getattr(c, name) for name in fields}} for c in told]
        return {"into": str(self.into), "dry_run": self.dry_run, "counts": self.counts, "cells": cells, **passed}
