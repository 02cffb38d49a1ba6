"""What --detach prints, and what is said of detached runs that are at work."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fmbench.cli.notify import NOTIFY
from fmbench.cli.output import note, say, show_json

if TYPE_CHECKING:
    from fmbench.runner.detached import DetachedRun
    from fmbench.runner.session import Session


_NOT_OF_IT = ("--detach", "--json", "--status")
"""Words of a command line that its detached run does not have."""


def start_detached(session: Session, notify: str | None = None, *, as_json: bool) -> None:
    """Have what the command line asks for go on without the terminal, and say where; one that is seen to do so already
    is left alone. What is wrong with the input is known by now. Raises UserError.

    Of a process on another machine nobody knows whether it is still there: this one shares the cells with it.
    """
    from fmbench.runner.detached import at_work, detach

    same = [run for run in at_work(session) if run.command == session.command and run.is_in_sight]
    run = same[0] if same else detach(session, _arguments(session, notify))
    if as_json:
        show_json({"detached": {**_as_data(run), "started_now": not same}})
        return
    begun = f"This is at work already, as {run.place}" if same else f"Detached, as {run.place}"
    say(f"{begun}. What it prints goes to {run.log}")
    say(f"`{session.again('status')}` shows how far it is; `{run.how_to_end}` ends it, and what finished is kept.")


def note_detached(session: Session) -> None:
    """Say that detached runs of the same suite are at work: all share the cells, and none is computed twice."""
    from fmbench.runner.detached import at_work

    for run in at_work(session):
        note(f"A detached run of this suite is at work ({run.place}, log {run.log}): both share the cells.")


def _as_data(run: DetachedRun) -> dict[str, object]:
    place = {"host": run.host, "process": run.process, "job": run.job}
    return {**place, "log": run.log, "file": str(run.file), "end_with": run.how_to_end}


def _arguments(session: Session, notify: str | None) -> list[str]:
    """Return the command line as the detached run has it: failures are forgotten already.

    The URI of a tracking server and the URL of a store go into the environment instead where they hold a password, and
    that of a webhook always: that is in no list of processes and in no batch script.
    """
    from fmbench.store.open_store import HOME, shown_home
    from fmbench.tracking import shown

    verb, *rest = sys.argv[1:]
    chosen = {number + 1 for number, word in enumerate(rest) if word == "--status"}  # what retry alone takes
    kept = [word for number, word in enumerate(rest) if number not in chosen and word not in _NOT_OF_IT]
    kept = [word for word in kept if not word.startswith("--status=")]
    words = ["run" if verb == "retry" else verb, *kept]
    uri, home = session.options.tracking_uri, session.options.home
    if uri is not None and shown(uri) != uri:
        words = _without(words, "--tracking-uri")
        os.environ["MLFLOW_TRACKING_URI"] = uri
    if home is not None and shown_home(home) != str(home):
        words = _without(words, "--home")
        os.environ[HOME] = str(home)
    if notify is not None:
        words = _without(words, "--notify")
        os.environ[NOTIFY] = notify
    return words


def _without(words: Sequence[str], option: str) -> list[str]:
    """Return a command line without an option and its value."""
    named = [number for number, word in enumerate(words) if word == option]
    dropped = {*named, *(number + 1 for number in named)}
    return [w for number, w in enumerate(words) if number not in dropped and not w.startswith(f"{option}=")]
