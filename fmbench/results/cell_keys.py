"""Keys of what the store keeps beside trainings and evaluations: sampler costs and flow snapshots."""

from __future__ import annotations

from fmbench.cells.cells import EvaluationCell
from fmbench.cells.guidance import exact_text
from fmbench.cells.keys import digest
from fmbench.plan.result_code import result_code_fingerprint


def sampler_key(cell: EvaluationCell) -> str:
    """Return the key of the cost of a cell's sampler; `fmbench.store.sampler_timings` says where it is kept.

    It does not depend on the weights, so that cells which differ only in training share one measurement; an adaptive
    solver's does.
    """
    training, weaker = cell.training, cell.weaker
    grid = cell.grid.digest if cell.grid else f"{training.key} {cell.weights_name}"
    guidance = exact_text(cell.guidance)
    if weaker is not None:
        alike = (weaker.objective.digest, weaker.network.digest, weaker.settings["precision"])
        guidance = " ".join((guidance, *(alike if cell.grid else (weaker.key,))))
    kept = f"{training.settings['class_conditional']} {training.settings['precision']}"
    axes = f"{cell.nfe} {cell.steps} {guidance}"
    parts = (training.dataset, training.objective, training.network, cell.solver)
    code = result_code_fingerprint("sampler cost")
    return digest("sampler", *(part.digest for part in parts), grid, axes, kept, cell.code, code)


def flow_snapshot_key(training: str) -> str:
    """Return the key under which the flow snapshot of a training cell is kept, given the cell's key."""
    return digest("portrait", training, result_code_fingerprint("flow snapshot"))
