"""Running conformance tests without pytest, and saying of each in words which rule holds and which is broken."""

from __future__ import annotations

import inspect
import itertools
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from unittest import SkipTest

from fmbench.errors import UserError
from fmbench.isolation.plugin_traceback import lines_of, own_line
from fmbench.plugins.local_files import describe_error
from fmbench.testing.base import ComponentConformance
from fmbench.testing.parametrize import TestedValues, parameters_of

LONGEST = 600
"""Characters of what a check found that are kept."""


@dataclass(frozen=True)
class CheckResult:
    """What came of one conformance test, over all cases that it is run for.

    `rule` is what is asked, as a formula where there is one. `found` says what was found in place of it, or why the
    check was skipped; `case` is the first case that failed, `grid=uniform` say, and "" where there is only one.
    `raised` is the line that raised an exception, with its type; "" where a rule was broken.
    """

    name: str
    status: Literal["ok", "failed", "skipped"]
    rule: str
    found: str = ""
    case: str = ""
    cases: int = 1
    failed: int = 0
    raised: str = ""


class NeedsPytest(UserError):
    """A test asks for what only pytest can give."""


def run_checks(tests: ComponentConformance, make: Callable[[], Any] | None = None) -> Iterator[CheckResult]:
    """Run the tests of a conformance class, each for all of its values, on new components that `make` returns.

    Without `make` the class's own method `component` makes them. Raises NeedsPytest for what only pytest can give.
    """
    for name, test in _tests_of(type(tests)):
        yield _check(tests, name, test, make)


def _tests_of(cls: type[ComponentConformance]) -> list[tuple[str, Callable[..., Any]]]:
    """Return the tests of a class by name, those of its bases first."""
    names = dict.fromkeys(name for each in reversed(cls.__mro__) for name in vars(each) if name.startswith("test_"))
    return [(name, getattr(cls, name)) for name in names if callable(getattr(cls, name))]


def _check(
    tests: ComponentConformance, name: str, test: Callable[..., Any], make: Callable[[], Any] | None
) -> CheckResult:
    title, rule = name.removeprefix("test_").replace("_", " "), rule_of(test)
    parameters = parameters_of(test)
    cases = list(itertools.product(*(each.all() for each in parameters)))
    failures: list[tuple[str, str, str]] = []
    skipped: list[str] = []
    for values in cases:
        given = {each.name: value for each, value in zip(parameters, values, strict=True)}
        try:
            with tempfile.TemporaryDirectory(prefix="fmbench-") as folder:
                test(tests, **_arguments(tests, test, make, given, Path(folder)))
        except SkipTest as skip:
            skipped.append(str(skip))
        except NeedsPytest:
            raise
        except (Exception, SystemExit) as error:
            failures.append((*_what_was_found(error), _case(parameters, values)))
    if failures:
        found, raised, case = failures[0]
        return CheckResult(title, "failed", rule, found, case, len(cases), len(failures), raised)
    if len(skipped) == len(cases):
        return CheckResult(title, "skipped", rule, skipped[0] if skipped else "it has no cases", "", len(cases))
    return CheckResult(title, "ok", rule, "", "", len(cases))


def rule_of(test: Callable[..., Any]) -> str:
    """Return what a test asks, with which its docstring begins."""
    return " ".join((inspect.getdoc(test) or "").partition("\n\n")[0].split())


def _arguments(
    tests: ComponentConformance,
    function: Callable[..., Any],
    make: Callable[[], Any] | None,
    given: Mapping[str, Any],
    folder: Path,
) -> dict[str, Any]:
    """Return what a test, or a method that it asks for, is called with, besides itself."""
    known = {**given, "tmp_path": folder}
    found: dict[str, Any] = {}

    def value(name: str) -> Any:
        if name in known:
            return known[name]
        if name == "component" and make is not None:
            known[name] = make()
            return known[name]
        method = type(tests).fixtures.get(name)
        if method is None:
            raise NeedsPytest(
                f"{type(tests).__name__} asks for {name!r}, which only pytest can give. Run pytest on its file, or "
                f"make {name!r} a method."
            )
        known[name] = method(tests, **{each: value(each) for each in _asked(method)})
        return known[name]

    for name in _asked(function):
        found[name] = value(name)
    return found


def _asked(function: Callable[..., Any]) -> list[str]:
    return list(inspect.signature(function).parameters)[1:]


def _case(parameters: tuple[TestedValues, ...], values: tuple[Any, ...]) -> str:
    return ", ".join(f"{each.name}={_shown(each, value)}" for each, value in zip(parameters, values, strict=True))


def _shown(parameter: TestedValues, value: Any) -> str:
    """Return a value as its ids call it, else as text."""
    if callable(parameter.ids):
        return str(parameter.ids(value))
    if parameter.ids is not None:
        return str(parameter.ids[parameter.all().index(value)])
    return str(value).removeprefix("torch.")


def _what_was_found(error: BaseException) -> tuple[str, str]:
    """Return what a broken rule says of the component, or what its code raised; and of that the type and the line."""
    raised = ""
    if isinstance(error, AssertionError) and _is_a_rule(error):
        text = str(error)
    else:
        text = f"it raised {describe_error(error)}"
        raised = f"{type(error).__name__} ({own_line(lines_of(error))})"
    text = " ".join(text.split())
    return (text if len(text) <= LONGEST else f"{text[:LONGEST]}..."), raised


def _is_a_rule(error: AssertionError) -> bool:
    """Whether an assertion is one of the tests', and not one of the component's own code."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    last = Path(trace.tb_frame.f_code.co_filename) if trace is not None else Path()
    return last.parent == Path(__file__).parent or "torch" in last.parts
