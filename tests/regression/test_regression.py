"""The regression check: what it calls worse, what it refuses to compare, and how seldom it is wrong."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from benchmarks import simulate_nights
from helpers import built_ins, evaluation_cell, training_cell
from scipy import special, stats

from fmbench.cells.setting_axes import SETTING_AXES
from fmbench.errors import UserError
from fmbench.regression import (
    CellValues,
    Outcome,
    Snapshot,
    changed_values,
    check,
    first_lines,
    junit,
    read_baseline,
    snapshot,
    write_baseline,
)
from fmbench.results import snapshot_file
from fmbench.results.records import TRAINING_AXES, EvaluationRecord, MetricFacts, Records, TrainingRecord
from fmbench.results.snapshot import AXES, CellGroup
from fmbench.stats import multiple_testing, variance
from fmbench.stats.variance import Noise

FID = MetricFacts("fid", "lower", "", "evaluation", "fid")
RECALL = MetricFacts("recall", "higher", "", "evaluation", "recall")
LOSS = MetricFacts("validation_loss", "lower", "", "training", "validation_loss")
PARAMETERS = MetricFacts("parameters", "lower", "", "training", "parameters")
SECONDS = MetricFacts("train_seconds", "lower", "s", "training", "train_seconds")
MS = MetricFacts("sample_ms", "lower", "ms/sample", "sampler", "sample_ms")
RELATIVE = MetricFacts("sample_ms_relative", "", "ms/sample", "sampler", "sample_ms")
SPREAD = MetricFacts("sample_ms_relative_iqr", "", "ms/sample", "sampler", "sample_ms")
FACTS = {facts.name: facts for facts in (FID, RECALL, LOSS, PARAMETERS, SECONDS, MS, RELATIVE, SPREAD)}
ONE_SETTING = ("",) * len(SETTING_AXES)
"""The labels of settings that have one value."""
Change = Callable[[Mapping[str, str], int, str, float], float]


def night(
    luck: int = 0,
    change: Change = lambda axes, seed, metric, value: value,
    *,
    seeds: tuple[int, ...] = (0, 1, 2),
    metrics: Mapping[str, MetricFacts] = FACTS,
    version: int = 1,
    steps: int = 100,
    hardware: str = "a processor",
    suite: str = "nightly",
    spread: float = 0.03,
) -> Snapshot:
    """A night of two paths, two t-distributions, three solvers and two NFE; nights of one `luck` are the same."""
    random = np.random.default_rng(luck)
    sections: dict[str, dict[tuple[CellGroup, int], CellValues]] = {"training": {}, "evaluation": {}}

    def add(section: str, group: CellGroup, seed: int, values: Mapping[str, float]) -> None:
        axes = dict(zip(AXES[section], group, strict=True))
        kept = {name: change(axes, seed, name, value) for name, value in values.items() if name in metrics}
        identities = {name: {"metric": name, "version": version} for name in kept}
        sections[section][group, seed] = CellValues("ok", values=kept, identities=identities)

    for path in ("linear", "cosine"):
        for t_distribution in ("uniform", "beta"):
            training = ("moons", path, "independent", t_distribution, "velocity", "mlp", *ONE_SETTING)
            for seed in seeds:
                own = random.normal(0, spread)
                values = {"validation_loss": 0.5 * math.exp(own / 10), "parameters": 1000.0, "train_seconds": 3.0}
                add("training", training, seed, values)
                for calls, solver in enumerate(("euler", "heun", "rk4"), 1):
                    for nfe in (4, 8):
                        noise = math.exp(own + random.normal(0, spread / 2))
                        ms = nfe * (1 + calls / 10)
                        times = {"sample_ms": ms, "sample_ms_relative": ms, "sample_ms_relative_iqr": ms / 30}
                        scores = {"fid": 10 / nfe * noise, "recall": 0.8 / noise}
                        add(
                            "evaluation",
                            (*training, solver, "uniform", "ema", "1", str(nfe)),
                            seed,
                            {**scores, **times},
                        )
    made = {
        "environment": {"hardware": hardware, "torch": "2.0"},
        "command": "fmbench run nightly.yaml",
        "date": "today",
    }
    settings = {"training": {"steps": steps}, "evaluation": {"samples": 500}}
    return Snapshot(suite, metrics, sections["training"], sections["evaluation"], settings, {}, made)


def worse_where(axis: str, label: str, metric: str, factor: float) -> Change:
    return lambda axes, seed, name, value: value * factor if (axes.get(axis), name) == (label, metric) else value


def verdicts(outcome: Outcome) -> set[str]:
    return {comparison.verdict for comparison in outcome.comparisons}


# What is compared


def test_a_night_that_repeats_the_baseline_is_the_same_bit_for_bit() -> None:
    outcome = check(night(), night())
    assert outcome.exit_code == 0
    assert verdicts(outcome) == {"same"}
    assert not outcome.culprits


def test_another_draw_of_the_same_noise_is_no_alarm() -> None:
    outcomes = [check(night(luck), night(luck + 100)) for luck in range(10)]
    assert sum(outcome.exit_code for outcome in outcomes) <= 1
    assert "cannot tell" in set.union(*map(verdicts, outcomes))


@pytest.mark.parametrize("luck", [0, 100], ids=["trainings repeat", "trainings come out anew"])
@pytest.mark.parametrize(("metric", "factor"), [("fid", 1.25), ("recall", 0.75)])
def test_a_worse_solver_is_named(luck: int, metric: str, factor: float) -> None:
    outcome = check(night(), night(luck, worse_where("solver", "heun", metric, factor)))
    assert outcome.exit_code == 1
    assert [(c.metric, c.what) for c in outcome.culprits] == [(metric, "solver heun")]
    assert outcome.culprits[0].effect == pytest.approx(0.25, abs=0.06)
    assert all(c.explained_by == "solver heun" for c in outcome.worse if c not in outcome.culprits)


def test_where_the_training_repeats_a_small_fault_of_a_solver_is_seen() -> None:
    def a_little(axes: Mapping[str, str], seed: int, name: str, value: float) -> float:
        return value * (1.08 + 0.005 * seed) if (axes.get("solver"), name) == ("heun", "fid") else value

    noisy = {"spread": 0.2}
    assert check(night(**noisy), night(0, a_little, **noisy)).culprits[0].what == "solver heun"
    assert not check(night(**noisy), night(100, a_little, **noisy)).worse


def most_in_one_cell(paths: tuple[str, ...]) -> Change:
    """Samples of these paths are a fifth worse, those of one sampler of one training far more."""

    def change(axes: Mapping[str, str], seed: int, name: str, value: float) -> float:
        if name not in ("fid", "recall") or axes["path"] not in paths:
            return value
        worst = (axes["t_distribution"], axes["solver"], axes["nfe"]) == ("beta", "heun", "4")
        factor = 4 if worst else 1.2
        return value * factor if name == "fid" else value / factor

    return change


def test_the_component_that_the_differences_lead_to_is_named_before_the_cell_that_moved_most() -> None:
    outcome = check(night(), night(0, most_in_one_cell(("linear",))))
    assert (outcome.culprits[0].metric, outcome.culprits[0].what) == ("fid", "path linear")
    assert "the samples of path linear came out differently" in outcome.trace


@pytest.mark.parametrize(("hardware", "first"), [("a processor", "the whole suite"), ("another", "heun")])
def test_changed_code_of_every_training_is_named_before_the_cell_that_moved_most_on_one_machine(
    hardware: str, first: str
) -> None:
    then = dataclasses.replace(night(), code={"training code": {"train": "a"}})
    now = night(0, most_in_one_cell(("linear", "cosine")), hardware=hardware)
    outcome = check(then, dataclasses.replace(now, code={"training code": {"train": "b"}}))
    assert first in outcome.culprits[0].what


def test_what_is_better_is_no_alarm() -> None:
    outcome = check(night(), night(change=worse_where("path", "cosine", "fid", 0.7)))
    assert outcome.exit_code == 0
    assert "path cosine" in {c.what for c in outcome.comparisons if c.verdict == "better"}


def test_a_difference_below_the_least_effect_does_not_matter() -> None:
    tonight = night(change=worse_where("solver", "heun", "fid", 1.04))
    assert check(night(), tonight).exit_code == 0
    assert check(night(), tonight, effect=0.03).exit_code == 1


def test_one_seed_that_blows_up_cannot_hide_behind_its_own_spread() -> None:
    def blown(axes: Mapping[str, str], seed: int, name: str, value: float) -> float:
        at = (axes.get("solver"), axes["path"], axes["t_distribution"], axes.get("nfe"))
        return value * 10 if at == ("rk4", "linear", "beta", "8") and seed == 1 and name == "fid" else value

    outcome = check(night(), night(100, blown))
    assert outcome.exit_code == 1
    assert outcome.culprits[0].axes.items() >= {"solver": "rk4", "path": "linear", "nfe": "8"}.items()


def test_a_count_that_no_seed_changes_is_judged_without_noise() -> None:
    outcome = check(night(), night(100, worse_where("path", "linear", "parameters", 1.2)))
    assert outcome.exit_code == 1
    assert outcome.culprits[0].metric == "parameters"


def test_metrics_without_direction_and_costs_of_a_shared_machine_are_not_judged() -> None:
    tonight = night(change=lambda axes, seed, name, value: value * (5 if name in ("train_seconds", "sample_ms") else 1))
    outcome = check(night(), tonight)
    assert outcome.exit_code == 0
    assert {e.name for e in outcome.events} == {"metric train_seconds", "metric sample_ms"}


# Where something changed


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda axes, seed, name, value: value, ""),
        (lambda axes, seed, name, value: value * (1 + 1e-5 * seed), ""),
        (
            worse_where("solver", "heun", "fid", 1.001),
            "only fid came out differently, of trainings and samples that repeat",
        ),
        (
            lambda axes, seed, name, value: value * (1.001 if axes.get("solver") == "heun" else 1),
            "the samples of solver heun came out differently, and no others",
        ),
        (
            lambda axes, seed, name, value: (
                value * (1.001 if (axes.get("solver"), axes.get("nfe")) == ("rk4", "8") else 1)
            ),
            "the samples of solver rk4 at NFE 8 came out differently, and no others",
        ),
        (
            lambda axes, seed, name, value: value * (1.001 if axes["t_distribution"] == "beta" else 1),
            "the trainings of t_distribution beta came out differently, and no others",
        ),
        (
            lambda axes, seed, name, value: value * 1.001 if "solver" in axes else value,
            "all samples came out differently, of trainings that repeat",
        ),
        (lambda axes, seed, name, value: value * 1.001, "all trainings came out differently"),
    ],
)
def test_what_came_out_differently_is_traced(change: Change, said: str) -> None:
    assert check(night(), night(change=change)).trace == said


def test_a_count_or_a_share_of_a_few_is_no_sign_of_a_training_that_repeats() -> None:
    def rounded(axes: Mapping[str, str], seed: int, name: str, value: float) -> float:
        return round(value, 1) if name == "recall" else value

    assert check(night(), night(100, rounded)).trace == "all trainings came out differently"
    found = [changed_values.is_telling(value) for value in (5.0, 0.803, 1e-7, 0.4321987654, -1.234567e-8, 12345678.0)]
    assert found == [False, False, False, True, True, True]


def test_whose_code_changed_is_known_with_what_its_scores_did() -> None:
    code = {
        "solver": {"heun": "a", "rk4": "a"},
        "metric": {"fid": "a"},
        "training code": {"fmbench.training.loop": "a"},
    }
    now = {"solver": {"heun": "b", "rk4": "a"}, "metric": {"fid": "a"}, "training code": {"fmbench.training.loop": "b"}}
    before = dataclasses.replace(night(), code=code)
    tonight = dataclasses.replace(night(change=worse_where("solver", "heun", "fid", 0.7)), code=now)
    outcome = check(before, tonight)
    assert outcome.exit_code == 0
    assert check(before, tonight, strict=True).exit_code == 1
    assert outcome.changes is not None
    assert [(c.kind, c.labels, [m.metric for m in c.moves]) for c in outcome.changes] == [
        ("solver", ("heun",), ["fid", "recall"]),
        ("training code", ("fmbench.training.loop",), ["fid", "recall", "validation_loss", "parameters"]),
    ]
    assert [m.effect for m in outcome.changes[0].moves] == [pytest.approx(-0.3), 0.0]
    first, *rest = [text for text, _ in first_lines(outcome)]
    assert first.startswith("BETTER: fid of solver heun: better by 30.0%")
    assert "code has changed: solver heun, the training code (fmbench.training.loop)" in first
    assert rest[0] == "CHANGED: the code of solver heun: fid 30.0% better"
    assert rest[1].startswith("CHANGED: the training code (fmbench.training.loop): fid 10.0% better")
    assert check(night(), tonight).changes is None


def test_a_fault_in_every_training_is_named_for_the_whole_suite() -> None:
    """As with a moving average of another decay: every score moves a little, most by as much."""
    random = np.random.default_rng(0)

    def a_little(axes: Mapping[str, str], seed: int, name: str, value: float) -> float:
        return value * (1 + random.normal(0.08, 0.02)) if name == "fid" else value * (1 + 2e-4)

    noisy = {"spread": 0.08}
    outcome = check(night(**noisy), night(0, a_little, **noisy))
    assert [(c.metric, c.what) for c in outcome.culprits] == [("fid", "the whole suite")]
    assert outcome.trace == "all trainings came out differently"


# Another processor


def test_rounding_that_drives_trainings_apart_is_inside_the_margin() -> None:
    """On another processor each training is another draw of the seeds' noise, whose pairs share next to nothing."""
    outcomes = [check(night(luck), night(luck + 100, hardware="another processor")) for luck in range(10)]
    assert sum(outcome.exit_code for outcome in outcomes) <= 1
    assert all("another draw of the seeds' noise" in " ".join(outcome.notes) for outcome in outcomes)


