"""What stopped a cell, as its status and one line of text."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterable

import torch

from fmbench.errors import CellFailure, OutOfMemory, UserError
from fmbench.isolation.plugin_traceback import described, lines_of, to_blame

_OUT_OF_MEMORY = re.compile(
    r"not enough memory|can't allocate memory|cannot allocate memory|failed to allocate|bad_alloc|bad allocation"
    r"|\b(cuda|mps|hip|xpu)\b[^.\n]*out of memory|_STATUS_ALLOC_FAILED|cudaErrorMemoryAllocation",
    re.IGNORECASE,
)
"""How the allocators of torch and of what it calls say that there is no memory; they share no type of exception."""


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
    return OutOfMemory(text) if is_out_of_memory(error) else CellFailure(text)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that the device or the machine has no memory left."""
    if isinstance(error, OutOfMemory | torch.OutOfMemoryError | MemoryError):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, RuntimeError) and bool(_OUT_OF_MEMORY.search(str(error)))
