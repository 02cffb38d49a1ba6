"""Draws the samples of a fleet's cells for all of them at once."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from math import prod

from fmbench.cells.cells import EvaluationCell
from fmbench.cells.keys import canonical
from fmbench.cells.seeds import seed_for
from fmbench.errors import ProcessChanged, StoreError
from fmbench.evaluation.batched_sampling import NotBatchedError, draw_batched, in_order
from fmbench.evaluation.sampling import Drawn, what_samples
from fmbench.executors.messages import Event, Say
from fmbench.executors.process_health import SpoiltProcess
from fmbench.executors.tasks import EvaluateFleetTask
from fmbench.isolation import global_random
from fmbench.model.batched.compatibility import batching_obstacle
from fmbench.model.context import WorkerContext
from fmbench.model.trained_model import Trained, load_trained
from fmbench.runtime.failures import describe_failure, is_out_of_memory
from fmbench.runtime.memory import free_unused

log = logging.getLogger(__name__)
AT_ONCE = 2**28
"""Bytes of samples of a fleet that wait for their metrics."""


def draw_together(task: EvaluateFleetTask, context: WorkerContext, say: Say) -> dict[str, Drawn]:
    """Draw what several cells draw with the same sampler; what is not drawn here is drawn later.
    Return what was drawn, by the keys of evaluations.

    Whatever goes wrong: the cells are evaluated one by one, which says more of it.
    """
    samplers: dict[str, list[EvaluationCell]] = {}
    for work in (work for own in task.tasks for work in own.work):
        if context.store.folder("evaluation", work.key).result() is None:
            same_but_for_training = canonical({**work.cell.parts(), "training": None})
            samplers.setdefault(same_but_for_training, []).append(work.cell)
    shared = [cells for cells in samplers.values() if len(cells) > 1]
    drawn: dict[str, Drawn] = {}
    try:
        if not shared:
            return drawn
        with context.unchanged("a network of the fleet"):
            trained = {own.training.key: load_trained(own.training, context) for own in task.tasks}
            if batching_obstacle([own.training for own in task.tasks], context):
                return drawn
        left = AT_ONCE
        for cells in shared:
            shape = context.build(cells[0].training.dataset).shape
            left -= 4 * len(cells) * int(cells[0].settings["samples"]) * prod(shape)
            if left >= 0:
                global_random.seed(seed_for(cells[0].training.seed, "together", cells[0].training.dataset.text))
                with context.unchanged(what_samples(cells[0])):
                    drawn |= _draw_all(cells, trained)
    except StoreError:
        raise
    except ProcessChanged as error:
        raise SpoiltProcess(str(error)) from error
    except Exception as error:
        why = f"{len(task.tasks)} cells are evaluated one by one: {describe_failure(error, context.components)}"
        say(Event("slowed", "evaluation", task.tasks[0].training.key, text=why))
    except BaseException as error:
        raise SpoiltProcess(f"a solver raised {type(error).__name__}") from error
    return drawn


def _draw_all(cells: Sequence[EvaluationCell], trained: Mapping[str, Trained]) -> dict[str, Drawn]:
    """Draw the samples of cells that share a sampler, unless the solver will not have that; where the memory does not
    hold all of them, one half after the other.
    """
    keys = {cell.training.key: cell.key for cell in cells}
    members = in_order([trained[key] for key in keys])
    first = next(cell for cell in cells if cell.training.key == members[0].cell.key)
    try:
        found = draw_batched(members, first)
    except NotBatchedError as error:
        log.info("%s: %s", first.solver, error)
        return {}
    except Exception as error:
        if len(cells) <= 2 or not is_out_of_memory(error):
            raise
        found = None
    if found is None:
        free_unused(members[0].context.device)
        middle = -(-len(cells) // 2)
        return {**_draw_all(cells[:middle], trained), **_draw_all(cells[middle:], trained)}
    return {keys[member.cell.key]: drawn for member, drawn in zip(members, found, strict=True)}
