"""A score has an identity: values with different ones never share a column."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any

from fmbench.cells.keys import canonical
from fmbench.report.result_table import ROW_AXES, Row, Values, varying

Parts = list[tuple[str, Mapping[Row, Values | None]]]
"""What a column is split into: suffixes for its title, and values by row."""
MISSING = "(not recorded)"


def split_by_identity(values: Mapping[Row, Values | None]) -> tuple[Parts, str]:
    """Split one column so that each part holds values of a single identity.

    Where the identity follows from the axes (a validation loss that is comparable within one path and objective, say),
    there is one part for each identity, with a suffix for the column's title, and the note says so. Where it does
    not, nothing can be shown side by side: no part is returned, and the note says what differs. Returns parts as
    `(suffix, values by row)`, and the note ("" where all values share one identity).
    """
    every = [i for v in values.values() if v for i in v.identities]
    if all(i == every[0] for i in every):  # which it nearly always is
        return [("", values)], ""
    of_row = {row: {_text(i) for i in v.identities} for row, v in values.items() if v and v.identities}
    distinct = list(dict.fromkeys(text for texts in of_row.values() for text in sorted(texts)))
    if len(distinct) < 2:
        return [("", values)], ""
    axes = _deciding_axes(of_row)
    if not axes:
        found = [i for v in values.values() if v for i in v.identities]
        return [], "left out, because its values are not comparable with each other: " + differing(found)
    parts: Parts = []
    for text in distinct:
        places = list(dict.fromkeys(_at(row, axes) for row, texts in of_row.items() if text in texts))
        named = [", ".join(f"{ROW_AXES[i]} {label}" for i, label in zip(axes, at, strict=True)) for at in places]
        part = {row: v if _at(row, axes) in places else None for row, v in values.items()}
        parts.append((f" ({' / '.join(named)})", part))
    within = " and ".join(ROW_AXES[i] for i in axes)
    return parts, f"comparable only within one {within}, so each has a column of its own (–: not in this column)"


def split_by_seed(values: Mapping[Row, Values]) -> tuple[Parts, str]:
    """Split one column of times that were taken on several machines: a part for each, with the seeds that it ran.

    Returns parts and a note as `split_by_identity` does; no part where a value cannot be told apart from another.
    """
    identities = [identity for v in values.values() for identity in v.identities]
    if any(len(v.by_seed) != len(v.identities) for v in values.values()):
        return [], "left out, because its values are not comparable with each other: " + differing(identities)
    keys = [key for key in dict.fromkeys(k for i in identities for k in i) if len(_found(key, identities)) > 1]
    parts: Parts = []
    for text in dict.fromkeys(map(_text, identities)):
        one = next(i for i in identities if _text(i) == text)
        said = ", ".join(f"{key} {one.get(key, MISSING)}" for key in keys)
        parts.append((f" ({said})", {row: _of_identity(v, text) for row, v in values.items()}))
    within = " or ".join(keys)
    return parts, f"times with another {within} never share a column; each has one of its own, with the seeds it has"


def _of_identity(values: Values, text: str) -> Values | None:
    """Return the seeds of one entry that have an identity; None where none has."""
    pairs = zip(values.by_seed.items(), values.identities, strict=True)
    kept = {seed: (value, i) for (seed, value), i in pairs if _text(i) == text}
    by_seed = {seed: value for seed, (value, _) in kept.items()}
    return Values(by_seed, values.lost, tuple(i for _, i in kept.values())) if kept else None


def _found(key: str, identities: Sequence[Mapping[str, Any]]) -> set[str]:
    return {canonical(i[key]) if key in i else MISSING for i in identities}


def mixture(identities: Iterable[Mapping[str, Any]]) -> str:
    """Say what differs between identities, or return "" when they are all the same."""
    found = list(identities)
    return differing(found) if any(i != found[0] for i in found) and len({_text(i) for i in found}) > 1 else ""


def differing(identities: Iterable[Mapping[str, Any]]) -> str:
    """Name the parts in which identities differ, with each value and how many values have it."""
    found = list(identities)
    said = []
    for key in dict.fromkeys(key for i in found for key in i):
        counts = Counter(canonical(i[key]) if key in i else MISSING for i in found)
        if len(counts) > 1:
            said.append(f"{key} is " + ", ".join(f"{value} ({n} values)" for value, n in counts.most_common()))
    return "; ".join(said)


def _deciding_axes(of_row: Mapping[Row, set[str]]) -> tuple[int, ...]:
    """Return the fewest axes whose labels decide a row's identity; none where even all do not."""
    if any(len(texts) > 1 for texts in of_row.values()):
        return ()
    axes = varying(of_row)
    for size in range(1, len(axes) + 1):
        for chosen in combinations(axes, size):
            decided: dict[tuple[str, ...], set[str]] = {}
            for row, texts in of_row.items():
                decided.setdefault(_at(row, chosen), set()).update(texts)
            if all(len(texts) == 1 for texts in decided.values()):
                return chosen
    return ()


def _at(row: Row, axes: Sequence[int]) -> tuple[str, ...]:
    return tuple(row[i] for i in axes)


def _text(identity: Mapping[str, Any]) -> str:
    return canonical(dict(identity))
