"""Training: cells in, weights and loss history in the store out. The loop is read from top to bottom."""

from __future__ import annotations

import io
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

import torch
from safetensors.torch import save as safetensors_bytes
from torch import Tensor

from fmbench import hardware
from fmbench.assembly import Parts, Workshop, assemble, make_module
from fmbench.cells import TrainingCell, canonical, seed_for
from fmbench.contracts import TrainingFacts
from fmbench.errors import Diverged
from fmbench.fleet import Networks, why_alone
from fmbench.optimizers import MovingAverage, learning_rate, make_optimizer
from fmbench.samples import Samples, in_order, inputs, losses
from fmbench.store import CellFolder
from fmbench.teaching import taught

HISTORY_POINTS = 200
EXPLODED = 1000.0  # times the first recorded loss

Progress = Callable[[int], None]
"""Called with the number of steps done since the last call, added up over the members of a fleet."""

Save = Callable[[TrainingCell, int, bytes], None]
"""Called with a cell, the number of steps done and its state, for a checkpoint."""

Failed = Callable[[TrainingCell, Diverged], None]
"""Called with a cell that dropped out of its fleet."""


def raise_failure(cell: TrainingCell, failure: Diverged) -> None:
    """Raise the failure: what is done with a cell that diverges, unless something else is asked for."""
    raise failure


def train(
    cells: Sequence[TrainingCell],
    workshop: Workshop,
    progress: Progress = lambda steps: None,
    failed: Failed = raise_failure,
) -> None:
    """Train cells and leave their weights, history and facts in the store; a checkpoint that is there is gone on from.

    Cells that share their `fleet_key` and are at one step are a fleet, unless something is against it (`why_alone`):
    then they are trained one by one. A cell whose loss or weights are not finite, or whose loss explodes, is handed
    to `failed`, and drops out. Raises OutOfMemory and others as they come.
    """
    folders = {cell.key: workshop.store.folder("training", cell.key) for cell in cells}
    saved = {key: content for key, folder in folders.items() if (content := _checkpoint(folder)) is not None}
    alike: dict[tuple[str, int], list[TrainingCell]] = {}
    for cell in cells:
        alike.setdefault((cell.fleet_key, saved[cell.key]["step"] if cell.key in saved else 0), []).append(cell)
    for together in alike.values():
        alone = len(together) > 1 and why_alone(together, workshop)
        for fleet in [[cell] for cell in together] if alone else [together]:
            state = TrainingState.begin(fleet, workshop)
            if state.cells[0].key in saved:
                state.load([saved[cell.key] for cell in state.cells])
                progress(state.step * len(fleet))
            _train_fleet(state, workshop, progress, failed)


def _checkpoint(folder: CellFolder) -> dict[str, Any] | None:
    """Return the newest state that was saved of a cell."""
    payload = folder.checkpoint()
    return None if payload is None else torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)


def _train_fleet(state: TrainingState, workshop: Workshop, progress: Progress, failed: Failed) -> None:
    """Go on from a state to the end, and leave in the store what came of each member."""

    def save(cell: TrainingCell, step: int, payload: bytes) -> None:
        workshop.store.folder("training", cell.key).save_checkpoint(step, payload)

    hardware.reset_peak_memory(workshop.device)
    state = run_steps(state, workshop, save, progress, failed)
    for member, cell in enumerate(state.cells):
        try:
            weights = state.weights(member)
        except Diverged as failure:
            failed(cell, failure)
        else:
            keep(cell, weights, state.history[member], state.facts(member, workshop), workshop)


def keep(
    cell: TrainingCell,
    weights: Mapping[str, Tensor],
    history: Sequence[tuple[int, float]],
    facts: TrainingFacts,
    workshop: Workshop,
) -> None:
    """Leave what a training gave in the store."""
    folder = workshop.store.folder("training", cell.key)
    folder.write("weights.safetensors", safetensors_bytes(dict(weights)))
    folder.write("history.json", canonical(history).encode())
    finished = datetime.now(UTC).isoformat(timespec="seconds")
    folder.finish({"facts": {**asdict(facts), "finished": finished}}, ("weights.safetensors", "history.json"))


