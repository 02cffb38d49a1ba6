"""The verbs that look and change nothing: plan, plugins, schema, env and why."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fmbench.cli import options
from fmbench.cli.output import say, show_json, show_json_rows, show_table, tell_damaged, tell_passed_over

if TYPE_CHECKING:
    from fmbench.plan import LeftOut, Plan
    from fmbench.registry import Code, Entry
    from fmbench.survey import Survey

SHOWN = 30
"""Reasons for leaving cells out that `plan` prints; of a suite with many NFE there are hundreds."""

PLUGINS = "List registered components, by whom, with which parameters; and what failed to load."
plugins_app = typer.Typer(rich_markup_mode=None, help=PLUGINS)


def add_verbs(app: typer.Typer) -> None:
    """Add the verbs of this module."""
    app.command("plan")(plan)
    app.add_typer(plugins_app, name="plugins", short_help=PLUGINS)
    app.command("schema")(schema)
    app.command("env")(env)
    app.command("why")(why)


def plan(
    suite: options.Suite,
    overrides: options.Overrides = None,
    filters: options.Filters = None,
    plugins: options.Plugins = None,
    home: options.Home = None,
    device: options.Device = "auto",
    as_json: options.Json = False,
) -> None:
    """Show the cells of a suite, what is done, what is left out and why, and the time to expect; run nothing."""
    from fmbench.forecast import expected_seconds

    session = options.open_session(suite, overrides, filters, plugins, home=home, device=device)
    survey = session.survey(anywhere=True)
    counts, expected = survey.counts(), expected_seconds(survey)
    if as_json:
        left_out = [vars(left) for left in session.plan.left_out]
        data = [{"dataset": label, "reads": text} for label, text in session.data.items()]
        head = {"counts": counts, "expected_seconds": expected, "data": data, "left_out": left_out}
        show_json_rows(head, "cells", evaluation_rows(session.plan, survey))
        return
    rows = [(name, n["total"], n["done"], n["failed"], n["todo"]) for name, n in counts.items()]
    show_table(("", "cells", "done", "failed", "to compute"), rows, title=f"{session.suite.name}: {session.path}")
    for label, text in session.data.items():
        say(f"{label}: {text}")
    if only := sum(not session.plan.is_evaluated(cell) for cell in session.plan.trainings):
        say(f"{only} of the trainings are teachers that couplings learn from: trained first, and not evaluated.")
    if references := _references(survey):
        say(f"Beside them: {references}.")
    training = session.suite.training
    say(f"Average of the weights: {training.ema.averaging.said(training.steps)}.")
    tell_damaged(survey)
    _tell_left_out(session.plan.left_out)
    if expected is None:
        say("Expected time: not known, since nothing like these cells was computed here before.")
    else:
        say(f"Expected time: about {expected:.0f} s of computing, shared by the jobs; from what like cells took.")


def evaluation_rows(plan: Plan, survey: Survey) -> Iterator[str]:
    """Yield each evaluation as a row of JSON: key, training, cell and status.

    Rows are put together from what they share, for a plan may have a million.
    """
    words: dict[int, list[str]] = {}
    for training, samplings in plan.evaluations.groups:
        name = str(training)
        if id(samplings) not in words:
            texts = (str(sampling.of(training)).removeprefix(name) for sampling in samplings)
            words[id(samplings)] = [json.dumps(text, ensure_ascii=False)[1:] for text in texts]
        middle = f'", "training": "{training.key}", "cell": {json.dumps(name, ensure_ascii=False)[:-1]}'
        missing = ', "status": "missing"}'
        for key, text in zip(plan.evaluations.of(training).keys(), words[id(samplings)], strict=True):
            known = survey.evaluations.get(key)
            status = missing if known is None else f', "status": {json.dumps(known.status)}}}'
            yield f'{{"key": "{key}{middle}{text}{status}'


def _tell_left_out(left_out: Sequence[LeftOut]) -> None:
    """Print what is left out and why."""
    for left in left_out[:SHOWN]:
        noun = "metric" if left.unit == "metric" else f"{left.unit} cell"
        counted = f"{left.count} {noun}" + ("s" if left.count != 1 else "")
        say(f"left out: {left.cell} ({counted}): {left.reason}", "yellow")
    if rest := left_out[SHOWN:]:
        counts = Counter[str]()
        for left in rest:
            counts[left.unit] += left.count
        said = " and ".join(f"{count} {unit} cells" for unit, count in counts.items())
        say(f"left out: {said} more, for {len(rest)} reasons like these (--json lists them all)", "yellow")


def _references(survey: Survey) -> str:
    """Say what scores will be read against."""
    floors, oracles = len(survey.references.floors), len(survey.references.oracles)
    said = [f"{floors} floor{'s' * (floors != 1)} (real data in place of samples)"] if floors else []
    said += [f"{oracles} oracle{'s' * (oracles != 1)} (the exact velocity in place of a network)"] if oracles else []
    return " and ".join(said)


@plugins_app.callback(invoke_without_command=True)
def list_plugins(context: typer.Context, plugins: options.Plugins = None, as_json: options.Json = False) -> None:
    """List registered components."""
    if context.invoked_subcommand is None:
        list_components(tuple(plugins or ()), as_json=as_json)


def list_components(plugins: tuple[str, ...] = (), *, as_json: bool = False) -> None:
    """List registered components."""
    from fmbench.registry import load_registry

    registry = load_registry(plugins)
    if as_json:
        failures = [{"name": failure.name, "error": failure.error} for failure in registry.failures]
        show_json({"components": [describe(entry) for entry in registry.entries()], "failures": failures})
        return
    show_table(("kind", "name", "from", "what"), registry.summaries())
    for failure in registry.failures:
        say(f"failed to load: {failure.name}: {failure.error}", "red")


@plugins_app.command("show")
def show_plugin(
    kind: Annotated[str, typer.Argument(help="A kind, such as solver.")],
    name: Annotated[str, typer.Argument(help="A component's name, such as heun.")],
    plugins: options.Plugins = None,
    as_json: options.Json = False,
) -> None:
    """Show one component: what it is, where it comes from, its parameters, and what of its code keys do not see."""
    from fmbench.registry import load_registry

    registry = load_registry(tuple(plugins or ()))
    entry, code = registry.entry(kind, name), registry.code(kind, name)
    if as_json:
        show_json({**describe(entry), "code": describe_code(code)})
        return
    say(f"{entry.kind} {entry.name}", "bold")
    say(entry.summary)
    say(f"registered by {entry.owner} as {entry.target}")
    if entry.reference:
        say(f"reference: {entry.reference}")
    if entry.parameters:
        rows = [(p.name, p.type, "required" if p.required else p.default, p.description) for p in entry.parameters]
        show_table(("parameter", "type", "default", "meaning"), rows)
    else:
        say("It has no parameters.")
    _tell_code(code)


def _tell_code(code: Code) -> None:
    """Print what counts in keys, and what does not."""
    counted = [module.name for module in code.modules]
    counted += [f"{module.name} ({module.path})" for module in code.elsewhere]
    counted += [str(file) for file in code.files]
    counted += [f"the files that parameter {name!r} names" for name in code.content]
    say(f"In its key count: {', '.join(counted)}.")
    if code.unseen:
        say("What its code does here changes no key, so that scores that are stored stay when it changes:", "yellow")
        show_table(("line", "code", "instead"), [(f"{u.file}:{u.line}", u.code, u.remedy) for u in code.unseen])


def describe_code(code: Code) -> dict[str, Any]:
    """Return what of a component counts in keys, and what does not, as data."""
    return {
        "modules": {module.name: str(module.path) for module in (*code.modules, *code.elsewhere)},
        "files": [str(file) for file in code.files],
        "content": list(code.content),
        "unseen": [vars(line) for line in code.unseen],
    }


def describe(entry: Entry) -> dict[str, Any]:
    """Return a component as data."""
    parameters = [
        {"name": p.name, "type": p.type, "required": p.required, "default": p.default, "description": p.description}
        for p in entry.parameters
    ]
    fields = ("kind", "name", "owner", "target", "summary", "reference")
    return {**{field: str(getattr(entry, field)) for field in fields}, "parameters": parameters}


def schema(plugins: options.Plugins = None) -> None:
    """Print the JSON Schema of suite files, with the components that are registered here; editors complete from it."""
    from fmbench.registry import load_registry
    from fmbench.suite import suite_schema

    registry = load_registry(tuple(plugins or ()))
    schemas: dict[str, dict[str, Any]] = {}
    for entry in registry.entries():
        schemas.setdefault(entry.kind, {})[entry.name] = registry.schema(entry.kind, entry.name)
    show_json(suite_schema(schemas))


def env(device: options.Device = "auto", as_json: options.Json = False) -> None:
    """Show the versions and the hardware that results depend on; paste it into bug reports."""
    from fmbench.hardware import choose_device, environment

    facts = environment(choose_device(device))
    if as_json:
        show_json(facts)
    else:
        show_table(("what", "value"), facts.items())


def why(
    cell: Annotated[str, typer.Argument(metavar="CELL", help="A cell's key, or its first digits.")],
    suite: options.Suite,
    overrides: options.Overrides = None,
    filters: options.Filters = None,
    plugins: options.Plugins = None,
    home: options.Home = None,
    as_json: options.Json = False,
) -> None:
    """Explain why a cell was computed before or not: its key's parts, and how the nearest stored cell differs."""
    from fmbench.explain import explain

    session = options.open_session(suite, overrides, filters, plugins, home=home)
    explanation = explain(session, cell)
    if as_json:
        show_json(explanation)
        return
    say(f"{explanation['section']} {explanation['key']}: {explanation['status']}", "bold")
    say(explanation["cell"])
    say(explanation["verdict"])
    for hardware, place in explanation.get("timed_on", {}).items():
        say(f"its sampler was timed on {hardware}: sampler/{place}")
    for failure in explanation.get("failures", ()):
        say(f"{failure['section']}: {failure['status']}: {failure['error']}", "red")
        if failure["traceback"]:
            say(failure["traceback"].rstrip())
    if explanation["differences"]:
        show_table(("part", "now", "nearest stored cell"), explanation["differences"])
    tell_passed_over(explanation["passed_over"])
