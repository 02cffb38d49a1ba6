"""How a suite trains, with some settings changed: as the model trains that guides another by being weaker, say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from fmbench.suite.error_messages import validation_problems
from fmbench.suite.models import AXES, Training

KEPT = ("class_conditional", "compile")
"""What is the same for all trainings of a suite."""
SETTINGS = tuple(name for name in Training.model_fields if ("training", name) not in AXES.values() and name not in KEPT)
"""The keys of `training` that one training may have another value of."""


def changed_training(training: Training, changes: Mapping[str, Any]) -> Training:
    """Return `training` with other values for some of SETTINGS. Raises ValueError, which says what is wrong."""
    values = {name: getattr(training, name) for name in Training.model_fields}
    try:
        return Training.model_validate({**values, **changes})
    except ValidationError as error:
        raise ValueError("; ".join(problem.text for problem in validation_problems(error, changes))) from error
