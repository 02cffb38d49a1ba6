"""Which axis explains how much: known designs give back what was put into them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from test_report import FID, IDENTITY, Factory, T, page, small, written

from fmbench.report import in_short
from fmbench.report.analysis.axis_importance import Shares, attribute, decompose
from fmbench.report.result_table import make_result_tables
from fmbench.report.tables.axis_importance import of_attribution
from fmbench.report.text import headline
from fmbench.results.records import EvaluationRecord
from fmbench.stats.paired_seeds import interval

Effect = Callable[[int, int], float]
CELLS = list(product(range(3), range(4)))


def shares(effect: Effect, noise: float = 0.0, seeds: int = 3, cells: Sequence[tuple[int, int]] = CELLS) -> np.ndarray:
    """Return `(seeds, 4)` shares of two axes, both together, and chance."""
    random = np.random.default_rng(0)
    luck = random.normal(size=(seeds, 1))
    values = np.array([effect(*cell) for cell in cells]) + luck + noise * random.normal(size=(seeds, len(cells)))
    found = decompose([[cell[0] for cell in cells], [cell[1] for cell in cells]], values)
    assert found is not None
    assert found.sum(axis=1) == pytest.approx(np.ones(seeds))
    return found


def test_one_axis_explains_all_that_it_does():
    assert shares(lambda a, b: a**2) == pytest.approx(np.array([[1, 0, 0, 0]] * 3), abs=1e-9)


def test_two_axes_that_add_up_share_by_their_variances():
    variances = np.var([1, 5, 2]), np.var(range(4))
    found = shares(lambda a, b: (1, 5, 2)[a] + b).mean(axis=0)
    assert found == pytest.approx([*(variances / np.sum(variances)), 0, 0], abs=1e-9)


def test_pure_interplay_belongs_to_no_axis():
    sign = [(a, b) for a in range(2) for b in range(2)]
    found = shares(lambda a, b: (-1) ** (a + b), cells=sign).mean(axis=0)
    assert found == pytest.approx([0, 0, 1, 0], abs=1e-9)


def test_pure_noise_belongs_to_the_seeds():
    found = shares(lambda a, b: 0.0, noise=1.0, seeds=400)
    for i, truth in enumerate((0, 0, 0, 1)):
        said = interval(list(found[:, i]))
        assert said.low <= truth <= said.high or abs(said.mean - truth) < 0.02


def test_noise_takes_its_own_share_and_no_more():
    """Of four seeds as of many: shares are not biased by how few seeds there are."""
    many = shares(lambda a, b: a + 0.5 * b * a, noise=0.5, seeds=2000).mean(axis=0)
    random = np.random.default_rng(1)
    labels = [[cell[0] for cell in CELLS], [cell[1] for cell in CELLS]]
    true = np.array([a + 0.5 * b * a for a, b in CELLS])
    few = [decompose(labels, true + 0.5 * random.normal(size=(3, len(CELLS)))) for _ in range(500)]
    assert np.mean([each.mean(axis=0) for each in few if each is not None], axis=0) == pytest.approx(many, abs=0.02)


def test_luck_that_a_training_shares_is_not_taken_for_an_effect():
    """Twelve evaluations of three trainings, whose luck is all there is: an axis of trainings explains nothing."""
    random = np.random.default_rng(2)
    labels = [[cell[0] for cell in CELLS], [cell[1] for cell in CELLS]]
    found = []
    for _ in range(500):
        values = random.normal(size=(3, 3))[:, labels[0]] + 1e-3 * random.normal(size=(3, len(CELLS)))
        each = decompose(labels, values)
        assert each is not None
        found.append(each.mean(axis=0)[0])
    # The estimate is a ratio, so its mean is about 0, not exactly; without the correction it would be about 1.
    assert abs(np.mean(found)) < 0.15


def test_holes_in_the_design_do_not_move_the_shares_of_what_adds_up():
    """An effect that adds up is explained to the last bit, whatever is missing, and both axes have a part."""
    holed = [cell for cell in CELLS if cell not in ((0, 1), (2, 3), (2, 0))]
    found = shares(lambda a, b: a + b, cells=holed).mean(axis=0)
    assert found[:2].sum() == pytest.approx(1)
    assert np.all(found[:2] > 0.2)
    alone = shares(lambda a, b: a, cells=holed).mean(axis=0)
    assert alone[0] > 0.8  # the holes tie the axes together, so the other is given a part of what it stands for
    assert alone[:2].sum() == pytest.approx(1)


def test_order_of_axes_and_of_cells_does_not_matter():
    labels = [[cell[0] for cell in CELLS], [cell[1] for cell in CELLS]]
    values = np.random.default_rng(3).normal(size=(3, len(CELLS)))
    first, turned = decompose(labels, values), decompose(labels[::-1], values)
    assert first is not None
    assert turned is not None
    assert turned[:, [1, 0, 2, 3]] == pytest.approx(first)
    back = decompose([each[::-1] for each in labels], values[:, ::-1])
    assert back == pytest.approx(first)


def test_values_that_do_not_vary_have_no_shares():
    assert decompose([[0, 1]], np.array([[1.0, 1.0], [2.0, 2.0]])) is None


def found_in(factory: Factory) -> Shares | None:
    return attribute(make_result_tables(factory.records())[0])


def test_a_report_names_the_axes_and_takes_logarithms(tmp_path: Path):
    found = found_in(Factory(tmp_path))
    assert found is not None
    assert found.metric == "log fid_digits"
    assert set(found.names) == {"path", "t-distribution", "solver"}
    assert list(found.by_nfe) == [1, 2, 4, 8]
    assert found.more("solver", "path")
    assert not found.more("path", "solver")


def negative(record: EvaluationRecord) -> EvaluationRecord:
    return dataclasses.replace(record, metrics={"fid_digits": record.metrics["fid_digits"] - 60})


def test_values_of_either_sign_are_taken_as_they_are(tmp_path: Path):
    found = found_in(small(tmp_path, change=negative))
    assert found is not None
    assert found.metric == "fid_digits"


def test_axes_that_change_together_are_one(tmp_path: Path):
    records = small(tmp_path, t_distributions=T[:2]).records()
    pairs = {("linear", "uniform"), ("cosine", "beta")}
    kept = [r for r in records.evaluations if (r.cell.training.path.name, r.cell.training.t_distribution.name) in pairs]
    found = attribute(make_result_tables(dataclasses.replace(records, evaluations=kept))[0])
    assert found is not None
    assert found.names == ("path and t-distribution", "solver")


def test_one_seed_and_one_row_have_no_shares(tmp_path: Path):
    assert found_in(small(tmp_path, seeds=(0,))) is None
    assert found_in(small(tmp_path, paths=("linear",), solvers=("euler",))) is None
    assert found_in(small(tmp_path, metrics=())) is None
    assert found_in(small(tmp_path, failed=lambda cell: "oom")) is None


def test_what_is_left_out_is_said(tmp_path: Path):
    def change(record: EvaluationRecord) -> EvaluationRecord:
        if record.cell.nfe == 2 and record.cell.training.seed == 1 and record.cell.solver.name == "euler":
            return dataclasses.replace(record, identities={"fid_digits": IDENTITY | {"samples": 500}})
        return record

    found = found_in(small(tmp_path, change=change))
    assert found is not None
    assert list(found.by_nfe) == [1]
    assert found.notes == ("NFE 2 is left out: its values are not comparable with each other.",)
    lost = small(tmp_path, t_distributions=T, failed=lambda c: "oom" if c.seed and str(c.path) == "cosine" else "ok")
    table = of_attribution(make_result_tables(dataclasses.replace(lost, adaptive=("dopri5",)).records())[0])
    assert table is not None
    assert "NFE 1: without 3 of 6 rows, which lost a seed." in table.notes
    assert any("adaptive" in note for note in table.notes)


def test_an_nfe_at_which_every_row_lost_a_seed_is_said_to_be_that(tmp_path: Path):
    def change(record: EvaluationRecord) -> EvaluationRecord:
        lost = record.cell.nfe == 2 and record.cell.training.seed == 1
        return dataclasses.replace(record, status="diverged", metrics={}) if lost else record

    found = found_in(small(tmp_path, change=change))
    assert found is not None
    assert list(found.by_nfe) == [1]
    assert found.notes == ("NFE 2 is left out: every row lost a seed.",)


def said_of(means: Sequence[float], halves: Sequence[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the line on shares of path and solver with such intervals, from three seeds."""
    t = interval([-1.0, 0.0, 1.0]).half
    axes = np.array(means) + np.array([-1.0, 0.0, 1.0])[:, None] / t * np.array(halves)
    left = 1 - axes.sum(axis=1, keepdims=True)
    shares = Shares("log fid_digits", ("path", "solver"), {1: np.concatenate([axes, left, 0 * left], axis=1)})
    monkeypatch.setattr(headline, "attribute", lambda result_table: shares)
    return dict(in_short(small(tmp_path).records()).lines)["What matters"]


