"""What a plan makes of guidance: its needs, the steps that spend an NFE, and the weaker models that it trains."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from fmbench.cells.cells import EvaluationCell, TrainingCell
from fmbench.cells.component_spec import ComponentSpec
from fmbench.cells.keys import digest
from fmbench.components.contracts import Grid, Solver
from fmbench.components.solver_times import solver_times
from fmbench.errors import SuiteError
from fmbench.plan import Plan, make_plan
from fmbench.plugins.registry import Registry
from fmbench.suite import read_suite
from fmbench.testing.dummy_components import CountedField

SUITE = """
name: guided
datasets: [gaussian_mixture]
training:
  paths: [linear]
  networks: [{mlp: {width: 16, depth: 1}}]
  seeds: [0, 1]
  steps: 40
  class_conditional: true
evaluation:
  solvers: [euler]
  guidance: [GUIDANCE]
  nfe: [4, 5, 6]
  samples: 300
  metrics: [sliced_wasserstein]
"""
SMALL = "{network: {mlp: {width: 8, depth: 1}}, steps: 20}"


def plan_of(registry: Registry, guidance: str, change: Callable[[str], str] = lambda text: text) -> Plan:
    return make_plan(read_suite(change(SUITE).replace("GUIDANCE", guidance)), registry)


def without_labels(text: str) -> str:
    return text.replace("class_conditional: true", "class_conditional: false")


def steps_of(plan: Plan) -> dict[tuple[str, str, int | None], int | None]:
    return {(str(cell.solver), str(cell.guidance), cell.nfe): cell.steps for cell in plan.evaluations}


def test_a_number_is_the_short_form_of_classifier_free_guidance(registry: Registry) -> None:
    short, long = (
        plan_of(registry, text) for text in ("1, 3", "{classifier_free: {weight: 1}}, {classifier_free: {weight: 3}}")
    )
    assert list(short.evaluations.keys()) == list(long.evaluations.keys())
    assert {cell.guidance for cell in long.evaluations} == {1.0, 3.0}
    assert short.suite.settings() == long.suite.settings()


def test_a_number_stands_in_keys_as_it_always_did(registry: Registry) -> None:
    for cell in plan_of(registry, "1, 3").evaluations:
        assert cell.grid is not None
        asked = f"{cell.nfe} {cell.steps} {cell.guidance!r} ema"
        sampling = digest(cell.solver.digest, cell.grid.digest, asked, cell.settings.text, cell.code)
        assert cell.key == digest("evaluation", cell.training.key, sampling)
        assert cell.parts()["guidance"] == cell.guidance
        assert "weaker" not in cell.parts()


def test_the_code_of_a_weight_counts_where_it_is_one(registry: Registry) -> None:
    codes = {cell.guidance: cell.code for cell in plan_of(registry, "0, 1, 3").evaluations}
    component = registry.spec("guidance", "classifier_free", {"weight": 3.0})
    assert codes[0.0] == codes[3.0] == digest(codes[1.0], component.fingerprint)


def counted(registry: Registry, cell: EvaluationCell, start: float, end: float) -> int:
    """Return the calls of a cell under guidance in an interval, from the times that its solver asks for."""
    assert cell.grid is not None
    assert cell.steps is not None
    solver, grid = registry.build(cell.solver), registry.build(cell.grid)
    assert isinstance(solver, Solver)
    assert isinstance(grid, Grid)
    field = CountedField(lambda x, t: torch.zeros_like(x))
    solver.integrate(field, torch.zeros(1, 2), solver_times(grid, cell.steps))
    times = torch.cat(field.times)
    return len(times) + int(((times >= start) & (times < end)).sum())


def test_an_interval_costs_two_calls_inside_and_one_outside(registry: Registry) -> None:
    def several(text: str) -> str:
        text = text.replace(
            "[euler]", "[euler, heun, midpoint, rk4, ab2, heun_edm]\n  grids: [uniform, {shift: {s: 3.0}}]"
        )
        return text.replace("[4, 5, 6]", "[1, 2, 3, 4, 5, 7, 8, 11, 16, 29, 64]")

    plan = plan_of(registry, "{interval: {weight: 3, start: 0.25, end: 0.6}}", several)
    assert len({(str(cell.solver), str(cell.grid)) for cell in plan.evaluations}) == 12
    for cell in plan.evaluations:
        assert counted(registry, cell, 0.25, 0.6) == cell.nfe
    places = len({(cell.solver, cell.grid, cell.nfe) for cell in plan.evaluations})
    assert places + len({left.cell for left in plan.left_out}) == 6 * 2 * 11, "what is not met is left out, and said"
    assert all("calls networks" in left.reason for left in plan.left_out)


def test_what_no_number_of_steps_spends_is_left_out_with_the_nearest(registry: Registry) -> None:
    plan = plan_of(registry, "{interval: {weight: 3, start: 0.2, end: 0.8}}")
    assert {nfe: steps for (_, _, nfe), steps in steps_of(plan).items()} == {5: 3}
    left, more = plan.left_out
    assert left.count == 2
    assert left.cell == "solver=euler nfe=4 guidance=interval(weight=3) grid=uniform"
    assert more.reason.endswith("5 times in 3 steps and 7 times in 4, not 6")
    assert left.reason == (
        "euler under guidance interval(weight=3) calls networks 3 times in 2 steps and 5 times in 3, not 4"
    )


def test_steps_that_are_zero_cost_nothing(registry: Registry) -> None:
    plan = plan_of(registry, "{cfg_zero_star: {weight: 3, zero_init: 2}}, {cfg_zero_star: {weight: 3, zero_init: 0}}")
    found = {(label.partition("(")[2], nfe): steps for (_, label, nfe), steps in steps_of(plan).items()}
    assert found == {
        ("weight=3, zero_init=2)", 4): 4,
        ("weight=3, zero_init=2)", 6): 5,
        ("weight=3, zero_init=0)", 4): 2,
        ("weight=3, zero_init=0)", 6): 3,
    }


def test_a_large_budget_is_counted_up_to_a_limit(registry: Registry) -> None:
    plan = plan_of(registry, "1, {interval: {weight: 3}}", lambda text: text.replace("[4, 5, 6]", "[20000]"))
    assert {str(cell.guidance) for cell in plan.evaluations} == {"1.0"}
    assert "counted up to an NFE of 10,000" in plan.left_out[0].reason


def test_guidance_that_makes_as_many_calls_everywhere_costs_a_plan_no_torch(tmp_path: object) -> None:
    guidance = f"1, 3, {{apg: {{weight: 3}}}}, {{autoguidance: {{weight: 2, model: {SMALL}}}}}"
    script = (
        "import sys\nfrom fmbench.plan import make_plan\nfrom fmbench.plugins.registry import load_registry\n"
        f"from fmbench.suite import read_suite\nplan = make_plan(read_suite({SUITE.replace('GUIDANCE', guidance)!r}), "
        "load_registry())\nassert len(plan.evaluations) == 2 * (3 + 3 * 2)\nassert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.parametrize("name", ["interval", "cfg_zero_star", "apg"])
def test_what_asks_for_no_label_needs_labels_that_were_hidden(registry: Registry, name: str) -> None:
    guidance = f"1, {{{name}: {{weight: 3}}}}"
    plan = plan_of(registry, guidance, without_labels)
    assert {str(cell.guidance) for cell in plan.evaluations} == {"1.0"}
    assert plan.left_out[0].reason == f"{name}(weight=3) needs 'labels': set training.class_conditional: true"
    shown = plan_of(
        registry, guidance, lambda text: text.replace("class_conditional", "label_dropout: 0\n  class_conditional")
    )
    assert shown.left_out[0].reason == f"{name}(weight=3) needs 'no_label': set training.label_dropout above 0"


def weaker_of(plan: Plan) -> dict[str, TrainingCell]:
    return {cell.weaker.key: cell.weaker for cell in plan.evaluations if cell.weaker is not None}


@pytest.mark.parametrize("change", [lambda text: text, without_labels], ids=["labels", "none"])
def test_a_weaker_model_is_the_cell_but_for_what_the_guidance_says(
    registry: Registry, change: Callable[[str], str]
) -> None:
    guidance = f"1, {{autoguidance: {{weight: 2, model: {SMALL}}}}}, {{autoguidance: {{weight: 3, model: {SMALL}}}}}"
    plan = plan_of(registry, guidance, change)
    weaker = weaker_of(plan)
    assert len(weaker) == 2, "one a seed, whatever asks for it"
    assert len(plan.trainings) == 4
    for cell in plan.evaluations:
        if cell.weaker is None:
            assert cell.guidance == 1.0
            continue
        assert "network=mlp(width=8, depth=1), steps=20)" in str(cell.guidance)
        assert cell.weaker.network.parameters["width"] == 8
        assert dict(cell.weaker.settings.values) == {**cell.training.settings.values, "steps": 20}
        same = ("dataset", "path", "coupling", "t_distribution", "objective", "seed", "code")
        assert all(getattr(cell.weaker, name) == getattr(cell.training, name) for name in same)
        assert plan.trainings.index(cell.weaker) < plan.trainings.index(cell.training)
        assert not plan.is_evaluated(cell.weaker)
        assert cell.parts()["weaker"] == cell.weaker.key
    assert {cell.key for cell in plan.evaluations} == set(plan.evaluations.keys())
    assert len(set(plan.evaluations.keys())) == len(plan.evaluations)


def test_a_weaker_model_has_the_settings_of_the_cell_that_it_guides(registry: Registry) -> None:
    rates = "training:\n  steps: [20, 40]\n  optimizer: [{adam: {lr: 1e-3}}, {adam: {lr: 1e-2}}]"
    change = lambda text: text.replace("training:", rates).replace("  steps: 40\n", "")  # noqa: E731
    plan = plan_of(registry, "1, {autoguidance: {weight: 2, model: {steps: 20}}}", change)
    assert len(plan.trainings) == 8, "the weaker models are trainings of the suite"
    for cell in (cell for cell in plan.evaluations if cell.weaker is not None):
        assert cell.weaker is not None
        assert cell.weaker.settings["optimizer"] == cell.training.settings["optimizer"]
        assert cell.weaker.settings["steps"] == 20
    labels = {cell.key: [str(spec) for spec in cell.varied] for cell in plan.trainings}
    assert {labels[cell.key][1] for cell in weaker_of(plan).values()} == {"20"}
    assert all(len(said) == 2 for said in labels.values())


def test_settings_of_a_weaker_model_go_together(registry: Registry) -> None:
    warm = lambda text: text.replace("  steps: 40", "  steps: [40, 80]\n  schedule: {cosine: {warmup: 30}}")  # noqa: E731
    with pytest.raises(SuiteError, match=r"the weaker model of guidance .*: warmup must end .*: 30 of 20 steps"):
        plan_of(registry, "{autoguidance: {weight: 2, model: {steps: 20}}}", warm)
    with pytest.raises(SuiteError, match="steps of one training is one value; found a list"):
        plan_of(registry, "{autoguidance: {weight: 2, model: {steps: [20, 30]}}}")


def test_a_weaker_model_counts_in_the_key(registry: Registry) -> None:
    def keys(model: str) -> set[str]:
        return set(plan_of(registry, f"{{autoguidance: {{weight: 2, model: {model}}}}}").evaluations.keys())

    assert keys(SMALL) == keys(SMALL)
    assert not keys(SMALL) & keys("{network: {mlp: {width: 8, depth: 1}}, steps: 21}")
    assert not keys("{steps: 20}") & keys("{steps: 20, batch_size: 64}")


def test_the_code_of_a_weaker_model_counts_in_the_key_although_no_guidance_says_it(registry: Registry) -> None:
    plan = plan_of(registry, f"{{autoguidance: {{weight: 2, model: {SMALL}}}}}")
    cell = next(iter(plan.evaluations))
    assert cell.weaker is not None
    other = replace(cell.weaker, network=replace(cell.weaker.network, fingerprint="edited"))
    assert replace(cell, weaker=other).key != cell.key
    training, (sampling, *_) = plan.evaluations.groups[0]
    assert sampling.of(training).key == cell.key
    assert replace(sampling, weaker=other).digest != sampling.digest


def test_a_weaker_model_that_the_suite_trains_anyway_is_trained_once(registry: Registry) -> None:
    two = "[{mlp: {width: 8, depth: 1}}, {mlp: {width: 16, depth: 1}}]"
    plan = plan_of(
        registry,
        "1, {autoguidance: {weight: 2, model: {network: {mlp: {width: 8, depth: 1}}}}}",
        lambda text: text.replace("[{mlp: {width: 16, depth: 1}}]", two),
    )
    assert len(plan.trainings) == 4
    assert set(weaker_of(plan)) == {cell.key for cell in plan.trainings if cell.network.parameters["width"] == 8}


def test_a_weaker_model_of_a_student_has_a_teacher_of_its_own_kind(registry: Registry) -> None:
    plan = plan_of(
        registry,
        f"{{autoguidance: {{weight: 2, model: {SMALL}}}}}",
        lambda text: text.replace("paths: [linear]", "paths: [linear]\n  couplings: [{reflow: {pairs: 600}}]"),
    )
    for weaker in weaker_of(plan).values():
        assert weaker.teacher is not None
        assert weaker.teacher.network == weaker.network
        assert plan.trainings.index(weaker.teacher) < plan.trainings.index(weaker)


def test_models_that_exist_already_have_no_weaker_one_yet(registry: Registry) -> None:
    suite = """
