"""What is asked of every component, whatever its kind."""

from __future__ import annotations

import inspect
import pickle
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import torch
from torch import Generator, Tensor

from fmbench.components.contracts import Component
from fmbench.testing.parametrize import fixtures_of, parameters_of


class ComponentConformance:
    """The rules of every kind. The classes of the kinds inherit it; authors inherit those.

    Attributes:
        contract: the class that the component must extend.
        fixtures: the methods whose results tests ask for by name; None for one that is a fixture of pytest's own.
    """

    contract: ClassVar[type[Component]] = Component
    fixtures: ClassVar[Mapping[str, Callable[..., Any] | None]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Have tests ask for what plain methods called `component` and `dataset` return."""
        super().__init_subclass__(**kwargs)
        cls.fixtures = fixtures_of(cls, cls.fixtures)

    def pytest_generate_tests(self, metafunc: Any) -> None:
        """Have pytest run a test for each of its values."""
        for each in parameters_of(metafunc.function):
            metafunc.parametrize(each.name, each.all(), ids=each.ids)

    def test_extends_its_contract(self, component: Any) -> None:
        """A component is a subclass of its kind's contract: a solver of fmbench.Solver, and so on."""
        assert isinstance(component, self.contract), (
            f"a component extends fmbench.{self.contract.__name__}; {type(component).__name__} does not"
        )

    def test_has_a_summary(self, component: Any) -> None:
        """The first line of the class's docstring says what the component is."""
        summary = (type(component).__doc__ or "").strip().partition("\n")[0]
        assert summary, f"the first line of the class's docstring is its summary; {type(component).__name__} has none"

    def test_parameters_are_keyword_only_and_annotated(self, component: Any) -> None:
        """Parameters are written `*, name: type = default`: suites give them by name and are checked by type."""
        for parameter in _parameters(type(component)):
            assert parameter.kind is parameter.KEYWORD_ONLY, (
                f"parameters are keyword-only (put * before them); {parameter.name} is {parameter.kind.description}"
            )
            assert parameter.annotation is not parameter.empty, (
                f"parameters are annotated, so that suites can be checked; {parameter.name} is not"
            )

    def test_builds_with_its_defaults(self, component: Any) -> None:
        """Where every parameter has a default, the class is built without arguments."""
        if all(p.default is not p.empty for p in _parameters(type(component))):
            type(component)()

    def test_class_attributes_are_well_formed(self, component: Any) -> None:
        """`reference` is text; `provides`, `requires`, `files` and `content` are tuples of texts."""
        assert isinstance(component.reference, str), f"reference is text; found {component.reference!r}"
        for name in ("provides", "requires", "files", "content"):
            value = getattr(component, name)
            assert isinstance(value, tuple) and all(isinstance(v, str) for v in value), (  # noqa: PT018
                f"{name} is a tuple of texts (a single one needs a comma); found {value!r}"
            )

    def test_attributes_depend_on_parameters_that_are_there(self, component: Any) -> None:
        """`by_parameter` maps values of the class's parameters to values of its attributes."""
        parameters = {parameter.name for parameter in _parameters(type(component))}
        for each in type(component).__mro__:
            for parameter, by_value in vars(each).get("by_parameter", {}).items():
                assert parameter in parameters, f"by_parameter names parameters; {parameter!r} is none"
                unknown = {name for then in by_value.values() for name in then if not hasattr(component, name)}
                assert not unknown, f"by_parameter names attributes that the class has; found {sorted(unknown)}"

    def test_survives_pickling(self, component: Any) -> None:
        """pickle.loads(pickle.dumps(component)) is the same component: it travels to worker processes."""
        try:
            copy = pickle.loads(pickle.dumps(component))
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise AssertionError(f"a component can be pickled: {type(component).__name__} says {error}") from error
        assert type(copy) is type(component), f"a pickled component keeps its class; found {type(copy)}"
        assert same(vars(copy), vars(component)), (
            f"a pickled component keeps its state; {vars(component)!r} became {vars(copy)!r}"
        )


def assert_form_of(of: str, given: Tensor, name: str, found: Tensor) -> None:
    """Assert that a tensor called `name` has shape and dtype of the one called `of`."""
    assert found.shape == given.shape, f"{name} has the shape of {of}, {tuple(given.shape)}; found {tuple(found.shape)}"
    assert found.dtype == given.dtype, f"{name} has the dtype of {of}, {given.dtype}; found {found.dtype}"


def generator(seed: int = 0) -> Generator:
    """Return a CPU generator with a seed."""
    return Generator().manual_seed(seed)


def same(a: Any, b: Any) -> bool:
    """Say whether two values are equal, looking into tensors, containers and objects."""
    if type(a) is not type(b):
        return False
    if isinstance(a, Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if hasattr(a, "__dict__") and not inspect.isroutine(a) and not inspect.isclass(a):
        return same(vars(a), vars(b))
    return bool(a == b)


def _parameters(component: type) -> list[inspect.Parameter]:
    """Return the parameters of a component's constructor, without self."""
    written = any("__init__" in vars(c) for c in component.__mro__ if c is not object)
    return list(inspect.signature(component).parameters.values()) if written else []
