"""Which part of a history is looked at: cells by their labels, nights by date or commit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from fmbench.cells.component_spec import ComponentSpec
from fmbench.errors import UserError, did_you_mean
from fmbench.history.history import History
from fmbench.history.night import AXIS_COLUMNS
from fmbench.plan.selection import choice_test, read_filter

NUMBERS = ("nfe", "seed")
COMMIT = 4
"""The fewest letters that name a commit."""


def select(history: History, wanted: Sequence[str], flag: str = "--where") -> History:
    """Keep the cells that `axis=value,value` means, as `--filter` does. Raises UserError where a value is not there."""
    frame = history.frame
    for text in wanted:
        axis, values = read_filter(text, flag)
        labels = [str(label) for label in dict.fromkeys(frame[axis]) if label != ""]
        found: set[str] = set()
        for value in values:
            test = choice_test(value, axis)
            some = [label for label in labels if test(_choice(axis, label, history.components.get(axis, {})))]
            if not some:
                near = did_you_mean(value, labels)
                raise UserError(
                    f"{flag} {text}: no {axis} of what is left of the history is {value!r}.{near} "
                    f"The axis holds {', '.join(labels) or 'nothing for this metric'}."
                )
            found.update(some)
        frame = frame[frame[axis].astype(str).isin(found)]
    return replace(history, frame=frame)


def since(history: History, text: str) -> History:
    """Keep the nights from a date (2026-01-31) or from the first night of a commit on."""
    first = _first(history, text)
    kept = history.frame[history.frame["night"] >= first]
    return replace(history, nights=history.nights[first:], frame=kept.assign(night=kept["night"] - first))


def check_axes(axes: Sequence[str], flag: str = "--over") -> None:
    """Raise UserError where an axis is none of a cell's without its seed."""
    for axis in axes:
        if axis not in AXIS_COLUMNS:
            near = did_you_mean(axis, AXIS_COLUMNS)
            raise UserError(f"{flag} {axis}: there is no such axis.{near} Axes: {', '.join(AXIS_COLUMNS)}.")


def _first(history: History, text: str) -> int:
    times = [night.time for night in history.nights]
    try:
        day = date.fromisoformat(text)
    except ValueError:
        found = [i for i, night in enumerate(history.nights) if night.commit.startswith(text)]
        if len(text) >= COMMIT and found:
            return found[0]
        raise UserError(
            f"--since {text}: that is neither a date, such as {times[-1][:10]}, nor the beginning of a commit of the "
            f"history ({COMMIT} letters or more)."
        ) from None
    later = [i for i, time in enumerate(times) if time[:10] >= day.isoformat()]
    if not later:
        raise UserError(f"--since {text}: the newest night is of {times[-1][:10]}.")
    return later[0]


def _choice(axis: str, label: str, parameters: Mapping[str, Mapping[str, Any]]) -> ComponentSpec | str | float:
    known = parameters.get(label)
    if axis in NUMBERS or (axis == "guidance" and known is None):
        return float(label)
    if axis == "weights":
        return label
    return ComponentSpec(axis, label.partition("(")[0].partition(" ")[0], known or {}, label=label)
