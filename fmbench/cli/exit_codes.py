"""The exit codes of all verbs: 0 done, 2 the user's input is at fault, and these."""

from __future__ import annotations

CELLS_FAILED, INTERRUPTED = 1, 130
