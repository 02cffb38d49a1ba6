"""Reading results: a report's folder, a file of results, a baseline, records.csv, or one of these in a commit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fmbench.compare.compared_results import ComparedResults
from fmbench.compare.records_csv import snapshot_of_csv
from fmbench.errors import UserError
from fmbench.io.regular_files import read_regular
from fmbench.results.snapshot_file import snapshot_of
from fmbench.runtime.git_objects import is_commit, read_committed

RESULTS, RECORDS = "results.json", "records.csv"
FORMS = (
    "A and B are each a report's folder (reports/low_nfe), a file of results or a baseline (results.json, "
    "reports/baselines/nightly.json), a records.csv, any of these in a commit (HEAD~1:reports/low_nfe), or a suite "
    "with its store (suites/low_nfe.yaml, suites/low_nfe.yaml@/path/to/store)"
)
ANEW = "`fmbench report SUITE` writes it anew"


def read_results(name: str) -> ComparedResults:
    """Read the results that a path, or REVISION:PATH, names. Raises UserError where there are none."""
    path = Path(name)
    if path.is_dir():
        return _of_folder(name, lambda file: read_regular(path / file) if (path / file).exists() else None)
    if path.exists() or ":" not in name:
        return _of_file(name, path.name, _read(name))
    revision, _, inside = name.partition(":")
    if not is_commit(revision):
        raise UserError(f"there is no {name}, and {revision} is no commit of the repository here; {FORMS}.")
    inside = inside.rstrip("/")
    if (content := read_committed(revision, inside)) is not None:
        return _of_file(name, Path(inside).name, content)
    return _of_folder(name, lambda file: read_committed(revision, f"{inside}/{file}" if inside else file))


def _of_folder(name: str, read: Callable[[str], bytes | None]) -> ComparedResults:
    """Return the results in a folder; `read` returns the content of one of its files, None where it is not there."""
    for file in (RESULTS, RECORDS):
        try:
            content = read(file)
        except OSError as error:
            raise UserError(f"{name}/{file} cannot be read: {error.strerror}.") from error
        if content is not None:
            return _of_file(name, file, content)
    raise UserError(f"{name} holds no report: neither {RESULTS} nor {RECORDS}; {FORMS}.")


def _of_file(name: str, file: str, content: bytes) -> ComparedResults:
    if file.endswith(".csv"):
        return ComparedResults(name, snapshot_of_csv(content, name), known=False)
    if not file.endswith(".json"):
        raise UserError(f"{name} is no file of results; {FORMS}.")
    return ComparedResults(name, snapshot_of(content, name, "file of results", ANEW))


def _read(name: str) -> bytes:
    try:
        return read_regular(Path(name))
    except FileNotFoundError:
        raise UserError(f"there is no {name}; {FORMS}.") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"{name} cannot be read: {reason}.") from error
