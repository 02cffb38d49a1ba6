"""Anything that Python can call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Gt

from fmbench import DataError, Model
from fmbench_models._conventions import Prediction, Time

if TYPE_CHECKING:
    from torch import Tensor, nn

    from fmbench import Dataset, ProbabilityPath


class Python(Model):
    """What a function of yours returns: a torch.nn.Module, or any other callable of `(x, t)`.

    The function is called once. What it returns is called with `x` `(batch, *shape)` and its own time `(batch,)`, and
    returns a tensor of the shape of `x`. The function's code is part of the key; what it reads from files is not.

    Args:
        function: the function, `"file.py:name"` or `"module:name"`, with its arguments: `{"mine.py:load": {step: 10}}`.
        path: the probability path whose velocity it is.
        predicts: what the callable's output is.
        time: where it has the data, at t=1 or at t=0.
        time_scale: what its time is multiplied by.

    Raises:
        DataError: what the function returns cannot be called.
    """

    reference = "your own code"
    network = "function"

    def __init__(
        self,
        *,
        function: dict[str, Any] | str,
        path: dict[str, Any] | str = "linear",
        predicts: Prediction = "velocity",
        time: Time = "data_at_one",
        time_scale: Annotated[float, Gt(0)] = 1.0,
    ) -> None:
        self.predicts = predicts
        self.time: Time = time
        self.time_scale = time_scale

    def build(self, dataset: Dataset, path: ProbabilityPath, network: Any) -> nn.Module:
        """Return what the function returned, as a module in fmbench's time."""
        from torch import nn

        from fmbench_models._conventions import InOurTime

        if not callable(network):
            raise DataError(f"the function must return what can be called with (x, t); it returned {network!r:.100}")
        module = network if isinstance(network, nn.Module) else _called(network)
        return InOurTime(module, self.time, self.time_scale, turns=self.predicts == "velocity")


def _called(function: Any) -> nn.Module:
    """Return a function as a module without weights."""
    from torch import nn

    class Called(nn.Module):
        """Calls a function."""

        def forward(self, x: Tensor, t: Tensor) -> Tensor:
            """Return the function's value."""
            output: Tensor = function(x, t)
            return output

    return Called()
