"""The report that is on disk, and whether it is the one that would be written now: then it stays.

It is, where it was made from the same records, by the same code and the same libraries that draw, for the same folder,
and every file of it still is what was written. Time stamps do not count.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fmbench.cells.keys import canonical
from fmbench.errors import DamagedFile, StoreError
from fmbench.results.records import EvaluationRecord, Records, ReferenceRecord, TrainingRecord
from fmbench.runner.mlflow_links import addresses, known_links
from fmbench.runner.session import Session
from fmbench.store.atomic_files import read_sealed, write_sealed
from fmbench.store.file_forms import REPORT
from fmbench.tracking import RunLinks

CORE = Path(__file__).parents[1]
CODE = ("report", "results", "stats", "cells", "io", "errors.py", "store/sampler_timings.py")
"""The rooms and modules that make a report: all that `fmbench.report` imports. Parsing these would take longer."""
LIBRARIES = ("jinja2", "matplotlib", "numpy", "pandas", "pillow")

Lines = list[tuple[str, str]]
"""The first lines of a report: what each is about, and its sentences."""


@dataclass(frozen=True)
class Shown:
    """What a terminal shows of a report: its first lines, and a table a dataset as data."""

    lines: Lines
    tables: list[dict[str, Any]]


def write_report_if_changed(
    session: Session, records: Records, links: RunLinks | None = None
) -> tuple[Path, bool, Shown]:
    """Write the suite's report unless it is there already. Return its page, whether it was written, and what of it is
    shown. Of several drivers one writes at a time. `links` to MLflow's runs make no other report.

    One that has figures serves those who ask for none, for it is what its records say.
    """
    folder, figures = session.report_folder, session.options.figures
    noted, digest = _note_of(session), fingerprint(records, folder)
    if (shown := _shown(noted, digest, folder, figures)) is not None:
        return folder / "index.html", False, shown
    place = hashlib.sha256(str(folder.resolve()).encode(errors="surrogateescape")).hexdigest()[:20]
    with session.store.alone_here(f"report-{place}"):
        if (shown := _shown(noted, digest, folder, figures)) is not None:
            return folder / "index.html", False, shown
        from fmbench.report import write_report

        page = write_report(records, folder, figures=figures, runs=addresses(links))
        return page, True, _note(session, records, digest)


def write_report_anew(session: Session, records: Records) -> tuple[Path, Shown]:
    """Write the suite's report, whatever is there. Return its page, and what of it is shown.

    It is noted for the next run, but where the store cannot be written: nothing but time is lost by that.
    """
    from fmbench.report import write_report

    folder = session.report_folder
    runs = addresses(known_links(session))
    page = write_report(records, folder, figures=session.options.figures, runs=runs)
    try:
        return page, _note(session, records, fingerprint(records, folder))
    except (StoreError, OSError):
        return page, _what_is_shown(records)


def _note_of(session: Session) -> Path:
    """Return the file in which the suite's report is noted."""
    return session.store.root / "reports" / f"{session.report_folder.name}.json"


def _note(session: Session, records: Records, digest: str) -> Shown:
    """Note the report that was written, and return what of it is shown."""
    from fmbench.report.output_folder import Folder

    folder, shown = session.report_folder, _what_is_shown(records)
    noting = {
        "digest": digest,
        "figures": session.options.figures,
        "in_short": shown.lines,
        "tables": json.dumps(shown.tables),
        "files": {name: _sum(folder / name) for name in Folder(folder).files()},
    }
    write_sealed(_note_of(session), noting)
    return shown


def _what_is_shown(records: Records) -> Shown:
    from fmbench.report import in_short

    return Shown(in_short(records).lines, tables_of(records))


def tables_of(records: Records) -> list[dict[str, Any]]:
    """Return the tables that a terminal shows of records, as data."""
    from fmbench.report.tables.headline_table import as_data, headline_tables

    return [as_data(table) for table in headline_tables(records)]


def _shown(noted: Path, digest: str, folder: Path, figures: bool) -> Shown | None:
    """Return what is shown of the report on disk; None where it is not the one of this digest, not whole, or without
    figures that are wanted.
    """
    try:
        found = read_sealed(noted, REPORT) or {}
    except DamagedFile:
        return None
    if found.get("digest") != digest or (figures and not found["figures"]) or not is_whole(folder, found["files"]):
        return None
    return Shown([(about, text) for about, text in found["in_short"]], json.loads(found["tables"]))


def is_whole(folder: Path, files: dict[str, str]) -> bool:
    """Tell whether every file of a report is there as it was written."""
    return all((folder / name).is_file() and _sum(folder / name) == content for name, content in files.items())


def fingerprint(records: Records, folder: Path) -> str:
    """Return the digest of all that a report is made of."""
    content = {
        "trainings": [_training(record) for record in records.trainings],
        "evaluations": [_evaluation(record) for record in records.evaluations],
        "validation": [_evaluation(record) for record in records.validation],
        "tuning": records.tuning and vars(records.tuning),
        "references": [_reference(record) for record in records.references],
        "metrics": [vars(facts) for facts in records.metrics],
        "real": sorted(records.real),
        "t_densities": {label: list(density) for label, density in records.t_densities.items()},
        "about": [records.suite, records.description, records.command, records.finished],
        "sources": sorted([*name, *said] for name, said in records.sources.items()),
        "rest": [records.left_out, records.environment, records.settings, records.baseline, records.data],
        "folder": str(folder.resolve()),
        "code": code(),
    }
    return hashlib.sha256(canonical(content).encode()).hexdigest()


def code() -> str:
    """Return the digest of the code that makes reports, templates too, and of the libraries that draw."""
    parts = [f"{name} {importlib.metadata.version(name)}" for name in LIBRARIES]
    parts += [f"{file.relative_to(CORE).as_posix()} {_sum(file)}" for file in sorted(_code_files())]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _code_files() -> Iterator[Path]:
    for name in CODE:
        place = CORE / name
        files = place.rglob("*") if place.is_dir() else (place,)
        yield from (file for file in files if file.suffix in (".py", ".html", ".css", ".js"))


def _sum(file: Path) -> str:
    with file.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _training(record: TrainingRecord) -> list[Any]:
    known = [record.cell.key, record.status, record.error, dict(record.metrics), record.identities, record.facts]
    return [*known, record.history, record.flow_snapshot and record.flow_snapshot.parent.name]


def _evaluation(record: EvaluationRecord) -> list[Any]:
    """A computation's facts hold when it ended, so that samples which were made anew count as others."""
    known = [record.cell.key, record.status, record.error, record.nfe, dict(record.metrics), record.identities]
    elsewhere = [[timing.hardware, timing.metrics, timing.identities] for timing in record.elsewhere]
    return [
        *known,
        record.facts,
        record.samples is not None,
        record.oracle,
        record.hardware,
        elsewhere,
        record.training_seconds,
    ]


def _reference(record: ReferenceRecord) -> list[Any]:
    known = [record.cell.key, record.status, record.error, record.nfe, dict(record.metrics), record.identities]
    return [*known, record.scored, record.left_out]
