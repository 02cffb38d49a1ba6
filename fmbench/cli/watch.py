"""`--watch`: the run again whenever the suite, a component of one's own or their data change, until Ctrl-C."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fmbench.cli.interruption import EndedInOrder
from fmbench.cli.output import note
from fmbench.io.printable_text import count, some

if TYPE_CHECKING:
    from fmbench.runner.session import Options

EVERY = 0.5
"""Seconds between two looks."""
SETTLED = 0.3
"""Seconds without a change after which an editor has written all that it writes."""
SHOWN = 3
COMMAND = (sys.executable, "-c", "from fmbench.cli import main; main()")


def watch(
    suite: Path,
    options: Options,
    run: Callable[[], int],
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Run, wait for a change, and run again; what changed while a run was at work counts. Raises EndedInOrder."""
    from fmbench.runner.watched_files import changed, look, watched_files

    files: set[Path] = set()
    try:
        while True:
            files |= watched_files(suite, options)  # what is broken for a while is watched as it was
            seen = look(files)
            code = run()
            more = watched_files(suite, options) - files
            files, seen = files | more, seen | look(more)
            said = f"ended with exit code {code}; " if code else ""
            watched = count(len(files), "file or folder", "files and folders")
            note(f"--watch: {said}waiting for a change of {watched}; Ctrl-C ends it.")
            while not (what := changed(seen, look(files))):
                sleep(EVERY)
            settled = look(files)
            sleep(SETTLED)
            while settled != (settled := look(files)):
                sleep(SETTLED)
            note(f"--watch: changed: {', '.join(some([str(file) for file in what], SHOWN))}")
    except KeyboardInterrupt:
        raise EndedInOrder("--watch ended; what finished is kept", 0) from None


def run_apart(arguments: Sequence[str]) -> int:
    """Run fmbench with the arguments of a command line, without --watch, in a process of its own: it imports code anew.

    Returns its exit code. A Ctrl-C reaches it too, and it is waited for.
    """
    process = subprocess.Popen([*COMMAND, *(word for word in arguments if word != "--watch")])
    try:
        return process.wait()
    except BaseException:
        process.wait()
        raise
