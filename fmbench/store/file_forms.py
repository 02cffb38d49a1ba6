"""The forms of the JSON files in a store."""

from __future__ import annotations

import re
from collections.abc import Mapping

from fmbench.cells.keys import KEY_LENGTH
from fmbench.io.json_forms import (
    FILE_NAME,
    FINITE,
    NULL,
    NUMBER,
    OBJECT,
    TEXT,
    TIME,
    TRUTH,
    WHOLE,
    Each,
    Either,
    Fields,
    FixedList,
    Form,
    Plain,
    Rows,
)

_KEY = re.compile(f"[0-9a-f]{{{KEY_LENGTH}}}")
_SAMPLER = re.compile(f"{_KEY.pattern}(-{_KEY.pattern})?")


def is_key(section: str, name: str) -> bool:
    """Tell whether a folder of a section is named as those of cells are; for samplers see `sampler_timings`."""
    return (_SAMPLER if section == "sampler" else _KEY).fullmatch(name) is not None


KEY: Form = Plain("a cell's key", lambda value: isinstance(value, str) and is_key("", value))

CELL: Form = Fields(optional={"training": KEY, "teacher": KEY, "weaker": KEY})
"""cell.json: the parts of a key, free but for the cells that it was made from."""

FACTS: Mapping[str, Form] = {
    **dict.fromkeys(("seconds", "nfe_min", "nfe_max"), FINITE),
    **dict.fromkeys(("steps", "peak_memory", "parameters", "threads", "jobs", "fleet", "batch", "halved_batch"), WHOLE),
    **dict.fromkeys(("device", "precision", "hardware", "torch", "program"), TEXT),
    "nfe": Either(FINITE, NULL),
    "finished": TIME,
}
_SUM = FixedList((WHOLE, TEXT))
"""Size and checksum."""


def _result(facts: tuple[str, ...] = (), files: tuple[str, ...] = ()) -> Form:
    """Return the form of a section's result.json; these facts and files are in each of them."""
    known = Fields({name: FACTS[name] for name in facts}, FACTS)
    vouched = _Both(Each(_SUM, FILE_NAME), Fields(dict.fromkeys(files, _SUM)))
    return Fields({"files": vouched, **({"facts": known} if facts else {})}, {"facts": known})


class _Both:
    """What fits two forms."""

    def __init__(self, *forms: Form) -> None:
        self.forms = forms

    def misfit(self, value: object, place: str = "") -> str:
        """See Form."""
        return next(filter(None, (form.misfit(value, place) for form in self.forms)), "")


RESULTS: Mapping[str, Form] = {
    "training": _result(("seconds",), ("weights.safetensors", "history.json")),
    "study": _result(files=("study.safetensors",)),
    "snapshot": _result(("seconds", "steps"), ("weights.safetensors",)),
    "evaluation": _result(("seconds",)),
}
RESULT: Form = _result()
"""result.json of the other sections."""

_NO_FAILURES = ("", "ok", "missing")
FAILURE: Form = Fields(
    {
        "status": Plain("the status of a failure", lambda value: isinstance(value, str) and value not in _NO_FAILURES),
        "error": TEXT,
        "traceback": TEXT,
    }
)
_METRIC = Fields(
    {"name": TEXT, "values": Each(NUMBER), "identity": OBJECT, "seconds": FINITE},
    {"error": TEXT, "status": TEXT, "n": WHOLE, "extrapolated": TRUTH, "left_out": TEXT, "batch": WHOLE},
    (("error", "status"), ("n", "extrapolated")),
)
METRICS: Form = Each(_METRIC)
"""metrics.json: by the metric's digest."""


def _is_history(value: object) -> bool:
    """Tell whether a value is a list of steps and losses; hundreds of entries of every training are looked at."""
    return isinstance(value, list) and all(
        type(entry) is list and len(entry) == 2 and type(entry[0]) is int and type(entry[1]) in (float, int)
        for entry in value
    )


HISTORY: Form = Plain("a list of steps and losses", _is_history)
"""history.json."""

CONTENTS: Form = Each(TEXT)
"""Hashes of models' files and folders, by path."""

DENSITY: Form = Fields({"density": Rows(NUMBER)})
"""A t-distribution's density."""

REPORT: Form = Fields(
    {
        "digest": TEXT,
        "figures": TRUTH,
        "in_short": Rows(FixedList((TEXT, TEXT))),
        "tables": TEXT,
        "files": Each(TEXT, FILE_NAME),
    }
)
"""What is noted of a report that was written."""
