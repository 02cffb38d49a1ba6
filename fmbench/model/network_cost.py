"""What a call of a network costs, counted and not measured: the same on every machine and at every moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from fmbench.isolation import global_random


@dataclass(frozen=True)
class NetworkCost:
    """The operations of a call, the numbers that they write, the floating-point operations of its products and
    convolutions, and the network's parameters.
    """

    operations: int
    elements: int
    flops: int
    parameters: int


class _Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the operations that are called inside, and the numbers that they write; a view writes none."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations = self.elements = 0

    def __torch_dispatch__(
        self, func: Any, types: Sequence[Any], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        self.operations += 1
        written = [] if func.is_view else output if isinstance(output, tuple | list) else [output]
        self.elements += sum(value.numel() for value in written if isinstance(value, Tensor))
        return output


@torch.no_grad()
def count_cost(module: nn.Module, inputs: Sequence[Tensor], device: str) -> NetworkCost:
    """Return what `module(*inputs)` costs, for inputs `(batch, ...)`.

    Torch's random state is left as it was; so is what the module holds.
    """
    held = {name: value.clone() for name, value in module.named_buffers()}
    counter = _Counter()
    with global_random.seeded(0, device), FlopCounterMode(display=False) as flops, counter:
        module(*inputs)
    for name, value in module.named_buffers():
        value.copy_(held[name])
    parameters = sum(parameter.numel() for parameter in module.parameters())
    return NetworkCost(counter.operations, counter.elements, int(flops.get_total_flops()), parameters)
