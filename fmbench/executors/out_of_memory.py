"""Where memory runs out: an evaluation is computed once more with half the batch, in place; a training is not.

How many samples are drawn at once changes only roundings of an evaluation, and is in no key; what a training's batch
is decides what it learns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from fmbench.cells.cells import TrainingCell
from fmbench.errors import CellFailure, OutOfMemory
from fmbench.evaluation.batch_size import best_batch
from fmbench.model.context import WorkerContext
from fmbench.model.trained_model import NOISE_BLOCK, Trained
from fmbench.runtime.failures import describe_failure, is_out_of_memory, out_of_memory_noted
from fmbench.runtime.memory import free_unused
from fmbench.store.cell_folder import CellFolder


def halve_batch_once(
    compute: Callable[[], bool],
    folder: CellFolder,
    context: WorkerContext,
    batch: Callable[[], int],
    forget: Callable[[], None],
    say: Callable[[str], None],
) -> bool:
    """Compute an evaluation, or a reference; where memory runs out, free it and compute once more with half the batch.

    `compute` returns whether there was anything to compute, and so does this. `batch` says how many samples are drawn
    at once, `forget` drops what the worker keeps between units. Metrics that ran out of memory are computed once more,
    too; what was computed so says with which batch. Raises OutOfMemory where half the batch is too much as well.
    """
    worked, first = _tried(compute, folder, context)
    if not first:
        return worked
    forget()
    free_unused(context.device)
    whole = batch()
    half = whole // 2
    if not half:
        raise OutOfMemory(first)
    again, computed = _out_of_memory(folder), folder.metrics()
    folder.set_metrics({digest: entry for digest, entry in computed.items() if digest not in again})
    try:
        with _batch_of(context, half):
            compute()
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        found = describe_failure(error, context.components)
        raise OutOfMemory(f"{found}; half the batch, {half} samples at once, was too much, too") from error
    say(f"memory ran out with {whole} samples at once, so cells were evaluated with {half} ({first})")
    _note(folder, half, {digest for digest in folder.metrics() if digest not in computed or digest in again})
    return True


def _tried(compute: Callable[[], bool], folder: CellFolder, context: WorkerContext) -> tuple[bool, str]:
    """Compute; return what that returns, and what ran out of memory, "" where nothing did.

    A function of its own: what its frame holds, the exception above all, is gone when it returns.
    """
    with out_of_memory_noted() as noted:
        try:
            worked = compute()
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            return True, str(describe_failure(error, context.components))
    # looked up only then: what was written of many quick cells is on its way to the disk, and would be waited for
    return worked, next(iter(_out_of_memory(folder).values()), "") if noted else ""


def batch_at_work(context: WorkerContext, loaded: Callable[[], Trained | None], samples: int) -> int:
    """Return how many samples are drawn at once of a cell that has so many; `loaded` returns what it is drawn from."""
    trained = loaded()
    rest = samples - NOISE_BLOCK
    found = best_batch(trained, NOISE_BLOCK, rest) if trained is not None and rest >= 2 * NOISE_BLOCK else 0
    return min(samples, context.evaluation_batch or max(found, NOISE_BLOCK))


def with_advice(failure: CellFailure, cell: TrainingCell) -> CellFailure:
    """Return the failure of a training; where memory ran out, with what needs less of it."""
    if not isinstance(failure, OutOfMemory):
        return failure
    settings = cell.settings.values
    size, parts = int(settings.get("batch_size", 1)), int(settings.get("accumulate", 1))
    more = next((n for n in range(2 * parts, size + 1) if size % n == 0), 0)
    ways = [f"`training.accumulate: {more}` (the same batch in more parts)"] if more else []
    ways += ["`training.precision: bf16`"] if settings.get("precision") != "bf16" else []
    ways += ["a smaller network or batch_size", "fewer processes (--jobs)"]
    return OutOfMemory(f"{failure}. A training needs less with {', '.join(ways[:-1])} or {ways[-1]}.")


@contextmanager
def _batch_of(context: WorkerContext, batch: int) -> Iterator[None]:
    before, context.evaluation_batch = context.evaluation_batch, batch
    try:
        yield
    finally:
        context.evaluation_batch = before


def _out_of_memory(folder: CellFolder) -> dict[str, str]:
    """Return the errors of the metrics that ran out of memory, by their digests, but for those of half a batch."""
    found = {d: e for d, e in folder.metrics().items() if e.get("status") == OutOfMemory.status and "batch" not in e}
    return {digest: str(entry["error"]) for digest, entry in found.items()}


def _note(folder: CellFolder, batch: int, digests: set[str]) -> None:
    """Write down with which batch metrics, and the cell, were computed."""
    metrics = folder.metrics()
    folder.set_metrics({d: {**entry, "batch": batch} if d in digests else entry for d, entry in metrics.items()})
    if folder.section != "training":
        folder.add_facts({"batch": batch, "halved_batch": batch})
