"""Weights of a trained cell other than its last: of another step, the best ones, or an average made afterwards."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from fmbench.cells.cells import TrainingCell, weights_and_step
from fmbench.cells.snapshots import BEST, WeightsSnapshot, post_hoc_length, post_hoc_snapshots
from fmbench.errors import CellFailure, DamagedFile
from fmbench.model.context import WorkerContext
from fmbench.model.post_hoc_ema import coefficients
from fmbench.model.stored_tensors import stored_tensors
from fmbench.store.snapshots import WEIGHTS_FILE, snapshot_folder


def snapshot_weights(
    cell: TrainingCell, name: str, last: Mapping[str, Tensor], context: WorkerContext
) -> dict[str, Tensor]:
    """Return the network's state with weights that are not those of the last step, by their `named_weights`.

    `last` is its state after the last step, `{name: (*shape)}` as the result is. Raises CellFailure where the
    store does not hold what they are made of; what is damaged of it goes, so that it is made again.
    """
    weights, step = weights_and_step(name)
    if (length := post_hoc_length(weights)) is not None:
        return dict(last) | post_hoc_average(cell, length, context)
    snapshot = WeightsSnapshot(BEST, cell.settings["steps"]) if weights == BEST else WeightsSnapshot("step", step or 0)
    prefix = f"{weights}."
    found = _read(cell, snapshot, context)
    return {n.removeprefix(prefix): value for n, value in found.items() if n.startswith(prefix)}


def post_hoc_average(cell: TrainingCell, length: float, context: WorkerContext) -> dict[str, Tensor]:
    """Return the parameters of a trained cell, averaged over a part of the training, by their names.

    Source: Karras et al. 2312.02696, section 3.2.
    """
    kept = post_hoc_snapshots(cell.settings["steps"])
    totals: dict[str, Tensor] = {}
    for snapshot, shares in zip(kept, coefficients([each.step for each in kept], length), strict=True):
        found = _read(cell, snapshot, context)
        for number, share in enumerate(shares):
            for name, value in ((n, v) for n, v in found.items() if n.startswith(f"{number}.")):
                parameter = name.removeprefix(f"{number}.")
                added = share * value.double()
                totals[parameter] = added if parameter not in totals else totals[parameter] + added
    return {name: total.float() for name, total in totals.items()}


def _read(cell: TrainingCell, snapshot: WeightsSnapshot, context: WorkerContext) -> dict[str, Tensor]:
    folder = snapshot_folder(context.store, cell.key, snapshot)
    again = "`fmbench retry` trains as far as is needed for them"
    try:
        if folder.recorded() is None:
            raise CellFailure(f"{snapshot} of training {cell.key} are not in the store; {again}")
        return stored_tensors(folder, WEIGHTS_FILE)
    except DamagedFile as error:
        folder.discard()
        raise CellFailure(f"{error}; {again}") from error
