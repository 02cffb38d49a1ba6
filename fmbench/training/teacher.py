"""What a coupling learns from its teacher, a trained cell: fitted once, kept in the store, shared by all students."""

from __future__ import annotations

import logging

import torch
from safetensors.torch import save as safetensors_bytes
from torch import Tensor

from fmbench.cells.cells import TrainingCell
from fmbench.cells.seeds import seed_for
from fmbench.components.contracts import Coupling
from fmbench.errors import CellFailure, DamagedFile
from fmbench.isolation import global_random
from fmbench.isolation.process_state import unchanged
from fmbench.model.context import WorkerContext
from fmbench.model.stored_tensors import stored_tensors
from fmbench.model.trained_model import Trained, load_named
from fmbench.store.cell_folder import CellFolder

log = logging.getLogger(__name__)

FIT_FILE = "study.safetensors"


def with_teacher(coupling: Coupling, cell: TrainingCell, context: WorkerContext) -> Coupling:
    """Return a cell's coupling with what it learnt from the cell's teacher; the coupling itself without one.

    Raises CellFailure where the teacher is not in the store.
    """
    if cell.teacher is None:
        return coupling
    folder = context.store.folder("study", cell.fit_key)
    with folder.lock():
        fitted = _whole(folder)
        if fitted is None:
            folder.begin({"teacher": cell.teacher.key, "coupling": cell.coupling.text})
            folder.write(FIT_FILE, safetensors_bytes(fit_to_teacher(coupling, cell.teacher, context)))
            folder.finish({}, (FIT_FILE,))
            fitted = stored_tensors(folder, FIT_FILE)
    ready = coupling.with_fit({name: value.to(context.device) for name, value in fitted.items()})
    if not isinstance(ready, Coupling):
        raise CellFailure(f"with_fit of coupling {cell.coupling} must return a coupling; found {type(ready).__name__}")
    return ready


def _whole(folder: CellFolder) -> dict[str, Tensor] | None:
    """Return what was fitted before; None where there is nothing, or not what was written, which is then removed."""
    try:
        return stored_tensors(folder, FIT_FILE) if folder.result() is not None else None
    except DamagedFile as error:
        log.warning("%s, so it is fitted again", error)
        folder.discard()
        return None


@torch.no_grad()
def fit_to_teacher(coupling: Coupling, teacher: TrainingCell, context: WorkerContext) -> dict[str, Tensor]:
    """Fit a coupling to a trained cell; return what its `with_fit` is given."""
    trained = load_named(teacher, context, "its teacher")
    seed = seed_for(teacher.seed, "study", teacher.dataset.text)
    with unchanged(f"coupling {type(coupling).__name__}"), global_random.seeded(seed, context.device):
        fitted = coupling.fit(trained.velocity(), _Source(trained))
    if not all(isinstance(value, Tensor) for value in fitted.values()):
        raise CellFailure(f"fit of coupling {type(coupling).__name__} must return tensors by name")
    return {name: value.detach().cpu().contiguous() for name, value in fitted.items()}


class _Source:
    """Hands out source samples, each only once, and conditions of the training data."""

    def __init__(self, trained: Trained) -> None:
        self._trained = trained
        self._first = 0

    def __call__(self, n: int) -> tuple[Tensor, Tensor | None]:
        first, self._first = self._first, self._first + n
        return self._trained.source(first, n, "study_noise"), self._trained.labels(first, n, "train")
