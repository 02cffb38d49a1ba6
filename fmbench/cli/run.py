"""The verbs that compute: run and retry."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fmbench.cli import options
from fmbench.cli.detach import note_detached, start_detached
from fmbench.cli.exit_codes import CELLS_FAILED
from fmbench.cli.output import bars_of, note, say, say_more, show_json
from fmbench.io.printable_text import count

if TYPE_CHECKING:
    from fmbench.results.records import Records
    from fmbench.runner.run import RunResult
    from fmbench.runner.session import Session

SHOWN = 10
"""Kinds of failures that are printed."""

Jobs = Annotated[str, typer.Option("--jobs", help="Processes: a number, or auto to keep every core busy.")]
Timeout = Annotated[float | None, typer.Option("--timeout", min=0.0, help="Seconds that one cell may take.")]
Detach = Annotated[
    bool, typer.Option("--detach", help="Go on without this terminal: a process with a log, with slurm a job.")
]
NoTracking = Annotated[bool, typer.Option("--no-tracking", help="Log nothing to MLflow; `fmbench sync` does it later.")]


def run_verb(*, again: bool) -> Callable[..., None]:
    """Return the verb that runs a suite; `again` has it forget failures first."""

    def verb(
        suite: options.Suite,
        overrides: options.Overrides = None,
        filters: options.Filters = None,
        plugins: options.Plugins = None,
        jobs: Jobs = "auto",
        device: options.Device = "auto",
        executor: options.Executor = "local",
        address: options.Address = None,
        per_gpu: options.PerGpu = 1,
        slurm: options.Slurm = None,
        timeout: Timeout = None,
        home: options.Home = None,
        reports: options.Reports = Path("reports"),
        tracking_uri: options.TrackingUri = None,
        no_tracking: NoTracking = False,
        detach: Detach = False,
        as_json: options.Json = False,
    ) -> None:
        computing: dict[str, Any] = {"jobs": jobs, "device": device, "timeout": timeout}
        computing |= {"executor": executor, "address": address, "per_gpu": per_gpu}
        places = {"home": home, "reports": reports, "tracking": not no_tracking, "tracking_uri": tracking_uri}
        jobs_of = {"slurm": tuple(slurm or ())}
        session = options.open_session(suite, overrides, filters, plugins, **computing, **jobs_of, **places)
        if again:
            note(f"{session.clear_failures()} failed cells are tried again.")
        if detach:
            start_detached(session, as_json=as_json)
            return
        note_detached(session)
        from fmbench.runner.run import run_session

        with bars_of("what finished is kept") as bars:
            result = run_session(session, bars)
        if as_json:
            show_json(summary(session, result))
        else:
            _tell(session, result)
        if result.records.failed or result.records.lost_references:
            raise typer.Exit(CELLS_FAILED)

    return verb


def summary(session: Session, result: RunResult) -> dict[str, object]:
    """Return what a run did, as data."""
    failed = [*result.records.failed, *result.records.lost_references]
    return {
        "suite": session.suite.name,
        "cells": result.cells,
        "computed": result.computed,
        "computed_elsewhere": dict(result.elsewhere),
        "in_short": [f"{about}: {text}" for about, text in result.in_short],
        "failed": [{"key": r.cell.key, "status": r.status, "error": r.error} for r in failed],
        "report": str(result.report),
        "tracking_uri": result.tracking.uri if result.tracking else None,
        "runs_not_logged": result.tracking.pending if result.tracking else None,
    }


def tell_failures(session: Session, records: Records) -> None:
    """Print what failed, each mistake once, and how to see more of it and to try again."""
    from fmbench.results.failures import failures_of, grouped

    groups = grouped(failures_of(records))
    for group in groups[:SHOWN]:
        failed = group.first
        counted = count(group.count, failed.section)
        example = f"; {failed.cell.key}, for example" if group.count > 1 else f": {failed.cell.key}"
        say(f"{counted} failed ({failed.status}): {failed.error}{example}", "red")
    say_more(len(groups) - SHOWN, " kinds of failures", "red")
    total = sum(group.count for group in groups)
    cells = [group.first.cell for group in groups if group.first.section in ("training", "model", "evaluation")]
    look = f"`{session.again('why', cells[0].key)}` says more, and " if cells else ""
    say(f"{count(total, 'cell')} failed; the report lists them, {look}`{session.again('retry')}` tries again.", "red")


def tell_short(lines: Sequence[tuple[str, str]]) -> None:
    """Print the first lines of a report."""
    for about, text in lines:
        say(f"{about}: {text}")


def _tell(session: Session, result: RunResult) -> None:
    if here := _counted(result.computed):
        say(f"Computed {here}.")
    if elsewhere := _counted(result.elsewhere):
        say(f"Computed by others meanwhile: {elsewhere}.")
    if not here and not elsewhere:
        say("Everything was computed before; nothing to do.")
    if result.records.failed or result.records.lost_references:
        tell_failures(session, result.records)
    if result.tracking is not None and result.tracking.pending:
        waiting = f"{result.tracking.pending} runs are not in MLflow yet ({result.tracking.problem})"
        say(f"{waiting}; `{session.again('sync')}` logs them.", "yellow")
    tell_short(result.in_short)
    say(f"Report: {result.report}" + ("" if result.fresh_report else " (unchanged)"), "bold")
    if result.tracking is not None:
        say(f"MLflow: {result.tracking.uri} (look at it with `fmbench ui`)")


def _counted(done: Mapping[str, int]) -> str:
    """Say how many units of each kind were computed."""
    units = ("training", "model", "measurement", "evaluation", "floor", "oracle", "sampler")
    return ", ".join(count(done[name], name) for name in units if done.get(name))