def test_what_a_machine_makes_of_auto_is_in_the_identities_and_no_other_setting() -> None:
    def at(precision: str) -> Snapshot:
        found = night()
        return dataclasses.replace(found, settings={**found.settings, "training": {"precision": precision}})

    assert check(at("auto"), at("float32")).exit_code == 0
    assert verdicts(check(at("auto"), at("float32"))) == {"same"}
    assert check(at("bf16"), at("float32")).exit_code == 2


# Wall time


def test_a_sampler_is_named_by_what_varies() -> None:
    euler = without(night(), lambda group, seed: "euler" in group or len(group) == len(TRAINING_AXES))
    times = [c for c in check(euler, euler).comparisons if c.metric == "sample_ms_relative"]
    assert [c.what for c in times if c.level == "cell"] == ["NFE 4", "NFE 8"]


@pytest.mark.parametrize(
    ("axis", "label", "factor", "named"),
    [("network", "mlp", 1.5, "the whole suite"), ("solver", "rk4", 1.5, "solver rk4"), ("network", "mlp", 1.2, "")],
)
def test_what_is_slower_in_calibrations_is_named(axis: str, label: str, factor: float, named: str) -> None:
    outcome = check(night(), night(change=worse_where(axis, label, "sample_ms_relative", factor)))
    assert [c.what for c in outcome.culprits] == [named] * bool(named)
    assert outcome.exit_code == bool(named)


