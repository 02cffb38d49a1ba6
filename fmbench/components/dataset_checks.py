"""What is asked of a dataset's examples, conditions and source: before every training, and by the conformance tests.

Nothing is converted: a silent conversion would hide what the data are. Each question returns the first fault in words,
or an empty text.
"""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Integral
from typing import Any, Literal

import torch
from torch import Generator, Tensor

from fmbench.components.contracts import VALIDATION, Dataset
from fmbench.errors import DataError

Split = Literal["train", "test", "validation"]
SPLITS: tuple[Split, ...] = ("train", "test")
"""What every dataset has."""
Rows = tuple[Tensor, Tensor | None]
"""Data `x_1` and conditions, or None without."""

FEWEST = 2
"""A split of one example has no spread, and no metric a value."""
DRAWN = 16
"""So many source samples are looked at."""
ROUNDING = 1e-5
"""How far beyond [-1, 1] the levels of an image may lie: what float32 arithmetic may round."""
MOST_NAMED = 5
SHARED_BY_CHANCE = 0.01
"""The part of validation examples that may be in another split too: real data have a few equal examples."""


def splits_of(dataset: Dataset) -> tuple[Split, ...]:
    """Return the splits that a dataset has."""
    return (*SPLITS, "validation") if VALIDATION in dataset.provides else SPLITS


def check_split(name: str, dataset: Dataset, split: Split, loaded: Any) -> Rows:
    """Return what `load` returned for a split, if it is what a dataset promises.

    `name` is the dataset's in messages. Raises DataError, which names the first fault.
    """
    faults = split_faults(name, dataset, split, loaded)
    if fault := next(faults, ""):
        raise DataError(fault)
    x, y = loaded
    return x, y


def check_together(
    name: str, dataset: Dataset, train: Rows, test: Rows, device: str, validation: Rows | None = None
) -> None:
    """Raise DataError where two splits are the same data, validation examples are others' too, or the source is not
    what a dataset promises.
    """
    fault = same_fault(name, train, test)
    if validation is not None:
        fault = fault or shared_fault(name, validation, train, "train") or shared_fault(name, validation, test, "test")
    if fault := fault or source_fault(name, dataset, device):
        raise DataError(fault)


def split_faults(name: str, dataset: Dataset, split: Split, loaded: Any) -> Iterator[str]:
    """Yield what is wrong with a split; what follows a fault may follow from it."""
    if fault := form_fault(name, dataset):
        yield fault
    if not isinstance(loaded, tuple | list) or len(loaded) != 2:
        yield f"load of {name} returns examples and labels, two values; the {split} split is {_form(loaded)}."
        return
    x, y = loaded
    fault = _examples_fault(name, dataset, split, x) or _values_fault(name, dataset, split, x)
    conditions_fault = _vectors_fault if dataset.condition_width else _labels_fault
    if fault := fault or conditions_fault(name, dataset, split, len(x), y):
        yield fault


def form_fault(name: str, dataset: Dataset) -> str:
    """Say what is wrong with what a dataset says of itself: its shape, classes and capabilities."""
    shape, classes, provides = dataset.shape, dataset.classes, dataset.provides
    if not isinstance(shape, tuple) or not all(isinstance(size, Integral) and size > 0 for size in shape):
        return f"shape of {name} is a tuple of whole numbers above 0; found {shape!r}."
    if not isinstance(classes, int) or classes < 0:
        return f"classes of {name} is a whole number, 0 where there are none; found {classes!r}."
    if classes and "classes" not in provides:
        return f'labels of {name} are announced by "classes" in its attribute provides; found {provides}.'
    width = dataset.condition_width
    if not isinstance(width, int) or width < 0:
        return f"condition_width of {name} is a whole number, 0 where there are no condition vectors; found {width!r}."
    if bool(width) != ("vectors" in provides):
        found = f"found condition_width {width} and {provides}"
        return f'"vectors" is in provides of {name} exactly where its attribute condition_width is not 0; {found}.'
    if width and classes:
        return f"examples of {name} have labels or condition vectors; found classes {classes}, condition_width {width}."
    if "images" in provides and len(shape) != 3:
        return f"images of {name} are (channels, height, width); found {shape}."
    if "points" in provides and len(shape) != 1:
        return f"points of {name} are (dim,); found {shape}."
    return ""


