"""Optimizers by name, learning-rate schedules and the exponential moving average of the weights."""

from __future__ import annotations

import importlib
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from fmbench.averages import Averaging

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adamw": torch.optim.AdamW,
    "adam": torch.optim.Adam,
    "adamax": torch.optim.Adamax,
    "sgd": torch.optim.SGD,
}

_KERNELS: dict[type[torch.optim.Optimizer], Callable[..., None]] = {
    torch.optim.Adam: torch._fused_adam_,
    torch.optim.AdamW: torch._fused_adamw_,
}


def import_ahead() -> None:
    """Import what torch imports when the first optimizer is made: seconds, which an idle process has."""
    importlib.import_module("torch._dynamo")


def make_optimizer(settings: Mapping[str, Any], parameters: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
    """Build the optimizer of a cell's settings, `{"name": ..., "lr": ..., ...}`, fused where the device has it."""
    options = {name: value for name, value in settings.items() if name != "name"}
    if "betas" in options:
        options["betas"] = tuple(options["betas"])
    optimizer = OPTIMIZERS[settings["name"]]
    if "fused" in inspect.signature(optimizer).parameters:
        options["fused"] = parameters[0].device.type in {"cpu", "cuda"}
    return optimizer(parameters, **options)


def take_step(optimizer: torch.optim.Optimizer) -> None:
    """Take the optimizer's step, to the same bits with less around it: a fused Adam's kernel is called as it is.

    Around the kernel, `Optimizer.step` sorts tensors by device and looks for hooks, which a small network's step shows.
    Its first step is its own: that makes the state.
    """
    if not _is_plain_fused_adam(optimizer):
        optimizer.step()
        return
    (group,) = optimizer.param_groups
    parameters = [p for p in group["params"] if p.grad is not None]
    states = [optimizer.state[p] for p in parameters]
    steps = [state["step"] for state in states]
    with torch.no_grad():
        torch._foreach_add_(steps, 1)
        _KERNELS[type(optimizer)](
            parameters,
            [p.grad for p in parameters],
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],
            steps,
            lr=group["lr"],
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            amsgrad=False,
            maximize=False,
        )


def _is_plain_fused_adam(optimizer: torch.optim.Optimizer) -> bool:
    """Whether it is one of `_KERNELS`, fused, has its state, and all tensors are alike in device and dtype."""
    if type(optimizer) not in _KERNELS or len(optimizer.param_groups) != 1:
        return False
    group = optimizer.param_groups[0]
    first = group["params"][0]
    return (
        bool(group["fused"])
        and not (group["amsgrad"] or group["maximize"])
        and all(
            p.device == first.device and p.dtype == first.dtype and (p.grad is None or p in optimizer.state)
            for p in group["params"]
        )
    )


def learning_rate(step: int, steps: int, peak: float, schedule: Mapping[str, Any]) -> float:
    """Return the learning rate of `step` in 0..steps-1: linear warm-up to `peak`, then constant or a half cosine.

    The cosine ends at `final` times the peak after the last step (Loshchilov & Hutter 2017, eq. 5, without restarts).
    """
    warmup = int(schedule["warmup"])
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    if schedule["name"] == "constant":
        return peak
    done = (step - warmup) / max(1, steps - warmup)
    final = float(schedule["final"])
    return peak * (final + (1 - final) * 0.5 * (1 + math.cos(math.pi * done)))


class MovingAverage:
    """Exponential moving average of parameters, on their device, as `ema` of a cell's settings says (see `Averaging`).

    With decay 0 nothing is kept: the average is the parameters themselves.
    """

    def __init__(self, parameters: Sequence[Tensor], setting: float | Mapping[str, Any]) -> None:
        self.averaging = Averaging.of(setting)
        self.parameters: list[Tensor] = [p for p in parameters if p.requires_grad]
        kept = self.parameters if self.averaging.decay else []
        self.average: list[Tensor] = [p.detach().clone() for p in kept]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Fold the parameters in, after optimizer step number `step` (from 0)."""
        if self.average:
            torch._foreach_lerp_(self.average, self.parameters, 1 - self.averaging.at(step))
