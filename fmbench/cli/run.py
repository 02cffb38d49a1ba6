"""The verbs that compute: run and retry."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fmbench.cli import options
from fmbench.cli.detach import note_detached, start_detached
from fmbench.cli.exit_codes import CELLS_FAILED
from fmbench.cli.headline_table import tell_tables
from fmbench.cli.notify import Notify, told_at_the_end
from fmbench.cli.output import bars_of, note, say, say_more, show_json
from fmbench.cli.watch import run_apart, watch
from fmbench.errors import FAILURE_STATUSES, UserError, did_you_mean
from fmbench.io.printable_text import count

if TYPE_CHECKING:
    from fmbench.results.records import Records
    from fmbench.runner.run import RunResult
    from fmbench.runner.session import Session

SHOWN = 10
"""Kinds of failures that are printed."""

Jobs = Annotated[str, typer.Option("--jobs", help="Processes: a number, or auto to keep every core busy.")]
FailFast = Annotated[
    bool, typer.Option("--fail-fast", help="End at the first cell that fails; what finished is kept and reported.")
]
Statuses = Annotated[
    list[str] | None,
    typer.Option("--status", metavar="STATUS", help=f"Only what failed so: {', '.join(FAILURE_STATUSES)}. Repeatable."),
]
Timeout = Annotated[float | None, typer.Option("--timeout", min=0.0, help="Seconds that one cell may take.")]
Detach = Annotated[
    bool, typer.Option("--detach", help="Go on without this terminal: a process with a log, with slurm a job.")
]
Watch = Annotated[
    bool, typer.Option("--watch", help="Run again when the suite, your components or data change, until Ctrl-C.")
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
        fail_fast: FailFast = False,
        statuses: Statuses = None,
        home: options.Home = None,
        reports: options.Reports = Path("reports"),
        tracking_uri: options.TrackingUri = None,
        no_tracking: NoTracking = False,
        figures: options.Figures = False,
        quick: options.Quick = False,
        notify: Notify = None,
        log_models: options.LogModels = None,
        detach: Detach = False,
        watched: Watch = False,
        as_json: options.Json = False,
    ) -> None:
        computing: dict[str, Any] = {
            "jobs": jobs,
            "device": device,
            "timeout": timeout,
            "fail_fast": fail_fast,
            "quick": quick,
        }
        computing |= {"executor": executor, "address": address, "per_gpu": per_gpu, "slurm": tuple(slurm or ())}
        places: dict[str, Any] = {"home": home, "reports": reports, "figures": figures}
        places |= {"tracking": not no_tracking, "tracking_uri": tracking_uri}
        places |= {"log_models": log_models}
        if watched:
            if detach or again:
                raise UserError(
                    "--watch stays in this terminal and runs again by itself: leave --detach and retry away."
                )
            given = options.make_options(overrides, filters, plugins, **computing, **places)
            watch(suite, given, lambda: run_apart(sys.argv[1:]))
        session = options.open_session(suite, overrides, filters, plugins, **computing, **places)
        session.check_options()  # before failures are forgotten
        if notify is not None:
            from fmbench.runner.notification import check_target

            check_target(notify)
        forgotten = _forget_failures(session, statuses) if again else {}
        if detach:
            start_detached(session, notify, as_json=as_json)
            return
        note_detached(session)
        from fmbench.runner.run import run_session

        with told_at_the_end(notify, session) as news, bars_of("what finished is kept") as bars:
            news.result = result = run_session(session, bars)
        if as_json:
            show_json({**summary(session, result), **forgotten})
        else:
            _tell(session, result)
        if result.records.failed or result.records.lost_references:
            raise typer.Exit(CELLS_FAILED)

    if not again:  # a run leaves failures as they are
        own = inspect.signature(verb, eval_str=True)
        parameters = [each for name, each in own.parameters.items() if name != "statuses"]
        verb.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
    return verb


def _forget_failures(session: Session, statuses: Sequence[str] | None) -> dict[str, object]:
    """Forget failures with one of some statuses, all where there are none; say, and return, how many there were."""
    there = session.failures()
    known = (*FAILURE_STATUSES, *(status for status in sorted(there) if status not in FAILURE_STATUSES))
    if unknown := next((status for status in statuses or () if status not in known), ""):
        hint = did_you_mean(unknown, known)
        raise UserError(f"--status is one of {', '.join(known)}; found {unknown!r}.{hint} Failed: {_by_status(there)}.")
    chosen = {status: number for status, number in there.items() if not statuses or status in statuses}
    others = {status: number for status, number in there.items() if status not in chosen}
    session.clear_failures(statuses)
    left = f" Left as they are: {_by_status(others)}." if others else ""
    note(f"Failed cells that are tried again: {_by_status(chosen)}.{left}")
    return {"tried_again": chosen, "left_failed": others}


def _by_status(statuses: Mapping[str, int]) -> str:
    """Return how many cells failed with which status, in words."""
    return ", ".join(f"{number} {status}" for status, number in sorted(statuses.items())) or "none"


def summary(session: Session, result: RunResult) -> dict[str, object]:
    """Return what a run did, as data."""
    from fmbench.results.failures import groups_of

    failed = [*result.records.failed, *result.records.lost_references]
    failed = [record for record in failed if record.status != "missing"]
    return {
        "suite": session.suite.name,
        "cells": result.cells,
        "computed": result.computed,
        "computed_elsewhere": dict(result.elsewhere),
        "not_comparable": session.not_comparable or None,
        "tables": result.shown_tables,
        "in_short": [f"{about}: {text}" for about, text in result.in_short],
        "failed": [{"key": r.cell.key, "status": r.status, "error": r.error} for r in failed],
        "failures": [group.as_data() for group in groups_of(result.records, missing=False)],
        "stopped": result.stopped or None,
        "report": str(result.report),
        "tracking_uri": result.tracking.uri if result.tracking else None,
        "runs_not_logged": result.tracking.pending if result.tracking else None,
    }


def tell_failures(session: Session, records: Records) -> None:
    """Print what failed, each mistake once, and how to see more of it and to try again."""
    from fmbench.results.failures import groups_of

    groups = groups_of(records, missing=False)
    if not groups:
        return
    for group in groups[:SHOWN]:
        say(f"Failed: {group.said}", "red")
        if len(groups) > 1:
            say(f"  {'for example ' if group.count > 1 else ''}{group.first.section} {group.first.cell.key}", "red")
    say_more(len(groups) - SHOWN, " kinds of failures", "red")
    cells = [group.first.cell for group in groups if group.first.section in ("training", "model", "evaluation")]
    if cells:
        say(f"Its traceback: `{session.again('why', cells[0].key)}`")
    say(f"To try again: `{session.again('retry')}`")


def tell_stopped(session: Session, result: RunResult) -> None:
    """Print that a run ended at its first failure, and how to go on."""
    lacking = sum(counts["todo"] for counts in result.cells.values())
    rest = (
        f"`{session.again('run')}` computes the {count(lacking, 'cell')} that are not computed yet" if lacking else ""
    )
    say(f"Ended at the first failure (--fail-fast): {result.stopped}{f'; {rest}' if rest else ''}.", "red")


def tell_short(lines: Sequence[tuple[str, str]]) -> None:
    """Print the answers of a report; what matters, and what is not known, stands on its page."""
    for about, text in lines:
        if about.startswith("Answer"):
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
    if result.stopped:
        tell_stopped(session, result)
    if result.tracking is not None and result.tracking.pending:
        waiting = f"{result.tracking.pending} runs are not in MLflow yet ({result.tracking.problem})"
        say(f"{waiting}; `{session.again('sync')}` logs them.", "yellow")
    if session.not_comparable:
        say(f"{session.not_comparable}. It says whether the suite runs.", "yellow")
    tell_tables(result.shown_tables)
    tell_short(result.in_short)
    say(f"Report: {result.report}" + ("" if result.fresh_report else " (unchanged)"), "bold")
    if result.tracking is not None:
        say(f"MLflow: {result.tracking.uri} (look at it with `fmbench ui`)")


def _counted(done: Mapping[str, int]) -> str:
    """Say how many units of each kind were computed."""
    units = ("training", "model", "measurement", "evaluation", "floor", "oracle", "sampler")
    return ", ".join(count(done[name], name) for name in units if done.get(name))
