"""How the command line prints: errors, notes, JSON, tables and progress bars."""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fmbench.cli.interruption import EndedInOrder, exit_code, how
from fmbench.cli.progress_lines import ProgressLines
from fmbench.cli.text_table import folded, lines_of
from fmbench.io.patient_stream import Patient
from fmbench.io.printable_text import some, visible, visible_json

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

    from fmbench.results.collect import ResultsIndex

ROWS_AT_ONCE = 1000
SHOWN = 20
"""Rows, and things damaged or passed over, that are printed."""
WIDE = 200
"""Columns of what is no terminal."""

STAGES = {
    "preparing": "Prepare data and components",
    "training": "Train (optimizer steps)",
    "evaluation": "Evaluate (cells)",
    "timing": "Time samplers, alone",
    "logging": "Log to MLflow (runs)",
    "merging": "Merge (cells)",
}


def prepare_streams() -> None:
    """Let what standard output cannot show be a question mark, and what goes to nobody be lost."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # it was closed
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115  (for as long as the process runs)
    if isinstance(sys.stdout, io.TextIOWrapper) and not _is_utf8():
        sys.stdout.reconfigure(errors="replace")
    for name in ("stdout", "stderr"):
        setattr(sys, name, Patient(getattr(sys, name)))


def _is_utf8() -> bool:
    return sys.stdout.encoding.lower().replace("-", "") == "utf8"


def console(*, stderr: bool = False) -> Console:
    """Return the console that prints: as wide as the terminal, and wide where the output goes to a file or pipe."""
    from rich.console import Console

    screen = sys.stderr if stderr else sys.stdout
    width = None if screen.isatty() or "COLUMNS" in os.environ else WIDE
    return Console(stderr=stderr, width=width, soft_wrap=True, highlight=False, emoji=False)


def complain(text: str) -> None:
    """Print an error for a person, on standard error."""
    from rich.text import Text

    screen = console(stderr=True)
    shown = folded(f"error: {visible(text)}", screen.width) if screen.is_terminal else f"error: {visible(text)}"
    screen.print(Text.assemble(("error: ", "bold red"), shown.removeprefix("error: ")))


def say(text: str, style: str = "", *, fold: bool = True) -> None:
    """Print a text, on a screen with line ends between its words; without `fold` as it is."""
    from rich.text import Text

    shown = folded(visible(text), screen_width()) if fold and on_screen() else visible(text)
    console().print(Text(shown, style=style))


def on_screen() -> bool:
    """Whether standard output is a terminal."""
    return sys.stdout.isatty()


def say_more(number: int, what: str = "", style: str = "") -> None:
    """Print how many more there are than were printed, if there are any."""
    if number > 0:
        say(f"... and {number} more{what} (--json lists them all)", style)


def tell_damaged(results_index: ResultsIndex) -> None:
    """Print what a look at the store found that is not what was written, or is no cell's."""
    for text in some(results_index.damaged, SHOWN):
        say(f"damaged, so `fmbench run` computes it again: {text}", "red")
    tell_passed_over(results_index.passed_over)


def tell_gone(files: Iterable[str]) -> None:
    """Print which files of models are gone, so that what was computed of them is shown as it is."""
    for name in dict.fromkeys(files):
        say(f"{name} is not there: what was computed of it is shown as it was in the last run.", "yellow")


def tell_passed_over(texts: Sequence[str]) -> None:
    """Print what a store holds that is no cell's, some of it where there is much."""
    for text in some(texts, SHOWN):
        say(f"passed over: {text}", "yellow")


def note(text: str) -> None:
    """Print a line on standard error, so that it stays out of JSON."""
    from rich.text import Text

    console(stderr=True).print(Text(visible(text)))


def show_json(value: Any) -> None:
    """Print a value as JSON."""
    sys.stdout.write(_json_text(value) + "\n")


def _json_text(value: Any) -> str:
    """Return a value as indented JSON, in which what cannot be seen or encoded is JSON's own escape."""
    return visible_json(json.dumps(value, indent=2, ensure_ascii=not _is_utf8(), default=str))


