"""Weights that were saved by any program, for a network that is registered or anybody's class."""

from __future__ import annotations

import difflib
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge, Gt

from fmbench import DataError
from fmbench_models._conventions import Conventions, DeclaredModel, Interval, Prediction, Time

if TYPE_CHECKING:
    from torch import Tensor, nn

    from fmbench import Dataset, ProbabilityPath

PREFIXES = ("", "ema.", "module.", "_orig_mod.", "model.", "network.", "ema_model.", "state_dict.")
HOLDERS = ("ema", "ema_state_dict", "state_dict", "model_state_dict", "model", "net", "network")
"""Keys under which programs keep the weights beside an optimizer's state, those of an average first."""
SHOWN = 5
FORBIDDEN = re.compile(r"(?:global: GLOBAL|load unsupported GLOBAL|Unsupported class) ([\w.]+)")
"""How torch says which class or function a file names that it does not load."""


class Checkpoint(DeclaredModel):
    """A network with weights from a file: safetensors, or what `torch.save` wrote of a state dict.

    A torch file is read with `weights_only`: one that holds code is refused. The prefix that wrappers put before names
    (`module.`, `_orig_mod.`, `ema.`) is found where it is not named; every weight of the network must be in the file.
    Where a program saved an average under a name of its own (`ema`, `ema_state_dict`), that is taken.

    Args:
        file: the file.
        network: the network that the weights are for: one that is registered, `{mlp: {width: 64}}`, or anybody's class,
            `{"mine.py:Net": {width: 64}}`, which is called as `(x, t)`.
        path: the probability path in which it was trained.
        predicts: what its output is.
        time: where the network has the data, at t=1 or at t=0; sigma where it is told the noise level in place of a
            time, and called with data that have that much noise added, (x/alpha_t, sigma_t/alpha_t).
        time_scale: what the network's time is multiplied by: 1000 where it was trained with 0 to 1000.
        noise_levels: for time: sigma, the smallest and the largest that it was trained for; beyond, it is asked there.
        value_range: what is -1 and 1 in the dataset is this for the network: [0, 1] for such pixels, [-0.5, 0.5] for
            data of half the deviation; null where the data are the dataset's. It starts from standard normal noise.
        labels: whether it takes labels and is called as `(x, t, y)`.
        no_label: its index of "no label", which guidance needs; null where it has none.
        prefix: what stands before the names of the weights; null to find it.

    Raises:
        DataError: the file cannot be read, or its weights are not those of the network.
    """

    reference = "torch.load with weights_only (PyTorch), safetensors (Hugging Face)"
    content = ("file",)
    network = "network"

    def __init__(
        self,
        *,
        file: str,
        network: dict[str, Any] | str,
        path: dict[str, Any] | str = "linear",
        predicts: Prediction = "velocity",
        time: Time = "data_at_one",
        time_scale: Annotated[float, Gt(0)] = 1.0,
        noise_levels: Interval = (0.002, 80.0),
        value_range: Interval | None = None,
        labels: bool = False,
        no_label: Annotated[int, Ge(0)] | None = None,
        prefix: str | None = None,
    ) -> None:
        self.file = Path(file).expanduser()
        if not self.file.is_file():
            raise ValueError(f"file must be a file with weights; {file!r} is none")
        self.conventions = Conventions(
            predicts, time, time_scale, noise_levels, value_range, labels=labels, no_label=no_label
        )
        self.predicts = predicts
        self.prefix = prefix

    def build(self, dataset: Dataset, path: ProbabilityPath, network: Any) -> nn.Module:
        """Return the network with the weights of the file."""
        from torch import nn

        if not isinstance(network, nn.Module):
            raise DataError(f"the network of a checkpoint must be a torch.nn.Module; it is a {type(network).__name__}")
        network.load_state_dict(fitting(read_weights(self.file), network, self.prefix, self.file))
        return self.conventions.of(network, dataset, path)


