"""Anything that Python can call."""

from __future__ import annotations

import contextlib
import functools
import inspect
import types
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge, Gt

from fmbench import DataError
from fmbench_models._conventions import Conventions, DeclaredModel, Interval, Prediction, Time

if TYPE_CHECKING:
    from torch import Tensor, nn

    from fmbench import Dataset, ProbabilityPath


class Python(DeclaredModel):
    """What a function of yours returns: a torch.nn.Module, or any other callable of `(x, t)`.

    The function is called once. What it returns is called with `x` `(batch, *shape)` and its own time `(batch,)`, and
    returns a tensor of the shape of `x`. The function's code is part of the key; what it reads from files is not.
    Networks that a function closes over are evaluated in eval mode, as one that is returned itself.

    Args:
        function: the function, `"file.py:name"` or `"module:name"`, with its arguments: `{"mine.py:load": {step: 10}}`.
        path: the probability path whose velocity it is.
        predicts: what the callable's output is.
        time: where the network has the data, at t=1 or at t=0; sigma where it is told the noise level in place of a
            time, and called with data that have that much noise added, (x/alpha_t, sigma_t/alpha_t).
        time_scale: what the network's time is multiplied by: 1000 where it was trained with 0 to 1000.
        noise_levels: for time: sigma, the smallest and the largest that it was trained for; beyond, it is asked there.
        value_range: what is -1 and 1 in the dataset is this for the network: [0, 1] for such pixels, [-0.5, 0.5] for
            data of half the deviation; null where the data are the dataset's. It starts from standard normal noise.
        labels: whether it takes labels and is called as `(x, t, y)`.
        no_label: its index of "no label", which guidance needs; null where it has none.

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
        noise_levels: Interval = (0.002, 80.0),
        value_range: Interval | None = None,
        labels: bool = False,
        no_label: Annotated[int, Ge(0)] | None = None,
    ) -> None:
        self.conventions = Conventions(
            predicts, time, time_scale, noise_levels, value_range, labels=labels, no_label=no_label
        )
        self.predicts = predicts

    def build(self, dataset: Dataset, path: ProbabilityPath, network: Any) -> nn.Module:
        """Return what the function returned, as a module in fmbench's time."""
        from torch import nn

        if not callable(network):
            raise DataError(f"the function must return what can be called with (x, t); it returned {network!r:.100}")
        module = network if isinstance(network, nn.Module) else _called(network, modules_in(network))
        return self.conventions.of(module, dataset, path)


def modules_in(function: Any) -> list[nn.Module]:
    """Return the networks that a callable holds: in what it closes over, is bound to, is partial of, or names.

    As parts of the model they are evaluated in eval mode, on its device, and their parameters count.
    """
    from torch import nn

    found: dict[int, nn.Module] = {}
    seen: set[int] = set()
    waiting = [function]
    while waiting:
        each = waiting.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        if isinstance(each, nn.Module):
            found[id(each)] = each
        elif isinstance(each, list | tuple):
            waiting += each
        elif isinstance(each, dict):
            waiting += each.values()
        elif isinstance(each, functools.partial):
            waiting += [each.func, *each.args, *each.keywords.values()]
        elif inspect.ismethod(each):
            waiting += [each.__func__, each.__self__]
        elif inspect.isfunction(each):
            waiting += _named_by(each)
        elif hasattr(each, "__dict__") and not isinstance(each, type | types.ModuleType):
            waiting += vars(each).values()
    return list(found.values())


def _named_by(function: types.FunctionType) -> list[Any]:
    """Return what a function closes over, and what it names of its own module: networks, functions and objects."""
    from torch import nn

    held = []
    for cell in function.__closure__ or ():
        with contextlib.suppress(ValueError):  # a cell that nothing was put into
            held.append(cell.cell_contents)
    named = (function.__globals__.get(name) for name in function.__code__.co_names)
    own = function.__module__
    return held + [v for v in named if isinstance(v, nn.Module) or getattr(v, "__module__", None) == own]


def _called(function: Any, networks: list[nn.Module]) -> nn.Module:
    """Return a function as a module, with the networks that it calls."""
    from torch import nn

    class Called(nn.Module):
        """Calls a function."""

        def __init__(self) -> None:
            super().__init__()
            self.networks = nn.ModuleList(networks)

        def forward(self, x: Tensor, t: Tensor, *y: Tensor) -> Tensor:
            """Return the function's value."""
            output: Tensor = function(x, t, *y)
            return output

    return Called()