def show_json_rows(head: Mapping[str, Any], name: str, rows: Iterable[str]) -> None:
    """Print a mapping as JSON, with one more entry: a list of rows that are JSON already, printed as they come."""
    text = _json_text(dict(head))
    sys.stdout.write(f"{text[:-2]},\n  {json.dumps(name)}: [")
    waiting, before = iter(rows), "\n    "
    while some := list(islice(waiting, ROWS_AT_ONCE)):
        sys.stdout.write(visible_json(before + ",\n    ".join(some)))
        before = ",\n    "
        if getattr(sys.stdout, "gone", False):
            return  # rows are as many as a plan has cells
    sys.stdout.write("\n  ]\n}\n")


def show_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], title: str | None = None) -> None:
    """Print a table as wide as it needs to be, and no wider than the screen."""
    texts = [[visible(str(value)) for value in row] for row in rows]
    head, *below = lines_of(columns, texts, screen_width())
    plain = not sys.stdout.isatty() or "NO_COLOR" in os.environ or os.environ.get("TERM") == "dumb"
    lines = [*([visible(title)] if title else []), "", head if plain else f"\033[1m{head}\033[0m", *below, ""]
    sys.stdout.write("\n".join(lines) + "\n")


def screen_width() -> int:
    """Return the columns of the terminal; many where the output goes to a file or pipe."""
    return shutil.get_terminal_size((WIDE, 0)).columns if sys.stdout.isatty() or "COLUMNS" in os.environ else WIDE


class Bars:
    """The observer of a run: a progress bar a stage, with the time left; a line a minute where there is no terminal."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
        from rich.progress import TimeRemainingColumn as TimeLeft

        self._console = console(stderr=True)
        columns = (TextColumn("{task.description:<28}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._progress: Progress = Progress(
            *columns, TextColumn("left"), TimeLeft(elapsed_when_finished=False), console=self._console
        )
        self._tasks: dict[str, TaskID] = {}
        self._lines = ProgressLines(note)

    def __enter__(self) -> Bars:
        (self._progress if self._console.is_terminal else self._lines).start()
        return self

    def __exit__(self, *_: object) -> None:
        (self._progress if self._console.is_terminal else self._lines).stop()

    def say(self, text: str) -> None:
        """Print a line above the bars."""
        from rich.text import Text

        self._console.print(Text(visible(text), style="yellow"))

    def begin(self, stage: str, total: int, done: int = 0) -> None:
        """Show a stage, or a new total of one that is shown."""
        if stage not in self._tasks:
            self._tasks[stage] = self._progress.add_task(STAGES[stage], total=total, completed=done)
            if not self._console.is_terminal:
                self._console.print(f"{STAGES[stage]}: {total}")
        self._progress.update(self._tasks[stage], total=total, completed=done)
        self._lines.begin(stage, total, done)

    def advance(self, stage: str, amount: int = 1) -> None:
        """Move a stage's bar on."""
        self._progress.advance(self._tasks[stage], amount)
        self._lines.advance(stage, amount)

    def end(self, stage: str) -> None:
        """Stop a stage's clock."""
        if stage in self._tasks:
            self._progress.stop_task(self._tasks[stage])
            self._lines.end(stage)

    def began(self, unit: str, what: str) -> None:
        """Count a unit as at work."""
        self._lines.began(unit, what)

    def ended(self, unit: str, *, failed: bool) -> None:
        """Count a unit as ended."""
        self._lines.ended(unit, failed=failed)


@contextmanager
def bars_of(kept: str = "", during: str = "") -> Iterator[Bars]:
    """Show bars for what is done inside. Raises EndedInOrder where that is interrupted."""
    try:
        with Bars() as bars:
            yield bars
    except KeyboardInterrupt as error:
        advice = f"{f'{kept}, and ' if kept else ''}the same command goes on from there"
        raise EndedInOrder(f"{how(error)}{during}; {advice}", exit_code(error)) from None
