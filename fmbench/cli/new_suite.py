"""A new suite of trainings, from flags or from a few questions, as text with comments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import typer

from fmbench.cli.output import say
from fmbench.errors import UserError, did_you_mean
from fmbench.io.printable_text import some

BUDGETS = {"small": (1_000, 1_000), "medium": (10_000, 5_000), "large": (100_000, 10_000)}
"""Optimizer steps of a training and samples of an evaluation, by what the user calls it."""
SCHEMA = "fmbench.schema.json"
"""The file beside a suite from which editors complete it."""
SHOWN = 30

TEMPLATE = """\
# yaml-language-server: $schema={schema}
#
#   fmbench plan {file}          what is computed, and what is left out
#   fmbench run {file} --quick   does it run? with its budget cut
#   fmbench run {file}           train, evaluate, compare
#
# Every combination of the values in the lists is computed. `fmbench plugins KIND` says what there is of a kind.
name: {name}
description: {description}
datasets: {datasets}
training:
  paths: {paths}   # how noise and data are connected
  networks: {networks}
  seeds: {seeds}   # repetitions: intervals and verdicts come from them
  steps: {steps}   # optimizer steps
  batch_size: 128
  optimizer: {{adamw: {{lr: 0.001}}}}
evaluation:
  solvers: {solvers}
  nfe: {nfe}   # network calls a sample: at each of them the others are compared
  samples: {samples}
  metrics: [sliced_wasserstein, validation_loss, sample_ms, train_seconds]
baseline: {{path: {baseline}}}   # against which the others are said to be better or worse
"""


@dataclass(frozen=True)
class Answers:
    """What is to be in a suite: components as a suite writes them; None for what was not said."""

    datasets: Sequence[Any] | None
    paths: Sequence[Any] | None
    networks: Sequence[Any] | None
    solvers: Sequence[Any] | None
    nfe: Sequence[int] | None
    seeds: int | None
    budget: str | None


USUAL = Answers(["moons"], ["linear", "cosine"], ["mlp"], ["euler", "heun"], [2, 4, 8], 3, "small")
"""What a question offers, and what stands for a flag that is left away."""


def completed(given: Answers) -> Answers:
    """Return answers with the usual ones for what was not said."""
    known = {name: value if value is not None else getattr(USUAL, name) for name, value in vars(given).items()}
    return Answers(**known)


def ask(given: Answers, names: Callable[[str], list[str]]) -> Answers:
    """Ask for what was not said; `names` gives the components of a kind, and a name that is none is asked for again."""
    say("A new suite. Enter takes what stands in brackets; several values are separated by commas.")
    found = dict(vars(given))
    questions = {
        "datasets": ("dataset", "Which data are modelled?"),
        "paths": ("path", "Which paths between noise and data are compared?"),
        "networks": ("network", "Which networks?"),
        "solvers": ("solver", "Which solvers draw the samples?"),
    }
    for name, (kind, question) in questions.items():
        if found[name] is None:
            found[name] = _ask_components(question, getattr(USUAL, name), kind, names(kind))
    if found["nfe"] is None:
        found["nfe"] = _ask(
            "At which numbers of network calls a sample (NFE)?", USUAL.nfe, lambda text: numbers(text, "NFE")
        )
    if found["seeds"] is None:
        found["seeds"] = _ask("How often is each training repeated (seeds)?", [USUAL.seeds], seeds)
    if found["budget"] is None:
        said = ", ".join(f"{name} {steps:,} steps" for name, (steps, _) in BUDGETS.items())
        found["budget"] = _ask(f"How long is each training: {said}?", [USUAL.budget], budget)
    return Answers(**found)


def _ask(question: str, usual: Sequence[Any] | None, read: Callable[[str], Any]) -> Any:
    """Ask until the answer can be read."""
    while True:
        try:
            return read(str(typer.prompt(question, default=", ".join(map(str, usual or ())))))
        except UserError as error:
            say(str(error), "yellow")


def _ask_components(question: str, usual: Sequence[Any], kind: str, known: list[str]) -> list[Any]:
    def read(text: str) -> list[Any]:
        wanted = components([text], kind)
        for each in wanted:
            name = next(iter(each)) if isinstance(each, dict) else str(each)
            if name not in known:
                choices = ", ".join(some(known, SHOWN))
                raise UserError(f"there is no {kind} {name!r}.{did_you_mean(name, known)} There are: {choices}.")
        return wanted

    return list(_ask(question, usual, read))


def components(texts: Sequence[str], kind: str) -> list[Any]:
    """Return components as a suite writes them, names or {name: {parameters}} between commas. Raises UserError."""
    import yaml

    found: list[Any] = []
    for text in texts:
        try:
            read = yaml.safe_load(f"[{text}]")
        except yaml.YAMLError as error:
            raise UserError(f"a {kind} is written NAME or {{NAME: {{parameter: value}}}}; found {text!r}") from error
        found += [each for each in read if each is not None]
    if not found or not all(isinstance(each, str) or (isinstance(each, dict) and len(each) == 1) for each in found):
        raise UserError(f"a {kind} is written NAME or {{NAME: {{parameter: value}}}}; found {', '.join(texts)!r}")
    return found


def numbers(text: str, what: str) -> list[int]:
    """Return whole numbers above 0, separated by commas. Raises UserError."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and 0 < len(part) < 10 and int(part) for part in parts):
        raise UserError(f"{what} is whole numbers above 0, separated by commas, 2,4,8 say; found {text!r}")
    return [int(part) for part in parts]


def seeds(text: str) -> int:
    """Return how many seeds there are. Raises UserError."""
    found = numbers(text, "the number of seeds")
    if len(found) != 1 or found[0] > 1000:
        raise UserError(f"the number of seeds is one number from 1 to 1000, 3 say; found {text!r}")
    return found[0]


def budget(text: str) -> str:
    """Return the name of a budget. Raises UserError."""
    if text not in BUDGETS:
        raise UserError(f"a budget is one of {', '.join(BUDGETS)}; found {text!r}.{did_you_mean(text, BUDGETS)}")
    return text


def suite_text(answers: Answers, name: str, file: str) -> str:
    """Return the suite, with comments and the line by which editors find its schema."""
    steps, samples = BUDGETS[str(answers.budget)]
    paths = list(answers.paths or ())
    question = f"Which is better at NFE {', '.join(map(str, answers.nfe or ()))}: {' or '.join(map(_name, paths))}?"
    return TEMPLATE.format(
        schema=SCHEMA,
        file=file,
        name=name,
        description=_yaml(question if len(paths) > 1 else "What is this suite to answer?"),
        datasets=_yaml(answers.datasets),
        paths=_yaml(paths),
        networks=_yaml(answers.networks),
        seeds=_yaml(list(range(answers.seeds or 1))),
        steps=steps,
        solvers=_yaml(answers.solvers),
        nfe=_yaml(answers.nfe),
        samples=samples,
        baseline=_yaml(paths[0]),
    )


def _name(component: Any) -> str:
    return next(iter(component)) if isinstance(component, dict) else str(component)


def _yaml(value: Any) -> str:
    """Return a value as YAML on one line."""
    import yaml

    text = yaml.safe_dump(value, default_flow_style=True, width=float("inf"), sort_keys=False, allow_unicode=True)
    return str(text).removesuffix("...\n").strip()