@dataclass
class TrainingState:
    """All that changes while a fleet is trained, and all that checkpoints must hold for an exact resumption.

    `cells`, `parts`, `seconds` and `history` have an entry a member; `loss_sum` is `(members,)`.
    """

    cells: list[TrainingCell]
    parts: list[Parts]
    networks: Networks
    optimizer: torch.optim.Optimizer
    average: MovingAverage
    samples: Samples
    loss_sum: Tensor
    seconds: list[float]
    history: list[list[tuple[int, float]]]
    losses: int = 0
    step: int = 0

    @classmethod
    def begin(cls, cells: Sequence[TrainingCell], workshop: Workshop) -> TrainingState:
        """Return the state before the first step. Members are put into the order of `in_order`."""
        cells = in_order(cells)
        parts = [assemble(cell, workshop) for cell in cells]
        for own, cell in zip(parts, cells, strict=True):
            own.coupling = taught(own.coupling, cell, workshop)
        modules = [make_module(cell, own, workshop.device).train() for cell, own in zip(cells, parts, strict=True)]
        torch.manual_seed(seed_for(cells[0].seed, "network_noise", cells[0].dataset.text))
        networks = Networks(modules)
        return cls(
            cells=cells,
            parts=parts,
            networks=networks,
            optimizer=make_optimizer(cells[0].settings["optimizer"], networks.parameters),
            average=MovingAverage(networks.parameters, cells[0].settings["ema"]),
            samples=Samples(cells, parts, workshop),
            loss_sum=torch.zeros(len(cells), device=workshop.device),
            seconds=[0.0] * len(cells),
            history=[[] for _ in cells],
        )

    def learn(self, loss: Tensor, gradient_clip: float | None) -> None:
        """Take one optimizer step down the gradient of each member's `loss`, and fold in the weights."""
        self.optimizer.zero_grad(set_to_none=True)
        loss.sum().backward()  # type: ignore[no-untyped-call]
        if gradient_clip is not None:
            self.networks.clip_gradients(gradient_clip)
        self.optimizer.step()
        self.average.update(self.step)
        self.loss_sum += loss.detach()
        self.losses += 1
        self.step += 1

    def content(self, member: int) -> dict[str, Any]:
        """Return a member's state: what its checkpoint holds, whether it is trained alone or in a fleet."""
        part = self.networks.part
        optimizer = self.optimizer.state_dict()
        sizes = [parameter.shape for parameter in self.networks.parameters]
        optimizer["state"] = {
            number: {n: part(v, member) if _is_like(n, v, sizes[number]) else v for n, v in values.items()}
            for number, values in optimizer["state"].items()
        }
        return {
            "module": self.networks.state(member),
            "optimizer": optimizer,
            "average": [part(value, member) for value in self.average.average],
            "draws": self.samples.dump(member),
            "global_random": torch.get_rng_state(),
            "device_random": torch.cuda.get_rng_state() if self.loss_sum.is_cuda else None,
            "loss_sum": self.loss_sum[member],
            "losses": self.losses,
            "step": self.step,
            "seconds": self.seconds[member],
            "history": self.history[member],
        }

    def dump(self, member: int) -> bytes:
        """Return a member's state as bytes. Tensors are copied: a slice would be saved with all that it is cut from."""
        buffer = io.BytesIO()
        torch.save(_copied(self.content(member)), buffer)
        return buffer.getvalue()

    def load(self, contents: Sequence[dict[str, Any]]) -> None:
        """Take the members' states, all of one step, from what `content` returned for the same cells."""
        first = contents[0]
        stack = self.networks.stack
        self.networks.load([content["module"] for content in contents])
        optimizer = dict(first["optimizer"])
        sizes = [self.networks.part(parameter, 0).shape for parameter in self.networks.parameters]
        optimizer["state"] = {
            number: {
                name: stack([content["optimizer"]["state"][number][name] for content in contents])
                if _is_like(name, value, sizes[number])
                else value
                for name, value in values.items()
            }
            for number, values in first["optimizer"]["state"].items()
        }
        self.optimizer.load_state_dict(optimizer)
        for mine, *saved in zip(self.average.average, *(content["average"] for content in contents), strict=True):
            mine.copy_(stack(saved))
        for member, content in enumerate(contents):
            self.samples.load(member, content["draws"])
            self.loss_sum[member] = content["loss_sum"]
        torch.set_rng_state(first["global_random"])
        if first["device_random"] is not None and self.loss_sum.is_cuda:
            torch.cuda.set_rng_state(first["device_random"])
        self.losses, self.step = first["losses"], first["step"]
        self.seconds = [content["seconds"] for content in contents]
        self.history = [[(step, loss) for step, loss in content["history"]] for content in contents]

    def without(self, members: Sequence[int], workshop: Workshop) -> TrainingState:
        """Return the state of a fleet without some of its members."""
        kept = [member for member in range(len(self.cells)) if member not in members]
        if not kept:
            return replace(self, cells=[])
        smaller = TrainingState.begin([self.cells[member] for member in kept], workshop)
        smaller.load([self.content(member) for member in kept])
        return smaller

    def weights(self, member: int) -> dict[str, Tensor]:
        """Return the weights as `raw.<name>` and, averaged, as `ema.<name>`. Raises Diverged when one is not finite."""
        averaged = self.networks.averaged(member, self.average.average)
        if not all(bool(torch.isfinite(value).all()) for value in averaged.values()):
            raise Diverged(f"a weight is not finite after {self.step} steps")
        state = {f"raw.{name}": value for name, value in self.networks.state(member).items()}
        state |= {f"ema.{name}": value for name, value in averaged.items()}
        return {name: value.detach().cpu().contiguous() for name, value in _copied(state).items()}

    def facts(self, member: int, workshop: Workshop) -> TrainingFacts:
        """Return what was observed of a member's training."""
        return TrainingFacts(
            seconds=self.seconds[member],
            steps=self.step,
            peak_memory=hardware.peak_memory(workshop.device),
            parameters=sum(self.networks.part(p, member).numel() for p in self.networks.parameters),
            device=workshop.device,
            precision=self.parts[member].precision,
            threads=workshop.threads,
            jobs=workshop.jobs,
            fleet=len(self.cells),
            **hardware.measured_on(workshop.device),
        )


