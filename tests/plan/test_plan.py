"""A plan is a set of cells: what shapes it is stated as equations between sets, and so is what keys depend on."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import built_ins
from torch import Tensor

from fmbench.cells.component_spec import ComponentSpec
from fmbench.components.contracts import CONTRACTS, Grid
from fmbench.errors import ComponentError, SuiteError, UserError
from fmbench.plan import LeftOut, Plan, make_plan
from fmbench.suite import load_suite, read_suite

CATALOGUE: dict[str, dict[str, tuple[dict[str, Any], dict[str, Any]]]] = {
    "dataset": {
        "points": ({}, {"provides": ("points",)}),
        "pictures": ({}, {"provides": ("images", "classes")}),
    },
    "path": {
        "straight": ({}, {"provides": ("affine",)}),
        "bent": ({"by": 0.5}, {"provides": ("affine",)}),
        "noisy": ({}, {}),
    },
    "coupling": {"independent": ({}, {})},
    "t_distribution": {"uniform": ({}, {}), "beta": ({"a": 1.0, "b": 1.0}, {})},
    "objective": {"velocity": ({}, {}), "noise": ({}, {"requires": ("affine",)})},
    "network": {"net": ({"width": 8}, {})},
    "solver": {
        "one": ({}, {}),
        "two": ({}, {"nfe_per_step": 2}),
        "odd": ({}, {"nfe_per_step": 2, "nfe_offset": -1}),
        "free": ({"rtol": 1e-5}, {"adaptive": True}),
        "picky": ({}, {"requires": ("affine",)}),
    },
    "grid": {
        "uniform": ({}, {"distinct_steps": 1000}),
        "late": ({}, {"distinct_steps": 1000}),
        "close": ({"by": 1.0}, {"distinct_steps": 3}),
        "broken": ({}, {}),
    },
    "guidance": {"classifier_free": ({"weight": 1.0}, {"requires": ("labels", "no_label")})},
    "metric": {
        "distance": ({}, {}),
        "loss": ({}, {"scope": "training"}),
        "score": ({"by": 1}, {}),
        "fidelity": ({}, {"requires": ("images",)}),
        "excess": ({}, {"requires": ("affine",), "scope": "training"}),
        "hungry": ({}, {"minimum_samples": 1000}),
    },
}
"""By kind and name: the parameters with their defaults, and the class attributes."""


class Close(Grid):
    """Times that are `by` times 2^-26 apart before the last; floats are 2^-24 apart there."""

    def __init__(self, by: float) -> None:
        self.by = by

    def times(self, steps: int) -> Tensor:
        return torch.cat([torch.arange(steps, dtype=torch.float64) * self.by * 2.0**-24, torch.ones(1)]) / 4 + 3 / 4


class FakeRegistry:
    """The registry's `spec`, `has_defaults`, `build` and `attribute` over CATALOGUE."""

    def spec(self, kind: str, name: str, parameters: Mapping[str, Any] | None = None) -> ComponentSpec:
        if name not in CATALOGUE[kind]:
            raise ComponentError(f"there is no {kind} {name!r}.")
        defaults, _ = CATALOGUE[kind][name]
        for parameter in parameters or {}:
            if parameter not in defaults:
                raise ComponentError(f"{name} has no parameter {parameter!r}.", parameter)
        values = {**defaults, **(parameters or {})}
        changed = ", ".join(f"{k}={v}" for k, v in values.items() if v != defaults[k])
        return ComponentSpec(kind, name, values, f"code of {name}", f"{name}({changed})" if changed else name)

    def has_defaults(self, spec: ComponentSpec) -> bool:
        return dict(spec.parameters) == CATALOGUE[spec.kind][spec.name][0]

    def build(self, spec: ComponentSpec) -> Grid:
        if spec.name == "broken":
            raise ValueError("a grid's own mistake")
        assert spec.name == "close", "the plan imports a grid only where it has to ask it"
        return Close(spec.parameters["by"])

    def attribute(self, spec: ComponentSpec, name: str) -> Any:
        return CATALOGUE[spec.kind][spec.name][1].get(name, getattr(CONTRACTS[spec.kind], name))


