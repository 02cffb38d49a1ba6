"""Settings of a training that do not go together, in any of the combinations that the suite asks for."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

from fmbench.cells.component_spec import ComponentSpec
from fmbench.cells.setting_axes import SETTING_AXES
from fmbench.suite.field_types import ComponentRef
from fmbench.suite.models import Suite
from fmbench.suite.positions import Problem
from fmbench.suite.training_settings import read_setting

Values = Mapping[str, Sequence[ComponentSpec]]


def setting_faults(suite: Suite) -> list[Problem]:
    """Return the combinations of settings that cannot be trained, of the suite's product and those of `include`."""
    if not suite.trains:
        return []
    own = suite.training.settings
    found = [*_accumulate_faults(suite, own), *_warmup_faults(suite, own, ("training",), suite.zip)]
    longest = max(int(spec.name) for spec in own["steps"])
    for number, entry in enumerate(suite.include):
        replaced = {
            axis: tuple(read_setting(axis, ref) for ref in values if isinstance(ref, ComponentRef))
            for axis, values in entry.axes.items()
            if axis in SETTING_AXES
        }
        if not replaced:
            continue
        longest = max([longest, *(int(spec.name) for spec in replaced.get("steps", ()))])
        found += _accumulate_faults(suite, own | replaced)
        kept = [group for group in suite.zip if not replaced.keys() & set(group)]
        where = ("include", number) if "schedule" in replaced else ("training",)
        found += _warmup_faults(suite, own | replaced, where, kept)
    found += _at_step_faults(suite, longest)
    return list(dict.fromkeys(found))


def _at_step_faults(suite: Suite, longest: int) -> Iterator[Problem]:
    for number, at_step in enumerate(suite.evaluation.at_steps):
        if isinstance(at_step, int) and at_step > longest:
            yield Problem(
                suite.place("evaluation", "at_steps", number),
                f"evaluation.at_steps: a training of {longest} steps has no step {at_step}. Take {longest} or less, or "
                "raise training.steps.",
            )


def settings_fault(settings: Mapping[str, Any]) -> str:
    """Return what of the settings of one training does not go together, "" where all does."""
    size, parts = int(settings["batch_size"]), int(settings.get("accumulate", 1))
    if size % parts:
        return _unequal(parts, f"batch_size is {size}", _divisor_below(size, parts))
    warmup, steps = settings["schedule"]["warmup"], int(settings["steps"])
    return _endless(warmup, str(steps)) if warmup >= steps else ""


def _unequal(parts: int, which: str, take: int) -> str:
    return f"accumulate must divide batch_size; found {parts}, and {which}. Take {take}, say."


def _endless(warmup: int, steps: str, step: str = "") -> str:
    return f"warmup must end before training does: {warmup} of {steps} steps. Lower it, or raise steps{step}."


def _accumulate_faults(suite: Suite, values: Values) -> Iterator[Problem]:
    parts = suite.training.accumulate
    sizes = [int(spec.name) for spec in values["batch_size"]]
    if bad := [size for size in sizes if size % parts]:
        which = f"batch_size is {bad[0]}" if len(sizes) == 1 else f"batch_size is {_listed(bad)} in some trainings"
        take = _divisor_below(math.gcd(*sizes), parts)
        yield Problem(suite.place("training", "accumulate"), f"training.accumulate: {_unequal(parts, which, take)}")


def _warmup_faults(
    suite: Suite, values: Values, where: tuple[str | int, ...], zipped: Sequence[Sequence[str]]
) -> Iterator[Problem]:
    schedules, steps = (list(enumerate(values[axis])) for axis in ("schedule", "steps"))
    in_step = any({"schedule", "steps"} <= set(group) for group in zipped)
    short: dict[int, list[int]] = {}
    for (index, schedule), (_, many) in zip(schedules, steps, strict=False) if in_step else product(schedules, steps):
        if schedule.parameters["warmup"] >= int(many.name):
            short.setdefault(index, []).append(int(many.name))
    for index, found in short.items():
        name, warmup = values["schedule"][index].name, values["schedule"][index].parameters["warmup"]
        at = (*where, "schedule", index, name, "warmup")
        several = len(schedules) > 1 or len(steps) > 1
        step = ", or pair each schedule with its steps: zip: [[schedule, steps]]" if several and not in_step else ""
        where_said = ".".join(each for each in at if isinstance(each, str))
        yield Problem(suite.place(*at), f"{where_said}: {_endless(warmup, _listed(found), step)}")


def _listed(numbers: Sequence[int]) -> str:
    return " and of ".join(map(str, numbers))


def _divisor_below(number: int, limit: int) -> int:
    """Return the largest divisor of a number that is at most `limit`."""
    small = [divisor for divisor in range(1, math.isqrt(number) + 1) if number % divisor == 0]
    return max(divisor for each in small for divisor in (each, number // each) if divisor <= limit)