def test_a_measurement_that_scatters_says_nothing() -> None:
    def disturbed(axes: Mapping[str, str], seed: int, name: str, value: float) -> float:
        return value * {"sample_ms_relative": 1.5, "sample_ms_relative_iqr": 30.0}.get(name, 1.0)

    outcome = check(night(), night(change=disturbed))
    assert outcome.exit_code == 0
    (reason,) = {
        c.reason for c in outcome.comparisons if c.is_time and c.level == "cell" and c.verdict == "cannot tell"
    }
    assert reason.startswith("its times are known to")


def test_a_time_that_got_shorter_is_no_score_that_moved() -> None:
    outcome = check(night(), night(change=worse_where("network", "mlp", "sample_ms_relative", 0.4)), strict=True)
    assert "better" in verdicts(outcome)
    assert not outcome.improved
    assert outcome.exit_code == 0


def test_on_other_hardware_times_are_left_out_and_said_so() -> None:
    slower = worse_where("network", "mlp", "sample_ms_relative", 3.0)
    outcome = check(night(), night(change=slower, hardware="another processor"))
    assert outcome.exit_code == 0
    assert any("other hardware" in note for note in outcome.notes)
    assert ("metric sample_ms_relative", "not compared") in {(e.name, e.what) for e in outcome.events}
    assert "sample_ms_relative" not in {c.metric for c in outcome.comparisons}


