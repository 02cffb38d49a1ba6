"""A mapped network as the list of what it computes, so that `torch.func` and Python do their own work once.

Mapping costs milliseconds a call: more than the arithmetic of a small network. The list is made from one call and
stands for all calls with inputs of the same shapes; networks therefore compute the same from the same inputs, whatever
was called before.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, fx

from fmbench.model.batched.linear import quick_product

log = logging.getLogger(__name__)

Call = Callable[..., Tensor]
"""Called with tensors, in the order of those that it was traced with."""

CLOSE = {torch.float64: 1e-9, torch.float32: 1e-3}
"""How far output and gradients of what was traced may be from the original's, relative to their norm."""


def trace_calls(call: Call, inputs: Sequence[Tensor]) -> Call:
    """Return what computes the same as `call`, gradients included; `call` itself where that cannot be had.

    What is traced is compared with the original on these inputs: operations whose gradient is not that of what they
    compute (a part without gradient, an `autograd.Function`) are found out so.

    Untraced, a step takes 1.27 times as long for 32 MLPs and 1.28 for 9 small U-Nets (one thread of an AMD EPYC, 9
    blocks of steps in turn).
    """
    from torch.fx.experimental.proxy_tensor import make_fx

    try:
        module = make_fx(call)(*inputs)
        _simplify(module.graph)
        module.recompile()
        program: Call = module.forward
        if _agree(call, program, inputs):
            return program
        log.info("a network's trace computes something else than the network; it is called as it is")
    except Exception as error:  # whatever a plugin's network or torch raises while it is traced
        log.info("a network cannot be traced (%s); it is called as it is", str(error).partition("\n")[0])
    return call


def _simplify(graph: fx.Graph) -> None:
    """Remove what changes nothing, and let products with a bias be quick."""
    aten = torch.ops.aten
    for node in list(graph.nodes):
        if node.target is aten.baddbmm.default and not node.kwargs:
            node.target = quick_product
        elif (node.target is aten.permute.default and list(node.args[1]) == list(range(len(node.args[1])))) or (
            node.target in {aten.view.default, aten._unsafe_view.default} and _shape(node) == _shape(node.args[0])
        ):
            node.replace_all_uses_with(node.args[0])
    graph.eliminate_dead_code()
    graph.lint()


def _shape(node: fx.Node) -> Any:
    value = node.meta.get("val")
    return object() if value is None else value.shape


def _agree(call: Call, program: Call, inputs: Sequence[Tensor]) -> bool:
    """Tell whether two programs give the same output and the same gradients."""
    learnt = [value for value in inputs if value.requires_grad]
    found = []
    for each in (call, program):
        output = each(*inputs)
        weights = torch.linspace(-1, 1, output.numel(), device=output.device, dtype=output.dtype).view_as(output)
        gradients = torch.autograd.grad((output * weights).sum(), learnt, allow_unused=True)
        found.append([output.detach(), *gradients])
    return all(_close(one, other) for one, other in zip(*found, strict=True))


def _close(one: Tensor | None, other: Tensor | None) -> bool:
    if one is None or other is None:
        return one is other
    difference = torch.linalg.vector_norm((one - other).float())
    return bool(difference <= CLOSE.get(one.dtype, 0.05) * torch.linalg.vector_norm(one.float()) + 1e-12)