SUITE = """
name: test
datasets: [points]
training:
  paths: [straight, bent]
  t_distributions: [uniform, {beta: {a: 0.5}}]
  networks: [net]
  seeds: [0, 1]
  steps: 10
evaluation:
  solvers: [one, two]
  nfe: [2, 4]
  samples: 100
  metrics: [distance, loss]
"""


def plan(more: str = "", *overrides: str, filters: tuple[str, ...] = ()) -> Plan:
    suite = read_suite(SUITE + textwrap.dedent(more), "suite.yaml", overrides)
    return make_plan(suite, FakeRegistry(), filters)  # type: ignore[arg-type]


def cells(planned: Plan) -> set[str]:
    return {str(cell) for cell in planned.evaluations}


def keys(planned: Plan) -> set[str]:
    return {cell.key for cell in planned.evaluations}


def training_keys(planned: Plan) -> set[str]:
    return {cell.key for cell in planned.trainings}


def having(planned: Plan, **wanted: Any) -> set[str]:
    """The keys of the evaluation cells that have these labels or numbers."""
    found = set()
    for cell in planned.evaluations:
        values = {spec.kind: spec.name for spec in (*cell.training.components, cell.solver)}
        values |= {"grid": cell.grid and cell.grid.name, "seed": cell.training.seed}
        values |= {"nfe": cell.nfe, "guidance": cell.guidance}
        if all(values[name] == value for name, value in wanted.items()):
            found.add(cell.key)
    return found


def test_grids_whose_times_are_equal_for_solvers_are_left_out() -> None:
    """Asked where it is not known: here from 4 steps on, or with another parameter."""
    planned = plan("", "evaluation.grids=[uniform, close]", "evaluation.nfe=[2, 4]")
    assert having(planned, grid="close") == having(planned, grid="close", nfe=2) | having(
        planned, grid="close", solver="two"
    )
    (left,) = planned.left_out
    assert (left.cell, left.count, left.unit) == ("grid=close nfe=4", 8, "evaluation")
    assert left.reason.startswith(
        "the times of 4 steps do not increase in float32, in which solvers get them: time 1 is"
    )
    assert not plan("", "evaluation.grids=[{close: {by: 8.0}}]", "evaluation.nfe=[2, 4]").left_out
    near = plan("", "evaluation.grids=[uniform, {close: {by: 0.5}}]", "evaluation.nfe=[2, 4]")
    assert {left.cell for left in near.left_out} == {"grid=close(by=0.5) nfe=2", "grid=close(by=0.5) nfe=4"}


def test_a_grid_that_fails_stays_in_the_plan() -> None:
    """Its cells fail by themselves, with its own words."""
    assert having(plan("", "evaluation.grids=broken"), grid="broken") == keys(plan("", "evaluation.grids=broken"))


def test_the_plan_is_the_product_of_the_axes() -> None:
    planned = plan()
    assert len(planned.trainings) == 2 * 2 * 2
    assert len(planned.evaluations) == len(keys(planned)) == 8 * 2 * 2
    assert not planned.left_out
    labels = [(str(c.path), str(c.t_distribution), c.seed) for c in planned.trainings]
    assert labels == list(product(["straight", "bent"], ["uniform", "beta(a=0.5)"], [0, 1]))


def test_evaluations_are_grouped_by_training_cell_in_order() -> None:
    planned = plan()
    groups = [planned.evaluations_of(cell) for cell in planned.trainings]
    assert [cell for group in groups for cell in group] == list(planned.evaluations)
    assert [(str(c.solver), c.nfe) for c in groups[0]] == [("one", 2), ("one", 4), ("two", 2), ("two", 4)]
    stranger = plan("", "training.steps=11").trainings[0]
    assert planned.evaluations_of(stranger) == []


def test_steps_spend_the_budget_exactly_or_the_cell_is_left_out() -> None:
    planned = plan("", "evaluation.solvers=[one, two, odd]", "evaluation.nfe=[1, 2, 3, 4]")
    assert {(str(c.solver), c.nfe, c.steps) for c in planned.evaluations} == {
        *(("one", n, n) for n in (1, 2, 3, 4)),
        ("two", 2, 1),
        ("two", 4, 2),
        ("odd", 1, 1),
        ("odd", 3, 2),
    }
    assert set(planned.left_out) == {
        LeftOut("solver=two nfe=1", "two calls the network 2 times a step; 1 is not a multiple of it", 8),
        LeftOut("solver=two nfe=3", "two calls the network 2 times a step; 3 is not a multiple of it", 8),
        LeftOut("solver=odd nfe=2", "odd calls the network 2N - 1 times in N steps; 2 is no such number", 8),
        LeftOut("solver=odd nfe=4", "odd calls the network 2N - 1 times in N steps; 4 is no such number", 8),
    }