def test_how_fast_trainings_go_is_judged_once_for_all_that_share_a_fleet() -> None:
    pace = {"train_seconds_relative": 2.0, "train_seconds_relative_iqr": 0.05}
    facts = {name: dataclasses.replace(SECONDS, name=name, better="") for name in pace}

    def at(factor: float, fleet: str = "from 8", spread: float = 1.0) -> Snapshot:
        found = night(metrics={**FACTS, **facts})
        values = {**pace, "train_seconds_relative": factor * 2.0, "train_seconds_relative_iqr": spread * 0.05}
        identities = {name: {"fleet": fleet} for name in pace}
        rows = {
            place: dataclasses.replace(
                row, values={**row.values, **values}, identities={**row.identities, **identities}
            )
            for place, row in found.trainings.items()
        }
        return dataclasses.replace(found, trainings=rows)

    def paces(outcome: Outcome) -> list[tuple[str, str]]:
        return [(c.what, c.verdict) for c in outcome.comparisons if c.metric == "train_seconds_relative"]

    slower = check(at(1.0), at(1.6))
    assert slower.exit_code == 1
    assert [(c.metric, c.effect) for c in slower.culprits] == [("train_seconds_relative", pytest.approx(0.6))]
    assert paces(slower) == [("dataset moons", "worse")]
    assert paces(check(at(1.0), at(1.1))) != [("dataset moons", "worse")]
    assert paces(check(at(1.0), at(1.6, spread=20))) == [("dataset moons", "cannot tell")]
    other = check(at(1.0), at(1.6, fleet="from 4"))
    assert other.exit_code == 0, "another size of fleets is what a probe found, and no fault"
    assert paces(other) == [("dataset moons", "cannot tell")]


# Failed, vanished, new


def test_under_another_torch_times_are_left_out_and_the_rest_is_compared() -> None:
    slower = night(change=worse_where("network", "mlp", "sample_ms_relative", 3.0))
    environment = {**slower.made["environment"], "torch": "2.1"}
    outcome = check(night(), dataclasses.replace(slower, made={**slower.made, "environment": environment}))
    assert outcome.exit_code == 0
    assert not outcome.fault
    assert "sample_ms_relative" in outcome.not_compared
    assert any("another torch: 2.0 in the baseline, 2.1 tonight" in note for note in outcome.notes)


def without(found: Snapshot, keep: Callable[[CellGroup, int], bool]) -> Snapshot:
    rows = ({p: r for p, r in section.items() if keep(*p)} for section in (found.trainings, found.evaluations))
    return dataclasses.replace(found, **dict(zip(("trainings", "evaluations"), rows, strict=True)))


def broken(found: Snapshot, chosen: int, row: CellValues) -> Snapshot:
    place = list(found.evaluations)[chosen]
    return dataclasses.replace(found, evaluations={**found.evaluations, place: row})


@pytest.mark.parametrize(
    ("row", "what", "said"),
    [
        (CellValues("diverged", "3 of 500 samples are not finite"), "failed", "3 of 500 samples are not finite"),
        (CellValues("oom", "out of memory"), "failed", "oom: out of memory"),
        (CellValues("missing"), "vanished", "not computed"),
        (CellValues("ok", values={"fid": math.nan, "recall": 0.8}), "failed", "it is nan tonight"),
        (CellValues("ok", values={"recall": 0.8}), "vanished", "it is absent tonight"),
    ],
)
def test_a_cell_that_fails_or_vanishes_is_a_regression(row: CellValues, what: str, said: str) -> None:
    baseline = night(metrics={"fid": FID, "recall": RECALL})
    outcome = check(baseline, broken(baseline, 5, row))
    assert outcome.exit_code == 1
    (event,) = (event for event in outcome.events if event.alarming)
    assert event.what == what
    assert said in event.reason
    assert "heun" in event.name or "euler" in event.name or "rk4" in event.name


