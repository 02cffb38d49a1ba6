"""Which cells an entry of `exclude`, the `baseline` or a `--filter` means."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from fmbench.cells.component_spec import ComponentSpec
from fmbench.cells.setting_axes import NAMED, SETTING_AXES
from fmbench.errors import SuiteError, UserError, did_you_mean
from fmbench.plan.axes import EVALUATION_AXES, TRAINING_AXES, Axes, Choice, Indices
from fmbench.plan.given_models import GIVEN
from fmbench.suite import AXES, AxisValue, ComponentRef, Problem, Selection
from fmbench.suite.setting_axes import number_text
from fmbench.suite.weights import END
from fmbench.suite.yaml_reader import read_yaml

DIGITS = 20
"""Of the largest whole number that a suite may hold, and one more."""


@dataclass(frozen=True)
class Match:
    """A set of cells: for some axes, by position, the indices of the values that belong to it."""

    training: tuple[tuple[int, frozenset[int]], ...] = ()
    evaluation: tuple[tuple[int, frozenset[int]], ...] = ()

    def has_training(self, cell: Indices) -> bool:
        """Tell whether a training cell belongs to the set, as far as training axes go."""
        return all(cell[position] in indices for position, indices in self.training)

    def has_evaluation(self, cell: Indices) -> bool:
        """Tell whether an evaluation cell belongs to the set, as far as evaluation axes go."""
        return all(cell[position] in indices for position, indices in self.evaluation)


def _match(chosen: dict[str, frozenset[int]]) -> Match:
    training = tuple((TRAINING_AXES.index(axis), i) for axis, i in chosen.items() if axis in TRAINING_AXES)
    evaluation = tuple((EVALUATION_AXES.index(axis), i) for axis, i in chosen.items() if axis in EVALUATION_AXES)
    return Match(training, evaluation)


def means(wanted: AxisValue, choice: Choice) -> bool:
    """Tell whether a value that somebody wrote means a value of an axis; parameters not written may be any."""
    if isinstance(wanted, ComponentRef) and isinstance(choice, ComponentSpec):
        if GIVEN in (wanted.name, choice.label):  # what tables say where nobody knows what a model was trained with
            return wanted.name == choice.label
        given = choice.parameters
        return wanted.name == choice.name and all(k in given and given[k] == v for k, v in wanted.parameters.items())
    return wanted == choice


def match_selection(selection: Selection, axes: Axes, location: Sequence[str | int], problems: list[Problem]) -> Match:
    """Return the cells that a selection of the suite means; a value that no cell has is added to `problems`."""
    chosen = {}
    for axis, values in selection.axes.items():
        found: set[int] = set()
        for number, value in enumerate(values):
            indices = [index for index, choice in enumerate(axes.values[axis]) if means(value, choice)]
            if not indices:
                place = axes.suite.place(*location, axis, number)
                problems.append(Problem(place, f"{'.'.join(map(str, location[:1]))}: {_no_such(axis, value, axes)}"))
            found.update(indices)
        chosen[axis] = frozenset(found)
    return _match(chosen)


def _no_such(axis: str, value: AxisValue | str, axes: Axes) -> str:
    """Say that a value is not on an axis, and what is."""
    held = axes.values[axis]
    name = value.name if isinstance(value, ComponentRef) else str(value)
    numbers = axis in SETTING_AXES and axis not in NAMED  # which no misspelling makes of another
    names = [choice.name for choice in held if isinstance(choice, ComponentSpec) and not numbers]
    near = did_you_mean(name, names) if name not in names else ""
    said = f"{value:g}" if isinstance(value, float) else str(value)
    return f"no {axis} of the suite is {said!r}.{near} The axis holds {axes.held(axis)}."


def match_filter(text: str, axes: Axes) -> Match:
    """Return the cells that `axis=value,value` means.

    A component is `name`, with any parameters, or `name(parameter=value, ...)`. Raises UserError where a value is not
    on the axis, or the text is not of the form.
    """
    axis, values = read_filter(text)
    found: set[int] = set()
    for part in values:
        test = choice_test(part, axis)
        indices = [index for index, choice in enumerate(axes.values[axis]) if test(choice)]
        if not indices:
            raise UserError(f"--filter {text}: {_no_such(axis, part, axes)}")
        found.update(indices)
    return _match({axis: frozenset(found)})


def read_filter(text: str, flag: str = "--filter") -> tuple[str, list[str]]:
    """Return the axis and the values that `axis=value,value` names. Raises UserError, which calls the option `flag`."""
    axis, equals, rest = (part.strip() for part in text.partition("="))
    if not equals or not axis or not rest:
        raise UserError(f"{flag} {text}: a filter is written AXIS=VALUE or AXIS=VALUE,VALUE, path=linear say.")
    if axis not in AXES:
        raise UserError(f"{flag} {text}: there is no axis {axis!r}.{did_you_mean(axis, AXES)} Axes: {', '.join(AXES)}.")
    return axis, list(_split(rest))


def choice_test(text: str, axis: str) -> Callable[[Choice], bool]:
    """Return the test that tells whether a value of an axis is the one that a filter writes."""
    if axis in {"seed", "guidance", "nfe"} or (axis == "at_step" and text != END):
        try:
            number = int(text) if text.isdecimal() and len(text) < DIGITS else float(text)  # which would round a seed
        except ValueError:
            if axis != "guidance":
                return lambda choice: False
        else:
            return lambda choice: choice == number
    label = "".join(text.split())
    wanted = _component(text)
    if wanted is not None and axis in SETTING_AXES and axis not in NAMED:
        with suppress(ValueError):
            wanted = ComponentRef(number_text(_number(wanted.name)), wanted.parameters)  # 5e2 is 500, and .99 is 0.99
    return lambda choice: "".join(str(choice).split()) == label or (wanted is not None and means(wanted, choice))


def _number(text: str) -> float:
    number = float(text)
    return int(number) if number == int(number) else number


def _component(text: str) -> ComponentRef | None:
    """Read `name` or `name(parameter=value, ...)`; None where the text is neither."""
    form = re.fullmatch(r"([^()]+?)\s*(?:\((.*)\))?", text, re.DOTALL)
    if form is None:
        return None
    parameters = {}
    for part in _split(form[2] or ""):
        name, equals, value = part.partition("=")
        if not equals:
            return None
        try:
            parameters[name.strip()], problems = read_yaml(value, text)
        except SuiteError:
            return None
        if problems:  # the value that stands there is none
            return None
    return ComponentRef(form[1], parameters)


def _split(text: str) -> Iterable[str]:
    """Split at the commas that are not inside brackets."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts if part.strip()]
