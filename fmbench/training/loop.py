"""Training: cells in, weights and loss history in the store out. The loop is read from top to bottom."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from fmbench.cells.cells import TrainingCell
from fmbench.errors import Diverged
from fmbench.isolation.process_state import Watch, watch_all
from fmbench.model.batched.compatibility import batching_obstacle
from fmbench.model.build import assemble
from fmbench.model.context import WorkerContext
from fmbench.runtime import memory
from fmbench.runtime.calibration import Pace
from fmbench.store.fleet_records import finish_together
from fmbench.training.compilation import choose, started, usual
from fmbench.training.courses import Course, course_of, from_one_step, ghost_courses, keep_state, wants_state
from fmbench.training.gradient_accumulation import divided
from fmbench.training.keep import keep
from fmbench.training.losses import losses
from fmbench.training.lr_schedule import learning_rate
from fmbench.training.path_batches import in_order, inputs
from fmbench.training.snapshots import Snapshots
from fmbench.training.state import TrainingState
from fmbench.training.teacher import with_teacher

HISTORY_POINTS = 200
EXPLODED = 1000.0  # times the first recorded loss

Progress = Callable[[int], None]
"""Called with the number of steps done since the last call, added up over the members of a fleet."""

Save = Callable[[TrainingCell, int, bytes], None]
"""Called with a cell, the number of steps done and its state, for a checkpoint."""

SavedAll = Callable[[Sequence[TrainingCell], int], None]
"""Called with a fleet's cells and the number of steps done, when all of their states are saved."""

Failed = Callable[[TrainingCell, Diverged], None]
"""Called with a cell that dropped out of its fleet."""


def raise_failure(cell: TrainingCell, failure: Diverged) -> None:
    """Raise the failure: what is done with a cell that diverges, unless something else is asked for."""
    raise failure


def train(
    cells: Sequence[TrainingCell],
    context: WorkerContext,
    progress: Progress = lambda steps: None,
    failed: Failed = raise_failure,
    size: int = 1,
    ghosts: Sequence[TrainingCell] = (),
) -> None:
    """Train cells and leave their weights, loss history and facts in the store, and what else is to be kept of them.

    Each goes on from its newest checkpoint, or from where a shorter training ended; one whose weights are there is
    trained as far as it takes to make the snapshots that are lacking (see `courses`).
    Cells that share their `fleet_key` and course are a fleet, unless something is against it
    (`batching_obstacle`): then they are trained one by one. A cell whose loss or weights are not finite, or whose loss
    explodes, is handed to `failed`, and drops out. `size` is what the facts say of a fleet's size, where that is more
    than its members. `ghosts` are members of the fleet that diverged before it was interrupted: they diverge again, and
    until then the others are computed beside them as they were. Raises ProcessChanged where a component changed the
    process: nothing is kept then. Raises OutOfMemory and others as they come.
    """
    context.reload_modified()
    watch = watch_all()
    for fleet in _fleets(cells, ghosts, context):
        # one of several cells that cannot join the others is alone; a cell alone may be the last of its fleet
        _train_fleet(fleet, context, watch, progress, failed, 1 if len(fleet) == 1 < len(cells) else size)


def _train_fleet(
    fleet: Sequence[Course], context: WorkerContext, watch: Watch, progress: Progress, failed: Failed, size: int
) -> None:
    """Train cells as one batched program, all from one step, and leave what they gave in the store at once."""
    course = {each.cell.key: each for each in fleet}
    state = begin([each.cell for each in fleet], context, size)
    state.size = max(size, len(fleet))
    if fleet[0].start is not None:
        state.load([course[cell.key].start or {} for cell in state.cells])
        progress(state.step * len(fleet))
    memory.reset_peak_memory(context.device)
    who = f"a component of this training ({', '.join(spec.name for spec in fleet[0].cell.components)})"
    snapshots = Snapshots(state, context, partial(watch.check, who))
    save = partial(_save_checkpoint, context, watch, who)

    def left(cell: TrainingCell, failure: Diverged) -> None:
        if not course[cell.key].is_ghost:
            failed(cell, failure)

    state = run_steps(state, context, save, progress, left, snapshots, fleet[0].until, partial(_drop_older, context))
    watch.check(who)
    endings = []
    for member, cell in enumerate(state.cells):
        if course[cell.key].is_ghost:
            continue
        if course[cell.key].is_trained:
            context.store.folder("training", cell.key).checkpoints.drop()
            continue
        try:
            weights = state.weights(member)
        except Diverged as failure:
            failed(cell, failure)
        else:
            if wants_state(cell, state.seconds[member]):
                keep_state(cell, state.step, state.dump(member), context)
            endings.append(keep(cell, weights, state.history[member], state.facts(member, context), context))
    finish_together(context.store.root, endings)


def _save_checkpoint(
    context: WorkerContext, watch: Watch, who: str, cell: TrainingCell, step: int, payload: bytes
) -> None:
    """Save a cell's state beside older ones, unless a component has changed the process."""
    watch.check(who)
    context.store.folder("training", cell.key).checkpoints.save(step, payload, beside=True)