def test_a_failed_training_is_told_once_and_not_for_each_of_its_evaluations() -> None:
    baseline = night()
    place = next(iter(baseline.trainings))
    lost = CellValues("error", "training: boom")
    rows = {p: lost if (p[0][: len(TRAINING_AXES)], p[1]) == place else r for p, r in baseline.evaluations.items()}
    trainings = {**baseline.trainings, place: CellValues("error", "boom")}
    outcome = check(baseline, dataclasses.replace(baseline, trainings=trainings, evaluations=rows))
    assert [(e.what, e.reason) for e in outcome.events if e.alarming] == [("failed", "error: boom")]


def test_cells_that_the_plan_lacks_vanished_unless_it_was_filtered() -> None:
    tonight = without(night(), lambda group, seed: "cosine" not in group)
    assert check(night(), tonight).exit_code == 1
    filtered = check(night(), tonight, partial=True)
    assert filtered.exit_code == 0
    assert filtered.counts["not compared"] > 0


def test_new_cells_and_what_failed_before_are_said_and_no_alarm() -> None:
    part = without(night(), lambda group, seed: "cosine" not in group)
    outcome = check(part, night())
    assert outcome.exit_code == 0
    assert outcome.counts["new"] > 0
    failing = broken(night(), 0, CellValues("error", "boom"))
    still = check(failing, failing)
    assert still.exit_code == 0
    assert still.counts["still failing"] == 1
    assert check(failing, night()).counts["new"] == 1


def test_a_metric_that_vanishes_is_a_regression_and_a_new_one_is_not() -> None:
    fewer = {name: facts for name, facts in FACTS.items() if name != "recall"}
    outcome = check(night(), night(metrics=fewer))
    assert outcome.exit_code == 1
    assert [e.name for e in outcome.events if e.alarming] == ["metric recall"]
    assert check(night(metrics=fewer), night()).exit_code == 0


# What cannot be compared


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"version": 2}, "version is 1 in the baseline and 2 tonight"),
        ({"steps": 200}, "training.steps is 100 in the baseline and 200 tonight"),
    ],
)
def test_nothing_comparable_is_a_fault_with_its_reason(changed: dict[str, Any], said: str) -> None:
    outcome = check(night(), night(**changed))
    assert outcome.exit_code == 2
    assert said in outcome.fault
    assert verdicts(outcome) == {"cannot tell"}


def test_an_older_version_of_one_metric_leaves_the_others() -> None:
    def older(row: CellValues) -> CellValues:
        return dataclasses.replace(row, identities={**row.identities, "fid": {"metric": "fid", "version": 0}})

    baseline = night()
    baseline = dataclasses.replace(baseline, evaluations={p: older(r) for p, r in baseline.evaluations.items()})
    outcome = check(baseline, night(100, worse_where("solver", "heun", "recall", 0.6)))
    assert {c.verdict for c in outcome.comparisons if c.metric == "fid"} == {"cannot tell"}
    assert outcome.exit_code == 1
    assert outcome.counts["cannot tell"] >= 24


def test_one_seed_cannot_tell_but_for_what_repeats() -> None:
    alone = {"seeds": (0,), "metrics": {"fid": FID, "validation_loss": LOSS}}
    outcome = check(night(**alone), night(100, **alone))
    assert outcome.exit_code == 2
    assert "seed 0 only" in outcome.fault
    assert check(night(**alone), night(**alone)).exit_code == 0


def test_seeds_in_common_are_compared_and_missing_ones_are_regressions() -> None:
    assert check(night(seeds=(0, 1)), night(seeds=(0, 1, 2))).exit_code == 0
    fewer = check(night(seeds=(0, 1, 2)), night(seeds=(0, 1)))
    assert fewer.exit_code == 1
    assert all("seed 2" in event.name for event in fewer.events if event.alarming)
    with pytest.raises(UserError, match="no cell of nightly is in the baseline"):
        check(night(seeds=(0, 1)), night(seeds=(2, 3)))


def test_the_baseline_of_another_suite_is_refused() -> None:
    with pytest.raises(UserError, match=r"'another'.*'nightly'"):
        check(night(suite="another"), night())


def test_a_changed_default_of_a_component_is_noted() -> None:
    was = dataclasses.replace(night(), components={"t_distribution": {"beta": {"alpha": 0.5}}})
    now = dataclasses.replace(night(), components={"t_distribution": {"beta": {"alpha": 0.4}}})
    assert "t_distribution beta: alpha is 0.5 in the baseline and 0.4 tonight" in check(was, now).notes


