"""Conformance of couplings."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from fmbench.components.conditions import some_conditions
from fmbench.components.contracts import Coupling
from fmbench.testing.base import ComponentConformance, generator, same
from fmbench.testing.dummy_components import CountedField
from fmbench.testing.parametrize import parametrize, skip_if

BATCH = 24
CLASSES, VECTOR = 3, 2
SHAPES = [(2,), (1, 4, 4)]
DRAWS = 100
DEVIATIONS = 5
LEARNT = 1e-4


class CouplingConformance(ComponentConformance):
    """A coupling: it re-pairs source and data, and their distributions stay as they are.

    One that only reorders neither loses, repeats nor changes an example. One that draws pairs at random (`permutes` is
    False) keeps each x_1, and takes each x_0 once on average. One that learns from a teacher is given a known one, and
    its pairs are where that takes x_0.

    Attributes:
        learnt: how far the learnt x_1 may be from where a constant velocity of order 1 takes x_0.
    """

    contract = Coupling
    learnt: ClassVar[float] = LEARNT

    def test_declarations(self, component: Any) -> None:
        """`pool` is an integer >= 1, `permutes` a bool, `teacher` the name of a parameter or ""."""
        assert isinstance(component.pool, int), f"pool is a number of batches; found {component.pool!r}"
        assert component.pool >= 1, f"pool is at least 1; found {component.pool}"
        assert isinstance(component.permutes, bool), f"permutes is True or False; found {component.permutes!r}"
        assert isinstance(component.teacher, str), f"teacher is the name of a parameter; found {component.teacher!r}"
        if component.teacher:
            assert not component.permutes, "pairs of a teacher are not those that were given: permutes is False"

    @parametrize("shape", SHAPES)
    @parametrize("labelled", [True, False])
    def test_preserves_both_marginals(self, component: Any, shape: tuple[int, ...], labelled: bool) -> None:
        """Pairing reorders: the rows of x_0 and of x_1 are the same before and after, so both distributions stay."""
        self._preserves_marginals(component, shape, "labels" if labelled else "")

    @parametrize("shape", SHAPES)
    def test_preserves_both_marginals_of_vectors(self, component: Any, shape: tuple[int, ...]) -> None:
        """The same where conditions are vectors: the rows of x_0 and of x_1 stay."""
        self._preserves_marginals(component, shape, "vectors")

    def _preserves_marginals(self, component: Any, shape: tuple[int, ...], kind: str) -> None:
        skip_if(component.teacher, "the pairs are those of a teacher")
        x_0, x_1, y = _batch(component, shape, kind)
        paired_0, paired_1, paired_y = component.pair(x_0, x_1, y, generator())
        for name, given, found in (("x_0", x_0, paired_0), ("x_1", x_1, paired_1)):
            _has_the_form(name, found, given)
        assert _rows(paired_1) == _rows(x_1), "the rows of x_1 are the same before and after pairing, in any order"
        if component.permutes:
            assert _rows(paired_0) == _rows(x_0), "the rows of x_0 are the same before and after pairing, in any order"
        assert set(_rows(paired_0)) <= set(_rows(x_0)), "every x_0 is one of those that were given, unchanged"
        assert (paired_y is None) is (y is None), "y comes back where it was given, and as None where it was not"

    def test_uses_each_source_once_on_average(self, component: Any) -> None:
        """A coupling that draws takes each x_0 once on average: E[uses] = 1, or the source is another."""
        other = component.permutes or component.teacher
        skip_if(other, "the coupling reorders the x_0 that it is given, or does not use them")
        x_0, x_1, y = _batch(component, (2,))
        number = {row: i for i, row in enumerate(_listed(x_0))}
        noise, uses = generator(), torch.zeros(BATCH)
        for _ in range(DRAWS):
            paired_0, _, _ = component.pair(x_0, x_1, y, noise)
            uses += torch.bincount(torch.tensor([number[row] for row in _listed(paired_0)]), minlength=BATCH)
        # Each of the batch's draws takes an x_0 with some chance; the chances sum to 1, so the variance is below 1.
        gap, allowed = (uses / DRAWS - 1).abs().max().item(), DEVIATIONS / math.sqrt(DRAWS)
        assert gap <= allowed, (
            f"each x_0 is used once on average, or the source is another; over {DRAWS} draws one is used {gap:.2f} "
            f"times too often or too seldom ({allowed:.2f} is allowed)"
        )

    def test_labels_travel_with_the_data(self, component: Any) -> None:
        """After pairing, y[i] is still the label of x_1[i]."""
        self._conditions_travel(component, "labels")

    def test_vectors_travel_with_the_data(self, component: Any) -> None:
        """After pairing, y[i] is still the condition vector of x_1[i]."""
        self._conditions_travel(component, "vectors")

    def _conditions_travel(self, component: Any, kind: str) -> None:
        skip_if(component.teacher, "the pairs are those of a teacher")
        x_0, x_1, y = _batch(component, (2,), kind)
        _, paired_1, paired_y = component.pair(x_0, x_1, y, generator())
        condition = dict(zip(_listed(x_1), y.tolist(), strict=True))
        for row, found in zip(_listed(paired_1), paired_y.tolist(), strict=True):
            assert found == condition[row], f"{kind} travel with their x_1; {row} had {condition[row]}, has {found}"

    def test_follows_the_generator(self, component: Any) -> None:
        """Pairs are drawn from `generator` only: the same seed gives the same pairs."""
        ready = component.with_fit(KnownTeacher((2,)).teach(component)) if component.teacher else component
        given = _batch(component, (2,))
        state = torch.get_rng_state()
        first, again = (ready.pair(*given, generator(7)) for _ in range(2))
        assert all(map(torch.equal, first, again)), "the same generator seed gives the same pairs"
        assert torch.equal(state, torch.get_rng_state()), "a coupling draws from the generator only"

    def test_draws_only_where_it_says_so(self, component: Any) -> None:
        """With `draws = False` pair() leaves the generator as it is: batches may then be paired side by side."""
        skip_if(component.draws, "the coupling draws")
        given, noise = _batch(component, (2,)), generator(7)
        before = noise.get_state()
        component.pair(*given, noise)
        unchanged = torch.equal(before, noise.get_state())
        assert unchanged, "a coupling with draws = False leaves the generator alone; leave draws out, or draw nothing"

    def test_leaves_its_inputs_alone(self, component: Any) -> None:
        """x_0, x_1 and y are not changed in place: others are given the same tensors."""
        ready = component.with_fit(KnownTeacher((2,)).teach(component)) if component.teacher else component
        given = _batch(component, (2,))
        copies = [value.clone() for value in given]
        ready.pair(*given, generator())
        assert all(map(torch.equal, given, copies)), "a coupling does not change x_0, x_1 or y in place"

    @parametrize("shape", SHAPES)
    @parametrize("labelled", [True, False])
    def test_pairs_as_its_teacher_flows(self, component: Any, shape: tuple[int, ...], labelled: bool) -> None:
        """A coupling with a teacher pairs x_0 with where dx/dt = teacher(x, t) takes it, with its label."""
        skip_if(not component.teacher, "the coupling has no teacher")
        x_0, x_1, y = _batch(component, shape, "labels" if labelled else "")
        teacher = KnownTeacher(shape, labelled)
        taught = component.with_fit(teacher.teach(component))
        assert isinstance(taught, Coupling), f"with_fit returns a coupling; found {type(taught).__name__}"
        paired_0, paired_1, paired_y = taught.pair(x_0, x_1, y, generator())
        for name, given, found in (("x_0", x_0, paired_0), ("x_1", x_1, paired_1)):
            _has_the_form(name, found, given)
        assert (paired_y is None) is not labelled, "y comes back where the teacher takes labels, and else as None"
        labels = [0] * BATCH if paired_y is None else paired_y.tolist()
        for row, label in zip(_listed(paired_0), labels, strict=True):
            assert row in teacher.given, "every x_0 is one that source drew for the fit, unchanged"
            assert label == teacher.given[row], f"x_0 was drawn with the label {teacher.given[row]}; found {label}"
        expected = paired_0 + teacher.shift(None if paired_y is None else paired_y, shape)
        gap = (paired_1 - expected).abs().max().item()
        assert gap <= self.learnt, f"x_1 is where the teacher takes x_0, with its label; it is {gap:.3g} away"

    def test_draws_from_what_was_fitted(self, component: Any) -> None:
        """Other draws of the generator give other pairs of those that were fitted."""
        skip_if(not component.teacher, "the coupling has no teacher")
        taught = component.with_fit(KnownTeacher((2,)).teach(component))
        given = _batch(component, (2,))
        first, other = (taught.pair(*given, generator(seed))[0] for seed in (1, 2))
        assert not torch.equal(first, other), "other draws of the generator give other pairs"

    def test_learning_leaves_the_coupling_alone(self, component: Any) -> None:
        """fit() returns tensors by name, with_fit() another coupling; this one stays as it is."""
        skip_if(not component.teacher, "the coupling has no teacher")
        before = dict(vars(component))
        fitted = KnownTeacher((2,)).teach(component)
        for name, value in fitted.items():
            assert isinstance(name, str), f"what was fitted is named by texts; found {name!r}"
            assert isinstance(value, Tensor), f"what was fitted is tensors; {name} is {type(value).__name__}"
        taught = component.with_fit(fitted)
        assert taught is not component, "with_fit returns another coupling"
        assert same(before, vars(component)), "fit and with_fit leave the coupling as it is"


class KnownTeacher:
    """A known teacher: its velocity is 1, and 1 more for each number of the label, everywhere and at all times.

    `given` holds the label of every `x_0` that was handed out, 0 without labels.
    """

    def __init__(self, shape: tuple[int, ...], labelled: bool = True) -> None:
        self.shape, self.labelled = shape, labelled
        self.given: dict[tuple[float, ...], int] = {}
        self._noise = generator(3)
        self._velocity = CountedField(lambda x, t: torch.zeros_like(x) + self.shift(self._velocity.y, self.shape))

    def teach(self, component: Any) -> Mapping[str, Tensor]:
        """Return what a coupling fits to this teacher."""
        fitted: Mapping[str, Tensor] = component.fit(self._velocity, self.source)
        assert self._velocity.calls, "fit asks the teacher for velocities"
        return fitted

    def source(self, n: int) -> tuple[Tensor, Tensor | None]:
        """Draw `x_0` and labels."""
        x_0 = torch.randn(n, *self.shape, generator=self._noise)
        y = torch.randint(CLASSES, (n,), generator=self._noise) if self.labelled else None
        self.given.update(zip(_listed(x_0), [0] * n if y is None else y.tolist(), strict=True))
        return x_0, y

    def shift(self, y: Tensor | None, shape: tuple[int, ...]) -> Tensor:
        """Return how far the flow takes examples with labels `(batch,)`, to be added to them: `(batch, 1, ..., 1)`.

        Without labels it is the same for all, `(1,)`.
        """
        return torch.ones(1) if y is None else (1.0 + y).reshape(-1, *[1] * len(shape))


def _has_the_form(name: str, found: Tensor, given: Tensor) -> None:
    assert found.shape == given.shape, f"{name} keeps its shape {tuple(given.shape)}; found {tuple(found.shape)}"
    assert found.dtype == given.dtype, f"{name} keeps its dtype {given.dtype}; found {found.dtype}"


def _batch(component: Any, shape: tuple[int, ...], kind: str = "labels") -> tuple[Tensor, Tensor, Any]:
    """Return `x_0`, `x_1` and "labels", "vectors" or, for "", None; skip where a coupling requires other conditions."""
    provided = {"labels": {"classes", "conditions"}, "vectors": {"vectors", "conditions"}, "": set()}[kind]
    lacking = sorted({"classes", "vectors", "conditions"} & set(component.requires) - provided)
    skip_if(lacking, f"the coupling requires {lacking}, so it is always given such conditions")
    noise = generator(2)
    x_0, x_1 = (torch.randn(BATCH, *shape, generator=noise) for _ in range(2))
    return x_0, x_1, some_conditions(BATCH, CLASSES * (kind == "labels"), VECTOR * (kind == "vectors"))


def _listed(x: Tensor) -> list[tuple[float, ...]]:
    """Return the examples as numbers, in their order."""
    return [tuple(row) for row in x.flatten(1).tolist()]


def _rows(x: Tensor) -> list[tuple[float, ...]]:
    """Return the examples as numbers, sorted."""
    return sorted(_listed(x))
