"""The verbs for MLflow: sync and ui."""

from __future__ import annotations

from collections.abc import Sequence
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
    log_models: options.LogModels = None,
    as_json: options.Json = False,
) -> None:
    """Bring MLflow up to date with the store; asks the server what it has, and adds only what is not there."""
    from fmbench.runner.run import make_tracker, networks_of
    from fmbench.tracking import sync as sync_records

    places = {"home": home, "reports": reports, "tracking_uri": tracking_uri, "log_models": log_models}
    session = options.open_session(suite, overrides, filters, plugins, **places, computes=False, quick=quick)
    tell_gone(session.registry.gone)
    tracker = make_tracker(session)
    tracker.check()
    folder = session.report_folder if session.report_folder.exists() else None
    records = session.records(session.results_index(anywhere=True))
    with Bars() as bars:
        summary = sync_records(
            records,
            tracker.uri,
            tracker.ledger,
            folder,
            lambda done, total: bars.begin("logging", total, done),
            networks=networks_of(session),
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

    from fmbench.tracking import check_port, follow_a_move, resolve_uri, shown, ui_command, ui_links

    uri, address = resolve_uri(tracking_uri, Path()), f"http://127.0.0.1:{port}"
    command, environment, folder = ui_command(uri, port)
    check_port(port)
    follow_a_move(uri)
    say(f"MLflow's UI for {shown(uri)} starts, which takes some seconds; Ctrl-C ends it.")
    sys.stdout.flush()
    links = [f"MLflow's UI: {address}"]
    links += [f"  {suite}, {what}: {link}" for suite, of in ui_links(uri, address).items() for what, link in of.items()]
    _say_when_it_answers(address, links)
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    os.execvpe(command[0], command, {**os.environ, **environment})  # so that whatever ends us ends the server


def _say_when_it_answers(address: str, lines: Sequence[str]) -> None:
    """Have a process of its own print lines once a server answers; it ends with this process, which becomes it."""
    import os
    import signal
    import sys
    import time

    server = os.getpid()
    if child := os.fork():
        os.waitpid(child, 0)
        return
    if os.fork():
        os._exit(0)  # so that the server has no child of which it does not know
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    while _runs(server) and not _answers(address):
        time.sleep(0.2)
    if _runs(server):
        for line in lines:
            say(line)
        sys.stdout.flush()
    os._exit(0)


def _runs(process: int) -> bool:
    """Whether a process of ours is there."""
    import os

    try:
        os.kill(process, 0)
    except OSError:
        return False
    return True


def _answers(address: str) -> bool:
    """Whether MLflow's server answers."""
    from http.client import HTTPException
    from urllib.request import ProxyHandler, build_opener

    try:
        with build_opener(ProxyHandler({})).open(f"{address}/health", timeout=2.0) as answer:
            return bool(answer.read(16).strip() == b"OK")
    except (OSError, HTTPException):
        return False