def read_weights(file: Path) -> dict[str, Tensor]:
    """Return the tensors of a file by name. Raises DataError.

    What the file holds says how it is read, not its name, which is in no key: one that was renamed is the same model.
    """
    import torch

    if _is_safetensors(file):
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(file)
        except (SafetensorError, OSError) as error:
            raise DataError(f"{file} cannot be read as safetensors: {error}") from error
    try:
        with file.open("rb") as opened:  # of a file by name, torch looks at the name
            held = torch.load(opened, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        found = FORBIDDEN.search(str(error))
        what = f"{found[1]}, which could run code" if found else "more, which could run code"
        raise DataError(
            f"{file} is not what torch.save writes of tensors alone: it holds {what}. Save the state dict alone: "
            "torch.save(network.state_dict(), FILE)."
        ) from error
    except Exception as error:  # whatever a damaged file makes of a pickle's machine
        why = f"{type(error).__name__}: {str(error)[:200]}" if str(error) else type(error).__name__
        raise DataError(f"{file} cannot be read as what torch.save writes ({why})") from error
    return _state_dict(held, file)


def _is_safetensors(file: Path) -> bool:
    """Whether a file begins as safetensors do: the length of a header in 8 bytes, and a JSON object."""
    try:
        with file.open("rb") as opened:
            return opened.read(9)[8:] == b"{"
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}") from error


def _state_dict(held: object, file: Path) -> dict[str, Tensor]:
    """Return the weights among what a program saved: the whole, or what lies under one of HOLDERS."""
    import torch

    if isinstance(held, Mapping):
        for name in HOLDERS:
            inner = held.get(name)
            if isinstance(inner, Mapping) and any(isinstance(value, torch.Tensor) for value in inner.values()):
                return {str(each): value for each, value in inner.items() if isinstance(value, torch.Tensor)}
        tensors = {str(name): value for name, value in held.items() if isinstance(value, torch.Tensor)}
        if tensors:
            return tensors
    raise DataError(
        f"{file} holds no state dict: a mapping of names to tensors, or one under {', '.join(HOLDERS)}. "
        "Save torch.save(network.state_dict(), FILE)."
    )


def fitting(weights: Mapping[str, Tensor], network: nn.Module, prefix: str | None, file: Path) -> dict[str, Tensor]:
    """Return the weights, tensors of any shape by name, under the network's own names.

    Raises DataError, with the names, where they do not fit.
    """
    own = network.state_dict()
    prefixes = PREFIXES if prefix is None else (prefix,)
    whole = [each for each in prefixes if own.keys() == _without(weights, each).keys()]
    if len(whole) > 1:
        raise DataError(
            f"the names of {file} fit with {' and with '.join(map(repr, whole))}: set prefix to one of them."
        )
    best = max(prefixes, key=lambda each: len(own.keys() & _without(weights, each).keys()))
    found = _without(weights, best)
    missing, surplus = sorted(own.keys() - found.keys()), sorted(found.keys() - own.keys())
    shapes = [
        f"{name} is {tuple(found[name].shape)} and must be {tuple(own[name].shape)}"
        for name in own
        if name in found and found[name].shape != own[name].shape
    ]
    shapes += [
        f"{name} is {found[name].dtype} and must be {own[name].dtype}"
        for name in own
        if name in found and found[name].is_complex() != own[name].is_complex()
    ]
    faults = [*(_some(missing, "lacks"),) * bool(missing), *(_some(surplus, "has besides"),) * bool(surplus)]
    faults += [_some(shapes, "differs:")] if shapes else []
    if faults:
        advice = _advice(weights, own, missing, surplus, len(own.keys() & found.keys()))
        raise DataError(f"{file} does not fit the network: it {'; it '.join(faults)}.{advice}")
    return found


def _without(weights: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}


def _some(names: list[str], verb: str) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{verb} {', '.join(names[:SHOWN])}{more}"


def _advice(
    weights: Mapping[str, Tensor], own: Mapping[str, Tensor], missing: list[str], surplus: list[str], found: int
) -> str:
    """Name the prefix with which more than the `found` names fit, else the surplus name nearest to a missing one."""
    ends = {name.removesuffix(each) for each in missing for name in weights if name.endswith(each)}
    fits = {end: len(own.keys() & _without(weights, end).keys()) for end in sorted(ends, key=len)}
    best = max(fits, key=lambda end: fits[end], default="")
    if fits.get(best, 0) > found:
        whole = fits[best] == len(own)
        told = f"Its names begin with {best!r}" if whole else f"{fits[best]} of {len(own)} names fit with {best!r}"
        return f" {told}: set prefix: {best!r}."
    near = difflib.get_close_matches(missing[0], surplus[:200], 1) if missing else []
    return f" The nearest name to {missing[0]!r} in it is {near[0]!r}." if near else ""
