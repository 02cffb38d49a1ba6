"""All that changes while a fleet is trained: what a step changes, and what checkpoints and weights are made of."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from fmbench.cells.cells import TrainingCell
from fmbench.cells.seeds import seed_for
from fmbench.cells.snapshots import LENGTHS
from fmbench.components.contracts import TrainingFacts
from fmbench.errors import Diverged
from fmbench.isolation import global_random
from fmbench.model.batched.networks import Networks
from fmbench.model.build import Components, make_module
from fmbench.model.context import WorkerContext
from fmbench.runtime import environment, memory
from fmbench.runtime.device import device_type
from fmbench.training.best_weights import BestWeights
from fmbench.training.compilation import Compilation
from fmbench.training.ema import MovingAverage, PowerAverage
from fmbench.training.optimizers import make_optimizer, take_step
from fmbench.training.path_batches import PathBatchSampler


@dataclass
class TrainingState:
    """All that changes while a fleet is trained, and all that checkpoints must hold for an exact resumption.

    `cells`, `components`, `seconds` and `history` have an entry a member; `loss_sum` is `(members,)`.
    `size` is the fleet's size as the facts have it: members that dropped out count. `pace` is what `Pace.middle` gave.
    `power_averages` are those of which others are made afterwards, and `best` has an entry a member of which validation
    data choose weights. `continued` is the step of a shorter training from which this one went on.
    """

    cells: list[TrainingCell]
    components: list[Components]
    networks: Networks
    optimizer: torch.optim.Optimizer
    average: MovingAverage
    path_batches: PathBatchSampler
    loss_sum: Tensor
    seconds: list[float]
    history: list[list[tuple[int, float]]]
    compilation: Compilation
    power_averages: list[PowerAverage] = field(default_factory=list)
    best: dict[int, BestWeights] = field(default_factory=dict)
    continued: int = 0
    size: int = 1
    pace: tuple[float, float] = (0.0, 0.0)
    losses: int = 0
    step: int = 0

    @classmethod
    def begin(
        cls,
        cells: Sequence[TrainingCell],
        components: Sequence[Components],
        compilation: Compilation,
        context: WorkerContext,
    ) -> TrainingState:
        """Return the state before the first step of cells, which stand in the order of `in_order`."""
        pairs = zip(cells, components, strict=True)
        modules = [compilation.formatted(make_module(cell, own, context.device).train()) for cell, own in pairs]
        global_random.seed(seed_for(cells[0].seed, "network_noise", cells[0].dataset.text))
        networks = Networks(modules)
        lengths = LENGTHS if any(cell.kept.post_hoc_ema for cell in cells) else ()
        return cls(
            cells=list(cells),
            components=list(components),
            networks=networks,
            compilation=compilation,
            optimizer=make_optimizer(cells[0].settings["optimizer"], networks.parameters),
            average=MovingAverage(networks.parameters, cells[0].settings["ema"]),
            power_averages=[PowerAverage(networks.parameters, length) for length in lengths],
            best={member: BestWeights() for member, cell in enumerate(cells) if cell.kept.best},
            path_batches=PathBatchSampler(cells, components, context),
            loss_sum=torch.zeros(len(cells), device=context.device),
            seconds=[0.0] * len(cells),
            history=[[] for _ in cells],
        )

    def add_gradient(self, loss: Tensor, share: float) -> None:
        """Add the gradient of each member's mean `loss` `(members,)` over a part of the batch, a share of the whole."""
        if share != 1:
            loss = loss * share
        total = loss if len(loss) == 1 else loss.sum()
        total.backward()  # type: ignore[no-untyped-call]
        self.loss_sum += loss.detach()

    def optimizer_step(self, gradient_clip: float | None) -> None:
        """Take one optimizer step down the gradient of each member, and fold in the weights."""
        if gradient_clip is not None:
            self.networks.clip_gradients(gradient_clip)
        take_step(self.optimizer)
        for parameter in self.networks.parameters:
            parameter.grad = None
        self.average.update(self.step)
        for average in self.power_averages:
            average.update(self.step)
        self.losses += 1
        self.step += 1

    def content(self, member: int) -> dict[str, Any]:
        """Return a member's state: what its checkpoint holds, whether it is trained alone or in a fleet."""
        part = self.networks.part
        sizes = [parameter.shape for parameter in self.networks.parameters]
        optimizer = _with_changed(self.optimizer.state_dict(), sizes, lambda _number, _name, value: part(value, member))
        return {
            "module": self.networks.state(member),
            "optimizer": optimizer,
            "average": [part(value, member) for value in self.average.average],
            "draws": self.path_batches.dump(member),
            "global_random": global_random.state(str(self.loss_sum.device)),
            "loss_sum": self.loss_sum[member],
            "losses": self.losses,
            "step": self.step,
            "seconds": self.seconds[member],
            "history": self.history[member],
            "power_averages": [[part(value, member) for value in each.average] for each in self.power_averages],
            "best": self.best[member].content() if member in self.best else None,
            "continued": self.continued,
        }

    def dump(self, member: int) -> bytes:
        """Return a member's state as bytes. Tensors are copied: a slice would be saved with all that it is cut from."""
        buffer = io.BytesIO()
        torch.save(_copied(self.content(member)), buffer)
        return buffer.getvalue()

    def load(self, contents: Sequence[Mapping[str, Any]]) -> None:
        """Take the members' states, all of one step, from what `content` returned for the same cells."""
        first = contents[0]
        stack = self.networks.stack
        self.networks.load([content["module"] for content in contents])
        sizes = [self.networks.part(parameter, 0).shape for parameter in self.networks.parameters]
        states = [content["optimizer"]["state"] for content in contents]
        self.optimizer.load_state_dict(
            _with_changed(first["optimizer"], sizes, lambda number, name, _: stack([s[number][name] for s in states]))
        )
        for mine, *saved in zip(self.average.average, *(content["average"] for content in contents), strict=True):
            mine.copy_(stack(saved))
        for number, average in enumerate(self.power_averages):
            for mine, *saved in zip(average.average, *(c["power_averages"][number] for c in contents), strict=True):
                mine.copy_(stack(saved))
        self.best = {member: BestWeights.of(contents[member]["best"]) for member in self.best}
        for member, content in enumerate(contents):
            self.path_batches.load(member, content["draws"])
            self.loss_sum[member] = content["loss_sum"]
        global_random.restore(first["global_random"], str(self.loss_sum.device))
        self.losses, self.step, self.continued = first["losses"], first["step"], first["continued"]
        self.seconds = [content["seconds"] for content in contents]
        self.history = [[(step, loss) for step, loss in content["history"]] for content in contents]

    def without(self, members: Sequence[int], context: WorkerContext) -> TrainingState:
        """Return the state of a fleet without some of its members."""
        kept = [member for member in range(len(self.cells)) if member not in members]
        if not kept:
            return replace(self, cells=[])
        cells = [self.cells[member] for member in kept]
        components = [self.components[member] for member in kept]
        smaller = TrainingState.begin(cells, components, self.compilation, context)
        smaller.size = self.size
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

    def averages(self, member: int) -> dict[str, Tensor]:
        """Return the power averages of a member's parameters, as `<number>.<name>`."""
        found: dict[str, Tensor] = {}
        for number, each in enumerate(self.power_averages):
            whole = self.networks.averaged(member, each.average)
            names = [name for name, value in self.networks.module.named_parameters() if value.requires_grad]
            found |= {f"{number}.{name}": whole[name] for name in names}
        return {name: value.detach().cpu().contiguous() for name, value in _copied(found).items()}

    def facts(self, member: int, context: WorkerContext) -> TrainingFacts:
        """Return what was observed of a member's training."""
        return TrainingFacts(
            seconds=self.seconds[member],
            steps=self.step,
            peak_memory=memory.peak_memory(context.device),
            parameters=sum(self.networks.part(p, member).numel() for p in self.networks.parameters),
            device=device_type(context.device),
            precision=self.components[member].precision,
            threads=context.threads,
            jobs=context.jobs,
            fleet=self.size,
            program=str(self.compilation),
            pace=self.pace[0],
            pace_iqr=self.pace[1],
            continued=self.continued,
            **environment.measured_on(context.device),
        )


def _with_changed(
    optimizer: dict[str, Any], sizes: Sequence[torch.Size], changed: Callable[[int, str, Tensor], Tensor]
) -> dict[str, Any]:
    """Return an optimizer's state dict with all changed that belongs to the elements of parameters of these sizes."""

    def kept(number: int, name: str, value: Any) -> Any:
        is_like = name != "step" and isinstance(value, Tensor) and value.shape == sizes[number]
        return changed(number, name, value) if is_like else value

    state = {i: {name: kept(i, name, v) for name, v in values.items()} for i, values in optimizer["state"].items()}
    return {**optimizer, "state": state}


def _copied(value: Any) -> Any:
    """Return nested dicts and lists with their tensors copied: a slice is saved with all that it was cut from."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, dict):
        return {name: _copied(each) for name, each in value.items()}
    return [_copied(each) for each in value] if isinstance(value, list) else value
