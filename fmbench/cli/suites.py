"""The verb `suites`: what comes with fmbench, and the text of one of them to begin from."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from fmbench.cli import options
from fmbench.cli.output import say, show_json, show_table
from fmbench.errors import UserError, did_you_mean


def suites(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Print this one, as a file to begin from.")] = None,
    as_json: options.Json = False,
) -> None:
    """List the suites that come with fmbench, which every verb takes by name; or print one: suites smoke > mine.yaml"""
    from fmbench.suite import load_suite, shipped_suites

    known = shipped_suites()
    if name is not None:
        if name not in known:
            near = did_you_mean(name, known)
            raise UserError(f"no suite {name!r} comes with fmbench.{near} There are: {', '.join(known)}.")
        sys.stdout.write(known[name].read_text())
        return
    rows = [(each, load_suite(file).description, str(file)) for each, file in known.items()]
    if as_json:
        show_json([{"name": each, "description": text, "file": file} for each, text, file in rows])
        return
    show_table(("suite", "what it asks"), [row[:2] for row in rows])
    say("Run one: fmbench run smoke. Begin from one: fmbench suites smoke > mine.yaml")
