"""Settings of trainings as axes: optimizer, schedule, steps, batch_size and ema, each one value or a list."""

from __future__ import annotations

from typing import Any

import pytest
from test_plan import SUITE, cells, keys, plan, training_keys

from fmbench.cells.cells import TrainingCell
from fmbench.errors import SuiteError, UserError
from fmbench.plan import Plan
from fmbench.suite import read_suite, suite_schema

OPTIMIZERS = "training.optimizer=[{adamw: {lr: 1e-3}}, {adamw: {lr: 3e-3}}, {sgd: {lr: 0.1}}]"
STEPS = "training.steps=[10, 20]"


def with_settings(planned: Plan, **wanted: Any) -> set[str]:
    """The keys of the trainings that have these labels on the axes of settings."""

    def labels(cell: TrainingCell) -> dict[str, str]:
        return {spec.kind: str(spec) for spec in cell.varied}

    return {cell.key for cell in planned.trainings if wanted.items() <= labels(cell).items()}


@pytest.mark.parametrize(
    ("one", "listed"),
    [
        ("training.steps=20", "training.steps=[20]"),
        ("training.batch_size=64", "training.batch_size=[64]"),
        ("training.ema=0.9", "training.ema=[0.9]"),
        ("training.ema={decay: 0.9, warmup: false}", "training.ema=[{decay: 0.9, warmup: false}]"),
        ("training.schedule={cosine: {warmup: 2}}", "training.schedule=[{cosine: {warmup: 2}}]"),
        ("training.optimizer={sgd: {lr: 0.1}}", "training.optimizer=[{sgd: {lr: 0.1}}]"),
    ],
)
def test_a_list_of_one_is_the_value(one: str, listed: str) -> None:
    assert keys(plan("", one)) == keys(plan("", listed))
    assert cells(plan("", one)) == cells(plan("", listed)), "nor is it said"
    written = [read_suite(SUITE, overrides=[each]).settings() for each in (one, listed)]
    assert written[0] == written[1]


def test_a_list_is_the_trainings_of_each_of_its_values() -> None:
    both = plan("", STEPS, OPTIMIZERS)
    apart = [plan("", f"training.steps={n}", OPTIMIZERS) for n in (10, 20)]
    assert training_keys(both) == set.union(*map(training_keys, apart))
    assert keys(both) == set.union(*map(keys, apart))
    assert {spec.kind for cell in both.trainings for spec in cell.varied} == {"optimizer", "steps"}
    labels = {str(spec) for cell in both.trainings for spec in cell.varied if spec.kind == "optimizer"}
    assert labels == {"adamw(lr=0.001)", "adamw(lr=0.003)", "sgd(lr=0.1)"}
    assert len({cell.fleet_key for cell in both.trainings}) == 6, "a fleet has one setting"


def test_seeds_of_one_setting_stand_together() -> None:
    rows = [(*map(str, cell.varied), cell.seed) for cell in plan("", STEPS).trainings]
    assert rows[:4] == [("10", 0), ("10", 1), ("20", 0), ("20", 1)]


