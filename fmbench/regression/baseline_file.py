"""The baseline file of a suite: a snapshot that was accepted."""

from __future__ import annotations

from pathlib import Path

from fmbench.errors import StoreError, UserError
from fmbench.io.regular_files import read_regular
from fmbench.results.snapshot import Snapshot
from fmbench.results.snapshot_file import snapshot_of, snapshot_text
from fmbench.store.atomic_files import write_atomically

ANEW = "`fmbench check SUITE --accept` makes one"


def write_baseline(night: Snapshot, path: Path) -> None:
    """Write a snapshot as a baseline, whole or not at all. Raises UserError where nothing in it could be compared."""
    if not any(row.status == "ok" for row in (*night.trainings.values(), *night.evaluations.values())):
        raise UserError(f"a baseline needs at least one finished cell; {night.suite} has none. Run the suite first.")
    try:
        write_atomically(path, snapshot_text(night))
    except StoreError as error:
        reason = error.__cause__.strerror if isinstance(error.__cause__, OSError) else error
        raise StoreError(f"the baseline {path} cannot be written: {reason}; choose another with --baseline") from error


def read_baseline(path: Path, suite: str) -> Snapshot:
    """Read the baseline of a suite. Raises UserError where there is none, or it is damaged, or of another suite."""
    try:
        content = read_regular(path)
    except FileNotFoundError:
        raise UserError(f"there is no baseline {path}; {ANEW} from today's records.") from None
    except OSError as error:
        raise UserError(f"the baseline {path} cannot be read: {error.strerror}.") from error
    found = snapshot_of(content, str(path), "baseline", f"{ANEW} anew")
    if found.suite != suite:
        raise UserError(f"the baseline {path} is of the suite {found.suite!r}, and this is {suite!r}: choose its own.")
    return found
