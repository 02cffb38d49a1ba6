"""What is wrong with a suite, in words and with its place."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any, cast

from pydantic import BaseModel, ValidationError

from fmbench.cells.setting_axes import SETTING_AXES
from fmbench.errors import did_you_mean, nearest
from fmbench.suite import models, training_settings
from fmbench.suite.field_types import FAULT, RULE, ComponentRef, location_of
from fmbench.suite.models import AXES, Suite
from fmbench.suite.positions import (
    Location,
    Position,
    PositionedList,
    PositionedMapping,
    Problem,
    Text,
    place_of,
    shown,
)
from fmbench.suite.resources import Resources
from fmbench.suite.samples import SamplesEntry
from fmbench.suite.setting_faults import setting_faults

_NAMED = (
    training_settings.AdamW,
    training_settings.Adam,
    training_settings.Adamax,
    training_settings.SGD,
    training_settings.Constant,
    training_settings.Cosine,
    training_settings.Ema,
)
_MODELS: dict[str, type[BaseModel]] = {model.__name__.lower(): model for model in _NAMED}
_SECTIONS: dict[str, type[BaseModel]] = {
    "training": models.Training,
    "evaluation": models.Evaluation,
    "tune": models.Tune,
    "resources": Resources,
}
_ENTRIES: dict[str, type[BaseModel]] = {"samples": SamplesEntry}
_SELECTIONS = {"exclude", "include", "baseline"}
MOST_COMPARED = 100
"""Unknown keys that are compared with those that are missing: more of them are no misspellings."""


def validation_problems(error: ValidationError, root: Any) -> list[Problem]:
    """Return what pydantic found, in our words and at its place."""
    found = error.errors(include_url=False)
    # A misspelt key is one mistake: that the right one is then missing goes without saying.
    holders = {e["loc"][:-1] for e in found if e["type"] == "missing"}
    unknown = [e["loc"] for e in found if e["type"] == "extra_forbidden" and e["loc"][:-1] in holders]
    misspelt = {(*location[:-1], _nearest(location)) for location in unknown[:MOST_COMPARED]}
    return [_problem(e, root) for e in found if e["type"] != "missing" or e["loc"] not in misspelt]


def _nearest(location: Location) -> str:
    """Return the key that an unknown key was probably meant to be, or nothing."""
    return nearest(str(location[-1]), _keys(location[:-1]))


def _problem(details: Mapping[str, Any], root: Any) -> Problem:
    location, kind = location_of(details), details["type"]
    place = place_of(root, location, key=kind == "extra_forbidden")
    several = isinstance(details["input"], list) and location[:-1] == ("training",) and location[1] not in SETTING_AXES
    lists = f" Of the settings of a training, {', '.join(SETTING_AXES)} may be lists." if several else ""
    if kind == FAULT:
        text = f"{details['ctx']['text']}{lists}"
        return Problem(place, f"{_dotted(location)}: {text}" if location else text)
    if kind == RULE:
        found = f"found {shown(details['input'])}.{lists}"
        return Problem(place, f"{_dotted(location)} must be {details['ctx']['rule']}; {found}")
    if kind == "missing":
        return Problem(place, _missing(location))
    if kind == "extra_forbidden":
        return Problem(place, _unknown_key(location))
    keys = ", ".join(_keys(location))
    form = f"a mapping with the keys {keys}" if keys else "something else"
    return Problem(place, f"{_dotted(location)} must be {form}; found {shown(details['input'])}.")


def _dotted(location: Location) -> str:
    return ".".join(step for step in location if isinstance(step, str)) or "a suite"


def _model_at(location: Location) -> type[BaseModel]:
    if not location:
        return Suite
    if location[0] in _SELECTIONS or location[:2] == ("tune", "at"):
        return models.Selection
    name = next(step for step in reversed(location) if isinstance(step, str))  # not the index in a list of values
    return _ENTRIES.get(str(location[0])) or _MODELS.get(name) or _SECTIONS.get(str(location[0]), Suite)


def _keys(location: Location) -> list[str]:
    named = not location or location[0] in _ENTRIES
    return [key for key in _model_at(location).model_fields if key != "name" or named]


def _missing(location: Location) -> str:
    key, parent = str(location[-1]), location[:-1]
    description = _model_at(parent).model_fields[key].description if key in _model_at(parent).model_fields else ""
    what = f" ({description.rstrip('.')})" if description else ""
    return f"the key {key!r} is missing in {_dotted(parent)}{what}. Add it."


def _unknown_key(location: Location) -> str:
    key, parent = str(location[-1]), location[:-1]
    keys = _keys(parent)
    text = f"unknown key {shown(key)} in {_dotted(parent)}."
    near = did_you_mean(key, keys)
    homes = [_dotted((name,)) for name, model in _SECTIONS.items() if key in model.model_fields and parent != (name,)]
    if not near and key in Suite.model_fields:
        homes.append("the top level")
    if homes and not near and parent[:1] not in {(name,) for name in _SELECTIONS}:
        near = f" It belongs to {' or '.join(homes)}."
    return f"{text}{near} Allowed: {', '.join(keys)}."


def product_problems(suite: Suite) -> list[Problem]:
    """Return what is wrong between the values of a suite: duplicates, axes that cannot run in step, and settings that
    no training can have, by themselves (in `include`) or together.
    """
    problems = list(_included_faults(suite))
    problems += setting_faults(suite) if not problems else []
    problems += _tune_faults(suite)
    in_step: set[str] = set()
    for number, group in enumerate(suite.zip):
        place = suite.place("zip", number)
        problems += [Problem(place, text) for text in _zip_faults(suite, group, in_step)]
        in_step |= set(group)
        rows = list(zip(*(suite.axes[axis] for axis in suite.zipped[number]), strict=False))
        for index in _repeated(rows):
            where = suite.place(*AXES[suite.zipped[number][0]], index)
            words = ", ".join(map(str, rows[index]))
            problems.append(Problem(where, f"{words} stands twice in the zipped {', '.join(group)}. Remove one."))
    lists = [(AXES[axis], values) for axis, values in suite.axes.items()]
    lists += [(("evaluation", "metrics"), suite.evaluation.metrics)]
    lists += [(("models",), suite.models), (("model_seeds",), suite.model_seeds)]
    for keys, values in lists:
        if keys[-1] in in_step:
            continue
        for index in _repeated(values):
            place = suite.place(*keys, index)
            value = values[index]
            said = f"{value:g}" if isinstance(value, float) else str(value)
            problems.append(Problem(place, f"{said} stands twice in {'.'.join(keys)}. Remove one of them."))
    return problems


def _included_faults(suite: Suite) -> Iterator[Problem]:
    """Yield what is wrong with settings that an entry of `include` names: they are trained with, so they are whole."""
    for number, entry in enumerate(suite.include):
        for axis in entry.axes.keys() & set(SETTING_AXES):
            for index, ref in enumerate(entry.axes[axis]):
                try:
                    training_settings.read_setting(axis, cast("ComponentRef", ref))
                except ValidationError as error:
                    location = ("include", number, axis, index)
                    for details in error.errors(include_url=False):
                        yield _problem({**details, "loc": (*location, *details["loc"])}, suite.root)


def _tune_faults(suite: Suite) -> Iterator[Problem]:
    """Yield what is wrong with the section `tune`, as far as that goes without knowing the metrics."""
    if (tune := suite.tune) is None:
        return
    for index in _repeated(tune.axes):
        yield Problem(suite.place("tune", "axes", index), f"{tune.axes[index]} stands twice in tune.axes. Remove one.")
    for index, axis in enumerate(tune.axes):
        others = [value for entry in suite.include for value in entry.axes.get(axis, ())]
        if len(suite.axes[axis]) + len(others) < 2:
            held = ", ".join(map(str, suite.axes[axis])) or "none, since nothing is trained"
            text = f"tune.axes: {axis} needs several values of which to take the best; the suite has {held}."
            yield Problem(suite.place("tune", "axes", index), f"{text} Write training.{axis} as a list.")
    names = [metric.name for metric in suite.evaluation.metrics]
    if tune.metric is not None and tune.metric not in names:
        text = f"tune.metric: no metric of the suite is {tune.metric!r}.{did_you_mean(tune.metric, names)}"
        yield Problem(suite.place("tune", "metric"), f"{text} Its metrics: {', '.join(names)}.")


def _repeated(values: Sequence[Any]) -> list[int]:
    """Return the indices of the values that stand further ahead, too."""
    seen: set[Hashable] = set()
    found = []
    for index, value in enumerate(map(_hashable, values)):
        if value in seen:
            found.append(index)
        seen.add(value)
    return found


def _hashable(value: Any) -> Hashable:
    """Return what is equal for equal values of a suite, and can be looked up."""
    if isinstance(value, ComponentRef):
        return (value.name, _hashable(value.parameters))
    if isinstance(value, Mapping):
        return frozenset((key, _hashable(each)) for key, each in value.items())
    if isinstance(value, list | tuple):
        return tuple(map(_hashable, value))
    return cast("Hashable", value)


def _zip_faults(suite: Suite, group: tuple[str, ...], earlier: set[str]) -> list[str]:
    if len(group) < 2 or len(set(group)) < len(group):
        return [f"a group of zip names two or more axes, [[paths, t_distributions]] say; found {shown(group)}."]
    if earlier & set(group):
        return [f"an axis can run in step with one group only; {', '.join(sorted(earlier & set(group)))} is in two."]
    by_name = {keys[-1]: len(suite.axes[axis]) for axis, keys in AXES.items()}
    if len({by_name[name] for name in group}) > 1:
        lengths = ", ".join(f"{name} has {by_name[name]}" for name in group)
        return [f"axes that run in step need as many values each; {lengths}."]
    return []


def top_problem(root: Any, path: str) -> Problem | None:
    """Return what is wrong when a file's value cannot be a suite at all."""
    keys = ", ".join(Suite.model_fields)
    if root is None:
        return Problem(Position(path), f"the file is empty. A suite is a mapping with the keys {keys}.")
    if not isinstance(root, PositionedMapping):
        place = place_of(root, ()) if isinstance(root, PositionedList | Text) else Position(path, 1, 1)
        return Problem(place, f"a suite is a mapping with the keys {keys}; found {shown(root)}.")
    return None
