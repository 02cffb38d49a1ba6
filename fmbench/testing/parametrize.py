"""Values that a conformance test is run for, and what it asks for by name.

pytest takes both, and so does `fmbench.testing.run_checks`, for who has no pytest: nothing here imports it.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from unittest import SkipTest

Function = TypeVar("Function", bound=Callable[..., Any])

PLAIN = ("component", "dataset")
"""What an author may define as a plain method, and tests then ask for by name."""


@dataclass(frozen=True)
class TestedValues:
    """A name, and the values that a test is run for. `ids` names them, as pytest's ids do."""

    name: str
    values: Sequence[Any] | Callable[[], Sequence[Any]]
    ids: Any = None

    def all(self) -> list[Any]:
        """Return the values."""
        return list(self.values() if callable(self.values) else self.values)


def parametrize(
    name: str, values: Sequence[Any] | Callable[[], Sequence[Any]], ids: Any = None
) -> Callable[[Function], Function]:
    """Have a test run for each of some values, as `pytest.mark.parametrize` does; a function gives them when asked."""

    def mark(function: Function) -> Function:
        vars(function)["parameters"] = (*parameters_of(function), TestedValues(name, values, ids))
        return function

    return mark


def parameters_of(function: Callable[..., Any]) -> tuple[TestedValues, ...]:
    """Return what a test is run for; nothing where it runs once."""
    found: tuple[TestedValues, ...] = vars(function).get("parameters", ())
    return found


def fixture(function: Function) -> Function:
    """Have tests ask for what a method returns by its name, as `pytest.fixture` does."""
    vars(function)["is_fixture"] = True
    return function


def fixtures_of(cls: type, inherited: Mapping[str, Any]) -> dict[str, Callable[..., Any] | None]:
    """Return what tests of a class ask for by name; None for what a fixture of pytest's own stands for.

    Where pytest runs, they become its fixtures.
    """
    found: dict[str, Callable[..., Any] | None] = dict(inherited)
    for name, value in vars(cls).items():
        is_method = inspect.isfunction(value) and not hasattr(value, "_pytestfixturefunction")
        if name in found or name in PLAIN or (is_method and vars(value).get("is_fixture")):
            found[name] = value if is_method else None
    pytest = sys.modules.get("pytest")
    for name, function in found.items():
        if pytest is not None and function is not None and inspect.getattr_static(cls, name) is function:
            setattr(cls, name, pytest.fixture(function))
    return found


def skip_if(condition: object, reason: str) -> None:
    """Skip a test of what is not asked of a component."""
    __tracebackhide__ = True
    if condition:
        raise SkipTest(reason)
