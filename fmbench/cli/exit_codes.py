"""The exit codes of all verbs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass


INTERRUPTED = 130

CELLS_FAILED, INTERRUPTED = 1, 130

CELLS_FAILED, INTERRUPTED = 1, 130
