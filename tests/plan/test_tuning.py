"""The section `tune`: evaluations on validation data, by which settings are chosen, and what cannot be chosen."""

from __future__ import annotations

from typing import Any

import pytest
from test_plan import CATALOGUE, keys, plan, training_keys

from fmbench.errors import SuiteError
from fmbench.plan import Plan
from fmbench.plan.reference_cells import References

TUNED = "tune={axes: [optimizer], at: {solver: two, nfe: 4}}"
RATES = "training.optimizer=[{adamw: {lr: 1e-3}}, {adamw: {lr: 3e-3}}]"


@pytest.fixture(autouse=True)
def validation_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """The points of the catalogue have a validation split, and `costs` is a metric of samplers."""
    monkeypatch.setitem(CATALOGUE["dataset"], "points", ({}, {"provides": ("points", "validation")}))
    monkeypatch.setitem(CATALOGUE["metric"], "costs", ({}, {"scope": "sampler"}))
    monkeypatch.setitem(CATALOGUE["metric"], "aimless", ({}, {"better": ""}))


def on_validation(planned: Plan) -> list[Any]:
    return [cell for cell in planned.evaluations if cell.on_validation]


def test_each_training_has_one_evaluation_on_validation_data_and_the_others_stay() -> None:
    plain, tuned = plan("", RATES), plan("", RATES, TUNED)
    found = on_validation(tuned)
    assert [cell.training.key for cell in found] == [cell.key for cell in tuned.trainings]
    assert keys(tuned) - {cell.key for cell in found} == keys(plain)
    assert training_keys(tuned) == training_keys(plain)
    assert {(cell.solver.name, cell.nfe, cell.settings["samples"]) for cell in found} == {("two", 4, 100)}
    assert tuned.tuning is not None
    assert (tuned.tuning.axes, tuned.tuning.metric.spec.name) == (("optimizer",), "distance")
    assert all(str(cell).endswith("split=validation") for cell in found)


def test_one_way_of_sampling_need_not_be_named() -> None:
    one = plan("", RATES, "evaluation.solvers=[one]", "evaluation.nfe=[4]", "tune={axes: [optimizer]}")
    assert len(on_validation(one)) == len(one.trainings)


@pytest.mark.parametrize(("at_step", "chosen"), [("5", {5: None, 9: 5}), ("end", {5: None, 9: None})])
def test_a_step_at_which_a_training_ends_is_its_end(at_step: str, chosen: dict[int, int | None]) -> None:
    at = f"tune={{axes: [steps], at: {{solver: two, nfe: 4, at_step: {at_step}}}}}"
    tuned = plan("", "training.steps=[5, 9]", "evaluation.at_steps=[5, end]", at)
    assert {cell.training.settings["steps"]: cell.at_step for cell in on_validation(tuned)} == chosen
    assert len(on_validation(tuned)) == len(tuned.trainings)


def test_a_metric_of_the_training_chooses_without_samples() -> None:
    tuned = plan("", RATES, "tune={axes: [optimizer], metric: loss, at: {solver: two, nfe: 4}}")
    assert {cell.settings["samples"] for cell in on_validation(tuned)} == {1}


def test_floors_and_oracles_are_those_without_tuning() -> None:
    class Registry:
        def attribute(self, spec: Any, name: str) -> tuple[str, ...]:
            return ("samples_only",)

    plain, tuned = (References(plan("", RATES, *more), Registry()) for more in ((), (TUNED,)))  # type: ignore[arg-type]
    assert [cell.key for cell in tuned.cells] == [cell.key for cell in plain.cells]


def test_filters_that_leave_the_way_of_sampling_out_choose_nothing() -> None:
    assert not on_validation(plan("", RATES, TUNED, filters=("solver=one",)))
    some = plan("", RATES, TUNED, filters=("optimizer=adamw(lr=0.003)",))
    assert len(on_validation(some)) == len(some.trainings) == 8


WRONG = [
    ("tune={axes: [optimizer]}", "tune.at: settings are chosen by one way of sampling, and 4 are left, which differ in "
     "solver (one, two), nfe (2, 4). Name one: at: {solver: one, nfe: 2}, say."),
    ("tune={axes: [optimizer], at: {nfe: 4}}", "tune.at: settings are chosen by one way of sampling, and 2 are left, "
     "which differ in solver (one, two). Name one: at: {solver: one, nfe: 4}, say."),
    ("tune={axes: [steps]}", "tune.axes: steps needs several values of which to take the best; the suite has 10."),
    ("tune={axes: [path]}", "tune.axes: a setting is one of optimizer, schedule, steps, batch_size, ema; found 'path'"),
    ("tune={axes: []}", "tune.axes: the list is empty"),
    ("tune={axes: [optimizer, optimizer]}", "optimizer stands twice in tune.axes. Remove one."),
    ("tune={metric: loss}", "the key 'axes' is missing in tune"),
    ("tune={axes: [optimizer], metric: los}", "tune.metric: no metric of the suite is 'los'. Did you mean 'loss'?"),
    ("tune={axes: [optimizer], metric: costs}", "tune.metric: metric costs is what a sampler costs"),
    ("tune={axes: [optimizer], metric: aimless}", "tune.metric: metric aimless has no direction"),
    ("tune={axes: [optimizer], metric: hungry}", "tune.metric: metric hungry cannot choose: hungry needs 1000 samples"),
    ("tune={axes: [optimizer], at: {path: bent}}", "tune.at.path: this names a way of sampling, by solver, grid, "),
    ("tune={axes: [optimizer], at: {nfe: 3}}", "tune.at: a training has no evaluation at nfe=3."),
    ("tune={axes: [optimizer], att: 3}", "unknown key 'att' in tune. Did you mean 'at'?"),
]  # fmt: skip


@pytest.mark.parametrize(("tune", "message"), WRONG)
def test_what_cannot_be_tuned_is_said(tune: str, message: str) -> None:
    with pytest.raises(SuiteError) as error:
        plan("", RATES, "evaluation.metrics=[distance, loss, costs, aimless, hungry]", tune)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("dataset", "step"),
    [
        ("digits", "write {digits: {validation: 0.2}}, which holds a fifth of its training data out"),
        ("{mnist: {root: here}}", 'write {mnist: {root: "here", validation: 0.2}}, which holds'),
    ],
)
def test_a_dataset_without_validation_data_is_refused_with_what_to_write(dataset: str, step: str) -> None:
    from helpers import SMOKE, built_ins

    from fmbench.plan import make_plan
    from fmbench.suite import read_suite

    changes = [f"datasets=[{dataset}]", RATES, "tune={axes: [optimizer], at: {solver: heun, nfe: 2}}"]
    with pytest.raises(SuiteError) as error:
        make_plan(read_suite(SMOKE, overrides=changes), built_ins())
    assert f"settings are chosen on validation data, of which {dataset[:3].strip('{')}" in str(error.value)
    assert step in str(error.value)
