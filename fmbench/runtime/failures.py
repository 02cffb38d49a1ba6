"""What stopped a cell, as its status and one line of text."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from fmbench.errors import CellFailure, OutOfMemory, UserError
from fmbench.isolation.plugin_traceback import described, lines_of, to_blame


def describe_failure(error: BaseException, components: Iterable[tuple[str, object]] = ()) -> CellFailure:
    """Return the failure that a row shows for any exception of a cell or a metric.

    It names the line of the user's own code, and the one of `components` that this line is of
    (`fmbench.isolation.plugin_traceback.to_blame`).
    """
    if isinstance(error, CellFailure):
        return error
    if isinstance(error, UserError):
        return CellFailure(str(error))
    text, blamed = described(error), to_blame(lines_of(error), components)
    text = f"{blamed}: {text}" if blamed else text
    signs = ("not enough memory", "can't allocate memory", "Cannot allocate memory")
    if isinstance(error, torch.OutOfMemoryError | MemoryError) or any(sign in text for sign in signs):
        return OutOfMemory(text)
    return CellFailure(text)
