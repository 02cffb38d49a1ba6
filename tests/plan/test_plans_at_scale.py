"""Plans are walked, not listed: what is made on the way is what looking at every cell gives."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from test_plan import CATALOGUE, SUITE, FakeRegistry
from test_plan import plan as planned

from fmbench.cells.cells import EvaluationCell
from fmbench.cli.plan import evaluation_rows
from fmbench.errors import SuiteError
from fmbench.plan import Plan, make_plan
from fmbench.plan.evaluations import Sampling
from fmbench.plan.reference_cells import OF_SAMPLES, References
from fmbench.results.cell_keys import sampler_key
from fmbench.results.collect import ResultsIndex
from fmbench.results.eta import expected_seconds, likeness, size_of
from fmbench.store.store import Store
from fmbench.suite import AXES, read_suite

VALUES: dict[str, list[Any]] = {
    "dataset": ["points", "pictures"],
    "path": ["straight", "bent", "noisy"],
    "t_distribution": ["uniform", "beta"],
    "objective": ["velocity", "noise"],
    "steps": [10, 20],
    "optimizer": ["adam", "sgd"],
    "seed": [0, 1, 2],
    "solver": ["one", "two", "odd", "free", "picky"],
    "grid": ["uniform", "late"],
    "nfe": [1, 2, 3, 4, 8],
    "guidance": [1.0, 0.0],
    "at_step": [4, 7, "end"],
}
FIXED: dict[str, list[Any]] = {
    "coupling": ["independent"],
    "network": ["net"],
    "schedule": ["constant"],
    "batch_size": [8],
    "ema": [0.5],
    "weights": ["ema"],
}
OPTIMIZERS = {"adam": {"adam": {"lr": 0.1}}, "sgd": {"sgd": {"lr": 0.2}}}

Values = Mapping[str, list[Any]]
Found = tuple[Any, ...]


def some(pick: random.Random, values: list[Any]) -> list[Any]:
    return pick.sample(values, pick.randint(1, min(3, len(values))))


def selection(pick: random.Random, axes: Values) -> dict[str, list[Any]]:
    """Some values of some axes, all of which the suite has."""
    chosen = pick.sample(sorted(set(axes) & set(VALUES)), 2)
    return {axis: some(pick, axes[axis]) for axis in chosen}


def brute_force(axes: Values, include: list[Values], exclude: list[Values], step: tuple[str, str] | None) -> set[Found]:
    """Every combination of values, each looked at by itself."""
    found = set()
    for entry in [{}, *include]:
        values = {**axes, **entry}
        zipped = step if step and not set(step) & set(entry) else None
        for combination in product(*(values[axis] for axis in AXES)):
            cell = dict(zip(AXES, combination, strict=True))
            if zipped and (cell[zipped[0]], cell[zipped[1]]) not in set(
                zip(values[zipped[0]], values[zipped[1]], strict=True)
            ):
                continue
            for fit in fits(cell):
                if not any(all(fit[axis] in wanted for axis, wanted in entry.items()) for entry in exclude):
                    found.add(tuple(fit.values()))
    return found


def fits(cell: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the cell as it is planned; nothing where a rule leaves it out."""
    facts = CATALOGUE["solver"][cell["solver"]][1]
    needs = {axis: CATALOGUE[axis][cell[axis]][1].get("requires", ()) for axis in ("objective", "solver")}
    if any(
        need not in CATALOGUE["path"][cell["path"]][1].get("provides", ()) for each in needs.values() for need in each
    ):
        return
    if cell["guidance"] != 1:
        return  # no labels
    if facts.get("adaptive"):
        yield {**cell, "grid": None, "nfe": None}
        return
    steps, rest = divmod(cell["nfe"] - facts.get("nfe_offset", 0), facts.get("nfe_per_step", 1))
    if steps > 0 and not rest:
        yield cell


def seen(cell: EvaluationCell) -> Found:
    """The cell's values in the order of AXES."""
    specs = {spec.kind: spec.name for spec in (*cell.training.components, cell.solver)}
    grid = cell.grid.name if cell.grid else None
    settings = cell.training.settings
    own = {name: settings[name]["name"] for name in ("optimizer", "schedule")}
    own |= {name: settings[name] for name in ("steps", "batch_size", "ema")}
    own["at_step"] = cell.at_step or "end"
    others = {**own, "seed": cell.training.seed, "grid": grid, "weights": cell.weights}
    found = {**specs, **others, "guidance": cell.guidance, "nfe": cell.nfe}
    return tuple(found[axis] for axis in AXES)


