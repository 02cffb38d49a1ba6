"""What a training leaves in the store: weights, loss history and facts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime

from safetensors.torch import save as safetensors_bytes
from torch import Tensor

from fmbench.cells.cells import TrainingCell
from fmbench.cells.keys import canonical
from fmbench.components.contracts import TrainingFacts
from fmbench.model.context import WorkerContext
from fmbench.store.fleet_records import Finished


def keep(
    cell: TrainingCell,
    weights: Mapping[str, Tensor],
    history: Sequence[tuple[int, float]],
    facts: TrainingFacts,
    context: WorkerContext,
) -> Finished:
    """Leave what a training gave in the store; the weights are tensors of any shape, by name.

    Return what declares it done (see `finish_together`).
    """
    folder = context.store.folder("training", cell.key)
    folder.write("weights.safetensors", safetensors_bytes(dict(weights)))
    folder.write("history.json", canonical(history).encode())
    finished = datetime.now(UTC).isoformat(timespec="seconds")
    return folder, {"facts": {**asdict(facts), "finished": finished}}, ("weights.safetensors", "history.json")
