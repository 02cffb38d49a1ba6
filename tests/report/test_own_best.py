"""Each at its own best: what is chosen, by which data, what the end of a range is, and whether the winner changes."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from test_report import FID, IDENTITY, spec

from fmbench.cells.cells import EvaluationCell, TrainingCell
from fmbench.cells.component_spec import ComponentSpec, Settings
from fmbench.cells.setting_axes import setting_value
from fmbench.report import in_short, write_report
from fmbench.report.analysis.baseline import references
from fmbench.report.analysis.own_best import OwnBests, own_bests
from fmbench.report.result_table import make_result_tables
from fmbench.results.records import EvaluationRecord, Records, TrainingRecord, Tuned

RATES = ("0.001", "0.003", "0.01", "0.03")
NOISE = (-0.1, 0.0, 0.1)
SMALL = (0.02, -0.03, 0.01)


def optimizer(rate: str, **more: Any) -> ComponentSpec:
    parameters = {"lr": float(rate), "weight_decay": 0.01, **more}
    return ComponentSpec("optimizer", "adamw", parameters, label=f"adamw(lr={rate})")


@dataclass(frozen=True)
class Case:
    """Scores by path and rate, on validation data and as reported; each seed adds its noise, a little other a path."""

    validation: Mapping[str, Sequence[float]]
    reported: Mapping[str, Sequence[float]]
    specs: Sequence[ComponentSpec] = field(default_factory=lambda: [optimizer(rate) for rate in RATES])
    baseline: Mapping[str, Any] | None = field(default_factory=lambda: {"path": "linear"})
    lost: Sequence[tuple[str, str]] = ()
    axes: tuple[str, ...] = ("optimizer",)
    seeds: Sequence[int] = (0, 1, 2)

    def records(self) -> Records:
        trainings, evaluations, validation = [], [], []
        for path, scores in self.validation.items():
            for number, one in enumerate(self.specs):
                for seed in self.seeds:
                    shift = NOISE[seed] + SMALL[(seed + (path == "cosine")) % 3]
                    cell = self.training(path, one, seed)
                    status = "diverged" if (path, str(one)) in self.lost and seed == 1 else "ok"
                    trainings.append(TrainingRecord(cell, status))
                    evaluations.append(self.evaluation(cell, status, self.reported[path][number] + shift))
                    validation.append(self.evaluation(cell, status, scores[number] + shift, "validation"))
        return Records(
            suite="rates",
            description="",
            trainings=trainings,
            evaluations=evaluations,
            validation=validation,
            metrics=[FID],
            baseline=self.baseline,
            tuning=Tuned(self.axes, FID.name),
        )

    def training(self, path: str, setting: ComponentSpec, seed: int) -> TrainingCell:
        components = [spec(k, n) for k, n in (("coupling", "independent"), ("t_distribution", "uniform"))]
        components += [spec("objective", "velocity"), spec("network", "net")]
        settings = Settings({"steps": 100, setting.kind: setting_value(setting)})
        return TrainingCell(
            spec("dataset", "digits"), spec("path", path), *components, seed, settings, varied=(setting,)
        )

    def evaluation(self, cell: TrainingCell, status: str, value: float, split: str = "") -> EvaluationRecord:
        settings = Settings({"samples": 100, **({"split": split} if split else {})})
        sampled = EvaluationCell(cell, spec("solver", "heun"), spec("grid", "uniform"), 8, 4, 1.0, "ema", settings)
        if status != "ok":
            return EvaluationRecord(sampled, status, "training: lost")
        return EvaluationRecord(
            sampled, "ok", "", 8.0, {FID.name: value}, {FID.name: {**IDENTITY, "reference_split": split or "train"}}
        )

    def found(self) -> OwnBests:
        (table,) = make_result_tables(self.records())
        found = own_bests(table)
        assert found is not None
        return found


def best(found: OwnBests) -> dict[str, str]:
    return {found.words(each.group): each.best.setting for each in found.groups if each.best}


CHANGES = Case(
    {"linear": [5, 6, 7, 8], "cosine": [9, 6, 3, 7]},
    {"linear": [5, 6, 7, 8], "cosine": [9, 6.01, 3, 7]},
)


def test_validation_chooses_and_the_reported_scores_do_not() -> None:
    case = Case({"linear": [5, 4, 6, 7], "cosine": [5, 6, 4, 7]}, {"linear": [1, 9, 1, 1], "cosine": [1, 1, 8, 1]})
    assert best(case.found()) == {"linear": "adamw(lr=0.003)", "cosine": "adamw(lr=0.01)"}
    assert [round(sum(e.best.score.by_seed.values()) / 3, 6) for e in case.found().groups if e.best] == [9, 8]


def test_another_reported_score_chooses_nothing_else() -> None:
    one, other = CHANGES, replace(CHANGES, reported={"linear": [8, 7, 6, 5], "cosine": [1, 1, 1, 1]})
    assert best(one.found()) == best(other.found())


def test_a_higher_metric_takes_the_highest() -> None:
    records = replace(CHANGES.records(), metrics=[replace(FID, better="higher")])
    found = own_bests(make_result_tables(records)[0])
    assert found is not None
    assert best(found) == {"linear": "adamw(lr=0.03)", "cosine": "adamw(lr=0.001)"}


def test_the_end_of_a_range_is_said() -> None:
    found = CHANGES.found()
    assert {found.words(e.group): list(e.ends) for e in found.groups} == {
        "linear": ["lr 0.001 is the smallest tried"],
        "cosine": [],
    }
    said = dict(in_short(CHANGES.records()).lines)["Each at its own best"]
    assert said.endswith("The best of linear lies at the end of its range (lr 0.001 is the smallest tried): widen it.")


def test_a_range_is_of_settings_that_differ_in_one_number_alone() -> None:
    decayed = optimizer("0.1", weight_decay=0.5)
    other = ComponentSpec("optimizer", "sgd", {"lr": 1.0}, label="sgd(lr=1)")
    specs = [optimizer("0.001"), optimizer("0.01"), decayed, other]
    case = Case({"linear": [5, 4, 6, 7]}, {"linear": [5, 4, 6, 7]}, specs, baseline=None)
    (only,) = case.found().groups
    assert list(only.ends) == ["lr 0.01 is the largest tried"], "neither the larger rate of another decay, nor of sgd"
    alone = Case({"linear": [5, 6, 3, 7]}, {"linear": [5, 6, 3, 7]}, specs, baseline=None)
    assert not alone.found().groups[0].ends, "no other setting differs in one number alone"


def test_numbers_have_ranges_too() -> None:
    specs = [ComponentSpec("steps", str(n), label=str(n)) for n in (100, 200, 400)]
    case = Case({"linear": [5, 4, 3]}, {"linear": [5, 4, 3]}, specs, baseline=None, axes=("steps",))
    assert list(case.found().groups[0].ends) == ["steps 400 is the largest tried"]


def test_zero_is_no_end_of_a_range() -> None:
    specs = [optimizer("0.01", weight_decay=decay) for decay in (0.0, 0.1, 0.2)]
    specs = [replace(one, label=f"adamw(decay={one.parameters['weight_decay']})") for one in specs]
    for scores, ends in (([3, 4, 5], []), ([5, 4, 3], ["weight_decay 0.2 is the largest tried"])):
        case = Case({"linear": scores}, {"linear": scores}, specs, baseline=None)
        assert list(case.found().groups[0].ends) == ends


def test_what_the_seeds_cannot_tell_from_the_best_is_said(tmp_path: Path) -> None:
    case = Case({"linear": [5, 5.0001, 7, 8], "cosine": [5, 8, 9, 7]}, {"linear": [5, 6, 7, 8], "cosine": [9, 6, 3, 7]})
    records = case.records()
    validation = [
        replace(r, metrics={FID.name: r.metrics[FID.name] + 0.5 * (r.cell.training.seed == 1)})
        if str(r.cell.training.varied[0]) == "adamw(lr=0.003)" and r.cell.training.path.name == "linear"
        else r
        for r in records.validation
    ]
    (table,) = make_result_tables(replace(records, validation=validation))
    found = own_bests(table)
    assert found is not None
    assert [one.setting for one in found.groups[0].near] == ["adamw(lr=0.003)"]
    assert not found.groups[1].near
    write_report(replace(records, validation=validation), tmp_path)
    text = (tmp_path / "table.md").read_text().replace("\\", "")
    assert "linear: adamw(lr=0.003) cannot be told from the best on validation data." in text


def test_the_winner_at_its_own_best_may_be_another_one_than_at_a_common_setting() -> None:
    said = dict(in_short(CHANGES.records()).lines)["Each at its own best"]
    assert said.startswith(
        "With each at its own best, cosine (adamw(lr=0.01)) leads: its fid_digits with heun, NFE 8 is 40% ["
    )
    assert "lower than that of linear (adamw(lr=0.001)) (n = 3)." in said
    common = "linear leads at adamw(lr=0.001), cosine leads at adamw(lr=0.01) and adamw(lr=0.03), none can be told"
    assert f"At a common setting {common} to lead at adamw(lr=0.003): the winner changes." in said


def test_the_winner_may_stay_the_same() -> None:
    case = Case({"linear": [5, 6, 7, 8], "cosine": [4, 5, 6, 7]}, {"linear": [5, 6, 7, 8], "cosine": [4, 5, 6, 7]})
    said = dict(in_short(case.records()).lines)["Each at its own best"]
    assert "adamw(lr=0.01) and adamw(lr=0.03): the winner stays the same." in said


def test_a_tie_is_named_as_one() -> None:
    case = Case({"linear": [5, 6, 7, 8], "cosine": [7, 5, 6, 8]}, {"linear": [5, 9, 7, 8], "cosine": [7, 5.01, 6, 8]})
    said = dict(in_short(case.records()).lines)["Each at its own best"]
    assert said.startswith(
        "With each at its own best, linear (adamw(lr=0.001)) and cosine (adamw(lr=0.003)) cannot be told"
    )
    assert "which may be chance (n = 3)." in said
    assert "with each at its own best, that is not so." in said


def test_the_size_of_a_tie_is_that_of_those_that_tie() -> None:
    """The second by its mean is clearly worse; the third scatters so that it cannot be told from the first."""
    only = [optimizer("0.001")]
    case = Case({"a": [5], "b": [5], "c": [5]}, {"a": [5], "b": [5.4], "c": [6]}, only, baseline=None)
    records = case.records()
    evaluations = [
        replace(r, metrics={FID.name: r.metrics[FID.name] + (0, -6, 6)[r.cell.training.seed]})
        if r.cell.training.path.name == "c"
        else r
        for r in records.evaluations
    ]
    found = own_bests(make_result_tables(replace(records, evaluations=evaluations))[0])
    assert found is not None
    assert found.lead is not None
    assert [row[1] for row in found.lead.groups] == ["a", "c"]
    assert found.lead.second[1] == "c"
    assert found.lead.gap is not None
    assert found.lead.gap.verdict == "not distinguishable"
    assert found.lead.gap.absolute.mean == pytest.approx(-1, abs=0.05)


def test_a_best_whose_reported_score_lost_a_seed_is_not_compared_and_that_is_said() -> None:
    records = CHANGES.records()
    evaluations = [
        replace(r, metrics={}, status="error")
        if r.cell.training.path.name == "cosine" and str(r.cell.training.varied[0]) == "adamw(lr=0.01)"
        else r
        for r in records.evaluations
    ]
    said = dict(in_short(replace(records, evaluations=evaluations)).lines)["Each at its own best"]
    assert "cosine is not compared: its best (adamw(lr=0.01)) has no fid_digits of every seed." in said


def test_a_baseline_of_samplers_alone_compares_with_the_leader(tmp_path: Path) -> None:
    write_report(replace(CHANGES, baseline={"solver": "heun"}).records(), tmp_path)
    text = (tmp_path / "table.md").read_text()
    assert "against the leader at its own best" in text
    assert "against the baseline at its own best" not in text


def test_a_setting_that_lost_a_seed_is_never_chosen(tmp_path: Path) -> None:
    case = replace(CHANGES, lost=[("cosine", "adamw(lr=0.01)")])
    assert best(case.found())["cosine"] == "adamw(lr=0.003)"
    write_report(case.records(), tmp_path)
    text = (tmp_path / "table.md").read_text().replace("\\", "")
    assert "cosine: adamw(lr=0.01) lost a seed, and is not chosen." in text
    every = [("linear", str(optimizer(rate))) for rate in RATES]
    found = replace(CHANGES, lost=every).found()
    assert list(best(found)) == ["cosine"]
    assert (
        "linear has no best: no setting finished every seed."
        in dict(in_short(replace(CHANGES, lost=every).records()).lines)["Each at its own best"]
    )


def test_one_seed_leads_nowhere() -> None:
    said = dict(in_short(replace(CHANGES, seeds=(0,)).records()).lines)["Each at its own best"]
    assert "cannot be told apart" in said


def test_the_report_holds_the_tables_and_the_scores_that_chose(tmp_path: Path) -> None:
    write_report(CHANGES.records(), tmp_path)
    text = (tmp_path / "table.md").read_text().replace("\\", "")
    assert "## digits: each at its own best" in text
    assert "| linear | adamw(lr=0.001) | 5.00 ± " in text
    assert "inside what was tried" in text
    for name in ("index.html", "table.tex"):
        assert "each at its own best" in (tmp_path / name).read_text()
    with (tmp_path / "validation.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == len(CHANGES.records().validation) == 24
    chosen = {(row["path"], row["optimizer"]) for row in rows if row["chosen"] == "True"}
    assert chosen == {("linear", "adamw(lr=0.001)"), ("cosine", "adamw(lr=0.01)")}
    with (tmp_path / "records.csv").open() as stream:
        assert len(list(csv.DictReader(stream))) == 24, "of those the other tables show"


def test_the_baseline_is_compared_at_its_own_best(tmp_path: Path) -> None:
    """Its setting is what it is at a common one; here each has its own."""
    case = replace(CHANGES, baseline={"path": "linear", "optimizer": {"adamw": {"lr": 0.01}}})
    write_report(case.records(), tmp_path)
    text = (tmp_path / "table.md").read_text().replace("\\", "")
    (row,) = [line for line in text.splitlines() if "inside what was tried" in line]
    assert "−40" in row
    assert "better, n = 3" in row


def test_a_baseline_may_name_a_setting_that_all_share() -> None:
    """It has no label then: the plan has seen that it is the one that all have."""

    def alike(record: Any) -> Any:
        training = record.cell.training if isinstance(record, EvaluationRecord) else record.cell
        shared = replace(training, varied=())
        cell = replace(record.cell, training=shared) if isinstance(record, EvaluationRecord) else shared
        return replace(record, cell=cell)

    one = replace(CHANGES, specs=[optimizer("0.001")])
    records = one.records()
    baseline = {"path": "linear", "optimizer": {"adamw": {"lr": 0.001}}}
    shared = replace(
        records,
        trainings=[alike(record) for record in records.trainings],
        evaluations=[alike(record) for record in records.evaluations],
        validation=[],
        tuning=None,
        baseline=baseline,
    )
    (table,) = make_result_tables(shared)
    pairs = {row[1]: other[1] for row, other in references(table, baseline).items()}
    assert pairs == {"cosine": "linear"}
    (table,) = make_result_tables(CHANGES.records())
    assert {other[6] for other in references(table, baseline).values()} == {"adamw(lr=0.001)"}


def test_a_metric_with_a_reference_of_its_own_is_said_to_have_one(tmp_path: Path) -> None:
    write_report(CHANGES.records(), tmp_path)
    assert "scored against the validation split" in (tmp_path / "table.md").read_text()
    records = CHANGES.records()
    own = [replace(record, identities={FID.name: {"metric": "fid_digits"}}) for record in records.validation]
    write_report(replace(records, validation=own), tmp_path)
    text = (tmp_path / "table.md").read_text()
    assert "against the validation split" not in text
    assert "with no split of the data but with what it names itself" in text


def test_without_a_choice_nothing_is_said(tmp_path: Path) -> None:
    records = replace(CHANGES.records(), validation=[], tuning=None)
    write_report(records, tmp_path)
    assert "own best" not in (tmp_path / "table.md").read_text()
    assert not (tmp_path / "validation.csv").exists()
