"""The verb `check-plugin`: does a component keep what fmbench asks of its kind, and what is the rule that it breaks?"""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from contextlib import nullcontext, redirect_stdout
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fmbench.cli import options
from fmbench.cli.output import say, show_json
from fmbench.errors import UserError
from fmbench.io.printable_text import count

if TYPE_CHECKING:
    from fmbench.testing.check_component import CheckedComponent
    from fmbench.testing.run_checks import CheckResult

BROKEN = 1
"""The exit code where a rule is broken."""
COLOURS = {"ok": "green", "failed": "bold red", "skipped": "dim"}

What = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[NAME | FILE.py | KIND NAME]",
        help="A component or an installed plugin by name, a file with components or with tests of them, or a kind and "
        "a component, which may have parameters as in a suite: guidance '{mine: {weight: 2}}'. [default: all that are "
        "not fmbench's own]",
    ),
]
Facts = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="FACT=VALUE", help="What your method cannot help: order_tolerance=0.3, say."),
]


def check_plugin(
    what: What = None, facts: Facts = None, plugins: options.Plugins = None, as_json: options.Json = False
) -> None:
    """Check that components keep what fmbench asks of their kind, and explain each rule that one breaks; exit code 1
    if so. Needs no pytest.
    """
    known = _read_facts(facts or ())
    from fmbench.testing.choose_components import chosen_components

    with redirect_stdout(sys.stderr) if as_json else nullcontext():  # what components print is no JSON
        chosen = chosen_components(tuple(what or ()), tuple(plugins or ()), known)
        checked = [_tell(each, as_json) for each in chosen]
    broken = [each for each in checked if not each["ok"]]
    if as_json:
        show_json({"ok": not broken, "components": checked})
    elif len(checked) > 1:
        rest = f", {len(broken)} of them with broken rules" if broken else ": all conform"
        say(f"{count(len(checked), 'component')} checked{rest}.", "bold")
    if broken:
        raise typer.Exit(BROKEN)


def _read_facts(texts: Sequence[str]) -> dict[str, Any]:
    import yaml

    facts = {}
    for text in texts:
        name, sign, value = text.partition("=")
        try:
            facts[name.strip()] = yaml.safe_load(value)
        except yaml.YAMLError:
            sign = ""
        if not sign or not name.strip():
            raise UserError(f"--set is FACT=VALUE, order_tolerance=0.3 say; found {text!r}")
    return facts


def _tell(component: CheckedComponent, as_json: bool) -> dict[str, Any]:
    """Print the checks of a component as they end, unless they are for JSON, and return them as data."""
    if not as_json:
        say(f"{component.title} ({component.place})", "bold")
    results: list[CheckResult] = []
    for result in component.results:
        if not as_json:
            _tell_result(result, {each.raised for each in results if each.raised})
        results.append(result)
    failed = [each for each in results if each.status == "failed"]
    if not as_json:
        skipped = sum(each.status == "skipped" for each in results)
        tail = f", {skipped} not asked of it" if skipped else ""
        say(f"  {len(results) - skipped - len(failed)} rules kept, {len(failed)} broken{tail}.")
        if component.facts and any(not each.raised for each in failed):
            said = "by --set FACT=VALUE, or by an attribute of your test class"
            say(f"  If the method is meant to be so, say it {said}. Facts: {', '.join(component.facts)}.")
        say("")
    data = {"component": component.title, "place": component.place, "ok": not failed}
    return {**data, "checks": [vars(each) for each in results]}


def _tell_result(result: CheckResult, raised: Collection[str]) -> None:
    """Print a check in one line, and of a broken rule what it is and what was found; of a line that `raised` before,
    only that it did so again.
    """
    cases = f" ({count(result.cases, 'case')})" if result.cases > 1 else ""
    if result.status == "skipped":
        say(f"  skipped  {result.name}: {result.found}", COLOURS["skipped"])
        return
    if result.status == "ok":
        say(f"  ok       {result.name}{cases}", COLOURS["ok"])
        return
    of = f" ({result.failed} of {result.cases} cases)" if result.cases > 1 else ""
    say(f"  FAILED   {result.name}{of}", COLOURS["failed"])
    if result.raised in raised:
        say("           it raised the same")
        return
    say(f"           the rule: {result.rule}")
    say(f"           found:    {result.found}")
    if result.case:
        say(f"           where:    {result.case}")
