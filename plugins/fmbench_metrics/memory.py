"""What metrics remember between evaluations of one process."""

from __future__ import annotations

import hashlib
import weakref
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from fmbench import Evidence

_known: dict[tuple[int, int, str], Any] = {}


def cached_on(tensor: Tensor, key: str, compute: Callable[[], Any]) -> Any:
    """Return what `compute` makes of a tensor of any shape, made once for as long as it lives and does not change."""
    place = (id(tensor), 0 if tensor.is_inference() else tensor._version, key)
    if place not in _known:
        _known[place] = compute()
        # An id is used again after its tensor is gone, so the entry must go with it.
        weakref.finalize(tensor, _known.pop, place, None)
    return _known[place]


def content_hash(tensor: Tensor) -> str:
    """Return the sha256 of a tensor's shape, type and values."""
    hashed = hashlib.sha256(f"{tuple(tensor.shape)} {tensor.dtype}".encode())
    hashed.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return hashed.hexdigest()


def sets_identity(evidence: Evidence, split: Literal["train", "test"]) -> dict[str, Any]:
    """Return what says which real data samples were compared with, and how many of both."""
    real = evidence.real(split)[0]
    return {
        "reference": cached_on(real, "content", lambda: content_hash(real)),
        "reference_split": split,
        "reference_n": len(real),
        "samples_n": 0 if evidence.samples is None else len(evidence.samples),
    }