def run_steps(
    state: TrainingState, workshop: Workshop, save: Save, progress: Progress, failed: Failed = raise_failure
) -> TrainingState:
    """Run the optimizer from `state.step` to the last step, recording losses and saving checkpoints now and then.

    Return the state after the last step, of the members that are left, if any are.
    """
    settings = state.cells[0].settings
    autocast = state.parts[0].autocast(workshop.device)
    peak, steps = settings["optimizer"]["lr"], settings["steps"]
    window = max(1, steps // HISTORY_POINTS)
    reported, saved = state.step, time.perf_counter()
    last_seen = saved

    while state.step < steps and state.cells:
        for group in state.optimizer.param_groups:
            group["lr"] = learning_rate(state.step, steps, peak, settings["schedule"])
        lessons = state.samples.draw(state.step)
        with autocast():
            output = state.networks(*inputs(lessons))
        loss = losses(lessons, output.to(lessons[0].sample.x_t.dtype))
        state.learn(loss, settings["gradient_clip"])

        last = state.step == steps
        recorded = state.step % window == 0 or last
        diverged = record_losses(state) if recorded else {}
        now = time.perf_counter()
        state.seconds = [seconds + (now - last_seen) / len(state.cells) for seconds in state.seconds]
        last_seen = now
        if recorded:
            progress((state.step - reported) * len(state.cells))
            reported = state.step
        if diverged:
            for member, failure in diverged.items():
                failed(state.cells[member], failure)
            state = state.without(list(diverged), workshop)
        if now - saved > workshop.checkpoint_seconds and not last:
            for member, cell in enumerate(state.cells):
                save(cell, state.step, state.dump(member))
            saved = now
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


def _is_like(name: str, value: Any, shape: torch.Size) -> bool:
    """Whether a value in an optimizer's state belongs to the elements of a parameter of this shape."""
    return name != "step" and isinstance(value, Tensor) and value.shape == shape


def _copied(value: Any) -> Any:
    """Return nested dicts and lists with their tensors copied: a slice is saved with all that it was cut from."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, dict):
        return {name: _copied(each) for name, each in value.items()}
    return [_copied(each) for each in value] if isinstance(value, list) else value
