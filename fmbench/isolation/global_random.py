"""The random generators that a process has one of: torch's, Python's and NumPy's.

fmbench draws from generators of its own. A component may draw from these: each piece of work begins with them in a
state that follows from its cell alone, whatever was computed before it in the same process.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

State = dict[str, Any]
"""What `state` returns: tensors, numbers and tuples of these, as a checkpoint may hold them."""


def seed(number: int) -> None:
    """Seed all of them, on every device that is at work.

    `torch.manual_seed` would note, with a traceback, what to do for each kind of device once it is: at each piece of
    work, and for ever where there is no such device.
    """
    torch.default_generator.manual_seed(number)
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.manual_seed_all(number)
    if torch.backends.mps.is_available():
        torch.mps.manual_seed(number)
    random.seed(number)
    if (numpy := sys.modules.get("numpy")) is not None:
        numpy.random.seed(number % 2**32)


def state(device: str = "cpu") -> State:
    """Return the state of all of them; of the device's generator where it is a GPU's."""
    numpy = sys.modules.get("numpy")
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state(device) if device.startswith("cuda") else None,
        "python": random.getstate(),
        "numpy": None if numpy is None else _plain(numpy.random.get_state()),
    }


def restore(saved: State, device: str = "cuda") -> None:
    """Put all of them into a state that `state` returned; a GPU's generator that of `device`."""
    torch.set_rng_state(saved["torch"])
    if saved["cuda"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(saved["cuda"], device if device.startswith("cuda") else "cuda")
    random.setstate(saved["python"])
    if saved["numpy"] is not None:
        name, words, *rest = saved["numpy"]
        sys.modules["numpy"].random.set_state((name, words.numpy().astype("uint32"), *rest))


def alike(one: State, other: State) -> bool:
    """Whether nothing was drawn between two states."""
    return all(_same(value, other[name]) for name, value in one.items())


@contextmanager
def seeded(number: int, device: str = "cpu") -> Iterator[None]:
    """Seed all of them for what is called inside, and leave them as they were."""
    before = state(device)
    seed(number)
    try:
        yield
    finally:
        restore(before, device)


def _plain(saved: tuple[Any, ...]) -> tuple[Any, ...]:
    name, words, *rest = saved
    return (name, torch.from_numpy(words.astype("int64")), *rest)


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, tuple) and isinstance(other, tuple) and any(isinstance(each, torch.Tensor) for each in one):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)  # hundreds of numbers of Python's generator at once
