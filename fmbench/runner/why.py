"""Why a cell counts as computed or not: the parts of its key, beside those of the nearest cell in the store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fmbench.cells.cells import EvaluationCell, TrainingCell
from fmbench.cells.keys import canonical
from fmbench.errors import DamagedFile, StoreError, UserError, did_you_mean
from fmbench.results.cell_keys import sampler_key
from fmbench.results.cell_state import CellState
from fmbench.results.collect import ResultsIndex
from fmbench.results.precision_and_device import computed_with
from fmbench.results.training_starts import how_it_begins
from fmbench.runner.session import Session
from fmbench.store.store import Store

MOST_COMPARED = 10_000
"""Keys among which the nearest one to a wrong one is looked for."""

ROUNDING = ("threads", "fleet", "batch", "program", "continued", "hardware", "torch")
"""Facts on which the last digits of a result may depend, and no key does."""


def explain_cell(session: Session, prefix: str) -> dict[str, Any]:
    """Return section, key, status, verdict and differences (part, now, stored) of the cell whose key begins so.

    Of a cell that failed, "failures" is what `failures` returns; "passed_over" says what of the store cannot be used.
    For an evaluation, "timed_on" maps the hardware on which its sampler was measured to the folder of the measurement.
    """
    cell = find_cell(session, prefix)
    section = "training" if isinstance(cell, TrainingCell) else "evaluation"
    results_index = session.results_index(anywhere=True)
    state = results_index.trainings[cell.key] if isinstance(cell, TrainingCell) else results_index.evaluation(cell)
    answer: dict[str, Any] = {"section": section, "key": cell.key, "cell": str(cell), "status": state.status}
    answer["passed_over"] = [*results_index.damaged, *results_index.passed_over]
    if isinstance(cell, EvaluationCell):
        answer["timed_on"] = results_index.timed_on(cell)
    if found := failures(results_index, cell):
        verdict = f"a failure is on record; `{session.again('retry')}` tries again"
        return {**answer, "status": found[0]["status"], "failures": found, "verdict": verdict, "differences": []}
    if not state.todo:
        verdict = f"computed{_computed_with(results_index, cell)}, and used as it is"
        facts = (state.result or {}).get("facts", {})
        rounding = {name: facts[name] for name in ROUNDING if name in facts}
        return {**answer, "verdict": verdict, "rounding": rounding, "differences": []}
    begins = how_it_begins(results_index, cell) if isinstance(cell, TrainingCell) else ""
    if state.result is not None:
        lacking = ", ".join(map(str, state.missing_metrics))
        verdict = "computed" + (f", but for these metrics: {lacking}" if lacking else "")
        return {**answer, "verdict": f"{verdict}; {begins}" if begins else verdict, "differences": []}
    answer |= {"begins": begins} if begins else {}
    nearest, differences = nearest_cell(session.store, section, cell.key, cell.parts())
    if nearest is None:
        return {**answer, "verdict": "never computed: the store holds no cell like it", "differences": []}
    return {**answer, "verdict": f"not computed; the nearest stored cell is {nearest}", "differences": differences}


def _computed_with(results_index: ResultsIndex, cell: TrainingCell | EvaluationCell) -> str:
    """Say in which precision and on which kind of device a cell was computed, and its weights where that is another."""
    training = cell if isinstance(cell, TrainingCell) else cell.training
    own = results_index.trainings[cell.key] if isinstance(cell, TrainingCell) else results_index.evaluation(cell)
    facts, trained = ((state.result or {}).get("facts", {}) for state in (own, results_index.trainings[training.key]))
    return computed_with(facts, trained)


def failures(results_index: ResultsIndex, cell: TrainingCell | EvaluationCell) -> list[dict[str, str]]:
    """Return what failed of a cell, of the training that it needs, and of the cost of its sampler.

    Each has section, status, error and traceback, the last "" where none was kept: of a worker that died, say.
    """
    training = cell if isinstance(cell, TrainingCell) else cell.training
    states: dict[str, CellState | None] = {}
    if isinstance(cell, TrainingCell) or results_index.failed(training):
        states["training"] = results_index.trainings[training.key]
    elif isinstance(cell, EvaluationCell):
        sampler = results_index.samplers.get(sampler_key(cell))
        states = {"evaluation": results_index.evaluation(cell), "sampler": sampler}
    return [
        {"section": section, **{name: str(failure.get(name, "")) for name in ("status", "error", "traceback")}}
        for section, state in states.items()
        if state is not None
        for failure in state.failures
    ]


def find_cell(session: Session, prefix: str) -> TrainingCell | EvaluationCell:
    """Return the one cell of the plan whose key begins with `prefix`. Raises UserError."""
    plan = session.plan
    keys = [*(cell.key for cell in plan.trainings), *plan.evaluations.keys()]
    found = [place for place, key in enumerate(keys) if key.startswith(prefix)]
    if len(found) == 1:
        trained = len(plan.trainings)
        return plan.trainings[found[0]] if found[0] < trained else plan.evaluations[found[0] - trained]
    if not found:
        near = did_you_mean(prefix, keys) if len(keys) <= MOST_COMPARED else ""
        raise UserError(
            f"no cell of {session.path} has a key that begins with {prefix!r}.{near} "
            f"Keys stand in records.csv and in what `{session.again('plan')} --json` prints"
        )
    raise UserError(f"{len(found)} cells have keys that begin with {prefix!r}; give more digits")


def nearest_cell(
    store: Store, section: str, key: str, parts: Mapping[str, Any]
) -> tuple[str | None, list[tuple[str, str, str]]]:
    """Return the stored cell that shares the most parts, and the parts in which it differs (part, now, stored)."""
    mine = flatten(parts)
    best: tuple[str | None, list[tuple[str, str, str]]] = (None, [])
    for other in store.keys(section):
        try:
            stored = store.folder(section, other).cell()
        except (DamagedFile, StoreError):
            continue
        if other == key or stored is None:
            continue
        theirs = flatten(stored)
        names = dict.fromkeys([*mine, *theirs])
        differences = [(n, mine.get(n, "-"), theirs.get(n, "-")) for n in names if mine.get(n) != theirs.get(n)]
        if best[0] is None or len(differences) < len(best[1]):
            best = (other, differences)
    return best


def flatten(parts: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return nested parts as `a.b` -> canonical text; labels and owners are left out, since they are in no key."""
    flat: dict[str, str] = {}
    for name, value in parts.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{name}.")
        elif name not in {"label", "owner", "kind"}:
            flat[prefix + name] = canonical(value)
    return flat
