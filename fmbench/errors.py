"""Everything that fmbench raises on purpose.

```
FmbenchError
├── UserError             the input is at fault: one clear message, exit code 2
│   ├── SuiteError        a suite file; the message starts with file:line:column
│   ├── PluginError       a plugin that cannot be loaded, or registers something wrong
│   ├── ComponentError    an unknown component, or a parameter of the wrong name, type or range
│   ├── DataError         data or weights that are missing or broken
│   ├── StoreError        a folder that cannot be read or written
│   └── TrackingError     an MLflow server that is not there
├── CellFailure           one cell failed; it becomes a row with this status, and the others go on
│   ├── Diverged          non-finite loss or samples
│   ├── OutOfMemory
│   ├── TimedOut
│   ├── WorkerDied        the process that computed the cell is gone
│   └── ProcessChanged    a component changed what other cells are computed with
├── NotDefined            a metric is not defined for an evaluation: no value and no failure
├── LeaseLost             another process took over what this one computed, for it had stood still
└── DamagedFile           a stored file whose checksum does not match; it is computed again
    └── EarlierFile       one that an earlier version of fmbench wrote

KeyboardInterrupt
└── Interrupted           the user, or the system, asks fmbench to end
```

A message states the rule, the value found, the choices and the next step. This module imports nothing of fmbench.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import ClassVar

MOST_OF_A_LINE, MOST_OF_A_WORD = 600, 200
"""Characters of a message: of a line, and of what has no space in it."""
LONGEST_NAME = 100
"""Nothing that is longer was meant to be the name of something."""
_GLUED = r"(?s)^\s*(?:- +)*(\w+):([^\s:/\\].*)$"
_WORD = rf"\S{{{MOST_OF_A_WORD + 1},}}"


class FmbenchError(Exception):
    """The root of the tree above."""


class UserError(FmbenchError):
    """The user's input is at fault: printed without a traceback, exit code 2. Of a long value its ends are shown."""

    def __init__(self, message: str) -> None:
        super().__init__(brief(message))


class SuiteError(UserError):
    """A suite file is wrong. `where` is `file:line:column`, or only the file's name."""

    def __init__(self, message: str, where: str = "") -> None:
        super().__init__(f"{where}: {message}" if where else message)
        self.message = message
        self.where = where


class PluginError(UserError):
    """A plugin cannot be loaded, registers the wrong thing, or takes a name that is taken."""


class ComponentError(UserError):
    """A component is unknown, or one of its parameters is. `parameter` names the parameter at fault, if one is."""

    def __init__(self, message: str, parameter: str | None = None) -> None:
        super().__init__(message)
        self.parameter = parameter


class DataError(UserError):
    """A dataset, a picture or a weights file is missing or broken."""


class StoreError(UserError):
    """A folder cannot be read or written."""


class TrackingError(UserError):
    """The MLflow tracking server cannot be reached or refuses."""


class CellFailure(FmbenchError):
    """One cell failed. `status` is what its row shows."""

    status: ClassVar[str] = "error"


class Diverged(CellFailure):
    """The loss, the weights or the samples are not finite."""

    status = "diverged"


class OutOfMemory(CellFailure):
    """The device or the machine has no memory left for the cell."""

    status = "oom"


class TimedOut(CellFailure):
    """The cell took longer than the time that it was given."""

    status = "timeout"


class WorkerDied(CellFailure):
    """The process that computed the cell ended without an answer."""


class ProcessChanged(CellFailure):
    """A component changed what other cells in its process are computed with: torch's default dtype, say."""


FAILURE_STATUSES = ("error", "diverged", "oom", "timeout")
"""What rows of failed cells show."""


class Interrupted(KeyboardInterrupt):
    """The process was asked to end by signal `number`: Ctrl-C, SIGTERM, or SIGHUP where its terminal is closed."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class NotDefined(FmbenchError):
    """A metric is not defined for an evaluation: it has no value there, and has not failed. The message says why."""


class LeaseLost(FmbenchError):
    """This process stood still for so long that another took over what it computed: it must not be written."""


class DamagedFile(FmbenchError):
    """A stored file does not have the checksum that was recorded for it."""


class EarlierFile(DamagedFile):
    """A stored file is whole, but an earlier version of fmbench wrote it, which did not note what it belongs to."""


def did_you_mean(found: str, choices: Iterable[str]) -> str:
    """Return ` Did you mean 'x'?` when a choice is close to what was found, else an empty string.

    Of `lr:1e-3`, where `lr` is a choice, it says that a space is missing.
    """
    names = list(choices)
    if found.partition(":")[0] in names and (hint := missing_space(found)):
        return hint
    close = nearest(found, names)
    return f" Did you mean {close!r}?" if close else ""


def missing_space(text: str) -> str:
    """Return a hint where a text is `key:value`, which is one word for YAML, else an empty string."""
    found = re.match(_GLUED, text)
    return f" A colon needs a space after it: write '{found[1]}: {found[2][:40]}'." if found else ""


def nearest(found: str, choices: Iterable[str]) -> str:
    """Return the choice that was probably meant, or nothing."""
    if len(found) > LONGEST_NAME:  # comparing takes longer than anybody would misspell
        return ""
    name = found.partition(":")[0]
    names = list(choices)
    close = [name] if name in names else difflib.get_close_matches(found, names, n=1, cutoff=0.6)
    return close[0] if close else ""


def brief(text: str) -> str:
    """Return a message with its long words and lines shortened in the middle; few are written so, and none is read."""
    return "\n".join(
        _cut(re.sub(_WORD, lambda word: _cut(word[0], MOST_OF_A_WORD), line), MOST_OF_A_LINE)
        for line in text.split("\n")
    )


def _cut(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    head = most * 2 // 3
    return f"{text[:head]}...{text[len(text) - (most - head - 3) :]}"
