"""Runs a suite: plan, train, evaluate, measure, log, report. What is done is skipped; what fails becomes a row."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from fmbench.io.printable_text import count, some
from fmbench.io.threads import start_thread
from fmbench.results.records import Records
from fmbench.runner.mlflow_links import ledger_place
from fmbench.runner.progress import Observer, Silent
from fmbench.runner.report_cache import write_report_if_changed
from fmbench.runner.results import Results
from fmbench.runner.scheduler import Scheduler
from fmbench.runner.session import Options, Session, open_session, remember_contents
from fmbench.runner.velocity_modules import loader, requirements
from fmbench.store.atomic_files import check_writable
from fmbench.tracking import Tracker, TrackingSummary, TrainedNetworks

SHOWN = 20
"""Things damaged or passed over that are said."""


@dataclass(frozen=True, repr=False)
class RunResult(Results):
    """What a run leaves behind, besides the results.

    `computed` counts the units that were computed: training, model, evaluation, sampler; `elsewhere` those that other
    drivers on the same store computed meanwhile. `in_short` holds the first lines of the report, `(what it is about,
    sentences)`; `cells` counts trainings and evaluations: total, done, failed and todo. `stopped` says which failure
    ended a run that was to end at its first, "" where it went to its end. `shown_tables` are those that a terminal
    shows, as data (`fmbench.report.tables.headline_table.as_data`).
    """

    records: Records
    report: Path
    computed: dict[str, int] = field(default_factory=dict)
    tracking: TrackingSummary | None = None
    fresh_report: bool = True
    in_short: Sequence[tuple[str, str]] = ()
    cells: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    elsewhere: Mapping[str, int] = field(default_factory=dict)
    stopped: str = ""
    shown_tables: Sequence[Mapping[str, Any]] = ()


def run(suite: str | Path, options: Options | None = None, observer: Observer | None = None) -> RunResult:
    """Run a suite to its report. Raises UserError for input at fault; failed cells are rows of the records.

    Example:
        >>> result = fmbench.run("suites/smoke.yaml")  # doctest: +SKIP
        >>> result.select(solver="heun").to_frame()  # doctest: +SKIP
    """
    return run_session(open_session(suite, options), observer or Silent())


def run_session(session: Session, observer: Observer) -> RunResult:
    """Run a suite that is already planned. Raises UserError, also for an option that is wrong."""
    session.check_options()
    if sent := session.store.send_left():
        observer.say(f"{count(sent, 'cell')} of an earlier run were sent to {session.store}")
    results_index = session.results_index()
    for text in some(results_index.damaged, SHOWN):
        observer.say(f"damaged, so computed again: {text}")
    for text in some(results_index.passed_over, SHOWN):
        observer.say(f"passed over: {text}")
    check_writable(session.report_folder)
    tracker = make_tracker(session) if session.options.tracking else None
    if tracker is not None:
        tracker.check()
        tracker.start()
    scheduler = Scheduler(session, results_index, observer, tracker)
    if scheduler.work:
        for label, text in session.data.items():
            observer.say(f"{label}: {text}")
        if tracker is not None:
            tracker.open_ahead()
        start_thread(partial(_import_ahead, session.options.figures))
    computed, worked, elsewhere = scheduler.run(), scheduler.worked, dict(scheduler.elsewhere)
    stopped = scheduler.stopped
    del scheduler
    remember_contents(session)
    session.store.send_shared()
    if worked:
        del results_index  # of every cell, so that no two are there at once
        results_index = session.results_index()
    records = session.records(results_index)
    if tracker is not None and worked:
        tracker.log_all(records)  # while the report is drawn
    report, fresh, report_shown = write_report_if_changed(session, records, tracker.links() if tracker else None)
    summary = None
    if tracker is not None:
        summary = tracker.finish(records, report.parent, lambda done, total: observer.begin("logging", total, done))
        observer.end("logging")
    counts = results_index.counts()
    return RunResult(
        records,
        report,
        computed=computed,
        tracking=summary,
        fresh_report=fresh,
        in_short=report_shown.lines,
        cells=counts,
        elsewhere=elsewhere,
        stopped=stopped,
        shown_tables=report_shown.tables,
    )


def _import_ahead(figures: bool) -> None:
    """Import what the report will be made with while the workers compute."""
    drawing = ("matplotlib.backends.backend_agg", "matplotlib.backends.backend_svg") if figures else ()
    with suppress(Exception):  # the report imports it, too, where it is heard what is wrong
        for module in ("pandas", "jinja2", *drawing):
            importlib.import_module(module)


def make_tracker(session: Session) -> Tracker:
    """Return the tracker of a session; it touches nothing yet."""
    suite, (ledger, uri) = session.suite, ledger_place(session)
    return Tracker(
        uri,
        suite.name,
        ledger,
        suite.description,
        suite.settings(),
        environment=session.environment,
        command=session.command,
        report=str(session.report_folder / "index.html"),
        data=session.data,
        networks=networks_of(session),
    )


def networks_of(session: Session) -> TrainedNetworks | None:
    """Return how MLflow is given the trained networks; None where it is given none."""
    return TrainedNetworks(loader(session), requirements) if session.logs_models else None