def without_values(found: Snapshot, metric: str, value: float | None, seeds: tuple[int, ...]) -> Snapshot:
    """The night, with a value in place of a metric's, or without it where that is None."""
    rows = {}
    for (group, seed), row in found.evaluations.items():
        values = {name: v for name, v in row.values.items() if name != metric or seed not in seeds}
        extra = {metric: value} if value is not None and seed in seeds else {}
        rows[group, seed] = dataclasses.replace(row, values={**values, **extra})
    return dataclasses.replace(found, evaluations=rows)


@pytest.mark.parametrize(
    ("value", "said"), [(math.nan, "not finite"), (None, "absent"), (math.inf, "not finite"), (1e308, "beyond 1e+100")]
)
def test_a_metric_that_the_baseline_lacks_is_no_silent_pass(value: float | None, said: str) -> None:
    outcome = check(without_values(night(), "fid", value, (0, 1, 2)), night())
    assert (outcome.exit_code, outcome.not_compared) == (2, ("fid",))
    assert f"fid: {said} in the baseline" in outcome.fault
    assert [e.reason for e in outcome.events if e.name == "metric fid"] == [
        f"{said} in the baseline, in all of its 72 cells"
    ]
    assert b"every judged metric can be compared" in junit(outcome)


def test_a_seed_that_the_baseline_lacks_is_said_once_a_cell_and_the_others_count() -> None:
    outcome = check(without_values(night(), "fid", math.nan, (1, 2)), night())
    lacking = [event for event in outcome.events if event.name.startswith("metric fid")]
    assert len(lacking) == 24
    assert all("seeds 1, 2" in event.name for event in lacking)
    assert outcome.exit_code == 0, "the seed that is left repeats bit for bit"


@pytest.mark.parametrize("bad", [1e300, 1e101, -1e308, math.inf])
def test_a_value_too_large_for_arithmetic_is_a_failure_tonight(bad: float) -> None:
    tonight = night(change=lambda axes, seed, name, value: bad if name == "fid" and seed == 1 else value)
    assert check(night(), tonight).exit_code == 1


@pytest.mark.parametrize("factor", [1e-300, 1e-90, 1e90])
def test_values_of_any_size_are_compared(factor: float) -> None:
    scaled = night(change=lambda axes, seed, name, value: value * factor if name != "parameters" else value)
    same = check(scaled, scaled)
    assert same.exit_code == 0
    outcome = check(*((scaled, night()) if factor < 1 else (night(), scaled)))
    assert outcome.exit_code == 1
    json.dumps(outcome.as_data(), allow_nan=False)


@pytest.mark.parametrize("where", ["the baseline", "tonight"])
def test_a_time_of_nothing_has_no_ratio_and_says_so(where: str) -> None:
    still = night(change=worse_where("network", "mlp", "sample_ms_relative", 0.0))
    outcome = check(still, night()) if where == "the baseline" else check(night(), still)
    assert outcome.exit_code == 2
    assert f"sample_ms_relative: a time of 0 in {where}" in outcome.fault


@pytest.mark.parametrize(
    ("name", "value"), [("better", "higher"), ("better", ""), ("unit", "%"), ("scope", "training")]
)
def test_a_metric_that_means_something_else_now_is_not_compared(name: str, value: str) -> None:
    then = dataclasses.replace(FID, **{name: value})
    outcome = check(night(metrics={**FACTS, "fid": then}), night())
    assert (outcome.exit_code, outcome.not_compared) == (2, ("fid",))
    assert f"in the baseline and {getattr(FID, name) or '(none)'} tonight" in outcome.fault


def test_a_baseline_without_evaluations_is_no_pass() -> None:
    outcome = check(dataclasses.replace(night(), evaluations={}), night())
    assert outcome.exit_code == 2
    assert "fid, recall, sample_ms_relative: the baseline has no finished evaluation" in outcome.fault


def test_a_metric_of_new_cells_only_is_new_and_no_fault() -> None:
    part = without(without_values(night(), "fid", None, (0, 1, 2)), lambda group, seed: "cosine" not in group)
    rows = {p: r for p, r in night().evaluations.items() if "cosine" in p[0]}
    tonight = dataclasses.replace(night(), evaluations={**part.evaluations, **rows})
    assert check(part, tonight).exit_code == 0


# The baseline file


def test_a_baseline_is_what_was_written_and_reads_well(tmp_path: Path) -> None:
    tonight = broken(
        night(), 3, CellValues("diverged", "loss is nan \ud800 é", {"fid": math.inf}, {"fid": {"metric": "fid"}})
    )
    path = tmp_path / "new" / "nightly.json"
    write_baseline(tonight, path)
    again = read_baseline(path, "nightly")
    assert again == dataclasses.replace(tonight, evaluations=dict(sorted(tonight.evaluations.items())))
    lines = path.read_text().splitlines()
    assert sum('"status"' in line for line in lines) == len(tonight.trainings) + len(tonight.evaluations)
    strict = json.loads(path.read_text(), parse_constant=lambda text: pytest.fail(f"{text} is no JSON"))
    assert list(strict) == sorted(strict)


