"""Pareto fronts: what is on them, what may be, and how they are drawn and said."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_report import FID, IDENTITY, MS, Factory, T, small, spec, written

from fmbench.report.analysis.pareto_front import Candidate, Front, Fronts, find_front, find_fronts, nfe_of, time_of
from fmbench.report.figures import all_figures
from fmbench.report.figures import label_placement as labelling
from fmbench.report.figures.pareto_front import pareto
from fmbench.report.figures.theme import Picture, looks
from fmbench.report.output_folder import Folder
from fmbench.report.result_table import SOLVER_AXIS, make_result_tables
from fmbench.report.tables.pareto_front import caption, front_table
from fmbench.results.records import TRAINING_AXES, EvaluationRecord
from fmbench.stats.paired_seeds import interval


def candidate(name: str, cost: float, scores: Sequence[float], **changes: Any) -> Candidate:
    by_seed = dict(enumerate(scores))
    return dataclasses.replace(Candidate((name,), 1, by_seed, interval(scores), complete=True, nfe=cost), **changes)


def names(front: Front) -> list[set[str]]:
    return [{c.row[0] for c in place} for place in front.places]


def drawn_at_random(seed: int, n: int = 60) -> list[Candidate]:
    """Scores that fall with a whole-numbered cost, so that many costs are equal, and some scores."""
    random = np.random.default_rng(seed)
    costs = random.integers(1, 12, n)
    return [
        candidate(str(i), float(cost), [float(round(20 / cost + random.exponential(4), 1))])
        for i, cost in enumerate(costs)
    ]


def dominates(one: Candidate, other: Candidate, sign: float) -> bool:
    better, worse = (sign * one.score.mean, one.nfe), (sign * other.score.mean, other.nfe)
    return better != worse and all(a <= b for a, b in zip(better, worse, strict=True))


@pytest.mark.parametrize("better", ["lower", "higher"])
@pytest.mark.parametrize("seed", range(5))
def test_what_is_on_the_front_is_dominated_by_nothing_and_all_else_is(seed: int, better: str):
    every, sign = drawn_at_random(seed), 1.0 if better == "lower" else -1.0
    on_it = {c.row for place in find_front(every, nfe_of, better).places for c in place}
    assert on_it
    for one in every:
        assert (one.row in on_it) == (not any(dominates(other, one, sign) for other in every))


def test_order_and_rescaling_change_nothing():
    every = drawn_at_random(7)
    expected = names(find_front(every, nfe_of, "lower"))
    shuffled = [every[i] for i in np.random.default_rng(0).permutation(len(every))]
    assert names(find_front(shuffled, nfe_of, "lower")) == expected
    rescaled = [dataclasses.replace(c, score=interval([math.log(c.score.mean)]), nfe=c.nfe**2) for c in every]
    assert names(find_front(rescaled, nfe_of, "lower")) == expected
    mirrored = [dataclasses.replace(c, score=interval([-c.score.mean])) for c in every]
    assert names(find_front(mirrored, nfe_of, "higher")) == expected


def test_ties_share_a_place_and_dearer_twins_have_none():
    twins = [candidate("a", 1, [5, 6]), candidate("b", 1, [5, 6]), candidate("dear", 2, [5, 6])]
    front = find_front(twins, nfe_of, "lower")
    assert names(front) == [{"a", "b"}]
    assert not front.rivals


def test_a_lost_seed_and_an_unknown_cost_are_on_no_front():
    good = candidate("good", 1, [1.0, 1.1])
    lossy, untimed = dataclasses.replace(good, complete=False), dataclasses.replace(good, time=math.nan)
    assert find_front([lossy], nfe_of, "lower") == Front()
    assert find_front([untimed], time_of, "lower") == Front()


def test_rivals_are_what_cannot_be_told_from_the_front_at_their_cost_or_less():
    every = [
        candidate("cheap", 1, [10.0, 11.0, 12.0]),
        candidate("best", 4, [5.0, 6.0, 7.0]),
        candidate("unsure", 4, [5.5, 5.9, 7.1]),  # 0.5, -0.1, 0.1 worse than the best
        candidate("paired", 4, [5.5, 6.5, 7.51]),  # wide beside each other, but worse seed by seed
        candidate("dear", 8, [5.5, 5.9, 7.1]),
        candidate("between", 2, [10.2, 10.9, 12.3]),  # compared with the cheap one: the best costs more
        candidate("beaten", 8, [10.2, 10.9, 12.3]),
    ]
    front = find_front(every, nfe_of, "lower")
    assert names(front) == [{"cheap"}, {"best"}]
    assert {c.row[0] for c in front.rivals} == {"unsure", "dear", "between"}


def test_a_noisy_leader_does_not_hide_that_a_quiet_one_is_better():
    every = [
        candidate("quiet", 1, [9.0, 9.0, 9.0]),
        candidate("noisy", 2, [1.0, 8.0, 17.0]),
        candidate("worse", 2, [9.5, 9.5, 9.51]),
    ]
    assert not find_front(every, nfe_of, "lower").rivals


def test_one_seed_knows_no_rivals():
    every = [candidate("a", 1, [5.0]), candidate("b", 1, [5.1]), candidate("c", 2, [4.0])]
    front = find_front(every, nfe_of, "lower")
    assert names(front) == [{"a"}, {"c"}]
    assert not front.rivals


def found(factory: Factory) -> Fronts | None:
    return find_fronts(make_result_tables(factory.records())[0])


def test_adaptive_solvers_stand_at_their_measured_nfe(tmp_path: Path):
    fronts = found(small(tmp_path, adaptive=("dopri5",)))
    assert fronts
    assert {c.nfe for c in fronts.candidates if c.budget is None} == {43.0}
    assert fronts.by_nfe.places[-1][0].nfe == 43.0


def test_scores_of_two_identities_and_times_of_two_machines_share_no_front(tmp_path: Path):
    def other(name: str) -> Factory:
        def change(record: EvaluationRecord) -> EvaluationRecord:
            value = IDENTITY | {"samples": 500 if record.cell.solver.name == "euler" else 2000}
            return dataclasses.replace(record, identities={**record.identities, name: value})

        return small(tmp_path, change=change)

    assert found(other("fid_digits")) is None
    fronts = found(other("sample_ms"))
    assert fronts
    assert fronts.clock is None
    assert not fronts.by_time.places
    assert fronts.by_nfe.places


def test_a_metric_without_direction_has_no_front(tmp_path: Path):
    assert found(small(tmp_path, metrics=(dataclasses.replace(FID, better=""), MS))) is None


def test_the_table_says_cost_score_gain_and_the_command_of_one_cell(tmp_path: Path):
    folder = written(small(tmp_path, nfe=(1, 2, 4), adaptive=("dopri5",)), tmp_path)
    text = (folder / "table.md").read_text()
    section = text.split("the Pareto front of")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")][2:]
    assert [line.split(" | ")[0] for line in lines] == ["| 1", "| 2", "| 4", "| 43"]
    assert lines[0].count("cheapest") == 2
    assert all("% (better)" in line for line in lines[1:])
    commands = section.split("```bash")[1]
    assert "--filter path=linear --filter solver=euler --filter nfe=1\n" in commands
    assert "--filter path=linear --filter solver=dopri5\n" in commands


def test_many_twins_take_one_line(tmp_path: Path):
    many = tuple(spec("t_distribution", "beta", alpha=float(i)) for i in range(5))
    change = {"change": lambda record: dataclasses.replace(record, metrics={"fid_digits": 3.0})}
    factory = small(tmp_path, paths=("linear",), t_distributions=many, solvers=("euler",), metrics=(FID,), **change)
    table = front_table(found(factory), "digits", lambda row: "command")
    assert table
    assert [line.entries[0].note for line in table.lines] == ["the same: beta(alpha=1.0); beta(alpha=2.0); 2 more"]


@pytest.fixture
def boxes(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Any]]:
    """Collect the panels with the boxes of their labels, and the labels themselves; write empty SVG files."""
    monkeypatch.setattr("matplotlib.backends.backend_svg.FigureCanvasSVG.print_svg", lambda *_, **__: None)
    seen: dict[str, list[Any]] = {"pages": [], "texts": []}
    make, put = labelling._Page.__init__, labelling._write

    def init(self: Any, *arguments: Any) -> None:
        make(self, *arguments)
        seen["pages"].append(self)

    def write(axes: Any, point: Any, *rest: Any) -> None:
        seen["texts"].append(point.text)
        put(axes, point, *rest)

    monkeypatch.setattr(labelling._Page, "__init__", init)
    monkeypatch.setattr(labelling, "_write", write)
    return seen


def draw(factory: Factory, folder: Path) -> tuple[Picture, Fronts]:
    fronts = found(factory)
    assert fronts
    styles = looks(c.row[SOLVER_AXIS] for c in fronts.candidates)
    picture = pareto(fronts, styles, Folder(folder), "pareto", "digits")
    assert picture
    assert (folder / "pareto.png").is_file()
    return picture, fronts


def negative(record: EvaluationRecord) -> EvaluationRecord:
    return dataclasses.replace(record, metrics={**record.metrics, "fid_digits": 20 - record.metrics["fid_digits"]})


def uneven(record: EvaluationRecord) -> EvaluationRecord:
    """Give every row times of its own, with a spread."""
    factor = 1 + 0.4 * np.random.default_rng(int(record.cell.key[:8], 16)).random()
    time = record.metrics["sample_ms"] * factor
    return dataclasses.replace(record, metrics={**record.metrics, "sample_ms": time, "sample_ms_iqr": 0.2 * time})


LONG = tuple(spec("t_distribution", "named_at_great_length_by_somebody", gamma="x" * 60, alpha=i) for i in range(3))
MANY = tuple(spec("t_distribution", "beta", alpha=0.1 * i, beta=1.0) for i in range(20))
CASES: dict[str, tuple[dict[str, Any], bool]] = {
    "one row, one NFE, one seed": ({"paths": ("linear",), "solvers": ("euler",), "nfe": (4,), "seeds": (0,)}, False),
    "no time": ({"metrics": (FID,)}, False),
    "below and above zero": ({"change": negative}, False),
    "higher is better": ({"metrics": (dataclasses.replace(FID, better="higher"), MS)}, False),
    "long names": ({"t_distributions": LONG, "change": uneven, "nfe": (1, 2, 3, 4, 6, 8, 12)}, True),
    "300 rows": (
        {"t_distributions": MANY, "paths": ("a", "b", "c"), "solvers": Factory.solvers, "change": uneven},
        True,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_labels_stay_inside_and_overlap_nothing(case: str, tmp_path: Path, boxes: dict[str, list[Any]]):
    changes, numbered = CASES[case]
    picture, fronts = draw(small(tmp_path, **changes), tmp_path)
    panels = 2 if fronts.clock else 1
    assert len(boxes["pages"]) >= panels
    for panel in boxes["pages"][-panels:]:
        for i, box in enumerate(panel.boxes):
            assert (box[:2] >= panel.frame[:2]).all()
            assert (box[2:] <= panel.frame[2:]).all()
            for other in panel.boxes[:i]:
                assert (box[:2] >= other[2:]).any() or (box[2:] <= other[:2]).any()
    shown = sum(len(panel.boxes) for panel in boxes["pages"][-panels:])
    assert shown == len(fronts.by_nfe.places) + len(fronts.by_time.places)
    assert all(text.isdigit() for text in boxes["texts"][-shown:]) == numbered
    assert "no room" not in picture.caption


def test_of_a_very_long_front_some_points_are_numbered_and_the_rest_is_said(
    tmp_path: Path, boxes: dict[str, list[Any]], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("fmbench.report.figures.pareto_front.MOST_NUMBERS", 5)

    def trade(record: EvaluationRecord) -> EvaluationRecord:
        alpha = record.cell.training.t_distribution.parameters["alpha"]
        return dataclasses.replace(record, metrics={"fid_digits": 9.0 - alpha, "sample_ms": 1.0 + alpha})

    factory = small(tmp_path, paths=("linear",), t_distributions=MANY, solvers=("euler",), nfe=(1,), change=trade)
    picture, fronts = draw(factory, tmp_path)
    assert len(fronts.by_time.places) == len(MANY)
    by_nfe, by_time = (len(panel.boxes) for panel in boxes["pages"])
    assert by_nfe == len(fronts.by_nfe.places) == 1
    assert 5 <= by_time <= 6
    assert f"no room to label {len(MANY) - by_time} points" in picture.caption


def test_the_caption_says_how_sure_the_front_is(tmp_path: Path):
    fronts = found(small(tmp_path, nfe=(1, 2, 4, 8), t_distributions=T))
    assert fronts
    unsure, timed = len(fronts.by_nfe.rivals), len(fronts.by_time.rivals)
    assert unsure
    assert f"Hollow points may be on the front ({unsure} by NFE and {timed} by time)" in caption(fronts)
    assert "no room to label 3 points" in caption(fronts, unlabelled=3)
    alone = found(small(tmp_path, seeds=(0,), metrics=(FID,)))
    assert alone
    assert "what else may be on the front cannot be told" in caption(alone)
    assert "time" not in caption(alone)
    lost = found(small(tmp_path, failed=lambda c: "oom" if c.seed and c.path.name == "cosine" else "ok"))
    assert lost
    assert "Crosses lost a seed" in caption(lost)


def test_the_front_is_over_all_rows_where_other_figures_show_some(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    seen: list[Fronts] = []
    monkeypatch.setattr(all_figures, "MOST_PANELS", 2)
    monkeypatch.setattr(all_figures, "pareto", lambda fronts, *_: seen.append(fronts))
    for name in ("at_a_glance.at_a_glance", "loss_curves.losses", "score_curves.by_nfe", "score_curves.by_time"):
        monkeypatch.setattr(f"fmbench.report.figures.{name}", lambda *_: None)
    written(small(tmp_path, t_distributions=MANY[:5], seeds=(0,), nfe=(1,)), tmp_path, figures=True)
    assert len({c.row[: len(TRAINING_AXES)] for c in seen[0].candidates}) == 10