@pytest.mark.parametrize("number", range(40))
def test_a_plan_is_the_brute_force_product_filtered_by_rules(number: int) -> None:
    pick = random.Random(number)
    axes = {axis: some(pick, values) for axis, values in VALUES.items()} | FIXED
    axes["guidance"] = [1.0, *([0.0] if pick.random() < 0.5 else [])]
    equal = [axis for axis in VALUES if len(axes[axis]) == 2]
    step = (equal[0], equal[-1]) if len(equal) > 1 and pick.random() < 0.6 else None
    exclude = [selection(pick, axes) for _ in range(pick.randint(0, 2))]
    include = [{"solver": some(pick, VALUES["solver"]), "nfe": some(pick, VALUES["nfe"])}][: pick.randint(0, 1)]
    if include and pick.random() < 0.5:
        include[0]["path"] = some(pick, VALUES["path"])
    whole = brute_force(axes, include, [], step)
    # one that means no cell is refused
    exclude = [entry for entry in exclude if brute_force(axes, include, [entry], step) < whole]
    wanted = brute_force(axes, include, exclude, step)
    content = {"name": "test", "datasets": axes["dataset"], "training": {}, "evaluation": {"samples": 100}}
    for axis, values in axes.items():
        *section, name = AXES[axis]
        if section:
            content[section[0]][name] = [OPTIMIZERS.get(str(value), value) for value in values]
    content["evaluation"]["metrics"] = ["distance"]
    content |= {"exclude": exclude, "include": include, "zip": [[AXES[a][-1] for a in step]] if step else []}
    suite = read_suite(json.dumps(content))
    if not wanted:
        with pytest.raises(SuiteError, match="no cell"):
            make_plan(suite, FakeRegistry())  # type: ignore[arg-type]
        return
    plan = make_plan(suite, FakeRegistry())  # type: ignore[arg-type]
    found = [seen(cell) for cell in plan.evaluations]
    assert len(found) == len(set(found))
    assert set(found) == wanted
    assert {cell.training.key for cell in plan.evaluations} == {cell.key for cell in plan.trainings}


def test_evaluations_are_a_sequence_that_holds_no_cell() -> None:
    plan = planned("include: [{path: bent, nfe: 8}]\nexclude: [{path: straight, solver: two}]")
    cells = list(plan.evaluations)
    assert len(plan.evaluations) == len(cells) > 10
    assert [plan.evaluations[i] for i in range(-len(cells), len(cells))] == cells + cells
    assert plan.evaluations[3:-2:2] == cells[3:-2:2]
    assert list(plan.evaluations.keys()) == [cell.key for cell in cells]
    assert [cell for training in plan.trainings for cell in plan.evaluations.of(training)] == cells
    assert all(plan.is_evaluated(training) for training in plan.trainings)
    with pytest.raises(IndexError):
        plan.evaluations[len(cells)]


def million() -> Plan:
    more = [f"training.seeds={list(range(250))}", f"evaluation.nfe={list(range(4, 1004, 4))}"]
    return planned("", *more, "evaluation.grids=[uniform, late]", "evaluation.solvers=[one, two]")


def test_a_million_evaluations_are_counted_without_one_being_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> EvaluationCell:
        raise AssertionError("an evaluation was made")

    monkeypatch.setattr(Sampling, "of", refuse)
    plan = million()
    assert len(plan.trainings) == 1000
    assert len({id(samplings) for _, samplings in plan.evaluations.groups}) == 1, "one tuple for all trainings"
    results_index = ResultsIndex(plan, Store(tmp_path), FakeRegistry())  # type: ignore[arg-type]
    assert results_index.counts()["evaluations"] == {"total": 10**6, "done": 0, "failed": 0, "todo": 10**6}
    assert expected_seconds(results_index) is None


@pytest.fixture(scope="module")
def half_done(tmp_path_factory: pytest.TempPathFactory) -> ResultsIndex:
    """A store with some of a plan: trainings that failed, evaluations that lack a metric, failed or are whole."""
    plan, store = planned("", "evaluation.metrics=[distance, loss]"), Store(tmp_path_factory.mktemp("store"))
    entry = {"name": "distance", "values": {"distance": 1.0}, "identity": {}, "seconds": 0.5}
    metrics = {metric.digest: entry for metric in plan.metrics}
    for number, training in enumerate(plan.trainings):
        folder = store.folder("training", training.key)
        if number == 1:
            folder.fail("diverged", "the loss is not finite")
        elif number < 4:
            folder.add_metrics(metrics)
            files = {"weights.safetensors": b"", "history.json": b"[]"}
            for name, payload in files.items():
                folder.write(name, payload)
            folder.finish({"facts": {"seconds": 2.0 + number}}, tuple(files))
    for number, cell in enumerate(plan.evaluations[:14]):
        folder = store.folder("evaluation", cell.key)
        if number % 5 == 0:
            folder.fail("error", "boom")
            continue
        if number % 3:
            folder.add_metrics(metrics)
        folder.finish({"facts": {"seconds": 0.1 * number}}, ())
    return ResultsIndex(plan, store, FakeRegistry())  # type: ignore[arg-type]


