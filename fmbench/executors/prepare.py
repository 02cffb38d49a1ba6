"""What comes before the first step: every component is built and checked, and the size of fleets is found."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import save as safetensors_bytes

from fmbench.cells.component_spec import ComponentSpec
from fmbench.cells.seeds import seed_for
from fmbench.components.contracts import Dataset, Metric, TDistribution
from fmbench.components.dataset_checks import check_together, splits_of
from fmbench.errors import DataError, ProcessChanged, UserError
from fmbench.evaluation.given_samples import read_samples
from fmbench.evaluation.kept_samples import kept_samples
from fmbench.executors.messages import Event, Say
from fmbench.executors.process_health import SpoiltProcess
from fmbench.executors.tasks import PrepareTask, ProbeTask
from fmbench.isolation import global_random
from fmbench.model.context import WorkerContext
from fmbench.runtime.failures import describe_failure
from fmbench.store.atomic_files import write_atomically, write_sealed
from fmbench.store.cache_files import real_samples, t_density
from fmbench.training.fleet_size import choose_fleet_size

T_PARTS = 200
"""The density of a t-distribution is kept at so many times."""


def prepare(task: PrepareTask, context: WorkerContext, say: Say) -> None:
    """Build and check every component of a task. Raises UserError where one cannot be used."""
    for spec in task.components:
        title = f"{spec.kind} {spec}"
        say(Event("started", "preparing", title))
        try:
            with context.unchanged("it"):
                _prepare_component(spec, task.chooses, context)
        except UserError:
            raise
        except BaseException as error:
            raise UserError(f"{title} cannot be used: {describe_failure(error)}") from error
        say(Event("finished", "preparing", title))
    for cell, n in task.samples:
        title = f"samples {cell.network}"
        say(Event("started", "preparing", title))
        read_samples(cell, n, context)
        say(Event("finished", "preparing", title))
    context.store.send_shared()


def _prepare_component(spec: ComponentSpec, chooses: ComponentSpec | None, context: WorkerContext) -> None:
    component = context.build(spec)
    if isinstance(component, Metric):
        component.prepare()
    if isinstance(component, Dataset):
        train, test, *third = (context.load(spec, split) for split in splits_of(component))
        check_together(str(spec), component, train, test, context.device, *third)
        if chooses is not None and third:
            _check_enough(spec, len(third[0][0]), chooses, context)
        x, _ = test
        kept = min(len(x), kept_samples(context, x))
        payload = safetensors_bytes({"samples": x[:kept].cpu().contiguous()})
        write_atomically(real_samples(context.store.root, spec), payload)
    if isinstance(component, TDistribution):
        middles = (torch.arange(T_PARTS, dtype=torch.float64) + 0.5) / T_PARTS
        found = {"density": component.density(middles).tolist()}
        write_sealed(t_density(context.store.root, spec), found)


def _check_enough(dataset: ComponentSpec, n: int, chooses: ComponentSpec, context: WorkerContext) -> None:
    least = context.build(chooses).minimum_samples
    if n < least:
        raise DataError(
            f"tune: settings are chosen by {chooses}, which needs {least} validation examples, and {dataset} has "
            f"{n}. Hold more out, or choose by another metric: tune.metric."
        )


def probe(task: ProbeTask, context: WorkerContext, say: Say) -> None:
    """Find how many cells a fleet should have. Whatever goes wrong: they train alone, which says more of it."""
    section, key = task.units[0]
    say(Event("started", section, key))
    global_random.seed(seed_for(task.cell.seed, "probe", task.cell.dataset.text))
    try:
        with context.unchanged("a component of its cells"):
            found = choose_fleet_size(task.cell, context)
    except BaseException as error:
        text = f"{describe_failure(error, context.components)}; its cells train alone"
        say(Event("failed", section, key, status="error", text=text))
        if isinstance(error, ProcessChanged):
            raise SpoiltProcess(str(error)) from error
        return
    write_sealed(Path(task.file), asdict(found))
    say(Event("finished", section, key))
