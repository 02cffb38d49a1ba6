"""Conformance of guidance."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from fmbench.components.contracts import Guidance
from fmbench.components.free_velocity import FreeVelocity
from fmbench.testing.base import ComponentConformance, assert_form_of, generator
from fmbench.testing.dummy_components import BentPath
from fmbench.testing.parametrize import skip_if

SHAPES = ((2,), (3, 4, 4))
BATCH = 5
TIMES = (0.0, 0.15, 0.3, 0.5, 0.75, 0.9, 1.0)
"""The times of one integration; the last stages of many solvers lie at 1."""


class ListedCalls(FreeVelocity):
    """Velocities that cost nothing, with the names of the calls, and a memory for stateful guidance only."""

    def __init__(self, guidance: Guidance) -> None:
        super().__init__(BentPath(), guidance)
        self.asked: list[str] = []

    def __getattribute__(self, name: str) -> Any:
        if name in {"conditional", "unconditional", "weaker"}:
            self.asked.append(name)
        if name == "memory":
            stateful = super().__getattribute__("guidance").stateful
            assert stateful, "a guidance that uses calls.memory sets stateful = True"
        return super().__getattribute__(name)


class GuidanceConformance(ComponentConformance):
    """A guidance: a velocity for each example by itself, made of as many calls as it says, new with each integration.

    `unguided(component)` may return the same guidance with parameters that change nothing, weight 1 say: it must then
    give the velocity that it is given.
    """

    contract = Guidance

    def unguided(self, component: Any) -> Guidance | None:
        """Return the guidance with parameters that change nothing; None where there are none such."""
        return None

    def test_velocity_has_the_form_of_x(self, component: Any) -> None:
        """velocity(calls, x, t) is finite, and has the shape and the dtype of x."""
        for shape in SHAPES:
            for dtype in (torch.float32, torch.float64):
                x, t = _examples(shape, dtype)
                for v in _integration(component, x, t):
                    assert_form_of("x", x, "the velocity", v)
                    assert bool(torch.isfinite(v).all()), f"the velocity is finite; found {v}"

    def test_treats_each_example_by_itself(self, component: Any) -> None:
        """The velocity of an example depends on that example alone, not on the rest of the batch."""
        for shape in SHAPES:
            x, t = _examples(shape)
            order = torch.tensor([3, 0, 4, 1, 2])
            whole = _integration(component, x, t)
            turned = _integration(component, x[order], t[:, order])
            first, rest = (_integration(component, x[rows], t[:, rows]) for rows in (slice(2), slice(2, None)))
            for one, other, *parts in zip(whole, turned, first, rest, strict=True):
                torch.testing.assert_close(other, one[order], msg=lambda text: f"the order counts for nothing; {text}")
                torch.testing.assert_close(torch.cat(parts), one, msg=lambda text: f"nor does the batch; {text}")

    def test_makes_as_many_calls_as_it_says(self, component: Any) -> None:
        """Each velocity makes `network_calls` calls of networks: all of them count in the NFE."""
        declared = component.network_calls
        assert isinstance(declared, int), f"network_calls is a whole number; found {declared!r}"
        assert declared >= 0, f"network_calls is 0 or more; found {declared}"
        skip_if(not declared, "network_calls is 0: a plan counts the calls")
        calls = ListedCalls(component)
        x, t = _examples((2,))
        for number, t_now in enumerate(t):
            component.velocity(calls, x, t_now)
            expected = declared * (number + 1)
            assert calls.calls == expected, f"network_calls is {declared}: {expected} by now; found {calls.calls}"

    def test_needs_what_it_asks_for(self, component: Any) -> None:
        """Who asks calls.unconditional requires "labels" and "no_label"; who asks calls.weaker names the parameter."""
        calls = ListedCalls(component)
        x, t = _examples((2,))
        for t_now in t:
            component.velocity(calls, x, t_now)
        if "unconditional" in calls.asked:
            needed = {"labels", "no_label"} - set(component.requires)
            assert not needed, f"a guidance that asks for no label requires labels and no_label; missing {needed}"
        if "weaker" in calls.asked:
            assert component.weaker, "a guidance by a weaker model names the parameter that holds it in weaker"

    def test_begins_anew_with_each_integration(self, component: Any) -> None:
        """Two integrations of the same states have the same velocities; nothing random is drawn."""
        x, t = _examples((2,))
        calls = ListedCalls(component)
        state = torch.get_rng_state()
        first, second = (_integration(component, x, t, calls) for _ in range(2))
        for one, other in zip(first, second, strict=True):
            assert torch.equal(one, other), "two integrations of the same states have the same velocities"
        assert torch.equal(state, torch.get_rng_state()), "a guidance draws no random numbers"

    def test_leaves_what_it_is_given(self, component: Any) -> None:
        """x and t are not changed in place."""
        x, t = _examples((2,))
        before = x.clone(), t.clone()
        _integration(component, x, t)
        assert torch.equal(x, before[0]), "x stays as it is"
        assert torch.equal(t, before[1]), "t stays as it is"

    def test_may_change_nothing(self, component: Any) -> None:
        """With parameters that change nothing, such as weight 1, the velocity is calls.conditional(x, t)."""
        unguided = self.unguided(component)
        skip_if(unguided is None, "unguided returns none")
        assert unguided is not None
        x, t = _examples((3, 4, 4), torch.float64)
        plain = FreeVelocity(BentPath())
        for v, t_now in zip(_integration(unguided, x, t), t, strict=True):
            torch.testing.assert_close(v, plain.conditional(x, t_now), msg=lambda text: f"it changes nothing; {text}")


def _examples(shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """Return states `(batch, *shape)` and, for each call, times `(calls, batch)`, which differ between examples."""
    x = torch.randn(BATCH, *shape, generator=generator(), dtype=torch.float64).to(dtype)
    t = torch.tensor(TIMES, dtype=torch.float64)[:, None] * torch.linspace(1, 0.8, BATCH, dtype=torch.float64)
    return x, t.to(dtype)


def _integration(component: Any, x: Tensor, t: Tensor, calls: ListedCalls | None = None) -> list[Tensor]:
    """Return the velocities of one integration's calls, which are all made at `x`."""
    calls = calls or ListedCalls(component)
    calls.y = None
    return [component.velocity(calls, x, t_now) for t_now in t]
