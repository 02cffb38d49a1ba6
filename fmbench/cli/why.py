"""The verb why."""

from __future__ import annotations

from typing import Annotated

import typer

from fmbench.cli import options
from fmbench.cli.output import say, show_json, show_table, tell_passed_over


def why(
    cell: Annotated[str, typer.Argument(metavar="CELL", help="A cell's key, or its first digits.")],
    suite: options.Suite,
    overrides: options.Overrides = None,
    filters: options.Filters = None,
    plugins: options.Plugins = None,
    home: options.Home = None,
    quick: options.Quick = False,
    as_json: options.Json = False,
) -> None:
    """Explain why a cell was computed before or not: its key's parts, and how the nearest stored cell differs."""
    from fmbench.runner.why import explain_cell

    session = options.open_session(suite, overrides, filters, plugins, home=home, quick=quick)
    explanation = explain_cell(session, cell)
    if as_json:
        show_json(explanation)
        return
    say(f"{explanation['section']} {explanation['key']}: {explanation['status']}", "bold")
    say(explanation["cell"])
    say(explanation["verdict"])
    if "begins" in explanation:
        say(explanation["begins"])
    if rounding := explanation.get("rounding"):
        say(f"its last digits may depend on {', '.join(f'{name}: {value}' for name, value in rounding.items())}")
    for hardware, place in explanation.get("timed_on", {}).items():
        say(f"its sampler was timed on {hardware}: sampler/{place}")
    for failure in explanation.get("failures", ()):
        say(f"{failure['section']}: {failure['status']}: {failure['error']}", "red")
        if failure["traceback"]:
            say(failure["traceback"].rstrip(), fold=False)
    if explanation["differences"]:
        show_table(("part", "now", "nearest stored cell"), explanation["differences"])
    tell_passed_over(explanation["passed_over"])
