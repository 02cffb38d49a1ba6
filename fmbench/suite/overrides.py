"""`--set training.steps=200`: one value of a suite, given on the command line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fmbench.errors import SuiteError, did_you_mean
from fmbench.suite.positions import Position, PositionedList, PositionedMapping, Problem, shown
from fmbench.suite.yaml_reader import read_yaml


def apply_override(root: PositionedMapping, text: str) -> list[Problem]:
    """Set one value of a suite, KEY.KEY=VALUE with the value as YAML, and return what is wrong inside the value.

    The entry of a list is reached by its index or, where it is a component, by its name, as in
    `training.networks.mlp.width=8`. Raises SuiteError where the path leads through a value that holds no others; keys
    that a suite does not know are found when it is checked.
    """
    place = Position(f"--set {text}")
    path, equals, value_text = text.partition("=")
    steps = path.strip().split(".")
    if not equals or not all(steps):
        raise SuiteError("an override is written KEY.KEY=VALUE, training.steps=200 say.", str(place))
    value, problems = read_yaml(value_text, "", place)
    _set(root, steps, value, place)
    return problems


def _set(holder: PositionedMapping | PositionedList, steps: Sequence[str], value: Any, place: Position) -> None:
    """Set the value that `steps` lead to from `holder`."""
    step, rest = steps[0], steps[1:]
    if isinstance(holder, PositionedList):
        index = _index(holder, step, place)
        if not step.isdecimal():
            holder[index] = _opened(holder[index], step, step, place)
            _set(holder[index], steps, value, place)
        elif rest:
            holder[index] = _opened(holder[index], step, rest[0], place)
            _set(holder[index], rest, value, place)
        else:
            holder[index], holder.places[index] = value, place
    elif not rest:
        holder.put(step, value, place, place)
    else:
        inner = _opened(holder.get(step), step, rest[0], place)
        if inner is not holder.get(step):
            holder.put(step, inner, place, place)
        _set(inner, rest, value, place)


def _opened(value: Any, name: str, step: str, place: Position) -> PositionedMapping | PositionedList:
    """Return `value`, which is called `name`, as something that may hold `step`."""
    if isinstance(value, PositionedMapping | PositionedList):
        return value
    table = PositionedMapping(place)
    if isinstance(value, str) and value == step:
        # `cosine` is short for `{cosine: {}}`.
        table.put(step, PositionedMapping(place), place, place)
    elif value is not None:
        raise SuiteError(f"{name} is {shown(value)}, which holds no {step!r}. Set {name} as a whole.", str(place))
    return table


def _index(row: PositionedList, step: str, place: Position) -> int:
    """Return the index of the entry that `step` names. Raises SuiteError where there is not exactly one."""
    if step.isdecimal():
        if len(step) <= len(str(len(row))) and int(step) < len(row):  # Python reads no number of 5,000 digits
            return int(step)
        raise SuiteError(f"the list has {len(row)} entries, counted from 0; found the index {step}.", str(place))
    names = [next(iter(entry), "") if isinstance(entry, dict) else entry for entry in row]
    found = [index for index, name in enumerate(names) if name == step]
    if len(found) == 1:
        return found[0]
    choices = ", ".join(map(str, names))
    if found:
        raise SuiteError(f"the list {choices} holds {step!r} {len(found)} times; give the index from 0.", str(place))
    near = did_you_mean(step, [name for name in names if isinstance(name, str)])
    raise SuiteError(f"the list holds no {step!r}.{near} It holds {choices}.", str(place))
