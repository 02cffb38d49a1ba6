"""What is told to whom asked for it when a run has ended, however it ended."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fmbench.cli.interruption import EndedInOrder
from fmbench.cli.output import note
from fmbench.cli.progress_lines import duration
from fmbench.io.printable_text import count

if TYPE_CHECKING:
    from fmbench.runner.run import RunResult
    from fmbench.runner.session import Session

NOTIFY = "FMBENCH_NOTIFY"
"""The variable that says the same as the option, and is in no list of processes."""

Notify = Annotated[
    str | None,
    typer.Option(
        "--notify",
        metavar="desktop|URL",
        envvar=NOTIFY,
        show_envvar=True,
        help="Tell when the run has ended: on this desktop, or by a webhook, as chats have them.",
    ),
]


class News:
    """How a run went, as far as that is known."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.result: RunResult | None = None
        self.status = "ended by an error"
        self.begun = time.monotonic()

    @property
    def seconds(self) -> float:
        """How long it took."""
        return time.monotonic() - self.begun

    @property
    def title(self) -> str:
        """The one thing to know."""
        return f"fmbench {self.session.suite.name}: {self.status}"

    @property
    def text(self) -> str:
        """What was computed, what failed, the answer, and where the report is."""
        if self.result is None:
            return f"After {duration(self.seconds)}; `{self.session.again('run')}` goes on."
        from fmbench.results.failures import groups_of

        computed = ", ".join(count(number, unit) for unit, number in self.result.computed.items()) or "nothing to do"
        failures = [group.said for group in groups_of(self.result.records, missing=False)][:3]
        answers = [text for about, text in self.result.in_short if about.startswith("Answer")][:1]
        marks = [self.session.not_comparable] if self.session.not_comparable else []
        lines = [f"{computed} in {duration(self.seconds)}", *failures, *marks, *answers, str(self.result.report)]
        return "\n".join(lines)

    @property
    def facts(self) -> dict[str, Any]:
        """The same for programs: suite, status, seconds, cells by state, report."""
        known = {"suite": self.session.suite.name, "status": self.status, "seconds": round(self.seconds, 1)}
        if self.result is None:
            return known
        return {**known, "cells": self.result.cells, "report": str(self.result.report)}


@contextmanager
def told_at_the_end(target: str | None, session: Session) -> Iterator[News]:
    """Tell a target how what is done inside went. What keeps a message from being delivered is said, and is no fault
    of the run.
    """
    news = News(session)
    try:
        yield news
        failed = news.result is not None and (news.result.records.failed or news.result.records.lost_references)
        news.status = "done, with failures" if failed else "done"
    except EndedInOrder:
        news.status = "interrupted"
        raise
    finally:
        if target is not None:
            from fmbench.runner.notification import notify

            if problem := notify(target, news.title, news.text, news.facts):
                note(f"Nobody was told that the run has ended: {problem}.")
