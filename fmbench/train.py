"""Training: cells in, weights and loss history in the store out. The loop is read from top to bottom."""

from __future__ import annotations

import io
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

import torch
from safetensors.torch import save as safetensors_bytes
from torch import Generator, Tensor, nn

from fmbench import hardware
from fmbench.assembly import Parts, Workshop, assemble, make_module
from fmbench.cells import TrainingCell, canonical, seed_for
from fmbench.contracts import PathSample, TrainingFacts
from fmbench.errors import Diverged
from fmbench.optimizers import MovingAverage, learning_rate, make_optimizer

HISTORY_POINTS = 200
EXPLODED = 1000.0  # times the first recorded loss
ROLES = ("training_noise", "t", "coupling", "path_noise", "label_dropout")

Progress = Callable[[int], None]
"""Called with the number of steps done since the last call."""


def train(cells: Sequence[TrainingCell], workshop: Workshop, progress: Progress = lambda steps: None) -> None:
    """Train cells and leave their weights, history and facts in the store; a checkpoint that is there is gone on from.

    Raises Diverged for the first cell whose loss is not finite or explodes; OutOfMemory and others as they come.
    """
    for cell in cells:
        folder = workshop.store.folder("training", cell.key)
        parts = assemble(cell, workshop)
        state = TrainingState.begin(cell, parts, workshop)
        if (payload := folder.checkpoint()) is not None:
            state.load(payload)
            progress(state.step)
        hardware.reset_peak_memory(workshop.device)
        run_steps(state, cell, parts, workshop, folder.save_checkpoint, progress)
        weights = state.weights()
        folder.write("weights.safetensors", safetensors_bytes(weights))
        folder.write("history.json", canonical(state.history).encode())
        facts = TrainingFacts(
            seconds=state.seconds,
            steps=state.step,
            peak_memory=hardware.peak_memory(workshop.device),
            parameters=sum(p.numel() for p in state.module.parameters()),
            device=workshop.device,
            precision=parts.precision,
            threads=workshop.threads,
            jobs=workshop.jobs,
            **hardware.measured_on(workshop.device),
        )
        finished = datetime.now(UTC).isoformat(timespec="seconds")
        folder.finish({"facts": {**asdict(facts), "finished": finished}}, ("weights.safetensors", "history.json"))


@dataclass
class TrainingState:
    """All that changes while a cell is trained, and all that a checkpoint must hold for an exact resumption."""

    module: nn.Module
    optimizer: torch.optim.Optimizer
    average: MovingAverage
    generators: dict[str, Generator]
    loss_sum: Tensor
    losses: int = 0
    step: int = 0
    seconds: float = 0.0
    history: list[tuple[int, float]] = field(default_factory=list)

    @classmethod
    def begin(cls, cell: TrainingCell, parts: Parts, workshop: Workshop) -> TrainingState:
        """Return the state before the first step."""
        module = make_module(cell, parts, workshop.device).train()
        torch.manual_seed(seed_for(cell.seed, "network_noise", cell.dataset.text))
        return cls(
            module=module,
            optimizer=make_optimizer(cell.settings["optimizer"], list(module.parameters())),
            average=MovingAverage(module, cell.settings["ema"]),
            generators={role: workshop.generator(cell, role) for role in ROLES},
            loss_sum=torch.zeros((), device=workshop.device),
        )

    def learn(self, loss: Tensor, gradient_clip: float | None) -> None:
        """Take one optimizer step down the gradient of `loss`, a scalar, and fold the weights into their average."""
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if gradient_clip is not None:
            nn.utils.clip_grad_norm_(self.module.parameters(), gradient_clip, foreach=True)
        self.optimizer.step()
        self.average.update(self.step)
        self.loss_sum += loss.detach()
        self.losses += 1
        self.step += 1

    def dump(self) -> bytes:
        """Return the state as bytes."""
        buffer = io.BytesIO()
        content = {
            "module": self.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average.average,
            "generators": {role: g.get_state() for role, g in self.generators.items()},
            "global_random": torch.get_rng_state(),
            "device_random": torch.cuda.get_rng_state() if self.loss_sum.is_cuda else None,
            "loss_sum": self.loss_sum,
            **{name: getattr(self, name) for name in ("losses", "step", "seconds", "history")},
        }
        torch.save(content, buffer)
        return buffer.getvalue()

    def load(self, payload: bytes) -> None:
        """Take the state from bytes that `dump` made for the same cell."""
        content: dict[str, Any] = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
        self.module.load_state_dict(content["module"])
        self.optimizer.load_state_dict(content["optimizer"])
        for mine, saved in zip(self.average.average, content["average"], strict=True):
            mine.copy_(saved)
        for role, generator in self.generators.items():
            generator.set_state(content["generators"][role])
        torch.set_rng_state(content["global_random"])
        if content["device_random"] is not None and self.loss_sum.is_cuda:
            torch.cuda.set_rng_state(content["device_random"])
        self.loss_sum.copy_(content["loss_sum"])
        self.losses, self.step, self.seconds = content["losses"], content["step"], content["seconds"]
        self.history = [(step, loss) for step, loss in content["history"]]

    def weights(self) -> dict[str, Tensor]:
        """Return the weights as `raw.<name>` and, averaged, as `ema.<name>`. Raises Diverged when one is not finite."""
        averaged = self.average.weights(self.module)
        if not all(bool(torch.isfinite(value).all()) for value in averaged.values()):
            raise Diverged(f"a weight is not finite after {self.step} steps")
        state = {f"raw.{name}": value for name, value in self.module.state_dict().items()}
        state |= {f"ema.{name}": value for name, value in averaged.items()}
        return {name: value.detach().cpu().contiguous() for name, value in state.items()}


