"""Which weights of a training are evaluated: of which steps, the best, or an average; in keys, reasons and messages."""

from __future__ import annotations

from dataclasses import replace

import pytest
import yaml

from fmbench.cells.cells import named_weights, weights_and_step
from fmbench.cells.snapshots import BEST_POINTS, Kept, points, post_hoc_length, post_hoc_weights
from fmbench.errors import SuiteError, UserError
from fmbench.plan import Plan, make_plan
from fmbench.plugins.registry import Registry
from fmbench.suite import Suite, read_suite

TEXT = """
name: weights
datasets: [moons]
training:
  paths: [linear, cosine]
  networks: [{mlp: {width: 8, depth: 1}}]
  seeds: [0, 1]
  steps: 100
  batch_size: 16
  optimizer: {adam: {lr: 1e-3}}
evaluation: {solvers: [euler, dopri5], nfe: [2, 4], samples: 50, metrics: [sliced_wasserstein]}
"""


def suite_of(**evaluation: object) -> Suite:
    content = yaml.safe_load(TEXT)
    training = {name: evaluation.pop(name) for name in ("post_hoc_ema", "keep_state", "ema") if name in evaluation}
    outer = {name: evaluation.pop(name) for name in ("exclude", "datasets", "models", "baseline") if name in evaluation}
    content["training"] |= training
    content["evaluation"] |= evaluation
    return read_suite(yaml.safe_dump({**content, **outer}), "s.yaml")


def plan_of(registry: Registry, *filters: str, **evaluation: object) -> Plan:
    return make_plan(suite_of(**evaluation), registry, filters)


def reasons(plan: Plan) -> dict[str, str]:
    return {left.cell: left.reason for left in plan.left_out}


def steps_of(plan: Plan) -> set[int | None]:
    return {cell.at_step for cell in plan.evaluations}


def test_the_end_has_the_key_that_it_has_alone(registry: Registry) -> None:
    plain = plan_of(registry)
    for at_steps in (["end"], [100], "end", [30, 100], [30, "end", 100]):
        found = plan_of(registry, at_steps=at_steps)
        keys = [cell.key for cell in found.evaluations if cell.at_step is None]
        assert keys == [cell.key for cell in plain.evaluations]
        assert [cell.key for cell in found.trainings] == [cell.key for cell in plain.trainings]
        assert list(found.evaluations.keys()) == [cell.key for cell in found.evaluations]


def test_each_step_is_a_cell_of_its_own_and_the_training_keeps_it(registry: Registry) -> None:
    plan = plan_of(registry, at_steps=[30, 60, 100])
    assert steps_of(plan) == {30, 60, None}
    assert (
        len({cell.key for cell in plan.evaluations}) == len(plan.evaluations) == 3 * len(plan_of(registry).evaluations)
    )
    assert {cell.kept for cell in plan.trainings} == {Kept((30, 60))}
    cell = next(cell for cell in plan.evaluations if cell.at_step == 30)
    assert cell.parts()["at_step"] == 30
    assert str(cell).endswith("at_step=30")
    assert "at_step" not in replace(cell, at_step=None).parts()


def test_what_is_left_out_is_not_kept(registry: Registry) -> None:
    plan = plan_of(registry, at_steps=[30, 100], exclude=[{"path": "cosine", "at_step": 30}])
    assert {str(cell.path): cell.kept.at_steps for cell in plan.trainings} == {"linear": (30,), "cosine": ()}
    plan = plan_of(registry, "at_step=end", at_steps=[30, "end"])
    assert {cell.kept for cell in plan.trainings} == {Kept()}
    plan = plan_of(registry, "at_step=30", at_steps=[30, "end"])
    assert steps_of(plan) == {30}
    with pytest.raises(UserError, match="at_step=40"):
        plan_of(registry, "at_step=40", at_steps=[30, "end"])
    with pytest.raises(SuiteError, match="at_step"):
        plan_of(registry, at_steps=[30], exclude=[{"at_step": 40}])


def test_a_step_beyond_the_end_is_refused_where_it_is_written() -> None:
    text = TEXT.replace("nfe: [2, 4]", "nfe: [2, 4], at_steps: [50, 500]")
    with pytest.raises(
        SuiteError, match=r"s.yaml:11:68: evaluation.at_steps: a training of 100 steps has no step 500. Take 100"
    ):
        read_suite(text, "s.yaml")
    with pytest.raises(SuiteError, match="a training of 20 steps has no step 60"):
        read_suite(TEXT.replace("nfe: [2, 4]", "nfe: [2, 4], at_steps: [60]"), "s.yaml", ["training.steps=20"])


def test_a_baseline_is_of_no_step() -> None:
    with pytest.raises(SuiteError, match="a baseline names no at_step"):
        suite_of(at_steps=[30, "end"], baseline={"path": "linear", "at_step": 30})


