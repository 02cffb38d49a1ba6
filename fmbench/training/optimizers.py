"""Optimizers by name, and their step: that of a fused Adam with less around it."""

from __future__ import annotations

import importlib
import inspect
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adamw": torch.optim.AdamW,
    "adam": torch.optim.Adam,
    "adamax": torch.optim.Adamax,
    "sgd": torch.optim.SGD,
}

_KERNELS: dict[type[torch.optim.Optimizer], Callable[..., None]] = {
    optimizer: kernel
    for optimizer, name in ((torch.optim.Adam, "_fused_adam_"), (torch.optim.AdamW, "_fused_adamw_"))
    if (kernel := getattr(torch, name, None)) is not None
}
if len(_KERNELS) < 2:
    logging.getLogger(__name__).info("this torch has no fused kernel of Adam to be called by hand: steps take longer")


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

    Around the kernel, `Optimizer.step` sorts tensors by device and looks for hooks: without that a step of a small MLP
    alone takes 0.86 of the time, and one of 32 as a fleet 0.97 (one thread of an AMD EPYC, 9 blocks of 40 steps in
    turn). torch has no public name for the kernel; where a version lacks it, or anything about the optimizer is
    unusual, `step` is called. The first step is the optimizer's own: that makes the state.
    """
    if not _is_plain_fused_adam(optimizer):
        optimizer.step()
        return
    (group,) = optimizer.param_groups
    parameters = [p for p in group["params"] if p.grad is not None]
    gradients, states = [p.grad for p in parameters], [optimizer.state[p] for p in parameters]
    averages, squares, steps = ([state[name] for state in states] for name in ("exp_avg", "exp_avg_sq", "step"))
    options = {name: group[name] for name in ("lr", "weight_decay", "eps", "amsgrad", "maximize")}
    beta1, beta2 = group["betas"]
    with torch.no_grad():
        torch._foreach_add_(steps, 1)
        kernel = _KERNELS[type(optimizer)]
        kernel(parameters, gradients, averages, squares, [], steps, beta1=beta1, beta2=beta2, **options)


def _is_plain_fused_adam(optimizer: torch.optim.Optimizer) -> bool:
    """Whether it is one of `_KERNELS`, fused, has its state, and all tensors are alike in device and dtype."""
    if type(optimizer) not in _KERNELS or len(optimizer.param_groups) != 1:
        return False
    group = optimizer.param_groups[0]
    first = group["params"][0]
    if not group["fused"] or group["amsgrad"] or group["maximize"]:
        return False
    return all(
        p.device == first.device and p.dtype == first.dtype and (p.grad is None or p in optimizer.state)
        for p in group["params"]
    )