def test_counts_are_those_of_looking_at_every_cell(half_done: ResultsIndex) -> None:
    results_index = half_done
    tally = {"done": 0, "failed": 0, "todo": 0}
    for cell in results_index.plan.evaluations:
        state = results_index.evaluation(cell)
        again = results_index.state("evaluation", cell.key, results_index.wanted(cell.training, "evaluation"))
        assert (state.todo, state.status, state.missing_metrics) == (again.todo, again.status, again.missing_metrics)
        lost = results_index.failed(cell.training)
        tally["failed" if lost or (state.failures and not state.todo) else "todo" if state.todo else "done"] += 1
    assert results_index.counts()["evaluations"] == {"total": len(results_index.plan.evaluations), **tally}
    assert min(tally.values()) > 0


def test_the_time_to_expect_is_that_of_looking_at_every_cell(half_done: ResultsIndex) -> None:
    results_index, rates = half_done, dict[Any, list[float]]()
    states = [("training", cell, results_index.trainings[cell.key]) for cell in results_index.plan.trainings]
    states += [("evaluation", cell, results_index.evaluation(cell)) for cell in results_index.plan.evaluations]  # type: ignore[misc]
    for kind, cell, state in states:
        if state.result is not None:
            seconds = state.result["facts"]["seconds"] + sum(entry["seconds"] for entry in state.metrics.values())
            rates.setdefault((kind, likeness(cell)), []).append(seconds / size_of(cell))
    expected = 0.0
    for kind, cell, state in states:
        if state.todo and not (kind == "evaluation" and results_index.failed(cell.training)):  # type: ignore[attr-defined]
            like = rates[kind, likeness(cell)]
            expected += size_of(cell) * sum(like) / len(like)
    assert expected_seconds(results_index) == pytest.approx(expected)


def test_rows_of_json_say_what_the_cells_say(half_done: ResultsIndex) -> None:
    rows = [json.loads(row) for row in evaluation_rows(half_done.plan, half_done)]
    assert rows == [
        {"key": c.key, "training": c.training.key, "cell": str(c), "status": half_done.evaluation(c).status}
        for c in half_done.plan.evaluations
    ]


def test_samplers_are_those_of_looking_at_every_cell(half_done: ResultsIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CATALOGUE["metric"], "cost", ({}, {"scope": "sampler"}))
    plan = planned("", "evaluation.metrics=[distance, cost]", "evaluation.solvers=[one, free]")
    results_index = ResultsIndex(plan, half_done.store, FakeRegistry())  # type: ignore[arg-type]
    assert list(results_index.samplers) == list(dict.fromkeys(map(sampler_key, plan.evaluations)))


@pytest.mark.parametrize(
    "more", ["", "include: [{path: bent, nfe: [4, 16]}]", "exclude: [{t_distribution: uniform, solver: two}]"]
)
def test_oracles_are_those_of_looking_at_every_cell(more: str, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = {"points": ("mixture", "normal_source"), "straight": ("affine", "gaussian"), "bent": ("gaussian",)}
    for kind, name in (("dataset", "points"), ("path", "straight"), ("path", "bent")):
        monkeypatch.setitem(CATALOGUE[kind], name, (CATALOGUE[kind][name][0], {"provides": parts[name]}))
    monkeypatch.setitem(CATALOGUE["coupling"], "independent", ({}, {"provides": ("independent",)}))
    monkeypatch.setitem(CATALOGUE["metric"], "distance", ({}, {"provides": (OF_SAMPLES,)}))
    suite = read_suite(SUITE + more, "suite.yaml", ["training.paths=[straight, bent, noisy]"])
    registry: Any = FakeRegistry()
    plan = make_plan(suite, registry)
    references = References(plan, registry)
    wanted = dict.fromkeys(key for cell in plan.evaluations if (key := references.oracle_key(cell)))
    assert [cell.key for cell in references.oracles] == list(wanted)
    assert len(references.oracles) == len(wanted) > 0
    assert all(references.oracle_key(cell) for cell in plan.evaluations if cell.training.path.name != "noisy")
    assert len(references.floors) == len({(c.dataset, c.seed) for c in plan.trainings})
