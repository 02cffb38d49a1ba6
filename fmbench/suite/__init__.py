"""The suite file: YAML in, a frozen and typed `Suite` out, or errors with file, line and column.

Nothing here knows a component or imports torch: names and parameters are checked by the plan.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from fmbench.suite.changed_training import SETTINGS, changed_training
from fmbench.suite.error_messages import product_problems, top_problem, validation_problems
from fmbench.suite.field_types import ComponentRef
from fmbench.suite.json_schema import suite_schema
from fmbench.suite.models import AXES, AxisValue, Evaluation, Selection, Suite, Training
from fmbench.suite.overrides import apply_override
from fmbench.suite.positions import Position, Problem, raise_problems
from fmbench.suite.samples import SamplesEntry
from fmbench.suite.setting_faults import settings_fault
from fmbench.suite.shipped import shipped_suites, suite_file
from fmbench.suite.training_settings import read_setting
from fmbench.suite.yaml_reader import read_file, read_yaml

__all__ = [
    "AXES",
    "SETTINGS",
    "AxisValue",
    "ComponentRef",
    "Evaluation",
    "Position",
    "Problem",
    "SamplesEntry",
    "Selection",
    "Suite",
    "Training",
    "changed_training",
    "load_suite",
    "raise_problems",
    "read_setting",
    "read_suite",
    "settings_fault",
    "shipped_suites",
    "suite_file",
    "suite_schema",
]


def load_suite(path: str | Path, overrides: Sequence[str] = ()) -> Suite:
    """Read a suite: a file, or the name of one that comes with fmbench; `overrides` are `training.steps=200` and so on.

    Raises SuiteError, a line for each thing that is wrong, each with file, line and column.
    """
    file = suite_file(path)
    return read_suite(read_file(file), str(file), overrides)


def read_suite(text: str, path: str = "suite.yaml", overrides: Sequence[str] = ()) -> Suite:
    """Read a suite from the text of a file; `path` is only what errors call it."""
    root, problems = read_yaml(text, path)
    top = top_problem(root, path)
    if top:
        raise_problems([*problems, top])
    for override in overrides:
        problems += apply_override(root, override)
    try:
        suite = Suite.model_validate(root)
    except ValidationError as error:
        # A value that could not be read is zero or text by now: what else may be wrong with it says nothing.
        unread = {problem.place for problem in problems}
        problems += [problem for problem in validation_problems(error, root) if problem.place not in unread]
        raise_problems(problems)
        raise
    suite._root, suite._path = root, path
    raise_problems(problems + product_problems(suite))
    return suite