def test_one_changed_value_is_one_changed_line(tmp_path: Path) -> None:
    first, second = (tmp_path / name for name in ("first.json", "second.json"))
    write_baseline(night(), first)
    write_baseline(broken(night(), 7, CellValues("error", "boom", {}, {})), second)
    kept = set(first.read_text().splitlines()) - set(second.read_text().splitlines())
    assert len(kept) <= 3  # the cell, the seed after which a comma went, and the checksum


def test_other_line_ends_are_no_damage(tmp_path: Path) -> None:
    path = tmp_path / "nightly.json"
    write_baseline(night(), path)
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert read_baseline(path, "nightly").suite == "nightly"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: text[: len(text) // 2], "damaged: it is not JSON"),
        (lambda text: text.replace('{"fid": ', '{"fid": 1', 1), "does not have the checksum on record"),
        (lambda text: text.replace('"format": 1', '"format": 2'), "has format 2, and this fmbench reads 1"),
        (lambda text: "[1, 2]", "not a baseline of fmbench"),
        (lambda text: "{}", "not a baseline of fmbench"),
        (lambda text: '{"format": 1}', "damaged: it has no checksum"),
        (lambda text: text.replace("nightly", "weekly"), "checksum"),
    ],
)
def test_a_damaged_baseline_gets_one_clear_word(tmp_path: Path, damage: Callable[[str], str], message: str) -> None:
    path = tmp_path / "nightly.json"
    write_baseline(night(), path)
    path.write_text(damage(path.read_text()))
    with pytest.raises(UserError, match=message):
        read_baseline(path, "nightly")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"components": [1]}, "components must be an object"),
        ({"components": {"solver": {"euler": 3}}}, "components.solver.euler must be an object"),
        ({"settings": []}, "settings must be an object"),
        ({"settings": {"training": None}}, "settings.training must be an object"),
        ({"made": []}, "made must be an object"),
        ({"made": {"environment": None}}, "made.environment must be an object"),
        ({"metrics": {}}, "says nothing of such a metric"),
        (
            {"trainings": [{"axes": {}, "identities": {}, "seeds": {"0": {"status": "bogus", "values": {}}}}]},
            'status must be one of ok, .*"bogus"',
        ),
        (
            {
                "trainings": [
                    {"axes": {}, "identities": {}, "seeds": {"0": {"status": "ok", "values": {"fid": 10**400}}}}
                ]
            },
            "fid",
        ),
        ({"evaluations": [{"axes": {}, "identities": {}, "seeds": {"zero": {}}}]}, "a name in .* whole number"),
        ({"metrics": {"fid": {"name": "fid", "better": "sideways"}}}, "metrics.fid lacks unit"),
    ],
)
def test_a_baseline_of_wrong_types_is_damaged_whatever_its_checksum(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    path = tmp_path / "nightly.json"
    write_baseline(night(), path)
    body = {**json.loads(path.read_text()), **change}
    body.pop("checksum")
    path.write_text(json.dumps({**body, "checksum": snapshot_file.checksum(body)}))
    with pytest.raises(UserError, match=f"damaged: .*{message}"):
        read_baseline(path, "nightly")


def test_no_baseline_another_suites_and_an_empty_one_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no baseline.*--accept"):
        read_baseline(tmp_path / "nowhere.json", "nightly")
    write_baseline(night(), tmp_path / "nightly.json")
    with pytest.raises(UserError, match="is of the suite 'nightly', and this is 'weekly'"):
        read_baseline(tmp_path / "nightly.json", "weekly")
    nothing = without(night(), lambda group, seed: False)
    with pytest.raises(UserError, match="at least one finished cell"):
        write_baseline(nothing, tmp_path / "empty.json")


# Records and JUnit


def test_a_snapshot_of_records_names_cells_by_their_axes() -> None:
    registry = built_ins()
    training = training_cell(registry, seed=3, t_distribution=("beta", {"alpha": 0.3}))
    evaluation = evaluation_cell(registry, training)
    adaptive = dataclasses.replace(
        evaluation, solver=registry.spec("solver", "dopri5", {}), grid=None, nfe=None, steps=None
    )
    values = {"fid": 2.0, "validation_loss": 0.5}
    identities = {name: {"metric": name} for name in values}
    found = snapshot(
        Records(
            suite="tiny",
            description="",
            trainings=[TrainingRecord(training, "ok", metrics={"validation_loss": 0.5}, identities=identities)],
            evaluations=[
                EvaluationRecord(cell, "ok", "", 4.0 if cell is evaluation else 31.0, values, identities)
                for cell in (evaluation, adaptive)
            ],
            metrics=[FID, LOSS],
        )
    )
    (group, seed), row = next(iter(found.trainings.items()))
    assert seed == 3
    assert group[3] == "beta(alpha=0.3)"
    assert row.values == {"validation_loss": 0.5}
    fixed, free = found.evaluations.items()
    assert fixed[0][0][-5:] == ("euler", "uniform", "ema", "1", "4")
    assert fixed[1].values == {"fid": 2.0}
    assert free[0][0][-5:] == ("dopri5", "", "ema", "1", "")
    assert free[1].values == {"nfe": 31.0, "fid": 2.0}
    assert found.settings["training"]["steps"] == 60
    assert found.components["t_distribution"]["beta(alpha=0.3)"]["beta"] == 0.5


def test_junit_has_a_case_for_everything_and_escapes_what_xml_cannot_hold() -> None:
    tonight = broken(
        night(0, worse_where("solver", "heun", "fid", 1.5)), 0, CellValues("error", 'a <b> & "c" \x00\x1b[31m\ud800')
    )
    outcome = check(night(), tonight)
    suites = ElementTree.fromstring(junit(outcome))
    (suite,) = suites
    cases = suite.findall("testcase")
    failures = suite.findall("testcase/failure")
    assert suites.tag == "testsuites"
    assert len(cases) == int(suite.attrib["tests"]) == len(outcome.comparisons) + len(outcome.events)
    assert len(failures) == int(suite.attrib["failures"]) == len(outcome.worse) + 1
    assert int(suite.attrib["skipped"]) == len(suite.findall("testcase/skipped"))
    assert all(case.attrib["name"] and case.attrib["classname"] for case in cases)
    assert len({(case.attrib["classname"], case.attrib["name"]) for case in cases}) == len(cases)
    assert any('a <b> & "c" ??[31m?' in failure.attrib["message"] for failure in failures)
    assert any(case.attrib["name"] == "solver heun" and len(case) for case in cases)
    nothing = ElementTree.fromstring(junit(check(night(), night(steps=7))))
    assert nothing.attrib["errors"] == "1"


def test_an_outcome_is_plain_data() -> None:
    data = check(night(), night(100, worse_where("solver", "heun", "fid", 1.5))).as_data()
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    assert data["exit_code"] == 1
    assert data["culprits"][0]["what"] == "solver heun"


# Statistics


def test_holm_agrees_with_the_textbook_and_weights_favour() -> None:
    assert multiple_testing.holm([0.03, 0.01, 0.02], [1, 1, 1]) == pytest.approx([0.04, 0.03, 0.04])
    even = multiple_testing.holm([0.02, 0.02], [0.5, 0.5])
    favoured = multiple_testing.holm([0.02, 0.02], [0.9, 0.1])
    assert min(favoured) < min(even)
    assert max(multiple_testing.holm([0.9, 0.8], [0.5, 0.5])) == 1.0


def test_the_prior_of_variances_is_found_again() -> None:
    random = np.random.default_rng(0)
    d_0, s2_0, df = 8.0, 0.04, 2.0
    true = d_0 * s2_0 / random.chisquare(d_0, 4000)
    noises = [Noise(float(v * random.chisquare(df) / df), df) for v in true]
    found_d, found_s2 = variance.prior(noises)
    assert found_d == pytest.approx(d_0, rel=0.2)
    assert found_s2 == pytest.approx(s2_0, rel=0.1)
    errors = [
        np.mean([math.log(noise.variance / v) ** 2 for noise, v in zip(some, true, strict=True)])
        for some in (noises, variance.moderated(noises, math.inf))
    ]
    assert errors[1] < errors[0] / 3


def test_moderation_leaves_alone_what_it_cannot_judge() -> None:
    two = [Noise(0.1, 2.0), Noise(0.2, 2.0)]
    assert variance.moderated(two, 10.0) == two
    zero = variance.moderated([Noise(0.0, 2.0), *two, Noise(0.3, 2.0)], 10.0)[0]
    assert zero == Noise(0.0, 2.0)


@pytest.mark.parametrize("x", [1e-3, 0.3, 2.0, 50.0, 1e8])
def test_trigamma_is_inverted(x: float) -> None:
    assert variance.inverse_trigamma(float(special.polygamma(1, x))) == pytest.approx(x, rel=1e-3)


def test_p_values_are_students() -> None:
    assert multiple_testing.p_worse(0.1, 0.04, 5) == pytest.approx(float(stats.t.sf(2.5, 5)))
    assert multiple_testing.p_worse(0.1, 0.0, 2) == 0.0
    assert multiple_testing.p_worse(-0.1, 0.0, 2) == 1.0
    assert multiple_testing.p_worse(0.0, 0.0, 2) == 1.0


# Simulated nights: the small version of tests/benchmarks/simulate_nights.py


@pytest.fixture(scope="module")
def design() -> simulate_nights.Design:
    return simulate_nights.Design.read(simulate_nights.RECORDS, ("euler", "heun", "ab2"))


def test_unchanged_nights_seldom_alarm(design: simulate_nights.Design) -> None:
    alarms = [simulate_nights.unchanged(design, kind, 8, seed=5) for kind in simulate_nights.KINDS]
    assert sum(alarms) <= 4  # of 32; were the chance of an alarm 5%, more would come once in 49 times


@pytest.mark.parametrize("fault", simulate_nights.FAULTS, ids=lambda fault: fault.name)
def test_planted_faults_are_caught(design: simulate_nights.Design, fault: simulate_nights.Fault) -> None:
    caught, named = simulate_nights.planted(design, fault, 4)
    assert caught == 4
    assert named >= 3