def test_an_adaptive_solver_is_evaluated_once_a_training_cell_and_guidance() -> None:
    planned = plan("", "evaluation.solvers=[free]", "evaluation.grids=[uniform, late]")
    assert len(planned.evaluations) == len(planned.trainings)
    assert {(c.nfe, c.steps, c.grid) for c in planned.evaluations} == {(None, None, None)}


def test_a_component_whose_needs_are_not_met_is_left_out_with_who_needs_what() -> None:
    planned = plan("", "training.paths=[straight, noisy]", "training.objectives=[velocity, noise]")
    left = LeftOut("path=noisy objective=noise", "noise needs 'affine', which noisy does not provide", 4, "training")
    assert planned.left_out == (left,)
    pairs = {(str(c.path), str(c.objective)) for c in planned.trainings}
    assert pairs == {("straight", "velocity"), ("straight", "noise"), ("noisy", "velocity")}


def test_a_need_that_nothing_in_the_suite_meets_says_so() -> None:
    with pytest.raises(
        SuiteError, match="objective=noise: noise needs 'affine', which no component of the suite"
    ) as error:
        plan("", "training.paths=[noisy]", "training.objectives=[noise]")
    assert error.value.where == "suite.yaml"


def test_a_solver_is_left_out_where_the_training_cell_lacks_what_it_needs() -> None:
    planned = plan("", "training.paths=[straight, noisy]", "evaluation.solvers=[one, picky]")
    assert planned.left_out == (
        LeftOut("path=noisy solver=picky", "picky needs 'affine', which noisy does not provide", 8),
    )
    assert having(planned, solver="picky") == having(planned, solver="picky", path="straight") != set()


def test_a_training_cell_without_evaluations_stays_out_and_is_listed() -> None:
    planned = plan("", "training.paths=[straight, noisy]", "evaluation.solvers=[picky]")
    assert {str(c.path) for c in planned.trainings} == {"straight"}
    words = "dataset=points path=noisy coupling=independent t_distribution=uniform objective=velocity network=net"
    assert LeftOut(words, "no evaluation of it is left", 2, "training") in planned.left_out