def _drop_older(context: WorkerContext, cells: Sequence[TrainingCell], step: int) -> None:
    """Remove older states, now that all members' states of a step are there, from which they can go on as one."""
    for cell in cells:
        context.store.folder("training", cell.key).checkpoints.drop_older(step)


def _fleets(
    cells: Sequence[TrainingCell], ghosts: Sequence[TrainingCell], context: WorkerContext
) -> Iterator[list[Course]]:
    """Yield the cells that train as one batched program: those that are alike in where they begin and end, too."""
    alike: dict[tuple[str, int, int, bool], list[Course]] = {}
    for course in (course_of(cell, context) for cell in cells):
        key = (course.cell.fleet_key, course.continued, course.until, course.is_trained)
        alike.setdefault(key, []).append(course)
    for courses in alike.values():
        if len(courses) > 1 and batching_obstacle([course.cell for course in courses], context):
            yield from ([course] for course in courses)
            continue
        begun = from_one_step(courses, context)
        if ghosts and not begun[0].is_trained:
            begun += ghost_courses(ghosts, begun[0].first, context)
        for has_averages in (False, True):
            if fleet := [course for course in begun if course.has_averages is has_averages]:
                yield fleet


def begin(cells: Sequence[TrainingCell], context: WorkerContext, size: int = 1) -> TrainingState:
    """Return the state of a fleet before its first step, its cells in the order of `in_order`.

    Components are built, couplings are fitted to their teachers, and the network of a cell that trains alone is
    compiled where that pays; not so that of the last of a fleet of `size`, which was not compiled either.
    """
    cells = in_order(cells)
    components = [assemble(cell, context) for cell in cells]
    for own, cell in zip(components, cells, strict=True):
        own.coupling = with_teacher(own.coupling, cell, context)
    alone = len(cells) == 1 and size == 1
    compilation = choose(cells[0], components[0], context) if alone else usual(components[0])
    state = TrainingState.begin(cells, components, compilation, context)
    if compilation.compiled:
        state.networks.call = started(compilation, cells[0], components[0], context, state.networks.module)
    return state


def run_steps(
    state: TrainingState,
    context: WorkerContext,
    save: Save,
    progress: Progress,
    failed: Failed = raise_failure,
    snapshots: Snapshots | None = None,
    until: int | None = None,
    saved_all: SavedAll = lambda cells, step: None,
) -> TrainingState:
    """Run the optimizer from `state.step` to step `until`, recording losses and saving checkpoints now and then.

    None is the last step. `saved_all` is told when the checkpoints of all members are there. Snapshots are taken after
    those steps that they name; their time is no training time. Return the state after that, of the members that are
    left, if any are.
    """
    settings = state.cells[0].settings
    autocast = state.components[0].autocast(context.device)
    peak, steps = settings["optimizer"]["lr"], settings["steps"]
    until = steps if until is None else until
    stops = snapshots.steps if snapshots is not None else frozenset()
    window = max(1, steps // HISTORY_POINTS)
    parts = settings.values.get("accumulate", 1)
    pace = Pace(context.device, steps)
    reported, saved = state.step, time.perf_counter()
    last_seen = saved

    with context.prefetch_pool:
        while state.step < until and state.cells:
            for group in state.optimizer.param_groups:
                group["lr"] = learning_rate(state.step, steps, peak, settings["schedule"])
            joint_batches = state.path_batches.draw(state.step)
            for part in divided(joint_batches, parts):
                with autocast():
                    output = state.networks(*inputs(part))
                state.add_gradient(losses(part, output.to(part[0].sample.x_t.dtype)), 1 / parts)
            state.optimizer_step(settings["gradient_clip"])

            last = state.step == until
            recorded = state.step % window == 0 or last
            diverged = record_losses(state) if recorded else {}
            now = time.perf_counter()
            state.seconds = [seconds + (now - last_seen) / len(state.cells) for seconds in state.seconds]
            last_seen = now + pace.note(state.step, len(state.cells))
            if snapshots is not None and state.step in stops:
                diverged |= snapshots.take(state)
                last_seen += pace.skip(time.perf_counter() - last_seen)
            if recorded:
                progress((state.step - reported) * len(state.cells))
                reported = state.step
            if diverged:
                for member, failure in diverged.items():
                    failed(state.cells[member], failure)
                state = state.without(list(diverged), context)
            if now - saved > context.checkpoint_seconds and not last:
                for member, cell in enumerate(state.cells):
                    save(cell, state.step, state.dump(member))
                saved_all(state.cells, state.step)
                saved = now
    state.pace = pace.middle()
    return state


def record_losses(state: TrainingState) -> dict[int, Diverged]:
    """Append the members' mean losses since the last entry; return those that are not finite or have exploded."""
    means = [loss_sum / state.losses for loss_sum in state.loss_sum.tolist()]
    state.loss_sum.zero_()
    state.losses = 0
    diverged = {}
    for member, (mean, history) in enumerate(zip(means, state.history, strict=True)):
        history.append((state.step, mean))
        if not math.isfinite(mean):
            diverged[member] = Diverged(f"the loss is {mean} at step {state.step}")
        elif mean > EXPLODED * max(history[0][1], 1.0):
            diverged[member] = Diverged(f"the loss rose from {history[0][1]:.3g} to {mean:.3g} at step {state.step}")
    return diverged