def test_exclude_include_and_zip_take_settings() -> None:
    whole = plan("", OPTIMIZERS, STEPS)
    without = plan("exclude: [{optimizer: adamw, steps: 20}]", OPTIMIZERS, STEPS)
    gone = set[str]()
    for lr in ("0.001", "0.003"):
        gone |= with_settings(whole, optimizer=f"adamw(lr={lr})", steps="20")
    assert training_keys(without) == training_keys(whole) - gone
    one = plan("exclude: [{optimizer: {adamw: {lr: 0.003}}}]", OPTIMIZERS, STEPS)
    assert training_keys(one) == training_keys(whole) - with_settings(whole, optimizer="adamw(lr=0.003)")
    more = plan("include: [{path: noisy, steps: 40, optimizer: {sgd: {lr: 1}}}]", STEPS)
    apart = plan("", "training.paths=[noisy]", "training.steps=40", "training.optimizer={sgd: {lr: 1}}")
    assert training_keys(more) == training_keys(plan("", STEPS)) | training_keys(apart)
    step = plan("zip: [[steps, batch_size]]", STEPS, "training.batch_size=[64, 32]")
    settings = {(cell.settings["steps"], cell.settings["batch_size"]) for cell in step.trainings}
    assert settings == {(10, 64), (20, 32)}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("steps=20", {"steps": "20"}),
        ("steps=2e1", {"steps": "20"}),
        ("ema=.9", {"ema": "0.9"}),
        ("ema=0.99(warmup=false)", {"ema": "0.99(warmup=false)"}),
        ("optimizer=sgd", {"optimizer": "sgd(lr=0.1)"}),
        ("optimizer=adamw(lr=0.003)", {"optimizer": "adamw(lr=0.003)"}),
        ("optimizer=adamw(lr=3e-3, weight_decay=0.01)", {"optimizer": "adamw(lr=0.003)"}),
    ],
)
def test_filters_take_settings(text: str, wanted: dict[str, str]) -> None:
    changes = (OPTIMIZERS, STEPS, "training.ema=[0.9, {decay: 0.99, warmup: false}]")
    assert training_keys(plan("", *changes, filters=(text,))) == with_settings(plan("", *changes), **wanted)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("steps=30", "no steps of the suite is '30'. The axis holds 10, 20."),
        ("optimizer=adam", "no optimizer of the suite is 'adam'. Did you mean 'adamw'? The axis holds adamw(lr=0.001)"),
        ("lr=1", "there is no axis 'lr'."),
    ],
)
def test_a_setting_that_is_not_there_is_said(text: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        plan("", OPTIMIZERS, STEPS, filters=(text,))
    assert str(error.value).startswith(f"--filter {text}: {message}")


def test_raw_weights_are_left_out_where_there_is_no_average() -> None:
    planned = plan("", "training.ema=[0, 0.9]", "evaluation.weights=[ema, raw]")
    kinds = {(str(*cell.training.varied), cell.weights) for cell in planned.evaluations}
    assert kinds == {("0", "ema"), ("0.9", "ema"), ("0.9", "raw")}
    assert planned.left_out[0].cell == "ema=0 weights=raw"


def test_the_baseline_may_name_a_setting() -> None:
    planned = plan("baseline: {optimizer: {adamw: {lr: 0.001}}, steps: 20}", OPTIMIZERS, STEPS)
    assert planned.suite.baseline_labels() == {"optimizer": {"adamw": {"lr": 0.001}}, "steps": "20"}
    with pytest.raises(SuiteError, match=r"baseline: no steps of the suite is '30'. The axis holds 10, 20"):
        plan("baseline: {steps: 30}", STEPS)


WRONG = [
    (STEPS.replace("20", "10"), "10 stands twice in training.steps. Remove one of them."),
    ("training.optimizer=[{adam: {lr: 1}}, {adam: {lr: 1}}]", "adam(lr=1) stands twice in training.optimizer."),
    ("training.steps=[]", "training.steps: the list is empty; it needs one value or more."),
    ("training.steps=", "training.steps must be a whole number, 1 or more; found nothing (null)."),
    ("training.precision=[float32, bf16]", "a precision is one of auto, float32, bf16; found ['float32', 'bf16']. Of "),
    ("training.compile=[true]", "must be auto, true or false; found [true]. Of the settings of a training, optimizer,"),
    ("training.accumulate=3", "accumulate must divide batch_size; found 3, and batch_size is 128. Take 2, say."),
    ("training.optimizer=[{adam: {lr: 0}}]", "training.optimizer.adam.lr must be a number above 0; found 0."),
]


@pytest.mark.parametrize(("override", "message"), WRONG)
def test_what_is_wrong_with_settings_is_said(override: str, message: str) -> None:
    with pytest.raises(SuiteError) as error:
        plan("", override)
    assert message in str(error.value)


def test_combinations_that_no_training_can_have_are_named_with_those_at_fault() -> None:
    sizes = "training.batch_size=[64, 96, 128]"
    with pytest.raises(SuiteError, match=r"found 64, and batch_size is 96 in some trainings. Take 32, say"):
        plan("", sizes, "training.accumulate=64")
    schedules = "training.schedule=[constant, {cosine: {warmup: 15}}]"
    with pytest.raises(SuiteError) as error:
        plan("", STEPS, schedules)
    said = "training.schedule.cosine.warmup: warmup must end before training does: 15 of 10 steps. Lower it, or raise "
    assert f"{said}steps, or pair each schedule with its steps: zip: [[schedule, steps]]." in str(error.value)
    assert len(plan("zip: [[schedule, steps]]", STEPS, schedules).trainings) == 16
    with pytest.raises(SuiteError, match=r"suite.yaml:15:\d+: include.schedule.cosine.warmup: .* 30 of 10 and of 20"):
        plan("include: [{schedule: {cosine: {warmup: 30}}}]", STEPS)
    with pytest.raises(SuiteError, match=r"suite.yaml:15:\d+: the key 'lr' is missing in include.optimizer.sgd"):
        plan("include: [{optimizer: sgd}]")


def test_the_schema_takes_lists_of_settings_where_suites_do() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft202012Validator(suite_schema())
    suite = read_suite(SUITE, overrides=[STEPS, OPTIMIZERS, "training.ema=[0, {decay: 0.5, warmup: false}]"])
    whole = suite.settings() | {"exclude": [{"optimizer": "sgd", "steps": 20}], "baseline": {"ema": 0}}
    whole |= {"tune": {"axes": ["optimizer", "steps"], "metric": "distance", "at": {"solver": "one", "nfe": 2}}}
    validator.validate(whole)
    assert list(validator.iter_errors(whole | {"tune": {"axes": ["path"]}}))
    for key, value in (("steps", []), ("steps", [0]), ("optimizer", [{"sgd": {}}]), ("precision", ["float32"])):
        wrong = whole | {"training": {**whole["training"], key: value}}
        assert list(validator.iter_errors(wrong)), (key, value)
