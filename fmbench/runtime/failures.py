"""What stopped a cell, as its status and one line of text."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch

from fmbench.errors import CellFailure, OutOfMemory, StoreError, UserError
from fmbench.isolation.plugin_traceback import described, lines_of, to_blame
from fmbench.store.atomic_files import ROOM

_OUT_OF_MEMORY = re.compile(
    r"not enough memory|can't allocate memory|cannot allocate memory|failed to allocate|bad_alloc|bad allocation"
    r"|\b(cuda|mps|hip|xpu)\b[^.\n]*out of memory|_STATUS_ALLOC_FAILED|cudaErrorMemoryAllocation",
    re.IGNORECASE,
)
"""How the allocators of torch and of what it calls say that there is no memory; they share no type of exception."""


_noted: list[list[str]] = []


def describe_failure(error: BaseException, components: Iterable[tuple[str, object]] = ()) -> CellFailure:
    """Return the failure that a row shows for any exception of a cell or a metric.

    It names the line of the user's own code, and the one of `components` that this line is of
    (`fmbench.isolation.plugin_traceback.to_blame`). Raises StoreError where a disk is full: that is no cell's fault,
    and every other cell would fail so, too.
    """
    if full := _full_disk(error):
        raise StoreError(f"{full.filename or 'a file'} cannot be written: {full.strerror}; {ROOM[full.errno or 0]}")
    if isinstance(error, CellFailure):
        return error
    if isinstance(error, UserError):
        return CellFailure(str(error))
    text, blamed = described(error), to_blame(lines_of(error), components)
    text = f"{blamed}: {text}" if blamed else text
    if not is_out_of_memory(error):
        return CellFailure(text)
    for noted in _noted:
        noted.append(text)
    return OutOfMemory(text)


@contextmanager
def out_of_memory_noted() -> Iterator[list[str]]:
    """Yield a list of what is described inside as running out of memory, in a metric, say, which takes nothing else
    away.
    """
    noted: list[str] = []
    _noted.append(noted)
    try:
        yield noted
    finally:
        _noted.pop()


def _full_disk(error: BaseException) -> OSError | None:
    """Return the error of the system, among those that led to an exception, that says that a disk is full."""
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, OSError) and link.errno in ROOM:
            return link
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    return None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that the device or the machine has no memory left."""
    if isinstance(error, OutOfMemory | torch.OutOfMemoryError | MemoryError):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, RuntimeError) and bool(_OUT_OF_MEMORY.search(str(error)))
