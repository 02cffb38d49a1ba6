"""JSON that may stand inside an HTML element: only ASCII, no NaN, and no character that could end the element."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any

Number = float | int | None
_ESCAPES = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})


def json_text(value: Any) -> str:
    """Return a value as compact JSON for a script element. Raises ValueError where a number is not finite."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).translate(_ESCAPES)


def number(value: float | None, digits: int) -> Number:
    """Return a number with so many significant digits, a whole one as an integer; None where it is not finite."""
    if value is None or not math.isfinite(value):
        return None
    short = float(f"{value:.{digits}g}")
    return int(short) if short.is_integer() and abs(short) < 1e15 else short


def numbers(values: Iterable[float | None], digits: int) -> list[Number]:
    """Return numbers with so many significant digits each."""
    return [number(value, digits) for value in values]