def test_an_axis_that_is_told_is_named_though_another_looks_larger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    said = said_of((0.45, 0.21), (1.02, 0.02), tmp_path, monkeypatch)
    assert said.startswith("The solver explains more than chance might; whether the path or the solver matters most ")
    assert "by the solver 21% [19, 23]," in said
    assert said.endswith("; how much the path explains is not known from 3 seeds.")


def test_no_axis_is_named_where_all_intervals_reach_zero(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    said = said_of((0.3, 0.2), (0.4, 0.3), tmp_path, monkeypatch)
    assert said.startswith("No axis explains more than chance might: ")
    assert "the path 30% [0, 70], the solver 20% [0, 50]" in said


def test_no_share_is_said_where_none_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    said = said_of((0.74, 0.5), (1.07, 0.9), tmp_path, monkeypatch)
    assert said.endswith("how much of the spread of log fid_digits the path or the solver explains is not known from 3 "
                         "seeds.")  # fmt: skip
    assert "%" not in said


def test_shares_in_the_table_stay_within_0_and_100(tmp_path: Path):
    def noise(record: EvaluationRecord) -> EvaluationRecord:
        random = np.random.default_rng(int(record.cell.key[:8], 16))
        return dataclasses.replace(record, metrics={"fid_digits": float(np.exp(random.normal()))})

    result_table = make_result_tables(small(tmp_path, change=noise, metrics=(FID,), t_distributions=T).records())[0]
    found, table = attribute(result_table), of_attribution(result_table)
    assert found is not None
    assert table is not None
    assert any(share.low < 0 for _, share in found.ranked)  # else this shows nothing
    entries = [entry for line in table.lines for entry in line.entries]
    numbers = [float(n) for e in entries for n in [e.value[:-2], *e.spread.strip("[]").split(", ")] if n]
    assert min(numbers) >= 0
    assert max(numbers) <= 100


def test_the_order_of_axes_is_said_only_where_it_is_told(tmp_path: Path):
    told = dict(in_short(Factory(tmp_path).records()).lines)["What matters"]
    assert told.startswith("The solver matters more than ")

    def noise(record: EvaluationRecord) -> EvaluationRecord:
        random = np.random.default_rng(int(record.cell.key[:8], 16))
        return dataclasses.replace(record, metrics={"fid_digits": float(np.exp(random.normal()))})

    noisy = small(tmp_path, change=noise, metrics=(FID,), t_distributions=T)
    untold = dict(in_short(noisy.records()).lines)["What matters"]
    assert "matters more than" not in untold
    assert "what explains the spread of log fid_digits" in page(written(noisy, tmp_path)).text