def test_guidance_needs_classes() -> None:
    with_classes = ("training.class_conditional=true", "datasets=[points, pictures]")
    plain = plan("", "evaluation.guidance=[1, 2]")
    assert keys(plain) == keys(plan())
    assert plain.left_out == (
        LeftOut("guidance=2", "guidance other than 1 needs training.class_conditional: true", 32),
    )
    conditional = plan("", "evaluation.guidance=[1, 2]", *with_classes)
    assert {str(c.dataset) for c in conditional.trainings} == {"pictures"}
    plainly = {(c.training.key, c.solver, c.grid, c.nfe): c for c in conditional.evaluations if c.guidance == 1}
    guided = {(c.training.key, c.solver, c.grid, c.nfe): c for c in conditional.evaluations if c.guidance == 2}
    assert len(plainly) == 32
    assert guided.keys() < plainly.keys()
    for place, cell in guided.items():
        steps = plainly[place].steps
        assert cell.steps == (None if steps is None else steps // 2), "guidance calls the network twice a step"
    gone = [left for left in conditional.left_out if "under guidance 2" in left.reason]
    assert sum(left.count for left in gone) == len(plainly) - len(guided) == 8
    assert "dataset=points" in [left.cell for left in conditional.left_out]


def test_metrics_apply_where_their_needs_are_met_and_there_are_samples_enough() -> None:
    overrides = (
        "evaluation.metrics=[loss, fidelity, distance, hungry, excess]",
        "datasets=[points, pictures]",
        "training.paths=[noisy, straight]",
    )
    planned = plan("", *overrides)
    assert [str(m) for m in planned.metrics] == ["loss", "fidelity", "distance", "excess"]

    def named(cell: Any, scope: Any) -> list[str]:
        return [str(m) for m in planned.metrics_for(cell, scope)]

    points, pictures = {str(c.dataset): c.dataset for c in planned.trainings}.values()
    assert named(points, "evaluation") == ["distance"]
    assert named(pictures, "evaluation") == ["fidelity", "distance"]
    assert named(points, "training") == ["loss", "excess"]
    assert named(points, "sampler") == []
    by_path = {str(c.path): c for c in planned.trainings}
    assert named(by_path["noisy"], "training") == ["loss"]
    assert named(by_path["straight"], "training") == ["loss", "excess"]
    assert set(planned.left_out) == {
        LeftOut("metric=hungry", "hungry needs 1000 samples or more; evaluation.samples is 100", 16, "metric"),
        LeftOut(
            "dataset=points metric=fidelity", "fidelity needs 'images', which points does not provide", 8, "metric"
        ),
        LeftOut("path=noisy metric=excess", "excess needs 'affine', which noisy does not provide", 8, "metric"),
    }


def test_a_suite_of_which_no_metric_applies_is_refused() -> None:
    with pytest.raises(SuiteError, match=r"no metric of the suite applies .* hungry needs 1000 samples") as error:
        plan("", "evaluation.metrics=[hungry]")
    assert error.value.where == "--set evaluation.metrics=[hungry]"


@pytest.mark.parametrize(
    ("entry", "wanted"),
    [
        ("{path: bent}", {"path": "bent"}),
        ("{t_distribution: beta}", {"t_distribution": "beta"}),
        ("{t_distribution: {beta: {a: 0.5}}}", {"t_distribution": "beta"}),
        ("{solver: two, nfe: 2}", {"solver": "two", "nfe": 2}),
        ("{path: bent, seed: 1, nfe: 4}", {"path": "bent", "seed": 1, "nfe": 4}),
        ("{guidance: 1, path: straight}", {"path": "straight"}),
    ],
)
def test_exclude_takes_the_matching_cells_away_and_no_others(entry: str, wanted: dict[str, Any]) -> None:
    whole, planned = plan(), plan(f"exclude: [{entry}]")
    assert keys(planned) == keys(whole) - having(whole, **wanted)
    left = planned.left_out[0]
    assert left.reason == "excluded by the suite (suite.yaml:15)"
    gone = len(whole.trainings) - len(planned.trainings) if left.unit == "training" else len(having(whole, **wanted))
    assert left.count == gone > 0


def test_a_list_in_an_exclusion_means_any_of_it() -> None:
    whole = plan("", "evaluation.nfe=[2, 4, 8]")
    both = plan("exclude: [{nfe: [2, 8], path: bent}]", "evaluation.nfe=[2, 4, 8]")
    assert keys(both) == keys(whole) - having(whole, nfe=2, path="bent") - having(whole, nfe=8, path="bent")


def test_include_adds_a_product_with_the_other_axes_of_the_suite() -> None:
    whole, planned = plan(), plan("include: [{path: noisy, nfe: [4, 16]}]")
    replaced = plan("", "training.paths=[noisy]", "evaluation.nfe=[4, 16]")
    assert keys(planned) == keys(whole) | keys(replaced)
    assert training_keys(planned) == training_keys(whole) | training_keys(replaced)


def test_an_inclusion_of_what_is_there_changes_nothing() -> None:
    assert plan("include: [{path: bent, solver: one}]").evaluations == plan().evaluations


def test_an_inclusion_of_an_evaluation_trains_nothing_and_stands_with_its_training_cell() -> None:
    whole, planned = plan(), plan("include: [{solver: one, nfe: 64}]")
    assert planned.trainings == whole.trainings
    assert having(planned, nfe=64) == keys(planned) - keys(whole)
    assert [c for t in planned.trainings for c in planned.evaluations_of(t)] == list(planned.evaluations)


def test_exclude_holds_for_included_cells_too() -> None:
    included = plan("include: [{nfe: 64}]")
    planned = plan("include: [{nfe: 64}]\nexclude: [{path: bent, nfe: 64}]")
    assert keys(planned) == keys(included) - having(included, path="bent", nfe=64)


def test_zipped_axes_run_in_step() -> None:
    planned = plan("zip: [[paths, t_distributions]]")
    assert keys(planned) == having(plan(), path="straight", t_distribution="uniform") | having(
        plan(), path="bent", t_distribution="beta"
    )


def test_axes_of_training_and_evaluation_may_run_in_step() -> None:
    planned = plan("zip: [[paths, solvers]]")
    assert keys(planned) == having(plan(), path="straight", solver="one") | having(plan(), path="bent", solver="two")


def test_an_included_axis_no_longer_runs_in_step() -> None:
    planned = plan("zip: [[paths, t_distributions]]\ninclude: [{path: noisy}]")
    zipped = plan("zip: [[paths, t_distributions]]")
    assert keys(planned) == keys(zipped) | keys(plan("", "training.paths=[noisy]"))


def test_values_that_are_the_same_after_defaults_are_planned_once() -> None:
    planned = plan("", "training.paths=[bent, {bent: {by: 0.5}}]")
    assert keys(planned) == having(plan(), path="bent")


@pytest.mark.parametrize(
    ("filters", "wanted"),
    [
        (("path=straight",), [{"path": "straight"}]),
        (("nfe=2,4",), [{}]),
        (("nfe=2", "seed=1"), [{"nfe": 2, "seed": 1}]),
        (("t_distribution=beta",), [{"t_distribution": "beta"}]),
        (("t_distribution=beta(a=0.5)",), [{"t_distribution": "beta"}]),
        (("t_distribution=beta(a=0.5, b=1),uniform",), [{}]),
        (("solver=two,one", "solver=one"), [{"solver": "one"}]),
        (("guidance=1.0",), [{}]),
    ],
)
def test_filters_keep_the_matching_cells_and_list_nothing(
    filters: tuple[str, ...], wanted: list[dict[str, Any]]
) -> None:
    whole, planned = plan(), plan(filters=filters)
    assert keys(planned) == set().union(*(having(whole, **each) for each in wanted))
    assert not planned.left_out
    assert training_keys(planned) == {c.training.key for c in planned.evaluations}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path=strait", "no path of the suite is 'strait'. Did you mean 'straight'? The axis holds straight, bent."),
        ("nfe=3", "no nfe of the suite is '3'. The axis holds 2, 4."),
        ("nfe=few", "no nfe of the suite is 'few'. The axis holds 2, 4."),
        ("t_distribution=beta(a=2)", "no t_distribution of the suite is 'beta(a=2)'."),
        ("t_distribution=beta(a=", "no t_distribution of the suite is 'beta(a='."),
        ("paths=bent", "there is no axis 'paths'. Did you mean 'path'?"),
        ("path", "a filter is written AXIS=VALUE"),
    ],
)
def test_a_filter_that_matches_nothing_names_the_choices(text: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        plan(filters=(text,))
    assert str(error.value).startswith(f"--filter {text}: {message}")


def test_filters_that_match_only_what_is_left_out_say_why() -> None:
    with pytest.raises(UserError, match=r"no cell of the suite matches .* two calls the network 2 times a step"):
        plan("", "evaluation.nfe=[1, 2]", filters=("solver=two", "nfe=1"))


def test_the_baseline_matches_a_cell_whatever_the_filters() -> None:
    planned = plan("baseline: {path: straight, t_distribution: uniform}", filters=("path=bent",))
    assert planned.suite.baseline_labels() == {"path": "straight", "t_distribution": "uniform"}


@pytest.mark.parametrize(
    ("more", "overrides", "message"),
    [
        ("exclude: [{path: bend}]", (), "15:18: exclude: no path of the suite is 'bend'. Did you mean 'bent'?"),
        ("exclude:\n  - {nfe: [2, 3]}", (), "16:15: exclude: no nfe of the suite is '3'. The axis holds 2, 4."),
        (
            "zip: [[paths, seeds]]\nexclude: [{path: bent, seed: 0}]",
            (),
            "16:11: exclude: no cell has path=bent seed=0 together.",
        ),
        ("baseline: {path: wavy}", (), "15:18: baseline: no path of the suite is 'wavy'."),
        ("exclude: [{path: bent}]\nbaseline: {path: bent}", (), "16:11: baseline: no training cell that is left has"),
        ("", ("training.paths=[strait]",), "--set training.paths=[strait]: there is no path 'strait'."),
        ("include: [{path: {bent: {bi: 1}}}]", (), "15:26: bent has no parameter 'bi'."),
    ],
)
def test_what_matches_nothing_is_refused_at_its_place(more: str, overrides: tuple[str, ...], message: str) -> None:
    with pytest.raises(SuiteError) as error:
        plan(more, *overrides)
    assert str(error.value).removeprefix("suite.yaml:").startswith(message)


def test_two_metrics_of_one_name_are_refused() -> None:
    with pytest.raises(SuiteError, match=r"score and score\(by=2\) have one name, score, under which") as error:
        plan("", "evaluation.metrics=[score, {score: {by: 2}}]")
    assert "fmbench.Preset" in str(error.value)


def test_all_components_that_are_refused_are_named_at_once() -> None:
    with pytest.raises(SuiteError) as error:
        plan("include: [{path: crooked}]", "evaluation.metrics=[loss, beauty]")
    first, second = str(error.value).splitlines()
    assert first == "suite.yaml:15:18: there is no path 'crooked'."
    assert second == "--set evaluation.metrics=[loss, beauty]: there is no metric 'beauty'."


def test_excluding_everything_is_refused_with_the_reason() -> None:
    with pytest.raises(SuiteError, match=r"no cell is left to run. Left out: path=straight,bent: excluded by"):
        plan("exclude: [{path: [straight, bent]}]")


def test_excluding_what_a_rule_leaves_out_is_no_mistake() -> None:
    planned = plan("exclude: [{solver: two, nfe: 1}]", "evaluation.nfe=[1, 2]")
    assert [left.reason for left in planned.left_out] == ["excluded by the suite (suite.yaml:15)"]


@pytest.mark.parametrize(
    "overrides",
    [
        ("description=other",),
        ("name=other",),
        ("evaluation.metrics=[loss]",),
        ("evaluation.batch_size=7", "evaluation.keep_samples=7"),
        ("training.label_dropout=0.5",),
        ("training.optimizer={adamw: {lr: 0.001, weight_decay: 0.01}}",),
        ("training.ema=0.999",),
        ("training.ema={decay: 0.999, warmup: true}",),
        ("training.paths=[straight, {bent: {by: 0.5}}]",),
    ],
)
def test_what_cannot_change_a_result_changes_no_key(overrides: tuple[str, ...]) -> None:
    assert keys(plan("", *overrides)) == keys(plan())


@pytest.mark.parametrize(
    "override",
    [
        "training.optimizer.adamw.lr=0.01",
        "training.steps=11",
        "training.batch_size=7",
        "training.schedule=cosine",
        "training.gradient_clip=1",
        "training.ema=0.9",
        "training.ema.warmup=false",
        "training.precision=float32",
        "training.networks=[{net: {width: 9}}]",
        "training.seeds=[2, 3]",
    ],
)
def test_what_can_change_a_training_changes_every_key(override: str) -> None:
    changed = plan("", override)
    assert not training_keys(changed) & training_keys(plan())
    assert not keys(changed) & keys(plan())


def test_what_changes_evaluations_leaves_the_training_keys() -> None:
    changed = plan("", "evaluation.samples=101")
    assert training_keys(changed) == training_keys(plan())
    assert not keys(changed) & keys(plan())


@pytest.mark.parametrize(
    "override",
    [
        "evaluation.nfe=[2, 4, 8]",
        "evaluation.solvers=[odd, two, one, free]",
        "training.seeds=[1, 0, 2]",
        "training.paths=[noisy, bent, straight]",
    ],
)
def test_a_longer_axis_keeps_all_other_keys(override: str) -> None:
    assert keys(plan("", override)) > keys(plan())


def test_the_order_of_keys_and_values_in_the_file_does_not_matter() -> None:
    shuffled = """
        evaluation: {metrics: [loss, distance], samples: 100, nfe: [4, 2], solvers: [two, one]}
        training:
          steps: 10
          seeds: [1, 0]
          networks: net
          t_distributions: [{beta: {b: 1.0, a: 0.5}}, uniform]
          paths: [bent, straight]
        datasets: points
        name: test
    """
    suite = read_suite(textwrap.dedent(shuffled))
    assert keys(make_plan(suite, FakeRegistry())) == keys(plan())  # type: ignore[arg-type]


def test_settings_are_plain_and_complete() -> None:
    (cell, *_) = plan("", "training.optimizer={sgd: {lr: 1}}", "training.schedule={cosine: {warmup: 2}}").trainings
    assert cell.settings.values == {
        "steps": 10,
        "batch_size": 128,
        "optimizer": {"name": "sgd", "lr": 1.0, "momentum": 0.0, "nesterov": False, "weight_decay": 0.0},
        "schedule": {"name": "cosine", "warmup": 2, "final": 0.0},
        "gradient_clip": None,
        "ema": 0.999,
        "precision": "auto",
        "class_conditional": False,
        "label_dropout": 0.0,
    }


def test_parts_of_a_batch_count_only_where_there_are_several() -> None:
    whole, one, two = (plan("", *each) for each in ([], ["training.accumulate=1"], ["training.accumulate=2"]))
    assert keys(whole) == keys(one)
    assert not keys(whole) & keys(two)
    assert two.trainings[0].settings["accumulate"] == 2


def test_whether_to_compile_is_in_no_key() -> None:
    usual, never = plan(), plan("", "training.compile=false")
    assert keys(usual) == keys(never)
    assert {cell.compile for cell in usual.trainings} == {"auto"}
    assert {cell.compile for cell in never.trainings} == {False}


def test_a_hundred_thousand_evaluations_have_as_many_keys() -> None:
    planned = plan(
        "",
        f"training.seeds={list(range(500))}",
        "evaluation.solvers=[one, two, odd, free]",
        f"evaluation.nfe={list(range(1, 26))}",
    )
    a_training = 25 + 12 + 13 + 1
    assert len(planned.trainings) == 4 * 500
    assert len(planned.evaluations) == len(keys(planned)) == 4 * 500 * a_training > 100_000


SUITES = sorted((Path(__file__).parents[2] / "suites").glob("*.yaml"))


@pytest.mark.parametrize("file", SUITES, ids=[file.stem for file in SUITES])
def test_every_suite_that_ships_is_planned(file: Path) -> None:
    suite = load_suite(file)
    planned = make_plan(suite, built_ins())
    assert suite.name == file.stem
    assert [metric.name for metric in planned.metrics] == [metric.name for metric in suite.evaluation.metrics]
    if file.stem != "nightly":  # pictures and points in one suite: each has networks and metrics of its own
        assert {left.unit for left in planned.left_out} <= {"evaluation"}


def test_the_registry_names_the_parameter_at_fault() -> None:
    wrong = "training.paths=[linear, {lipman: {sigma: 1}}]"
    suite = read_suite(SUITE, "s.yaml", ["datasets=[moons]", wrong])
    with pytest.raises(SuiteError) as error:
        make_plan(suite, built_ins())
    assert f"--set {wrong}: " in str(error.value)
    assert "sigma_min" in str(error.value)


def test_weights_are_an_axis_of_evaluation() -> None:
    both = plan("", "evaluation.weights=[ema, raw]")
    assert training_keys(both) == training_keys(plan())
    assert keys(plan()) == {cell.key for cell in both.evaluations if cell.weights == "ema"}
    assert len(both.evaluations) == 2 * len(plan().evaluations)
    assert {c.weights for c in plan("", "evaluation.weights=[ema, raw]", filters=("weights=raw",)).evaluations} == {
        "raw"
    }


def test_without_an_average_the_raw_weights_are_left_out() -> None:
    planned = plan("", "evaluation.weights=[ema, raw]", "training.ema=0")
    assert {cell.weights for cell in planned.evaluations} == {"ema"}
    assert [(left.cell, left.count) for left in planned.left_out] == [("weights=raw", 32)]
    assert {cell.weights for cell in plan("", "evaluation.weights=raw", "training.ema=0").evaluations} == {"raw"}


def test_other_weights_are_refused_by_name() -> None:
    with pytest.raises(SuiteError, match=r"weights are one of ema, raw, best, or .*; found 'averaged'"):
        plan("", "evaluation.weights=averaged")
