"""The verb plan."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from fmbench.cli import options
from fmbench.cli.output import say, show_json_rows, show_table, tell_damaged
from fmbench.io.printable_text import count

if TYPE_CHECKING:
    from fmbench.plan import LeftOut, Plan
    from fmbench.results.collect import ResultsIndex

SHOWN = 30
"""Reasons for leaving cells out that `plan` prints; of a suite with many NFE there are hundreds."""


def plan(
    suite: options.Suite,
    overrides: options.Overrides = None,
    filters: options.Filters = None,
    plugins: options.Plugins = None,
    home: options.Home = None,
    device: options.Device = "auto",
    quick: options.Quick = False,
    as_json: options.Json = False,
) -> None:
    """Show the cells of a suite, what is done, what is left out and why, and the time to expect; run nothing."""
    from fmbench.results.eta import expected_seconds
    from fmbench.results.training_starts import trainings_in_short

    session = options.open_session(suite, overrides, filters, plugins, home=home, device=device, quick=quick)
    results_index = session.results_index(anywhere=True)
    counts, expected = results_index.counts(), expected_seconds(results_index)
    if as_json:
        left_out = [vars(left) for left in session.plan.left_out]
        data = [{"dataset": label, "reads": text} for label, text in session.data.items()]
        head = {"counts": counts, "expected_seconds": expected, "data": data, "left_out": left_out}
        show_json_rows(head, "cells", evaluation_rows(session.plan, results_index))
        return
    units = {cell.unit for cell in session.plan.trainings}
    called = {"trainings": " and ".join(f"{unit}s" for unit in ("training", "model") if unit in units) or "trainings"}
    rows = [(called.get(name, name), n["total"], n["done"], n["failed"], n["todo"]) for name, n in counts.items()]
    show_table(("", "cells", "done", "failed", "to compute"), rows, title=f"{session.suite.name}: {session.suite.path}")
    for label, text in session.data.items():
        say(f"{label}: {text}")
    if only := sum(not session.plan.is_evaluated(cell) for cell in session.plan.trainings):
        say(
            f"{only} of the trainings are teachers that couplings learn from, or weaker models that guide others: "
            "trained first, and not evaluated."
        )
    if (tuning := session.plan.tuning) is not None:
        chosen = sum(cell.on_validation for cell in session.plan.evaluations)
        axes, metric = " and ".join(tuning.axes), tuning.metric.spec
        if chosen:
            say(f"{chosen} of the evaluations are on validation data: by their {metric} the best {axes} is chosen.")
        else:
            say(f"No evaluation on validation data is left, by whose {metric} the best {axes} would be chosen.")
    if references := _references(results_index):
        say(f"Beside them: {references}.")
    if session.suite.trains:
        say(f"Average of the weights: {session.suite.averages}.")
    for text in trainings_in_short(results_index):
        say(text)
    tell_damaged(results_index)
    _tell_left_out(session.plan.left_out)
    if expected is None:
        say("Expected time: not known, since nothing like these cells was computed here before.")
    else:
        say(f"Expected time: about {expected:.0f} s of computing, shared by the jobs; from what like cells took.")


def evaluation_rows(plan: Plan, results_index: ResultsIndex) -> Iterator[str]:
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
            known = results_index.evaluations.get(key)
            status = missing if known is None else f', "status": {json.dumps(known.status)}}}'
            yield f'{{"key": "{key}{middle}{text}{status}'


def _tell_left_out(left_out: Sequence[LeftOut]) -> None:
    """Print what is left out and why."""
    for left in left_out[:SHOWN]:
        counted = count(left.count, "metric" if left.unit == "metric" else f"{left.unit} cell")
        say(f"left out: {left.cell} ({counted}): {left.reason}", "yellow")
    if rest := left_out[SHOWN:]:
        counts = Counter[str]()
        for left in rest:
            counts[left.unit] += left.count
        said = " and ".join(count(number, f"{unit} cell") for unit, number in counts.items())
        say(f"left out: {said} more, for {len(rest)} reasons like these (--json lists them all)", "yellow")


def _references(results_index: ResultsIndex) -> str:
    """Say what scores will be read against."""
    floors, oracles = len(results_index.references.floors), len(results_index.references.oracles)
    said = [f"{count(floors, 'floor')} (real data in place of samples)"] if floors else []
    said += [f"{count(oracles, 'oracle')} (the exact velocity in place of a network)"] if oracles else []
    return " and ".join(said)
