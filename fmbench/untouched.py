"""Components must leave the tensors that they are given as they are: others are given the same ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from torch import Tensor

from fmbench.errors import CellFailure

S = TypeVar("S")
T = TypeVar("T")


def versions(tensors: Iterable[Tensor | None]) -> list[int]:
    """Return a number for each tensor that rises when it is changed in place.

    torch keeps none in inference mode, and does not see what is written through `.numpy()` or `.data`.
    """
    return [-1 if tensor is None or tensor.is_inference() else tensor._version for tensor in tensors]


def untouched(who: object, given: Iterable[Tensor | None], compute: Callable[[], T]) -> T:
    """Return what a component computes. Raises CellFailure where it changed in place what it was given."""
    tensors = list(given)
    before = versions(tensors)
    found = compute()
    if versions(tensors) != before:
        raise CellFailure(f"{type(who).__name__} changes a tensor in place that others are given, too: copy it first")
    return found


def while_untouched(given: Sequence[Tensor | None], compute: Callable[[S], T]) -> Callable[[S], T]:
    """Return a function that raises CellFailure once a call of it changed in place what all calls share."""
    before, called = versions(given), ["what came before"]

    def checked(what: S) -> T:
        if versions(given) != before:
            raise CellFailure(
                f"{called[-1]} changed in place the samples, which it is given, too: mend that, then `fmbench retry`"
            )
        called.append(str(what))
        return compute(what)

    return checked