def _examples_fault(name: str, dataset: Dataset, split: Split, x: Any) -> str:
    """Say what is wrong with the type, dtype and shape of examples."""
    shape = tuple(dataset.shape)
    rule = f"examples of {name} are a float32 torch tensor (n, {', '.join(map(str, shape))})"
    if not isinstance(x, Tensor):
        return f"{rule}; the {split} split is {_form(x)}. Make a tensor of it in load: torch.from_numpy(x).float()."
    if x.dtype != torch.float32:
        scaled = " / 127.5 - 1" if x.dtype == torch.uint8 and "images" in dataset.provides else ""
        return f"{rule}; the {split} split is {_form(x)}. Convert it in load: x.float(){scaled}."
    if tuple(x.shape[1:]) != shape or x.ndim == 0:
        return f"{rule}; the {split} split is {_form(x)}. Mend load, or the dataset's attribute shape."
    if len(x) < FEWEST:
        some = "has no example" if len(x) == 0 else "has 1 example"
        step = "Hold more of the training data out." if split == VALIDATION else "Give it more data."
        return f"each split has at least {FEWEST} examples; the {split} split of {name} {some}. {step}"
    if x.requires_grad or x.layout != torch.strided:
        return f"{rule}, dense and without gradients; in the {split} split it is not. Return x.detach(), not sparse."
    return ""


def _values_fault(name: str, dataset: Dataset, split: Split, x: Tensor) -> str:
    """Say which examples are not finite or, of images, not in [-1, 1]."""
    low, high = (float(value) for value in x.aminmax())  # a NaN anywhere makes both of them NaN
    if not (abs(low) <= torch.finfo(x.dtype).max and abs(high) <= torch.finfo(x.dtype).max):
        bad = ~torch.isfinite(x.flatten(1)).all(1)
        return f"{_counted(name, split, bad)} not finite; {_first(bad)}. Mend or leave out such data in load."
    if "images" not in dataset.provides:
        return ""
    if max(-low, high) > 1 + ROUNDING:
        bad = (x.flatten(1).abs() > 1 + ROUNDING).any(1)
        found = f"levels are {low:g} to {high:g}; {_first(bad)}"
        return f"{_counted(name, split, bad)} not in [-1, 1], as images are: {found}. Scale them in load."
    if low == high:
        return f"images of {name} are not blank; all levels of the {split} split are {low:g}."
    return ""


def _labels_fault(name: str, dataset: Dataset, split: Split, n: int, y: Any) -> str:
    """Say what is wrong with labels. A class may be absent from the test split, which is a sample; from training none.

    A network that has not seen a class would be asked for it all the same.
    """
    classes = dataset.classes
    if not classes:
        said = (
            f"load returned labels with the {split} split. Return None for them, or set the attribute classes, or "
            "condition_width for vectors."
        )
        return "" if y is None else f"{name} has no classes (classes = 0), and so no labels; {said}"
    rule = f"labels of {name} are an int64 torch tensor ({n},), one an example"
    if not isinstance(y, Tensor) or y.dtype != torch.int64 or y.shape != (n,):
        return f"{rule}; those of the {split} split are {_form(y)}. Convert them in load: torch.as_tensor(y).long()."
    low, high = int(y.min()), int(y.max())
    if low < 0 or high >= classes:
        bad = (y < 0) | (y >= classes)
        step = " Subtract 1 in load." if low == 1 and high == classes else " Number the classes from 0."
        found = f"found {low} to {high} in the {split} split; {_first(bad)}"
        return f"labels of {name} are 0 to {classes - 1}; {found}.{step}"
    absent = (torch.bincount(y, minlength=classes) == 0).nonzero().flatten().tolist() if split == "train" else []
    if absent:
        named = ", ".join(map(str, absent[:MOST_NAMED])) + (", ..." if len(absent) > MOST_NAMED else "")
        return (
            f"each class of {name}, 0 to {classes - 1}, has training examples; {named} has none ({len(absent)} of "
            f"{classes}). Number the classes without gaps, or give examples of all."
        )
    return ""


