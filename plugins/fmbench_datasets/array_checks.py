"""What is asked of arrays that people bring: shapes, types, levels, labels. Each fault has one message.

This module imports torch only where numbers are read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from fmbench import DataError, StoredArray

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

Levels = Literal["-1 to 1", "0 to 1", "0 to 255"]
RANGES: dict[Levels, tuple[float, float]] = {"-1 to 1": (-1, 1), "0 to 1": (0, 1), "0 to 255": (0, 255)}
CHOICES = '"-1 to 1", "0 to 1" or "0 to 255"'
ROUNDING = 1e-5
"""How far beyond its range a level may lie, as a part of it: what float32 arithmetic may round."""
FEWEST = 2
"""A split of one example has no spread, and no metric a value."""
CHANNELS = (1, 3, 4)
MOST_NAMED = 5


def check_shape(array: StoredArray, pictures: Levels | None) -> tuple[int, ...]:
    """Return the shape of one example. Raises DataError for what are neither points nor pictures."""
    _check_numbers(array, pictures)
    shape = array.shape
    if 0 in shape:
        raise DataError(f"examples are not empty; {array} is {array.form}. Save an array that holds some.")
    if pictures is None and len(shape) == 4:
        raise DataError(
            f"pictures need the range of their levels, what black and white are, as `pictures`: {CHOICES}; {array} is "
            f"{array.form}, and pictures is null. Set it, or save points (n, dim): x.reshape(len(x), -1)."
        )
    if pictures is not None and len(shape) == 4 and shape[1] not in (2, *CHANNELS) and shape[3] in CHANNELS:
        raise DataError(
            f"pictures are (n, channels, height, width); {array} is {array.form}, which looks like channels last. Save "
            "x.transpose(0, 3, 1, 2)."
        )
    if len(shape) != (2 if pictures is None else 4):
        rule = "points are (n, dim)" if pictures is None else "pictures are (n, channels, height, width)"
        step = {
            1: "Save x[:, None] for points of one dimension.",
            2: "Leave `pictures` out for points, or save x.reshape(-1, channels, height, width).",
            3: f"For grey pictures save x[:, None] and set pictures to {CHOICES}; for points x.reshape(len(x), -1).",
        }.get(len(shape), "For points save x.reshape(len(x), -1).")
        raise DataError(f"{rule}; {array} is {array.form}. {step}")
    return shape[1:]


def _check_numbers(array: StoredArray, pictures: Levels | None) -> None:
    """Raise DataError for a type that is no number's, and for integers that are no levels."""
    whole = array.dtype.startswith(("int", "uint"))
    if not whole and array.dtype not in ("float16", "float32", "float64"):
        raise DataError(
            f"examples are of type float16, float32, float64 or an integer; {array} is {array.form}. Save "
            "x.astype(np.float32)."
        )
    if whole and pictures is not None and pictures != "0 to 255":
        raise DataError(
            f"levels of type {array.dtype} are whole numbers, and levels {pictures} are not; {array} is {array.form}. "
            'Set pictures to "0 to 255", or save the levels as float32.'
        )


def check_size(
    array: StoredArray, share: float, kept: int | None = None, split: str = "", parameter: str = "test"
) -> None:
    """Raise DataError where a split has too few rows: `kept` are in `split`, once that is known; `parameter` is the
    share's.
    """
    n = array.shape[0]
    if n < 2 * FEWEST or (kept is not None and kept < FEWEST):
        rows = f"{n} {'row' if n == 1 else 'rows'}"
        said = f", of which a share of {share:g} leaves {kept} for the {split} split" if kept is not None else ""
        raise DataError(
            f"each split has at least {FEWEST} examples, and equal rows are in the same one; {array} has {rows}{said}. "
            f"Give more rows, another share as `{parameter}`, or a file of {parameter} examples."
        )


def as_float32(array: StoredArray, pictures: Levels | None) -> Tensor:
    """Return an array as float32 `(n, *shape)`, pictures scaled to [-1, 1]. Raises DataError for what is not finite, or
    out of range.
    """
    import numpy as np
    import torch

    with np.errstate(over="ignore"):  # too large for float32: not finite, which is looked for below
        x = torch.from_numpy(array.read().astype(np.float32, order="C"))
    rows = x.flatten(1)
    low, high = float(rows.min()), float(rows.max())  # a NaN anywhere makes both of them NaN
    if not (abs(low) <= torch.finfo(x.dtype).max and abs(high) <= torch.finfo(x.dtype).max):
        where = _where(~torch.isfinite(rows).all(1))
        raise DataError(
            f"numbers are finite, in float32 too; in {array} {where} not. Mend or leave out such rows: "
            "x[np.isfinite(x.astype(np.float32)).reshape(len(x), -1).all(1)]."
        )
    if pictures is None:
        return x
    black, white = RANGES[pictures]
    slack = ROUNDING * (white - black)
    if low < black - slack or high > white + slack:
        bad = ((rows < black - slack) | (rows > white + slack)).any(1)
        fitting = [name for name, (least, most) in RANGES.items() if least <= low and high <= most]
        step = f"Set pictures to one that holds them: {', '.join(map(repr, fitting))}" if fitting else "Scale them"
        raise DataError(
            f"levels of pictures are {pictures}, as the parameter `pictures` says; those of {array} are {low:g} to "
            f"{high:g}: {_where(bad)} out of range. {step}, or save np.clip(x, {black:g}, {white:g})."
        )
    return x if (black, white) == (-1, 1) else x.sub_(black).mul_(2 / (white - black)).sub_(1)