@pytest.mark.parametrize("value", [0, -3, 1.5, True, "start", "30"])
def test_a_value_that_is_no_step_is_refused(value: object) -> None:
    with pytest.raises(SuiteError, match="a step of the training, 1 or more, or end"):
        suite_of(at_steps=[value])


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("averaged", "weights are one of ema, raw, best, or"),
        ("post_hoc_ema", "found post_hoc_ema without its length"),
        ({"post_hoc_ema": 0.1}, "has one parameter, {length: 0.1} say; found 0.1"),
        ({"post_hoc_ema": {"width": 0.1}}, "has one parameter"),
        ({"post_hoc_ema": {"length": 0.5}}, "a number from 0.02 to 0.25, .*; found 0.5"),
        ({"post_hoc_ema": {"length": True}}, "a number from 0.02 to 0.25"),
        ({"ema": {"length": 0.1}}, "weights are one of"),
    ],
)
def test_values_that_are_no_weights_are_refused(value: object, why: str) -> None:
    with pytest.raises(SuiteError, match=why):
        suite_of(weights=["ema", value], post_hoc_ema=True)


def test_averages_made_afterwards_are_an_axis(registry: Registry) -> None:
    weights = ["ema", {"post_hoc_ema": {"length": 0.05}}, {"post_hoc_ema": {"length": 0.1}}]
    suite = suite_of(weights=weights, post_hoc_ema=True)
    assert suite.evaluation.weights == ("ema", "post_hoc_ema(length=0.05)", "post_hoc_ema(length=0.1)")
    assert read_suite(yaml.safe_dump(suite.settings())).evaluation == suite.evaluation
    plan = make_plan(suite, registry)
    assert {cell.kept.post_hoc_ema for cell in plan.trainings} == {True}
    assert {cell.weights for cell in plan.evaluations} == set(suite.evaluation.weights)
    only = make_plan(suite, registry, ["weights=post_hoc_ema(length=0.1)"])
    assert {cell.weights for cell in only.evaluations} == {"post_hoc_ema(length=0.1)"}
    excluded = plan_of(registry, weights=weights, post_hoc_ema=True, exclude=[{"weights": weights[1]}])
    assert {cell.weights for cell in excluded.evaluations} == {"ema", "post_hoc_ema(length=0.1)"}
    assert [cell.key for cell in plan.trainings] == [cell.key for cell in plan_of(registry).trainings]


def test_weights_that_a_training_does_not_have_are_left_out(registry: Registry) -> None:
    average = {"post_hoc_ema": {"length": 0.1}}
    plan = plan_of(registry, weights=["ema", average])
    assert reasons(plan)["weights=post_hoc_ema(length=0.1)"] == (
        "averages that are made afterwards need training.post_hoc_ema: true"
    )
    assert {cell.weights for cell in plan.evaluations} == {"ema"}
    plan = plan_of(registry, weights=["ema", "best", average], at_steps=[30, "end"], post_hoc_ema=True)
    for weights in ("best", "post_hoc_ema(length=0.1)"):
        assert reasons(plan)[f"weights={weights} at_step=30"].startswith("they are made of the whole training")
    assert {(c.weights, c.at_step) for c in plan.evaluations} == {
        ("ema", 30),
        ("ema", None),
        ("best", None),
        ("post_hoc_ema(length=0.1)", None),
    }
    assert {cell.kept for cell in plan.trainings} == {Kept((30,), best=True, post_hoc_ema=True)}


def test_models_that_exist_already_have_no_steps(registry: Registry) -> None:
    plan = plan_of(registry, models=["empirical_oracle"], weights=["ema", "best"], at_steps=[30, "end"])
    found = reasons(plan)
    assert found["at_step=30"] == "a model that exists already is not trained here, so it has no such step"
    assert found["weights=best"] == "a model that exists already has one kind of weights, which stands as ema"
    given = {(c.weights, c.at_step) for c in plan.evaluations if c.training.is_given}
    assert given == {("ema", None)}
    assert {cell.kept for cell in plan.trainings if cell.is_given} == {Kept()}


def test_the_best_need_validation_data(registry: Registry) -> None:
    with pytest.raises(SuiteError, match=r"of which digits has none: write {digits: {validation: 0.2}}"):
        plan_of(registry, datasets=["digits"], weights="best")
    plan_of(registry, datasets=[{"digits": {"validation": 0.1}}], weights="best")
    plan_of(registry, datasets=["digits"], weights="ema")


def test_a_shorter_training_of_a_plan_keeps_its_state(registry: Registry) -> None:
    plan = plan_of(registry)
    assert {cell.kept.state for cell in plan.trainings} == {"auto"}
    for asked in (True, False):
        assert {cell.kept.state for cell in plan_of(registry, keep_state=asked).trainings} == {asked}
    with pytest.raises(SuiteError, match="auto, true or false"):
        plan_of(registry, keep_state="always")


@pytest.mark.parametrize(("steps", "number"), [(1, 20), (7, 20), (20, 20), (100, 20), (1001, 32), (33, 32)])
def test_points_are_spread_evenly_and_end_at_the_last_step(steps: int, number: int) -> None:
    found = points(steps, number)
    assert found[-1] == steps
    assert len(found) == min(steps, number)
    gaps = {after - before for before, after in zip((0, *found), found, strict=False)}
    assert max(gaps) - min(gaps) <= 1
    assert BEST_POINTS <= 20


def test_names_of_weights_can_be_read_again() -> None:
    for weights, step in (("ema", None), ("raw", 5), ("post_hoc_ema(length=0.1)", None), ("best", 1000)):
        assert weights_and_step(named_weights(weights, step)) == (weights, step)
    assert post_hoc_length(post_hoc_weights(0.07)) == 0.07
    assert post_hoc_length("ema") is None
