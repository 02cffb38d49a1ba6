"""The folders of snapshots: weights of a training other than its last, each a cell of its own beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fmbench.cells.cells import TrainingCell
from fmbench.cells.component_spec import Settings
from fmbench.cells.snapshots import WeightsSnapshot
from fmbench.errors import DamagedFile
from fmbench.store.cell_folder import CellFolder
from fmbench.store.store import Store

WEIGHTS_FILE = "weights.safetensors"


def snapshot_folder(store: Store, training: str, snapshot: WeightsSnapshot) -> CellFolder:
    """Return the folder of a snapshot of the training with this key."""
    return store.folder("snapshot", snapshot.key(training))


def keep_snapshot(
    store: Store, training: str, snapshot: WeightsSnapshot, payload: bytes, facts: Mapping[str, Any]
) -> None:
    """Leave a snapshot in the store, in place of one that is there; `payload` is safetensors."""
    folder = snapshot_folder(store, training, snapshot)
    with folder.lock():
        folder.discard()
        folder.begin({"training": training, "snapshot": snapshot.name})
        folder.write(WEIGHTS_FILE, payload)
        folder.finish({"facts": dict(facts)}, (WEIGHTS_FILE,))


def lacking_snapshots(store: Store, cell: TrainingCell) -> tuple[WeightsSnapshot, ...]:
    """Return those snapshots that are wanted of a training and not there, or not whole."""
    return tuple(each for each in cell.snapshots if not _is_there(snapshot_folder(store, cell.key, each)))


def shorter_folder(store: Store, cell: TrainingCell, step: int, snapshot: WeightsSnapshot) -> CellFolder:
    """Return the folder of the same weights of the shorter training that ends after `step`: its own where it ends."""
    shorter = replace(cell, settings=Settings({**cell.settings.values, "steps": step}))
    is_last = snapshot.step == step
    return store.folder("training", shorter.key) if is_last else snapshot_folder(store, shorter.key, snapshot)


def _is_there(folder: CellFolder) -> bool:
    try:
        return folder.result() is not None
    except DamagedFile:
        return False
