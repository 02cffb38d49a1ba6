"""Network calls that several solvers make alike: the first of every trajectory, say, is the same for all of them.

Solvers of one trained cell start from the same source samples. Whatever they are, they ask for the same velocity at
t=0; and the second that Heun's method, the midpoint method or Adams-Bashforth asks for is Euler's, after a step of that
size. Such a call is made once. What is returned is what the network itself gave for exactly this state, time and label,
to the last bit, and it counts as a call. A call in which the network draws at random is not one of these. Only
fmbench's own solvers share calls: what another one changes of the process while it calls, and puts back, would be in
what others are given.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from fmbench.isolation import global_random

if TYPE_CHECKING:
    from fmbench.model.velocity import ModelVelocity

MOST = 2**27
"""Bytes of states and velocities that are remembered; calls that come when they are used up are made as ever."""


@dataclass(frozen=True)
class VelocityCall:
    """A call of a velocity, what it gave, and how many calls of the network, times their batch, it cost."""

    x: Tensor
    t: Tensor
    y: Tensor | None
    velocity: Tensor
    calls: int

    def is_for(self, x: Tensor, t: Tensor, y: Tensor | None) -> bool:
        """Whether the call was for exactly these.

        They are `x` `(batch, *shape)`, `t` `(batch,)` and labels `(batch,)` or None.
        """
        alike = self.y is y if self.y is None or y is None else torch.equal(self.y, y)
        return alike and torch.equal(self.t, t) and torch.equal(self.x, x)


class SharedCalls:
    """Remembers the calls of one velocity field, as long as they take no more than `most` bytes."""

    def __init__(self, most: int = MOST) -> None:
        self._calls: dict[tuple[object, ...], list[VelocityCall]] = {}
        self._left = most

    def find(self, x: Tensor, t: Tensor, y: Tensor | None) -> VelocityCall | None:
        """Return the call that was for exactly these, None where there was none.

        Calls are for `x` `(batch, *shape)`, `t` `(batch,)` and labels `(batch,)` or None.
        """
        return next((call for call in self._calls.get(_place(x, t), ()) if call.is_for(x, t, y)), None)

    def add(self, call: VelocityCall) -> None:
        """Remember a call, if there is room; solvers may overwrite the tensors that they handed over or were given."""
        self._left -= call.x.nbytes + call.velocity.nbytes
        if self._left >= 0:
            kept = VelocityCall(call.x.clone(), call.t.clone(), call.y, call.velocity.clone(), call.calls)
            self._calls.setdefault(_place(call.x, call.t), []).append(kept)


class SharingVelocity:
    """A velocity that makes no call which `shared` remembers, and counts as if it did; `saved` says how many.

    Batches are followed from their start, where `y` is set, to the first call that nobody has made before: it is
    remembered, and the rest of the batch goes its own way. To look on would cost more than the little that it finds.
    """

    def __init__(self, velocity: ModelVelocity, shared: SharedCalls) -> None:
        self.path = velocity.path
        self.generator = velocity.generator
        self.calls = 0
        self.saved = 0
        self._velocity = velocity
        self._shared = shared
        self._follows = True

    @property
    def y(self) -> Tensor | None:
        """The labels that the next calls are for, None where there are none."""
        return self._velocity.y

    @y.setter
    def y(self, labels: Tensor | None) -> None:
        self._velocity.y = labels
        self._follows = True

    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        known = self._shared.find(x, t, self.y) if self._follows else None
        if known is not None:
            self.saved += known.calls
            self.calls += known.calls
            return known.velocity.clone()
        before, device = self._velocity.calls, str(x.device)
        random = global_random.state(device) if self._follows else {}
        found = self._velocity(x, t)
        calls = self._velocity.calls - before
        self.calls += calls
        if self._follows:
            if global_random.alike(random, global_random.state(device)):
                self._shared.add(VelocityCall(x, t, self.y, found, calls))
            self._follows = False
        return found


def _place(x: Tensor, t: Tensor) -> tuple[object, ...]:
    """Return what is the same for calls that are the same, and is rarely so for others."""
    return x.shape, x.dtype, t.dtype, x[0].reshape(-1)[0].item(), t[0].item()