def _vectors_fault(name: str, dataset: Dataset, split: Split, n: int, y: Any) -> str:
    """Say what is wrong with condition vectors: type, dtype, width, and numbers that are not finite."""
    width = dataset.condition_width
    rule = f"condition vectors of {name} are a float32 torch tensor ({n}, {width}), a row an example"
    if not isinstance(y, Tensor) or y.dtype != torch.float32 or y.shape != (n, width):
        mend = "Convert them in load: torch.as_tensor(y).float(), or mend the attribute condition_width."
        return f"{rule}; those of the {split} split are {_form(y)}. {mend}"
    if y.requires_grad:
        return f"{rule}, without gradients; in the {split} split they have them. Return y.detach()."
    bad = ~torch.isfinite(y).all(1)
    if bool(bad.any()):
        found = f"{int(bad.sum())} of {n} in the {split} split are not; {_first(bad)}"
        return f"condition vectors of {name} are finite; {found}. Mend or leave out such examples in load."
    return ""


def same_fault(name: str, train: Rows, test: Rows) -> str:
    """Say whether one split is the other, or its beginning: then load does not look at the split."""
    n = min(len(train[0]), len(test[0]))
    if not torch.equal(train[0][:n], test[0][:n]):
        return ""
    return (
        f"train and test of {name} share no example; the first {n} of both are the same. Return other data for "
        'split "test" than for "train".'
    )


def shared_fault(name: str, validation: Rows, other: Rows, split: Split) -> str:
    """Say how many validation examples are in another split too: on these nothing is chosen, only remembered."""
    known = _hashes(other[0])
    shared = torch.tensor([row in known for row in _hashes(validation[0])])
    if int(shared.sum()) <= SHARED_BY_CHANCE * len(shared):
        return ""
    return (
        f"validation and {split} of {name} share no example; {int(shared.sum())} of {len(shared)} validation examples "
        f"are in both, {_first(shared)}. Take from {split} what load returns as validation, or equal examples from one."
    )


def _hashes(x: Tensor) -> list[int]:
    return [hash(row.tobytes()) for row in x.flatten(1).cpu().contiguous().numpy()]


def source_fault(name: str, dataset: Dataset, device: str = "cpu", n: int = DRAWN) -> str:
    """Say what is wrong with source samples: shape, dtype, device, values, and that they follow the generator."""
    first, again, other = (dataset.source(n, Generator(device).manual_seed(seed)) for seed in (1, 1, 2))
    shape = (n, *dataset.shape)
    rule = f"the source of {name} is a float32 torch tensor (n, {', '.join(map(str, dataset.shape))})"
    if not isinstance(first, Tensor) or first.dtype != torch.float32 or tuple(first.shape) != shape:
        return f"{rule}; for n = {n}, source returned {_form(first)}. Mend its source."
    if first.device.type != torch.device(device).type:
        return f"{rule} on the generator's device; found {first.device} for a generator on {device}. Mend its source."
    bad = ~torch.isfinite(first.flatten(1)).all(1)
    if bool(bad.any()):
        return f"the source of {name} is finite; {int(bad.sum())} of {n} samples are not. Mend its source."
    if not torch.equal(first, again):
        return f"the source of {name} draws from the given generator only: the same seed draws the same. Pass it on."
    if torch.equal(first, other):
        return f"the source of {name} draws from the given generator; another seed draws the same. Pass it on."
    return ""


def _counted(name: str, split: Split, bad: Tensor) -> str:
    count = int(bad.sum())
    return f"{count} of {len(bad)} {split} examples of {name} {'is' if count == 1 else 'are'}"


def _first(bad: Tensor) -> str:
    """Say which example is the first at fault, as an index into what load returned."""
    return f"the first is number {int(bad.nonzero()[0])}, counted from 0"


def _form(value: Any) -> str:
    """Say what a value is: its type, with dtype and shape where it has them."""
    if isinstance(value, Tensor):
        return f"a {str(value.dtype).removeprefix('torch.')} tensor {tuple(value.shape)}"
    kind = f"{type(value).__module__}.{type(value).__name__}".removeprefix("builtins.")
    dtype, shape = getattr(value, "dtype", None), getattr(value, "shape", None)
    return "None" if value is None else f"of type {kind}" + (f" ({dtype} {shape})" if dtype is not None else "")
