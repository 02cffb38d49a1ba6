"""Training: cells in, weights and loss history in the store out. The loop is read from top to bottom."""

from __future__ import annotations

import io
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

import torch
from safetensors.torch import save as safetensors_bytes
from torch import Tensor, nn

from fmbench import hardware
from fmbench.assembly import Parts, Workshop, assemble, make_module
from fmbench.cells import TrainingCell, canonical, seed_for
from fmbench.contracts import TrainingFacts
from fmbench.draws import Draws
from fmbench.errors import Diverged
from fmbench.optimizers import MovingAverage, learning_rate, make_optimizer
from fmbench.teaching import taught

HISTORY_POINTS = 200
EXPLODED = 1000.0  # times the first recorded loss

Progress = Callable[[int], None]
"""Called with the number of steps done since the last call."""


def train(cells: Sequence[TrainingCell], workshop: Workshop, progress: Progress = lambda steps: None) -> None:
    """Train cells and leave their weights, history and facts in the store; a checkpoint that is there is gone on from.

    Raises Diverged for the first cell whose loss is not finite or explodes; OutOfMemory and others as they come.
    """
    for cell in cells:
        folder = workshop.store.folder("training", cell.key)
        parts = assemble(cell, workshop)
        parts.coupling = taught(parts.coupling, cell, workshop)
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
    draws: Draws
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
            draws=Draws(cell, parts, workshop),
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
            "draws": self.draws.dump(),
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
        self.draws.load(content["draws"])
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
    settings = cell.settings
    autocast = parts.autocast(workshop.device)
    peak, steps = settings["optimizer"]["lr"], settings["steps"]
    window = max(1, steps // HISTORY_POINTS)
    reported, saved = state.step, time.perf_counter()
    started = saved - state.seconds

    while state.step < steps:
        for group in state.optimizer.param_groups:
            group["lr"] = learning_rate(state.step, steps, peak, settings["schedule"])
        sample = state.draws.batch(state.step)
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