name: given
datasets: [gaussian_mixture]
models: [empirical_oracle]
evaluation:
  solvers: [euler]
  guidance: [1, {autoguidance: {weight: 2, model: {steps: 20}}}]
  nfe: [4]
  samples: 300
  metrics: [sliced_wasserstein]
"""
    plan = make_plan(read_suite(suite), registry)
    assert {cell.guidance for cell in plan.evaluations} == {1.0}
    assert "needs a model that is trained here" in plan.left_out[0].reason


MISTAKES = {
    "intervall": ("{intervall: {weight: 3}}", "12:14: there is no guidance 'intervall'. Did you mean 'interval'?"),
    "no weight": ("interval", "12:14: guidance 'interval' needs the parameter 'weight' (number)"),
    "ends first": (
        "{interval: {weight: 3, start: 0.8, end: 0.2}}",
        "12:14: guidance interval(weight=3, start=0.8, end",
    ),
    "text": ("{apg: {weight: high}}", "12:21: parameter 'weight' of guidance 'apg' must be number; found \"high\""),
    "no model": ("{autoguidance: {weight: 2}}", "12:14: guidance 'autoguidance' needs the parameter 'model'"),
    "nothing": ("{autoguidance: {weight: 2, model: {}}}", "12:41: the model of guidance autoguidance is written"),
    "data": ("{autoguidance: {weight: 2, model: {dataset: moons}}}", "whose data and path it shares, in coupling, "),
    "path": ("{autoguidance: {weight: 2, model: {path: cosine}}}", "t_distribution, objective, network, steps, batch_"),
    "steps": ("{autoguidance: {weight: 2, model: {steps: 0}}}", "steps must be a whole number, 1 or more; found 0."),
    "network": ("{autoguidance: {weight: 2, model: {network: mlq}}}", "there is no network 'mlq'. Did you mean 'mlp'?"),
}


@pytest.mark.parametrize(("guidance", "words"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_are_said_at_their_place(registry: Registry, guidance: str, words: str) -> None:
    with pytest.raises(SuiteError, match=r"suite\.yaml:12:\d+: ") as caught:
        plan_of(registry, guidance)
    assert words in str(caught.value)


def test_a_weaker_model_whose_components_do_not_go_together_leaves_the_evaluation_out(registry: Registry) -> None:
    plan = plan_of(registry, "1, {autoguidance: {weight: 2, model: {network: dit}}}")
    assert {cell.guidance for cell in plan.evaluations} == {1.0}
    counts = {
        left.reason: left.count for left in plan.left_out if "its weaker model's dit needs 'images'" in left.reason
    }
    assert list(counts.values()) == [4]


def test_guidance_is_chosen_by_number_by_name_and_with_parameters(registry: Registry) -> None:
    suite = read_suite(SUITE.replace("GUIDANCE", "1, 3, {interval: {weight: 3}}, {interval: {weight: 2, start: 0.1}}"))

    def chosen(text: str) -> set[str]:
        return {str(cell.guidance) for cell in make_plan(suite, registry, [text]).evaluations}

    assert chosen("guidance=3") == {"3.0"}
    assert chosen("guidance=1,interval(weight=3)") == {"1.0", "interval(weight=3)"}
    assert chosen("guidance=interval") == {"interval(weight=3)", "interval(weight=2, start=0.1)"}


def test_guidance_is_excluded_by_name(registry: Registry) -> None:
    text = SUITE.replace("GUIDANCE", "1, {interval: {weight: 3}}") + "exclude: [{guidance: interval}]\n"
    plan = make_plan(read_suite(text), registry)
    assert not any(isinstance(cell.guidance, ComponentSpec) for cell in plan.evaluations)
