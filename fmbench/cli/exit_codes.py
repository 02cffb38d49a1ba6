"""The exit codes of all verbs.

0 done; 1 done, and cells failed or got worse; 2 the user's input is at fault, or what fmbench writes finds no room; 130
ended by Ctrl-C, 143 by SIGTERM, 129 by SIGHUP, a closed terminal (128 and the signal's number: see `interruption`).
"""

from __future__ import annotations

CELLS_FAILED = 1
