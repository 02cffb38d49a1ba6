"""What does fmbench's loop add to one long training, and what do its formats give against the tutorials' loop?

- A bare loop by hand: one training against a loop with the same settings and nothing else: the same network, batch,
  precision, memory format, fused optimizer, foreach moving average, draws from seeded generators, and a loss that is
  read as often as fmbench records one. Blocks of steps of both alternate in one process.
- The tutorials' loop: small_unet of 64 channels on 28x28 pictures, against float32, contiguous, Adam as it comes, no
  moving average.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).parents[1]))
from helpers import SETTINGS, context, training_cell

from benchmarks.measuring import Options, Pair, Row, at_least, faster, main, threads
from fmbench.cells.cells import TrainingCell
from fmbench.cells.component_spec import Settings
from fmbench.model.context import WorkerContext
from fmbench.plugins.registry import Registry, load_registry
from fmbench.runtime.device import synchronise
from fmbench.training.compilation import Compilation
from fmbench.training.loop import HISTORY_POINTS, begin, run_steps
from fmbench.training.optimizers import make_optimizer
from fmbench.training.path_batches import JointBatch, PathBatchSampler

MOST = 10**6
BARE = "a bare loop by hand, with the same settings"
WARM_UP = 2
"""Pairs of blocks that do not count."""


@dataclass(frozen=True)
class Case:
    """What is trained, `block` steps at a time; against what, and with which target for the peer's time over ours."""

    name: str
    cell: TrainingCell
    peer: Callable[[TrainingCell, WorkerContext, Compilation], Callable[[], None]]
    block: int
    opponent: str
    target: float


def measure(options: Options) -> list[Row]:
    """Measure all cases, on one thread."""
    registry = load_registry()
    seconds = options.at_most(18, 8)
    with threads(1):
        return [compare(case, registry, seconds, options.device) for case in cases(registry)]


def cases(registry: Registry) -> list[Case]:
    """Return what is compared."""
    mlp = ("mlp", {"width": 128, "depth": 3})

    def cell(dataset: Any, network: Any, batch: int, precision: str = "float32") -> TrainingCell:
        settings = {**SETTINGS, "steps": 1000, "batch_size": batch, "ema": 0.999, "precision": precision}
        cell = training_cell(registry, 0, settings, dataset=dataset, network=network)
        return replace(cell, compile=False)  # the peers are not compiled

    unet = ("small_unet", {"channels": 32})
    return [
        Case(
            "one long training: MLP 2-128x3-2, batch 256",
            cell(("moons", {"size": 5000}), mlp, 256),
            bare_loop,
            24,
            BARE,
            0.99,
        ),
        Case("one long training: small_unet 32, 8x8, batch 128", cell("digits", unet, 128), bare_loop, 2, BARE, 0.99),
        Case(
            "small_unet 64, 28x28, batch 256",
            cell("mnist_5k", ("small_unet", {"channels": 64}), 256, "auto"),
            tutorial_loop,
            1,
            "the tutorial's loop: float32, contiguous, Adam",
            6.0,
        ),
    ]


class Alternating(PathBatchSampler):
    """Draws as its original does; before each block of steps, the peer takes as many, and both are timed."""

    def __init__(
        self, original: PathBatchSampler, step: Callable[[], None], block: int, device: str, enough: float
    ) -> None:
        self.__dict__.update(original.__dict__)
        self._step, self._block, self._device, self._enough = step, block, device, enough
        self._since = 0.0
        self._clock = time.process_time if device == "cpu" and torch.get_num_threads() == 1 else time.perf_counter
        self.peer: list[float] = []
        self.ours: list[float] = []
        self._began = time.perf_counter()

    def draw(self, step: int) -> list[JointBatch]:
        """Return the samples of a step. Raises StopIteration when enough was measured."""
        if step % self._block == 0:
            synchronise(self._device)
            if self.peer:
                self.ours.append((self._clock() - self._since) / self._block)
            if time.perf_counter() - self._began > self._enough and len(self.ours) > WARM_UP + 2:
                raise StopIteration
            began = self._clock()
            for _ in range(self._block):
                self._step()
            synchronise(self._device)
            self._since = self._clock()
            self.peer.append((self._since - began) / self._block)
        return super().draw(step)


