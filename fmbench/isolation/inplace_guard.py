"""Components must leave the tensors that they are given as they are: others are given the same ones."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from fmbench.errors import CellFailure
from fmbench.isolation.process_state import foreign_code_ran

Mark = tuple[int, int]
"""What `marks` returns of a tensor."""
READ = 2**20
"""At most so many numbers of a tensor are read for its mark."""

S = TypeVar("S")
T = TypeVar("T")


def versions(tensors: Iterable[Tensor | None]) -> list[int]:
    """Return a number for each tensor, of any shape, that rises when it is changed in place.

    torch keeps none in inference mode, and does not see what is written through `.numpy()` or `.data` (see `marks`).
    """
    return [-1 if tensor is None or tensor.is_inference() else tensor._version for tensor in tensors]


def marks(tensors: Iterable[Tensor | None]) -> list[Mark]:
    """Return for each tensor its version and a checksum of its numbers, evenly chosen where they are very many.

    Tensors are of any shape. The checksum sees what is written through `.numpy()` or `.data`. It is 0 for what is not
    in the machine's memory. Numbers are read in the order in which they lie there, so that none of a tensor without
    gaps is copied. Where only fmbench's own components can have been called, which change none, it is 0.
    """
    given = list(tensors)
    if not foreign_code_ran():
        return [(version, 0) for version in versions(given)]
    return [(version, _checksum(tensor)) for version, tensor in zip(versions(given), given, strict=True)]


def _checksum(tensor: Tensor | None) -> int:
    if tensor is None or tensor.device.type != "cpu":
        return 0
    flat = tensor.detach().permute(sorted(range(tensor.ndim), key=tensor.stride, reverse=True)).reshape(-1)
    some = flat[:: -(-len(flat) // READ)] if len(flat) > READ else flat
    return zlib.crc32(some.contiguous().view(torch.uint8).numpy().data)


def guard_inplace(who: object, given: Iterable[Tensor | None], compute: Callable[[], T]) -> T:
    """Return what a component computes. Raises CellFailure where it changed in place what it was given.

    The tensors are of any shape.
    """
    tensors = list(given)
    before = versions(tensors)
    found = compute()
    if versions(tensors) != before:
        raise CellFailure(f"{type(who).__name__} changes a tensor in place that others are given, too: copy it first")
    return found


def guarding_inplace(given: Sequence[Tensor | None], compute: Callable[[S], T]) -> Callable[[S], T]:
    """Return a function that raises CellFailure once a call of it changed in place what all calls share.

    The tensors are of any shape.
    """
    before, called = marks(given), ["what came before"]

    def checked(what: S) -> T:
        if marks(given) != before:
            raise CellFailure(
                f"{called[-1]} changed in place the samples, which it is given, too: mend that, then `fmbench retry`"
            )
        called.append(str(what))
        return compute(what)

    return checked