def run_steps(
    state: TrainingState,
    cell: TrainingCell,
    parts: Parts,
    workshop: Workshop,
    save: Callable[[int, bytes], None],
    progress: Progress,
) -> None:
    """Run the optimizer from `state.step` to the last step, recording losses and saving checkpoints now and then."""
    settings, device = cell.settings, workshop.device
    x_data, y_data = workshop.data(cell.dataset, "train")
    order = DataOrder(cell, len(x_data), device)
    autocast = partial(torch.autocast, device, dtype=torch.bfloat16, enabled=parts.precision == "bf16")
    peak, steps = settings["optimizer"]["lr"], settings["steps"]
    window = max(1, steps // HISTORY_POINTS)
    reported, saved = state.step, time.perf_counter()
    started = saved - state.seconds

    while state.step < steps:
        for group in state.optimizer.param_groups:
            group["lr"] = learning_rate(state.step, steps, peak, settings["schedule"])
        sample = draw(state.generators, cell, parts, x_data, y_data, order.rows(state.step))
        with autocast():
            labels = () if sample.y is None else (sample.y,)
            output = state.module(sample.x_t, sample.t, *labels)
        state.learn(parts.objective.loss(output.float(), sample).mean(), settings["gradient_clip"])

        last = state.step == steps
        if state.step % window == 0 or last:
            record_loss(state)
        now = time.perf_counter()
        state.seconds = now - started
        if now - saved > workshop.checkpoint_seconds and not last:
            save(state.step, state.dump())
            saved = now
        if state.step % window == 0 or last:
            progress(state.step - reported)
            reported = state.step


def draw(
    generators: Mapping[str, Generator], cell: TrainingCell, parts: Parts, x: Tensor, y: Tensor | None, rows: Tensor
) -> PathSample:
    """Draw a batch: data of the rows, source, pairing, t and the path's sample, each from its role's generator.

    The labels of the sample are what the network is given: None unless it is class-conditional, and the label
    `classes` ("no label") where label dropout took the label away.
    """
    x_1, labels = x[rows], None if y is None else y[rows]
    x_0 = parts.dataset.source(len(rows), generators["training_noise"])
    x_0, x_1, labels = parts.coupling.pair(x_0, x_1, labels, generators["coupling"])
    u = torch.rand(len(rows), generator=generators["t"], device=x.device).clamp_(min=2.0**-25)
    sample = parts.path.sample(x_0, x_1, parts.t_distribution.quantile(u), generators["path_noise"])
    if parts.classes and labels is not None:
        dropped = torch.rand(len(rows), generator=generators["label_dropout"], device=x.device)
        sample.y = torch.where(dropped < cell.settings["label_dropout"], parts.classes, labels)
    return sample


def record_loss(state: TrainingState) -> None:
    """Append the mean loss since the last entry. Raises Diverged when it is not finite or has exploded."""
    mean = state.loss_sum.item() / state.losses
    state.history.append((state.step, mean))
    state.loss_sum.zero_()
    state.losses = 0
    if not math.isfinite(mean):
        raise Diverged(f"the loss is {mean} at step {state.step}")
    if mean > EXPLODED * max(state.history[0][1], 1.0):
        raise Diverged(f"the loss rose from {state.history[0][1]:.3g} to {mean:.3g} at step {state.step}")


class DataOrder:
    """Which rows of the data each step sees: a shuffled pass over all of them, then another, ...

    The order depends on the seed and the dataset alone, and any step can be asked for, so resuming needs no state.
    """

    def __init__(self, cell: TrainingCell, size: int, device: str) -> None:
        self._cell, self._size, self._device = cell, size, device
        self._batch = cell.settings["batch_size"]
        self._passes: dict[int, Tensor] = {}

    def rows(self, step: int) -> Tensor:
        """Return the row numbers of a step, int64 `(batch_size,)`, on the device."""
        first, last = step * self._batch, (step + 1) * self._batch
        needed = range(first // self._size, (last - 1) // self._size + 1)
        self._passes = {number: self._pass(number) for number in needed}
        start = first - needed[0] * self._size
        return torch.cat(list(self._passes.values()))[start : start + self._batch]

    def _pass(self, number: int) -> Tensor:
        if number not in self._passes:
            seed = seed_for(self._cell.seed, f"data_order/{number}", self._cell.dataset.text)
            order = torch.randperm(self._size, generator=Generator().manual_seed(seed))
            self._passes[number] = order.to(self._device)
        return self._passes[number]
