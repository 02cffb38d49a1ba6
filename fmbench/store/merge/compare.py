"""What a cell's folder holds, read without changing it, and how two folders of one cell compare."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fmbench.store.cell_folder import CellFolder

NOTHING, FAILED, HALF, FINISHED = range(4)
"""How far a cell is: `StoredCell.rank`."""


@dataclass(frozen=True)
class StoredCell:
    """A whole cell as it was found. `step` and `checkpoint` are of the newest whole checkpoint (0 and None: none)."""

    folder: CellFolder
    parts: Mapping[str, Any]
    result: Mapping[str, Any] | None
    failure: Mapping[str, Any] | None
    metrics: Mapping[str, Mapping[str, Any]]
    step: int = 0
    checkpoint: Path | None = None

    @property
    def rank(self) -> int:
        """How far the cell is. A checkpoint that a failed cell has left does not count."""
        if self.result is not None:
            return FINISHED
        if self.failure is not None:
            return FAILED
        return HALF if self.checkpoint is not None else NOTHING

    @property
    def files(self) -> list[Path]:
        """The files that make up the cell, the one that vouches for the others last."""
        names = ["cell.json", "metrics.json", *(self.result or {}).get("files", {}), "failure.json"]
        found = [self.folder.path / name for name in names]
        if self.checkpoint is not None and self.result is None:
            found.insert(0, self.checkpoint)
        return [file for file in (*found, self.folder.path / "result.json") if file.exists()]

    def farther_than(self, other: StoredCell) -> bool:
        """Tell whether more is known of the cell here than there."""
        both_half = self.rank == other.rank == HALF
        return self.step > other.step if both_half else self.rank > other.rank


def look(folder: CellFolder, *, thorough: bool = False) -> StoredCell:
    """Read a cell's folder, with `thorough` large files too. Raises DamagedFile, StoreError and OSError."""
    result = folder.result(thorough=thorough)
    step, checkpoint = folder.checkpoints.newest() if result is None else (0, None)
    return StoredCell(folder, folder.cell() or {}, result, folder.failure(), folder.metrics(), step, checkpoint)


def sums(result: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Return the checksums of what a finished cell is made of, None where it is not finished."""
    return None if result is None else result.get("files", {})


def difference(section: str, here: StoredCell, there: StoredCell) -> str:
    """Say in what the results of two finished folders of one cell differ, "" where they are the same.

    Metrics of a training may be times and memory, and what a sampler costs is nothing else: these always differ, so
    that they do not count. For a sampler it is the software that must be the same.
    """
    mine, theirs = sums(here.result) or {}, sums(there.result) or {}
    if section == "sampler":
        versions = [(found.result or {}).get("facts", {}).get("torch") for found in (here, there)]
        return "" if versions[0] == versions[1] else f"measured with torch {versions[1]}, here with {versions[0]}"
    if files := [name for name in dict.fromkeys([*mine, *theirs]) if mine.get(name) != theirs.get(name)]:
        return f"other {' and '.join(files)}"
    if section == "training":
        return ""
    names = [
        str(entry["name"])
        for digest, entry in there.metrics.items()
        if "error" not in entry and not _agree(entry, here.metrics.get(digest, entry))
    ]
    return f"other values of {', '.join(names)}" if names else ""


def _agree(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Tell whether two values of one metric are the same, as far as they can be compared."""
    if "error" in other or one.get("identity") != other.get("identity"):
        return True
    return repr(one.get("values")) == repr(other.get("values"))


def new_metrics(here: StoredCell, there: StoredCell) -> dict[str, Mapping[str, Any]]:
    """Return the metrics that one folder has and the other lacks, or has as failed."""
    lacking = {d: e for d, e in there.metrics.items() if d not in here.metrics or "error" in here.metrics[d]}
    return {d: e for d, e in lacking.items() if d not in here.metrics or "error" not in e}
