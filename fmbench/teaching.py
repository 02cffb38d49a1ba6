"""What a coupling learns from its teacher, a trained cell: studied once, kept in the store, shared by all students."""

from __future__ import annotations

import torch
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as safetensors_bytes
from torch import Tensor

from fmbench.assembly import Workshop
from fmbench.cells import TrainingCell
from fmbench.contracts import Coupling
from fmbench.errors import CellFailure, DamagedFile
from fmbench.trained import Trained, load_trained

STUDY = "study.safetensors"


def taught(coupling: Coupling, cell: TrainingCell, workshop: Workshop) -> Coupling:
    """Return a cell's coupling with what it learnt from the cell's teacher; the coupling itself without one.

    Raises CellFailure where the teacher is not in the store.
    """
    if cell.teacher is None:
        return coupling
    folder = workshop.store.folder("study", cell.study_key)
    with folder.lock():
        try:
            folder.check()
            there = folder.result() is not None
        except DamagedFile:
            folder.discard()
            there = False
        if not there:
            folder.begin({"teacher": cell.teacher.key, "coupling": cell.coupling.text})
            folder.write(STUDY, safetensors_bytes(study(coupling, cell.teacher, workshop)))
            folder.finish({}, (STUDY,))
        studied = load_safetensors(folder.read(STUDY))
    return coupling.remember({name: value.to(workshop.device) for name, value in studied.items()})


@torch.no_grad()
def study(coupling: Coupling, teacher: TrainingCell, workshop: Workshop) -> dict[str, Tensor]:
    """Have a coupling study a trained cell; return what it must remember."""
    folder = workshop.store.folder("training", teacher.key)
    try:
        if folder.result() is None:
            why = (folder.failure() or {}).get("error", "it was never trained")
            raise CellFailure(f"its teacher {teacher.key} is not there: {why}")
        trained = load_trained(teacher, workshop)
    except DamagedFile as error:
        raise CellFailure(f"its teacher is damaged: {error}; `fmbench retry` trains it again") from error
    studied = coupling.study(trained.velocity(), _Source(trained))
    return {name: value.detach().cpu().contiguous() for name, value in studied.items()}


class _Source:
    """Hands out source samples and labels, each only once."""

    def __init__(self, trained: Trained) -> None:
        self._trained = trained
        self._first = 0

    def __call__(self, n: int) -> tuple[Tensor, Tensor | None]:
        first, self._first = self._first, self._first + n
        return self._trained.source(first, n, "study_noise"), self._trained.labels(first, n)
