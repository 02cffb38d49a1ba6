"""The verb status."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from fmbench.cli import options
from fmbench.cli.output import SHOWN, say, say_more, show_json, show_table
from fmbench.io.printable_text import count

if TYPE_CHECKING:
    from fmbench.runner.status import AtWork


def status(
    suite: options.Suite,
    overrides: options.Overrides = None,
    filters: options.Filters = None,
    plugins: options.Plugins = None,
    home: options.Home = None,
    quick: options.Quick = False,
    as_json: options.Json = False,
) -> None:
    """Show how far a suite is, who computes what of it on which machine, and the time to go; run nothing.

    It reads the store alone, so that it can be asked from any machine, while others work.
    """
    from fmbench.runner.status import status_of
    from fmbench.store.store_mark import is_store

    session = options.open_session(suite, overrides, filters, plugins, home=home, computes=False, quick=quick)
    found = status_of(session)
    if as_json:
        show_json(found.as_data())
        return
    columns = ("total", "done", "failed", "running", "todo")
    rows = [(name, *(counts[column] for column in columns)) for name, counts in found.counts.items()]
    show_table(("", "cells", "done", "failed", "running", "to do"), rows, title=f"{found.suite}: {suite}")
    if found.running:
        lines = [(f"{u.section} {u.key}", _where(u), _lasting(u.seconds), _step(u)) for u in found.running[:SHOWN]]
        show_table(("running", "where", "for", "step"), lines)
        say_more(len(found.running) - SHOWN)
    if silent := sum(not unit.alive for unit in found.running):
        say(
            f"{count(silent, 'cell')} of these without a sign of life: once their leases have lapsed, others go on.",
            "yellow",
        )
    if found.others:
        say(f"Of other suites in this store: {count(found.others, 'cell')} running.")
    for run in found.detached:
        if run["at_work"]:
            say(f"Detached: {run['place']}, since {run['started']}; log: {run['log']}; `{run['how_to_end']}` ends it.")
        elif run["ended"]:
            say(f"Detached: ended with exit code {run['ended']}, begun {run['started']}; log: {run['log']}", "yellow")
    if not is_store(session.store):
        say(
            f"{session.store.root} holds no cell yet: nobody has begun, or the store lies elsewhere (--home).", "yellow"
        )
    todo = sum(counts["todo"] + counts["running"] for counts in found.counts.values())
    if not todo:
        say("Nothing is left to compute.", "bold")
    elif found.expected_seconds is not None:
        ahead = _lasting(found.expected_seconds)
        say(f"Time to go: about {ahead} of computing, shared by all who compute; from what like cells took.")


def _where(unit: AtWork) -> str:
    job = f", job {unit.job}" if unit.job else ""
    return f"{unit.host}, process {unit.pid}{job}{'' if unit.alive else ' (no sign of life)'}"


def _lasting(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else str(timedelta(seconds=round(seconds)))


def _step(unit: AtWork) -> str:
    return "" if unit.step is None else f"{unit.step} of {unit.steps}" if unit.steps else str(unit.step)