def check_labels(labels: StoredArray, examples: StoredArray, classes: int = 0) -> np.ndarray:
    """Return labels as int64 `(n,)`. With `classes` a class may be absent, which it may not without.

    Raises DataError for labels that are no whole numbers 0, 1, ..., one a row.
    """
    import numpy as np

    n, shape = examples.shape[0], labels.shape
    if len(shape) == 2 and shape[0] == n and shape[1] > 1:
        raise DataError(
            f"labels are (n,), a number a row; {labels} is {labels.form}. Of one-hot rows save y.argmax(1); "
            "vectors are no labels: for these take the dataset arrays_with_conditions."
        )
    if len(shape) != 1:
        raise DataError(f"labels are (n,), a number a row; {labels} is {labels.form}. Save y.reshape(-1).")
    _check_rows("labels are one", labels, examples)
    if not labels.dtype.startswith(("int", "uint")):
        raise DataError(
            f"labels are whole numbers; {labels} is {labels.form}. Save y.astype(np.int64), counted from 0."
        )
    y = labels.read().astype(np.int64)
    low, high = int(y.min()), int(y.max())
    if low < 0 or (classes and high >= classes):
        rule = f"0 to {classes - 1}, as in training" if classes else "0, 1, ..., classes - 1"
        step = "Take the other rows out, or train with some of their classes." if classes else _renumber(low)
        raise DataError(f"labels are {rule}; those of {labels} are {low} to {high}. {step}")
    present = np.unique(y)
    if not classes and len(present) <= high:
        absent = np.setdiff1d(np.arange(min(high + 1, len(present) + MOST_NAMED)), present)[:MOST_NAMED]
        more = ", ..." if high + 1 - len(present) > len(absent) else ""
        raise DataError(
            f"labels are 0 to classes - 1 without gaps; those of {labels} are {low} to {high}, and none is "
            f"{', '.join(map(str, absent))}{more}. {_renumber(low)}"
        )
    return y


def check_vectors(vectors: StoredArray, examples: StoredArray, width: int = 0) -> np.ndarray:
    """Return condition vectors as float32 `(n, width)`; any width where it is 0.

    Raises DataError for what are no finite numbers, a row for each example, or have another width.
    """
    import numpy as np

    shape = vectors.shape
    if len(shape) != 2 or 0 in shape:
        step = "Save c[:, None] for vectors of one number; for classes take the dataset arrays."
        raise DataError(f"condition vectors are (n, width), a row an example; {vectors} is {vectors.form}. {step}")
    _check_rows("condition vectors are one", vectors, examples)
    if not vectors.dtype.startswith(("int", "uint", "float")):
        raise DataError(f"condition vectors are numbers; {vectors} is {vectors.form}. Save c.astype(np.float32).")
    if width and shape[1] != width:
        raise DataError(
            f"condition vectors have {width} {'number' if width == 1 else 'numbers'}, as in training; {vectors} is "
            f"{vectors.form}. Save the same columns of both."
        )
    with np.errstate(over="ignore"):  # too large for float32: not finite, which is looked for below
        c = vectors.read().astype(np.float32)
    bad = ~np.isfinite(c).all(1)
    if bad.any():
        import torch

        raise DataError(
            f"condition vectors are finite, in float32 too; in {vectors} {_where(torch.from_numpy(bad))} not. Mend or "
            "leave out such rows."
        )
    return c


def _check_rows(rule: str, labels: StoredArray, examples: StoredArray) -> None:
    """Raise DataError where there is not one row for each example."""
    if labels.shape[0] != examples.shape[0]:
        raise DataError(
            f"{rule} for each example; {labels} has {labels.shape[0]} and {examples} has {examples.shape[0]} rows. "
            "Save both from the same rows."
        )


def check_source(source: StoredArray, shape: tuple[int, ...], pictures: Levels | None) -> None:
    """Raise DataError for a source whose rows are not of the shape of one example, or are no numbers."""
    _check_numbers(source, pictures)
    if source.shape[1:] != shape or source.shape[0] < FEWEST:
        wanted = f"(n, {', '.join(map(str, shape))}), n at least {FEWEST}"
        raise DataError(
            f"the source has the shape of the examples, {wanted}; {source} is {source.form}. Save such a one, or "
            "leave `source` out for standard normal noise."
        )


def check_no_shared_rows(
    train: StoredArray, x_train: Tensor, test: StoredArray, x_test: Tensor, split: str = "test"
) -> None:
    """Raise DataError where a row of a split's file `(m, *shape)` is a row of the training file `(n, *shape)`."""
    import torch

    from fmbench_datasets.row_splits import row_hashes

    known = set(row_hashes(x_train))
    bad = torch.tensor([row in known for row in row_hashes(x_test)])
    if bool(bad.any()):
        raise DataError(
            f"the splits share no example; in {test} {_where(bad)} in {train} too. Take such rows out of one of the "
            f"files, or give `{split}` a share such as 0.2, which keeps equal rows together."
        )


def _where(bad: Tensor) -> str:
    """Say how many rows are at fault, `(n,)`, and which is the first; a verb ends it."""
    count, first = int(bad.sum()), int(bad.nonzero()[0])
    return f"{count} of {len(bad)} rows (the first is number {first}, counted from 0) {'is' if count == 1 else 'are'}"


def _renumber(low: int) -> str:
    way = "np.unique(y, return_inverse=True)[1]"
    return f"Save y - 1, or {way}." if low == 1 else f"Save {way}."
