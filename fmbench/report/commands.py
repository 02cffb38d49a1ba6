"""The command line that computes one row again."""

from __future__ import annotations

import json
import shlex

from fmbench.report.result_table import ROW_AXES, ResultTable, Row, varying
from fmbench.results.records import TRAINING_AXES


class Commands:
    """Makes the command of a row out of the command of the whole suite, and filters on the axes that vary in it."""

    def __init__(self, command: str, result_tables: list[ResultTable]) -> None:
        self.command = command or "fmbench run SUITE"
        self._result_tables = result_tables
        rows = [row for result_table in result_tables for row, _ in result_table.cells]
        trainings = [row for result_table in result_tables for row in result_table.trainings]
        self._axes = varying(rows) if rows else varying(trainings)
        self._training_axes = varying(trainings)
        self._options: dict[tuple[int, str], str] = {}

    def row(self, row: Row) -> str:
        """Return the command that computes all seeds and budgets of a row."""
        axes = self._axes if len(row) > len(TRAINING_AXES) else self._training_axes
        return " ".join([self.command, *(self._option(i, row[i]) for i in axes if row[i])])

    def filter_of(self, position: int, label: str) -> str:
        """Return the option that keeps the rows with a label on an axis; "" where the axis does not vary."""
        return self._option(position, label) if label and position in self._axes else ""

    def _option(self, position: int, label: str) -> str:
        known = self._options.get((position, label))
        if known is None:
            known = self._options[position, label] = f"--filter {shlex.quote(self._filter(position, label))}"
        return known

    def _filter(self, position: int, label: str) -> str:
        """Write one filter: the component's name where that names it alone, else its name and parameters."""
        axis = ROW_AXES[position]
        specs = (result_table.spec(axis, label) for result_table in self._result_tables)
        spec = next((each for each in specs if each is not None), None)
        if spec is None:
            return f"{axis}={label}"
        known = [s for result_table in self._result_tables for s in result_table.specs.values()]
        alike = {s.text for s in known if (s.axis, s.name) == (axis, spec.name)}
        if len(alike) == 1:
            return f"{axis}={spec.name}"
        return f"{axis}={spec.name}({', '.join(f'{k}={json.dumps(v)}' for k, v in spec.parameters.items())})"
