"""The folder of an exported model: every file, written whole; nothing that is there is overwritten unasked."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from pathlib import Path

from safetensors.torch import save as safetensors_bytes

from fmbench.cells.cells import EvaluationCell, Weights
from fmbench.errors import StoreError, UserError
from fmbench.export.config import config_of
from fmbench.export.evidence import ScoredEvidence, evidence_of
from fmbench.export.model_card import Origin, model_card
from fmbench.export.stored_cells import StoredCells
from fmbench.export.winner import winner_of
from fmbench.io.whole_files import write_whole
from fmbench.model.context import WorkerContext

NAMES = ("README.md", "config.json", "model.safetensors", "model.pt2", "examples.safetensors", "sample.py")
MODE = 0o644


def check_target(folder: Path, force: bool) -> None:
    """Raise UserError where the folder is a file, or holds anything and `force` does not say to overwrite it."""
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file; a model needs a folder. Choose another with -o.")
    if folder.is_dir() and any(folder.iterdir()) and not force:
        raise UserError(f"{folder} is not empty: choose another folder with -o, or --force overwrites a model there.")


def export_cell(
    cells: StoredCells,
    key: str,
    folder: Path,
    weights: Weights | None = None,
    licence: str | None = None,
    origin: Origin | None = None,
    force: bool = False,
) -> dict[str, object]:
    """Write a trained cell to a folder of files that sample without fmbench; return its config.

    `weights` are "ema" (the default) or "raw", of a training; an evaluation has those that it was evaluated with.
    Raises UserError.
    """
    check_target(folder, force)
    if licence is not None and not re.fullmatch(r"[A-Za-z0-9.+-]{1,50}", licence):
        raise UserError(f"a licence is named by its identifier, such as mit or cc-by-4.0; found {licence!r}")
    cell = cells.find(key)
    if weights is not None and weights not in ("ema", "raw"):
        raise UserError(f'--weights is "ema" or "raw"; found {weights!r}')
    evaluated = isinstance(cell, EvaluationCell)
    if evaluated and weights is not None and weights != cell.weights_name:  # type: ignore[union-attr]
        raise UserError(
            f"cell {cell.key} was evaluated with weights {cell.weights_name!r}: its scores are of these. "  # type: ignore[union-attr]
            f"Leave --weights away, or export its training: {cell.training.key}"  # type: ignore[union-attr]
        )
    winner = winner_of(cell, WorkerContext(cells.registry, cells.store), weights or "ema")
    evidence = evidence_of(cells.store, cells.registry, cell.key) if evaluated else ScoredEvidence()
    config = config_of(winner, evidence, weights or "ema")
    template = files("fmbench.export").joinpath("sample.py.template")
    content = {
        "model.safetensors": safetensors_bytes(winner.weights),
        "model.pt2": winner.program.saved,
        "examples.safetensors": safetensors_bytes({n: v.contiguous() for n, v in winner.examples.items()}),
        "config.json": (json.dumps(config, indent=2, default=str) + "\n").encode(),
        "sample.py": template.read_bytes(),
        "README.md": model_card(winner, evidence, config, origin or Origin(), licence).encode(),
    }
    try:
        for name, payload in content.items():
            write_whole(folder / name, payload, flush=False, mode=MODE)
    except OSError as error:
        raise StoreError(
            f"the model cannot be written to {folder}: {error.strerror or error}; make room, or choose another folder "
            "with -o"
        ) from error
    return config