def compare(case: Case, registry: Registry, seconds: float, device: str) -> Row:
    """Run fmbench's loop and its peer in turn."""
    with tempfile.TemporaryDirectory() as folder:
        shop = context(Path(folder), registry, device=device, threads=torch.get_num_threads())
        state = begin([case.cell], shop)
        both = Alternating(
            state.path_batches, case.peer(case.cell, shop, state.compilation), case.block, device, seconds
        )
        state.path_batches = both
        settings = {**case.cell.settings.values, "steps": MOST}  # so many are not reached
        state.cells = [replace(case.cell, settings=Settings(settings))]
        with contextlib.suppress(StopIteration):
            run_steps(state, shop, lambda *_: None, lambda _: None)
    peer, ours = both.peer[WARM_UP : len(both.ours)], both.ours[WARM_UP:]
    pairs = [Pair(own, other) for own, other in zip(ours, peer, strict=True)]
    note = f"Steps alone, CPU time of one thread; {state.components[0].precision}, {state.compilation}."
    return faster(
        case.name,
        "fmbench's loop",
        case.opponent,
        pairs,
        at_least(case.target),
        scale=1e3,
        times_unit="ms a step",
        note=note,
    )


def bare_loop(cell: TrainingCell, shop: WorkerContext, compilation: Compilation) -> Callable[[], None]:
    """Return a step of a training as somebody writes it by hand who wants this one training to be fast."""
    settings, device = cell.settings, shop.device
    data, _ = shop.data(cell.dataset, "train")
    model = shop.build(cell.network).build(tuple(data.shape[1:]), 0).to(device)
    model = compilation.formatted(model)
    optimizer = make_optimizer(settings["optimizer"], list(model.parameters()))
    parameters = list(model.parameters())
    average = [parameter.detach().clone() for parameter in parameters]
    generator = torch.Generator(device).manual_seed(0)
    batch, shape = settings["batch_size"], data.shape[1:]
    window = MOST // HISTORY_POINTS
    loss_sum = torch.zeros((), device=device)
    history = []
    order = torch.randperm(len(data), device=device)
    done, at = 0, 0

    def step() -> None:
        nonlocal done, at, order
        if at + batch > len(data):
            order, at = torch.randperm(len(data), device=device), 0
        x_1 = data[order[at : at + batch]]
        at += batch
        x_0 = torch.randn(batch, *shape, generator=generator, device=device)
        t = torch.rand(batch, generator=generator, device=device)
        wide = t.view(-1, *[1] * len(shape))
        x_t, target = wide * x_1 + (1 - wide) * x_0, x_1 - x_0
        loss = F.mse_loss(model(x_t, t), target)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        decay = min(settings["ema"], (1 + done) / (10 + done))
        torch._foreach_lerp_(average, parameters, 1 - decay)
        loss_sum.add_(loss.detach())
        done += 1
        if done % window == 0:
            history.append(loss_sum.item() / window)
            loss_sum.zero_()

    return step


def tutorial_loop(cell: TrainingCell, shop: WorkerContext, compilation: Compilation) -> Callable[[], None]:
    """Return a step as tutorials print it."""
    data, _ = shop.data(cell.dataset, "train")
    model: nn.Module = shop.build(cell.network).build(tuple(data.shape[1:]), 0).to(shop.device)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    batch = cell.settings["batch_size"]

    def step() -> None:
        x_1 = data[torch.randint(0, len(data), (batch,), device=shop.device)]
        x_0 = torch.randn_like(x_1)
        t = torch.rand(batch, device=shop.device)
        wide: Tensor = t[:, None, None, None]
        loss = ((model(wide * x_1 + (1 - wide) * x_0, t) - (x_1 - x_0)) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


if __name__ == "__main__":
    main(measure, __doc__)
