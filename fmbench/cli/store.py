"""The verbs for the store: clean and merge."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fmbench.cli import options
from fmbench.cli.output import SHOWN, bars_of, say, say_more, show_json, show_table, tell_passed_over
from fmbench.errors import UserError

if TYPE_CHECKING:
    from fmbench.store.merge import MergeResult


def clean(
    suites: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[SUITE]...", callback=options.nameable, help="Suites whose cells are kept."),
    ] = None,
    older_than: Annotated[
        float | None, typer.Option("--older-than", metavar="DAYS", help="Remove only cells untouched for so long.")
    ] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Remove only failed cells.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Remove; without it, only say what would be removed.")] = False,
    plugins: options.Plugins = None,
    home: options.Home = None,
    as_json: options.Json = False,
) -> None:
    """Remove cells from the store that no given suite uses; without --yes, only say which."""
    from fmbench.results.unused_cells import find_unused
    from fmbench.runner.session import Options, open_session
    from fmbench.store.open_store import open_store

    if yes and not (suites or failed or older_than is not None):
        raise UserError("clean --yes would remove every cell; name the suites to keep, or add --older-than or --failed")
    sessions = [open_session(suite, Options(plugins=tuple(plugins or ()), home=home)) for suite in suites or ()]
    unused = find_unused(
        open_store(home), [(session.plan, session.registry) for session in sessions], older_than, only_failed=failed
    )
    if yes:
        unused.remove()
    cells = unused.cells
    total = sum(cell.size for cell in cells)
    if as_json:
        names = [f"{cell.section}/{cell.key}" for cell in cells]
        show_json({"removed": yes, "bytes": total, "cells": names, "passed_over": unused.passed_over})
        return
    if cells and not yes:
        show_table(("section", "key", "bytes"), [(c.section, c.key, c.size) for c in cells])
    tell_passed_over(unused.passed_over)
    verb = "Removed" if yes else "Would remove"
    say(f"{verb} {len(cells)} cells, {total / 1e6:.1f} MB." + ("" if yes or not cells else " Add --yes to do it."))


def merge(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="HOME...",
            callback=options.nameable,
            help="The .fmbench folders of other machines, or URLs of stores; only read.",
        ),
    ],
    into: Annotated[
        str | None,
        typer.Option(
            "--into", metavar="HOME", callback=options.nameable, help="The store to add to. [default: as for --home]"
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Read everything, change nothing, say the same.")] = False,
    as_json: options.Json = False,
) -> None:
    """Join what other machines computed into one store; times stay apart by hardware. Exit code 1 where cells had to be
    skipped.
    """
    from fmbench.store.merge import merge as merge_stores
    from fmbench.store.merge import open_sources
    from fmbench.store.open_store import open_store

    store = open_store(into)
    stores = open_sources(sources, store.root)
    with bars_of("what was merged is kept") as bars:
        result = merge_stores(
            stores, store, dry_run=dry_run, tell=lambda done, total: bars.begin("merging", total, done)
        )
    if as_json:
        show_json(result.as_data())
    else:
        _tell_merged(result)
    if result.skipped:
        raise typer.Exit(1)


def _tell_merged(result: MergeResult) -> None:
    """Print a table of what became of the cells, what the words mean, and each cell that was skipped."""
    from fmbench.store.merge import OUTCOMES

    counts = result.counts
    shown = [outcome for outcome in OUTCOMES if any(outcome in found for found in counts.values())]
    title = f"{'Would merge' if result.dry_run else 'Merged'} into {result.into}"
    rows = [(section, *(found.get(outcome, "") for outcome in shown)) for section, found in counts.items()]
    show_table(("cells", *shown), rows, title=title)
    for outcome in shown:
        say(f"{outcome}: {OUTCOMES[outcome]}.")
    faults = [cell for cell in result.skipped if cell.outcome != "earlier"]  # of which there are many, all alike
    for cell in faults[:SHOWN]:
        say(f"{cell.outcome}: {cell.source}/{cell.section}/{cell.key}: {cell.why}", "red")
    say_more(len(faults) - SHOWN, style="red")
    tell_passed_over(result.passed_over)
    if any("apart" in found for found in counts.values()):
        say(
            "What stands apart is no loss: `fmbench run` computes it from the trainings that are kept here, where a "
            "suite asks for it.",
            "yellow",
        )
    if result.brought and not result.dry_run:
        say(f"`fmbench report SUITE --home {result.into}` shows all of it as one suite.", "bold")
