"""How a suite trains, with some settings changed: as the model trains that guides another by being weaker, say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from fmbench.cells.setting_axes import SETTING_AXES
from fmbench.suite.error_messages import validation_problems
from fmbench.suite.models import AXES, Training

KEPT = ("class_conditional", "compile")
"""What is the same for all trainings of a suite."""
_LISTED = tuple(keys[-1] for axis, keys in AXES.items() if keys[0] == "training" and axis not in SETTING_AXES)
SETTINGS = tuple(name for name in Training.model_fields if name not in (*_LISTED, *KEPT))
"""The keys of `training` that one training may have another value of."""


def changed_training(training: Training, changes: Mapping[str, Any]) -> Training:
    """Return `training` with other values for some of SETTINGS. Raises ValueError, which says what is wrong."""
    if several := [name for name in changes if name in SETTING_AXES and isinstance(changes[name], list)]:
        raise ValueError(f"{several[0]} of one training is one value; found a list")
    values = {name: getattr(training, name) for name in Training.model_fields}
    try:
        return Training.model_validate({**values, **changes})
    except ValidationError as error:
        raise ValueError("; ".join(problem.text for problem in validation_problems(error, changes))) from error
