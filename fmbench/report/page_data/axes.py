"""The axes of a report and the places of rows on them, as integers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from fmbench.report.commands import Commands
from fmbench.report.result_table import ROW_AXES, SAID, ResultTable, Row
from fmbench.results.records import TRAINING_AXES

DATASET = ROW_AXES.index("dataset")


@dataclass(frozen=True)
class AxisCodes:
    """The axes on which some row has a label: positions in ROW_AXES, and for each the number of every label."""

    positions: Sequence[int]
    codes: Sequence[dict[str, int]]

    @property
    def training(self) -> int:
        """How many of the axes are of trainings; they come first."""
        return sum(position < len(TRAINING_AXES) for position in self.positions)

    def columns(self, rows: Sequence[Row]) -> list[list[int]]:
        """Return the places of rows: a column an axis. Training rows have those of their own axes."""
        width = len(rows[0]) if rows else len(ROW_AXES)
        places = [(position, codes) for position, codes in zip(self.positions, self.codes, strict=True)]
        return [[codes[row[at]] for row in rows] for at, codes in places if at < width]

    def numbers_of(self, positions: Iterable[int]) -> list[int]:
        """Return which axes stand at some positions of ROW_AXES."""
        return [self.positions.index(position) for position in positions if position in self.positions]


def axis_codes(result_tables: Sequence[ResultTable]) -> AxisCodes:
    """Return the axes of all datasets, labels in the order in which rows have them."""
    rows = [*dict.fromkeys(row for table in result_tables for row, _ in table.cells)]
    rows += [row for table in result_tables for row in table.trainings]
    labels: list[dict[str, None]] = [{} for _ in ROW_AXES]
    for row in rows:
        for place, label in enumerate(row):
            labels[place].setdefault(label)
    positions = [i for i in range(len(ROW_AXES)) if i != DATASET and any(labels[i])]
    return AxisCodes(positions, [{label: n for n, label in enumerate(labels[i])} for i in positions])


def axes_data(axes: AxisCodes, commands: Commands) -> list[dict[str, Any]]:
    """Return what the page says of each axis: its labels, how rows are named by them, and the filter for each."""
    return [
        {
            "name": ROW_AXES[position],
            "role": "training" if position < len(TRAINING_AXES) else "sampler",
            "values": list(codes),
            "said": [SAID.get(ROW_AXES[position], "{}").format(label) if label else "" for label in codes],
            "filters": [commands.filter_of(position, label) for label in codes],
        }
        for position, codes in zip(axes.positions, axes.codes, strict=True)
    ]
