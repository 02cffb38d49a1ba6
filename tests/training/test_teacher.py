"""Couplings with a teacher: what the plan makes of them, and that a teacher is trained and studied once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import context

from fmbench.errors import CellFailure, SuiteError
from fmbench.model.build import assemble
from fmbench.plan import Plan, make_plan
from fmbench.plugins.registry import Registry
from fmbench.results.collect import ResultsIndex
from fmbench.runner.run import run
from fmbench.runner.session import Options
from fmbench.store.store import Store
from fmbench.suite import read_suite
from fmbench.training.loop import train
from fmbench.training.teacher import with_teacher

SUITE = """
name: reflowed
datasets: [{moons: {size: 500}}]
training:
  paths: [linear]
  couplings: [COUPLINGS]
  t_distributions: [uniform, u_shaped]
  networks: [{mlp: {width: 16, depth: 1}}]
  seeds: [0, 1]
  steps: 40
  batch_size: 64
evaluation:
  solvers: [euler]
  nfe: [1]
  samples: 300
  metrics: [sliced_wasserstein, validation_loss]
"""
SHARED = "{reflow: {pairs: 600, steps: 3, teacher: {coupling: independent, t_distribution: uniform}}}"


def plan_of(registry: Registry, couplings: str) -> Plan:
    return make_plan(read_suite(SUITE.replace("COUPLINGS", couplings)), registry)


def test_a_teacher_is_its_student_but_for_what_the_coupling_says(registry: Registry) -> None:
    plan = plan_of(registry, "{reflow: {pairs: 600}}")
    students = [cell for cell in plan.trainings if cell.teacher]
    assert len(students) == 4
    for cell in students:
        assert cell.teacher is not None
        assert cell.teacher.coupling.name == "independent"
        same = ("dataset", "path", "t_distribution", "objective", "network", "seed", "settings")
        assert all(getattr(cell, name) == getattr(cell.teacher, name) for name in same)
        assert plan.trainings.index(cell.teacher) < plan.trainings.index(cell)
        assert not plan.evaluations_of(cell.teacher)


def test_students_share_a_teacher_and_the_suite_s_own_cell_is_one(registry: Registry) -> None:
    plan = plan_of(registry, SHARED)
    assert len(plan.trainings) == 4 + 2, "four students, one teacher a seed"
    plan = plan_of(registry, f"independent, {SHARED}")
    assert len(plan.trainings) == 4 + 4, "the teachers are cells that the suite has anyway"
    fit_to_teacher = {cell.fit_key for cell in plan.trainings if cell.teacher}
    assert len(fit_to_teacher) == 2, "what is learnt is kept once a teacher"


def test_another_round_is_taught_by_the_round_before(registry: Registry) -> None:
    plan = plan_of(registry, "{reflow: {teacher: {coupling: reflow}}}")
    cell = plan.trainings[-1]
    assert [teacher.coupling.name for teacher in cell.teachers] == ["reflow", "independent"]
    assert [c.key for c in plan.trainings[:3]] == [t.key for t in reversed(list(plan.trainings[2].teachers))] + [
        plan.trainings[2].key
    ]


def test_a_student_s_key_follows_its_teacher(registry: Registry) -> None:
    ema = {
        plan_of(registry, f"{{reflow: {{teacher: {teacher}}}}}").trainings[-1].key
        for teacher in ("{coupling: independent}", "{coupling: minibatch_ot}", "{coupling: independent, path: cosine}")
    }
    assert len(ema) == 3


@pytest.mark.parametrize(
    ("teacher", "words"),
    [
        ("{path: cosine}", "comes back"),
        ("{}", "is written {kind: component}; found {}"),
        ("{coupling: independant}", "Did you mean 'independent'"),
        ("{coupling: independent, dataset: sine}", "may differ from its student in path, coupling"),
        ("{coupling: [independent]}", "as its name or as"),
        ("{coupling: {minibatch_ot: {pools: 2}}}", "pools"),
    ],
)
def test_a_teacher_that_cannot_be_is_the_suite_s_mistake(registry: Registry, teacher: str, words: str) -> None:
    suite = SUITE.replace("{moons: {size: 500}}", "sine")
    with pytest.raises(SuiteError, match=r"suite\.yaml:6:\d+.*") as caught:
        make_plan(read_suite(suite.replace("COUPLINGS", f"{{reflow: {{teacher: {teacher}}}}}")), registry)
    assert words in str(caught.value)


def test_a_cell_whose_teacher_cannot_be_is_left_out_alone(registry: Registry) -> None:
    suite = SUITE.replace("paths: [linear]", "paths: [linear, icfm]")
    teacher = "{reflow: {teacher: {coupling: independent, objective: x1_prediction}}}"
    plan = make_plan(read_suite(suite.replace("COUPLINGS", teacher)), registry)
    assert {cell.path.name for cell in plan.trainings} == {"linear"}
    assert [(left.count, left.unit) for left in plan.left_out] == [(4, "training")]
    assert "path=icfm" in plan.left_out[0].cell
    assert "needs 'affine'" in plan.left_out[0].reason


def test_a_teacher_that_nobody_asked_for_is_trained_and_no_more(tmp_path: Path, registry: Registry) -> None:
    plan = plan_of(registry, "{reflow: {pairs: 600}}")
    results_index = ResultsIndex(plan, Store(tmp_path), registry)
    only = [cell for cell in plan.trainings if not cell.teacher]
    assert only
    assert all(results_index.wanted(cell, "training") == () for cell in only)
    assert not {cell.key for cell in only} & results_index.flow_snapshots.keys()


def test_what_a_student_learns_is_studied_once(
    tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fmbench.training.teacher as teaching

    plan = plan_of(registry, SHARED)
    student, other = [cell for cell in plan.trainings if cell.teacher and cell.seed == 0]
    shop = context(tmp_path, registry)
    coupling = assemble(student, shop).coupling
    with pytest.raises(CellFailure, match="was never trained"):
        with_teacher(coupling, student, shop)
    assert student.teacher is not None
    train([student.teacher], shop)
    first = with_teacher(coupling, student, shop)

    def refuse(*arguments: Any) -> None:
        raise AssertionError("fitted again")

    monkeypatch.setattr(teaching, "fit_to_teacher", refuse)
    again = with_teacher(coupling, other, shop)
    batch = torch.zeros(64, 2)
    pairs = [c.pair(batch, batch, None, torch.Generator().manual_seed(3)) for c in (first, again)]
    assert torch.equal(pairs[0][0], pairs[1][0])
    assert torch.equal(pairs[0][1], pairs[1][1])

    path = shop.store.folder("study", student.fit_key).path / teaching.FIT_FILE
    path.write_bytes(path.read_bytes()[:-4] + b"ruin")
    with pytest.raises(AssertionError, match="fitted again"):
        with_teacher(coupling, student, shop)


@pytest.mark.slow
def test_a_run_trains_teachers_first_and_a_failed_one_fails_its_students(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("suite.yaml").write_text(SUITE.replace("COUPLINGS", SHARED))
    options = Options(tracking=False, overrides=("training.seeds=[0]",))
    result = run("suite.yaml", options)
    assert result.computed == {"training": 3, "evaluation": 2, "floor": 1}
    assert not result.records.failed
    assert run("suite.yaml", options).computed == {}

    teacher = next(r.cell for r in result.records.trainings if r.cell.teacher is None)
    store = Store(Path(".fmbench"))
    for section in ("training", "study", "evaluation"):
        for key in store.keys(section):
            store.folder(section, key).remove()
    store.folder("training", teacher.key).fail("diverged", "the loss is nan")
    result = run("suite.yaml", options)
    errors = {record.cell.key: record.error for record in result.records.failed}
    assert len(errors) == 3, "the teacher and both students"
    assert all("the loss is nan" in error for error in errors.values())
