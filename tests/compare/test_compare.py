"""Comparing two sides: what is paired, what is refused, and what is said of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from made_results import FACTS, FID, results, write_csv, write_results

from fmbench.compare import ComparedResults, ResultsComparison, as_data, compare, headline, markdown, page, read_results
from fmbench.compare.compared_results import selected
from fmbench.compare.comparison import MetricComparison
from fmbench.compare.tables import changed_table, metric_table, refused_lines, untold_table
from fmbench.compare.text import summary, tally
from fmbench.errors import UserError
from fmbench.results.snapshot import Snapshot


def of(before: Snapshot, after: Snapshot, **options: Any) -> ResultsComparison:
    return compare(ComparedResults("a", before), ComparedResults("b", after), **options)


def metric(found: ResultsComparison, name: str = "fid") -> MetricComparison:
    return next(each for each in found.metrics if each.facts.name == name)


def worse_by(factor: float, **where: str) -> Any:
    """Return a change of one configuration, the same in every seed."""

    def change(labels: dict[str, str], _: int, values: dict[str, float]) -> dict[str, float]:
        return {**values, "fid": values["fid"] * factor} if where.items() <= labels.items() else values

    return change


def test_what_is_compared_with_itself_is_identical() -> None:
    found = of(results(), results())
    assert tally(found) == {"better": 0, "worse": 0, "not distinguishable": 0, "cannot tell": 0, "identical": 18}
    assert found.judged_together == 0
    assert not found.got_worse
    assert changed_table(found) is None
    assert "is the same" in headline(found)


def test_the_one_row_that_got_worse_is_told_and_no_other() -> None:
    after = results(change=worse_by(1.5, path="cosine", solver="heun", nfe="2"))
    found = of(results(), after)
    table = changed_table(found)
    assert table is not None
    assert found.got_worse
    assert [line.cells[:2] for line in table.lines] == [("fid", "cosine, heun, NFE 2")]
    assert found.judged_together == 1  # all the others are what they were, to the last bit
    row = next(row for row in metric(found).rows if row.verdict == "worse")
    assert row.percent is not None
    assert row.percent.mean == pytest.approx(50)
    better = of(after, results())
    assert not better.got_worse
    assert tally(better)["better"] == 1


def test_two_lucky_runs_of_one_suite_differ_in_nothing_and_say_what_would_tell() -> None:
    found = of(results(seeds=(0, 1, 2)), results(seeds=(0, 1, 2), luck=1), metrics=["fid"])
    assert tally(found)["not distinguishable"] == 8
    assert found.judged_together == 8
    assert metric(found).overall is not None
    assert metric(found).overall.verdict == "not distinguishable"
    assert all("seeds" in row.needed for row in metric(found).rows)
    table = untold_table(found)
    assert table is not None
    needed = [int(line.cells[-1].split()[1]) for line in table.lines]
    assert needed == sorted(needed)
    assert min(needed) > 3


def test_a_change_that_every_row_shares_is_seen_over_all_of_them_where_no_row_shows_it() -> None:
    seeds = (0, 1, 2)
    found = of(results(seeds=seeds), results(seeds=seeds, luck=1, change=worse_by(1.06)), metrics=["fid"])
    overall = metric(found).overall
    assert overall is not None
    assert overall.verdict == "worse"
    assert overall.percent.low > 0
    assert len(found.with_verdict("worse")) < 2
    assert found.got_worse


def test_a_metric_of_another_direction_is_judged_by_its_own() -> None:
    def lower(_: dict[str, str], __: int, values: dict[str, float]) -> dict[str, float]:
        return {**values, "recall": values["recall"] * 0.5}

    assert {row.verdict for row in metric(of(results(), results(change=lower)), "recall").rows} == {"worse"}


@pytest.mark.parametrize(
    ("other", "name", "reason"),
    [
        ({"samples": 500}, "fid", "samples is 2000 in A and 500 in B"),
        ({"hardware": "Another CPU"}, "sample_ms", "hardware is Test CPU, 2 cores in A and Another CPU in B"),
    ],
)
def test_values_of_another_identity_are_refused_with_the_reason(other: dict[str, Any], name: str, reason: str) -> None:
    found = of(results(), results(luck=1, **other))
    assert set(metric(found, name).refused) == {reason}
    assert any(name in line and reason in line for line in refused_lines(found))
    assert any(row.gap for each in found.metrics for row in each.rows)  # what can be compared is
    despite = of(results(), results(luck=1, **other), despite=[reason.split(" ")[0]])
    assert bool(metric(despite, name).refused) == (name == "sample_ms")  # times of two machines are never compared


def test_times_are_shown_and_never_judged() -> None:
    def slower(_: dict[str, str], __: int, values: dict[str, float]) -> dict[str, float]:
        return {**values, "sample_ms": values["sample_ms"] * 3}

    found = of(results(), results(change=slower))
    assert not found.got_worse
    assert not metric(found, "sample_ms").judged
    table = metric_table(metric(found, "sample_ms"))
    assert len(table.lines) == 8
    assert "not judged" in table.note
    assert all("+200%" in line.cells[-1] for line in table.lines)


def test_what_one_side_alone_has_is_listed() -> None:
    found = of(results(solvers=("euler", "heun")), results(solvers=("euler", "rk4")))
    assert len(found.only_before["evaluation"]) == len(found.only_after["evaluation"]) == 4
    said = " ".join(summary(found))
    assert "Only in A: 4 evaluations" in said
    assert "Only in B: 4 evaluations" in said
    assert "only in A: dataset digits, path linear, solver heun, NFE 2" in markdown(found).replace("\\", "")


def test_rows_that_differ_on_an_axis_are_paired_across_it() -> None:
    before, after = results(solvers=("euler",)), results(solvers=("heun",), luck=1)
    assert any("--across solver pairs them" in text for text in of(before, after).notes)
    found = of(before, after, across=["solver"])
    assert not found.only_before["evaluation"]
    assert len(metric(found).rows) == 4
    assert "euler → heun" in metric_table(metric(found)).lines[0].cells
    with pytest.raises(UserError, match="one side has several such rows"):
        of(results(), results(), across=["solver"])


def test_seeds_pair_where_they_can_and_welch_judges_where_they_cannot() -> None:
    some = of(results(seeds=(0, 1, 2, 3)), results(seeds=(1, 2, 3, 4), luck=1), metrics=["fid"])
    assert all(row.paired and row.gap.n == 3 for row in metric(some).rows if row.gap)
    assert "seed 0, 4 on one side alone" in metric(some).rows[0].reason
    none = of(results(seeds=(0, 1, 2)), results(seeds=(5, 6, 7), luck=1), metrics=["fid"])
    assert all(not row.paired and "Welch" in row.reason for row in metric(none).rows)
    assert any("Welch" in text for text in summary(none))
    one = of(results(seeds=(0,)), results(seeds=(0,), luck=1), metrics=["fid"])
    assert tally(one)["cannot tell"] == 8
    assert "two seeds" in metric(one).rows[0].needed


def test_a_cell_that_failed_since_is_worse() -> None:
    def fails(labels: dict[str, str], seed: int, values: dict[str, float]) -> dict[str, float] | None:
        return None if labels["solver"] == "heun" and seed == 2 else values

    found = of(results(), results(change=fails))
    assert found.got_worse
    assert len(found.lost) == 4
    assert "seed 2 diverged" in found.lost[0]
    assert "4 configurations of A's failed in B" in headline(found)
    assert not of(results(change=fails), results(change=fails)).got_worse


def test_an_old_report_is_read_from_its_records_and_says_what_it_does_not_know(tmp_path: Path) -> None:
    before, after = results(), results(luck=1)
    old, new = (
        read_results(str(write_csv(before, tmp_path / "old"))),
        read_results(str(write_results(after, tmp_path / "new"))),
    )
    assert not old.known
    assert new.known
    found, exact = compare(old, new), of(before, after)
    assert [row.gap for row in metric(found).rows] == [row.gap for row in metric(exact).rows]
    assert any("holds no identities" in reason for reason in metric(found, "sample_ms").refused)
    assert any("A is a records.csv" in text for text in found.notes)
    both = compare(old, old)
    assert not any(each.judged for each in both.metrics)  # nobody knows which way is better
    assert metric(compare(old, old, better={"fid": "lower"})).judged


def test_results_are_read_again_as_they_were_written(tmp_path: Path) -> None:
    snapshot = results()
    found = read_results(str(write_results(snapshot, tmp_path))).snapshot
    assert found.evaluations == snapshot.evaluations
    assert list(found.metrics) == [facts.name for facts in FACTS]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("results.json", "{", "damaged: it is not JSON"),
        ("results.json", "{}", "is not a file of results of fmbench"),
        ("records.csv", "a,b\n1,2\n", "it has no column"),
        (
            "records.csv",
            "dataset,path,coupling,t_distribution,objective,network,seed,solver,status\n,,,,,,x,,\n",
            "line 2",
        ),
        ("other.txt", "", "holds no report"),
    ],
)
def test_what_holds_no_results_gets_one_clear_word(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=message):
        read_results(str(tmp_path))


def test_filters_keep_rows_and_a_mistyped_one_says_what_there_is() -> None:
    side = ComparedResults("a", results())
    assert {g[1] for g, _ in selected(side, ["path=linear", "nfe=2"]).snapshot.evaluations} == {"linear"}
    assert len(selected(side, ["seed=0,1"]).snapshot.evaluations) == 16
    for text, message in (
        ("path=cubic", "it has cosine, linear"),
        ("colour=red", "is no axis"),
        ("path", "AXIS=VALUE"),
    ):
        with pytest.raises(UserError, match=message):
            selected(side, [text])


HOSTILE = '</script><img src=x onerror="alert(1)">|`*_[a](javascript:b)'


def test_what_a_suite_calls_things_marks_up_nothing() -> None:
    after = results(paths=(HOSTILE,), change=worse_by(2.0), suite=HOSTILE)
    found = of(results(paths=(HOSTILE,)), after)
    for text in (page(found), markdown(found)):
        assert "<img" not in text
        assert "<script" not in text
    assert "\\|\\`\\*\\_\\[a\\](javascript" in markdown(found)
    assert HOSTILE in str(as_data(found))


def test_a_comment_fits_a_pull_request_however_much_was_compared() -> None:
    paths = [f"path{i}" for i in range(120)]
    found = of(results(paths=paths, seeds=(0, 1)), results(paths=paths, seeds=(0, 1), luck=1))
    text = markdown(found)
    assert len(text) < 65_000
    assert "lines more" in text
    assert text.rstrip().endswith("</details>")


def test_what_else_differs_is_said() -> None:
    import dataclasses

    before = dataclasses.replace(results(), settings={"training": {"steps": 100}}, code={"solver": {"heun": "x"}})
    after = dataclasses.replace(results(), settings={"training": {"steps": 200}}, code={"solver": {"heun": "y"}})
    assert list(of(before, after).differing) == ["training.steps: 100 in A, 200 in B", "code of solver: heun"]


def test_a_metric_that_nobody_has_is_named_with_those_there_are() -> None:
    with pytest.raises(UserError, match="no such metric: fod; there are fid"):
        of(results(), results(), metrics=["fod"])
    assert FID.name == "fid"
