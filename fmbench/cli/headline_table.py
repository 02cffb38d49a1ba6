"""The table after a run: the best rows of the leading metric, as many and as wide as the screen takes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from fmbench.cli.output import say, screen_width, show_table
from fmbench.cli.text_table import GAP, wide

FEW, MANY = 8, 20
"""Rows on a narrow screen, and on one of MUCH columns or in a file."""
MUCH = 120
SIGNS = {"best": "*", "tied": "†", "": ""}
_SEEDS = re.compile(r"over (n = \d+ seeds?)")


def tell_tables(tables: Sequence[Mapping[str, Any]]) -> None:
    """Print the table of each dataset, and beneath it what its signs mean and how much of it is not shown."""
    rows = max(3, (FEW if screen_width() < MUCH else MANY) // max(1, len(tables)))
    for table in tables:
        say("")
        _tell(table, rows)


def _tell(table: Mapping[str, Any], most: int) -> None:
    lines = [line for line in table["lines"] if line["is"] != "real data"]
    beyond = [line for line in lines[most:] if line["is"] == "baseline"][:1]  # against which the others stand
    chosen = [*lines[:most], *beyond, *(line for line in table["lines"] if line["is"] == "real data")]
    labelled = [_labels(line, table["heads"], lines) for line in chosen]
    heads, columns = table["heads"], table["columns"]
    room = screen_width() - 2 - sum(max(map(_longest, column)) + GAP for column in zip(heads, *labelled, strict=True))
    entries = [[_entry(each) for each in line["entries"]] for line in chosen]
    if _needed(columns, entries) > room:
        entries = [[_entry(each, spread=False) for each in line["entries"]] for line in chosen]
    shown = _that_fit(columns, entries, room)
    rows = [[*labels, *found[:shown]] for labels, found in zip(labelled, entries, strict=True)]
    show_table([*heads, *columns[:shown]], rows, title=table["title"])
    _tell_reading(table, chosen, sum(line["is"] != "real data" for line in chosen), columns[shown:], entries)


def _labels(line: Mapping[str, Any], heads: Sequence[str], lines: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a row's labels; the baseline is marked where not every row is of it."""
    labels = list(line["labels"])
    if line["is"] == "baseline" and not all(each["is"] == "baseline" for each in lines):
        labels[0] += " (baseline)"
    return labels


def _longest(text: str) -> int:
    """Return the places of the longest word, which is how narrow a column may be."""
    return max(map(wide, text.split()), default=0)


def _entry(entry: Sequence[str], *, spread: bool = True) -> str:
    value, plus_minus, note, mark = entry
    return " ".join(filter(None, (value + SIGNS[mark], plus_minus if spread else "", note)))


def _needed(columns: Sequence[str], entries: Sequence[Sequence[str]]) -> int:
    return sum(max(map(wide, column)) + GAP for column in zip(columns, *entries, strict=True)) - GAP


def _that_fit(columns: Sequence[str], entries: Sequence[Sequence[str]], room: int) -> int:
    """Return how many columns fit, at least one."""
    fitting = [n for n in range(1, len(columns) + 1) if _needed(columns[:n], [row[:n] for row in entries]) <= room]
    return max(fitting, default=1)


def _tell_reading(
    table: Mapping[str, Any],
    chosen: Sequence[Mapping[str, Any]],
    rows: int,
    left: Sequence[str],
    entries: Sequence[Sequence[str]],
) -> None:
    """Say what the signs mean, and what is not shown."""
    marks = {entry[3] for line in chosen for entry in line["entries"]}
    seeds = next((found[1] for note in table["notes"] if (found := _SEEDS.search(note))), "")
    said = ["* best mean of its column"] if "best" in marks else []
    said += ["† not distinguishable from it, by the paired seeds"] if "tied" in marks else []
    spread = any("±" in text for row in entries for text in row)
    said += [f"± half of the 95% interval over {seeds}" if spread else f"means over {seeds}"] if seeds else []
    if rows < table["rows"]:
        said.append(f"{rows} of {table['rows']} rows, the best first")
    if left:
        said.append(f"{', '.join(left)} left out: the screen is narrow")
    if said:
        say(f"{'; '.join(said)}.", "dim")
