"""Taking a winner away: a trained cell as a folder that samples without fmbench, and samples of it as files."""

from __future__ import annotations

from collections.abc import Sequence

from fmbench.export.best import best_cell
from fmbench.export.drawing import Asked, DrawnSamples, draw
from fmbench.export.folder import check_target, export_cell
from fmbench.export.hub import check_hub, upload
from fmbench.export.model_card import Origin
from fmbench.export.sample_files import check_file, write_samples
from fmbench.export.stored_cells import StoredCells, find_key
from fmbench.plugins.registry import load_registry
from fmbench.store.open_store import open_store

__all__ = [
    "Asked",
    "DrawnSamples",
    "Origin",
    "StoredCells",
    "best_cell",
    "check_file",
    "check_hub",
    "check_target",
    "draw",
    "export_cell",
    "key_of",
    "open_cells",
    "upload",
    "write_samples",
]


def open_cells(plugins: Sequence[str] = (), home: str | None = None) -> StoredCells:
    """Return the cells of the store at an address, with these plugins besides the installed ones. Raises UserError."""
    return StoredCells(open_store(home), load_registry(tuple(plugins)))


def key_of(cells: StoredCells, prefix: str) -> str:
    """Return the one key that begins so. Raises UserError."""
    return find_key(cells.store, prefix)[1]
