"""The verbs for MLflow: sync and ui."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fmbench.cli import options
from fmbench.cli.output import Bars, say, show_json, tell_gone


def sync(
    suite: options.Suite,
    overrides: options.Overrides = None,
    filters: options.Filters = None,
    plugins: options.Plugins = None,
    home: options.Home = None,
    reports: options.Reports = Path("reports"),
    tracking_uri: options.TrackingUri = None,
    quick: options.Quick = False,
    as_json: options.Json = False,
) -> None:
    """Bring MLflow up to date with the store; asks the server what it has, and adds only what is not there."""
    from fmbench.runner.run import make_tracker
    from fmbench.tracking import sync as sync_records

    session = options.open_session(
        suite,
        overrides,
        filters,
        plugins,
        home=home,
        reports=reports,
        tracking_uri=tracking_uri,
        computes=False,
        quick=quick,
    )
    tell_gone(session.registry.gone)
    tracker = make_tracker(session)
    tracker.check()
    folder = session.report_folder if session.report_folder.exists() else None
    records = session.records(session.results_index(anywhere=True))
    with Bars() as bars:
        summary = sync_records(
            records, tracker.uri, tracker.ledger, folder, lambda done, total: bars.begin("logging", total, done)
        )
    if as_json:
        show_json({"uri": summary.uri, "logged": summary.logged, "pending": summary.pending})
    else:
        say(str(summary) + (f"; `{session.again('sync')}` logs them later" if summary.pending else ""))
    if summary.pending:
        raise typer.Exit(1)


def ui(
    tracking_uri: options.TrackingUri = None,
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="The port on 127.0.0.1.")] = 5000,
) -> None:
    """Open MLflow's UI on the right store, on 127.0.0.1, until Ctrl-C."""
    import os
    import sys

    from fmbench.tracking import follow_a_move, resolve_uri, shown, ui_command, ui_links

    uri, address = resolve_uri(tracking_uri, Path()), f"http://127.0.0.1:{port}"
    command, environment, folder = ui_command(uri, port)
    follow_a_move(uri)
    say(f"MLflow's UI for {shown(uri)}: {address} (it takes some seconds to start; Ctrl-C ends it)", "bold")
    for suite, links in ui_links(uri, address).items():
        for what, link in links.items():
            say(f"  {suite} {what}: {link}")
    sys.stdout.flush()
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    os.execvpe(command[0], command, {**os.environ, **environment})  # so that whatever ends us ends the server
