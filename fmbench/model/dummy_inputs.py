"""What a network is called with when it is timed or traced."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from fmbench.cells.cells import TrainingCell
    from fmbench.model.build import Components


def examples_a_call(cell: TrainingCell) -> int:
    """Return how many examples the network of a cell is called with at once: a batch, or its part of one."""
    return int(cell.settings["batch_size"] // cell.settings.values.get("accumulate", 1))


def network_inputs(parts: Components, n: int, device: str) -> list[Tensor]:
    """Return n random examples of what a network is called with: states, times and, where it takes them, conditions."""
    import torch

    from fmbench.components.conditions import some_conditions

    generator = torch.Generator(device).manual_seed(0)
    x, t = parts.dataset.source(n, generator), torch.rand(n, generator=generator, device=device)
    y = some_conditions(n, parts.classes, parts.condition_width, device)
    return [x, t] if y is None else [x, t, y]
