"""The benchmark command: what it says of rows that were met, missed or not measured. Nothing is timed here."""

from __future__ import annotations

import csv
import json
from dataclasses import asdict
from pathlib import Path

import pytest
from benchmarks import run
from benchmarks.measuring import (
    Options,
    Pair,
    Row,
    alternate,
    at_least,
    at_most,
    attempt,
    faster,
    main,
    overhead,
    row_of,
)
from benchmarks.reporting import Result, margin, write_report

PAIRS = [Pair(1.0, 12.0), Pair(1.0, 11.0), Pair(2.0, 26.0)]
MET = faster("quick thing", "ours", "a loop", PAIRS, at_least(10))
MISSED = overhead("slow thing", "ours", "bare", [Pair(1.2, 1.0), Pair(1.1, 1.0)], at_most(1.0), note="why | so")
LEVEL = overhead("even thing", "ours", "bare", [Pair(1.01, 1.0), Pair(1.01, 1.0), Pair(0.98, 1.0)], at_most(1.0))
SHARE = Row("a share", "ours", "", (0.004,), "of the whole", at_most(0.01))
FREE = faster("no target", "ours", "a loop", PAIRS)
FAILED = Row("broken thing", "", "", error="ModuleNotFoundError: No module named 'peer'")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A report of all kinds of rows."""
    results = [
        Result("first", "Is it quick?", (MET, MISSED, LEVEL, SHARE), 12.0),
        Result("second", "Or not?", (FREE, FAILED), 3.0),
    ]
    write_report(results, {"hardware": "an abacus, 2 cores"}, tmp_path / "benchmarks")
    return tmp_path / "benchmarks"


def line_of(page: str, name: str) -> str:
    return next(line for line in page.splitlines() if line.startswith(f"| {name} "))


def test_the_page_says_of_each_target_whether_and_by_how_much(folder: Path) -> None:
    page = (folder / "README.md").read_text()
    assert "2 of 4 targets were met. Level, for the spread reaches over the target: even thing by 1%." in page
    assert "Missed: slow thing by 15%. Not measured: broken thing." in page
    assert "12.0 | 11.0 to 13.0" in line_of(page, "quick thing")
    assert line_of(page, "quick thing").endswith("| at least 10 | met |")
    assert line_of(page, "slow thing").endswith("| at most 1 | missed by 15% |")
    assert line_of(page, "even thing").endswith("| at most 1 | level, 1% off |")
    assert line_of(page, "no target").endswith("| - | - |")
    assert "failed: ModuleNotFoundError: No module named 'peer'" in line_of(page, "broken thing")
    assert "hardware: an abacus, 2 cores" in page
    assert "why | so" in page


def test_every_repeat_is_in_the_csv(folder: Path) -> None:
    with (folder / "benchmarks.csv").open() as file:
        rows = list(csv.DictReader(file))
    quick = [row for row in rows if row["row"] == "quick thing"]
    assert [float(row["ratio"]) for row in quick] == [12.0, 11.0, 13.0]
    assert [float(row["peer_time"]) for row in quick] == [12.0, 11.0, 26.0]
    assert [row["verdict"] for row in rows if row["row"] == "broken thing"] == ["failed"]


def test_the_figure_is_drawn(folder: Path) -> None:
    from PIL import Image

    with Image.open(folder / "benchmarks.png") as picture:
        assert picture.width > 600
        assert len(set(picture.convert("RGB").resize((60, 40)).tobytes())) > 10


def test_a_report_without_one_measured_row_is_written(tmp_path: Path) -> None:
    page = write_report([Result("only", "Nothing.", (FAILED,), 1.0)], {}, tmp_path)
    assert "0 of 0 targets were met. Not measured: broken thing." in page.read_text()


def test_rows_survive_json() -> None:
    for row in (MET, MISSED, LEVEL, SHARE, FREE, FAILED):
        assert row_of(json.loads(json.dumps(asdict(row)))) == row


def test_right_of_the_line_is_better() -> None:
    assert margin(at_least(10), 20) == pytest.approx(2)
    assert margin(at_most(0.5), 0.25) == pytest.approx(2)


def test_repeats_alternate_and_warm_ups_do_not_count() -> None:
    called: list[str] = []

    def ours() -> float:
        called.append("ours")
        return float(len(called))

    def peer() -> float:
        called.append("peer")
        return float(len(called))

    pairs = alternate(ours, peer, repeats=2)
    assert called == ["ours", "peer", "peer", "ours", "ours", "peer"]
    assert pairs == [Pair(4.0, 3.0), Pair(5.0, 6.0)]


def test_a_part_that_fails_is_a_row_beside_the_others() -> None:
    def broken() -> Row:
        raise ModuleNotFoundError("No module named 'peer'")

    assert attempt("broken thing", broken) == [FAILED]
    assert attempt("quick thing", lambda: MET) == [MET]


def test_a_benchmark_of_its_own_exits_with_1_when_a_row_failed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = tmp_path / "rows.json"
    with pytest.raises(SystemExit) as ended:
        main(lambda options: [MET, FAILED], "What?", argv=["--quick", "--rows", str(rows)])
    assert ended.value.code == 1
    assert [row_of(values) for values in json.loads(rows.read_text())] == [MET, FAILED]
    assert "target at least 10: met" in capsys.readouterr().out


def test_the_command_goes_on_after_a_benchmark_that_breaks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "limits.py").write_text('"""Does it break?"""\nraise RuntimeError("it broke")\n')
    (tmp_path / "fleet.py").write_text(
        '"""Is it quick?"""\nimport json, pathlib, sys\n'
        f"pathlib.Path(sys.argv[sys.argv.index('--rows') + 1]).write_text({json.dumps([asdict(MET)])!r})\n"
    )
    monkeypatch.setattr(run, "FOLDER", tmp_path)
    assert run.main(["--only", "fleet", "limits", "--quick", "--reports", str(tmp_path)]) == 1
    page = capsys.readouterr().out
    assert "failed: RuntimeError: it broke" in page
    assert line_of(page, "quick thing").endswith("met |")
    assert "no figures to quote" in page


@pytest.mark.parametrize("arguments", [["--only", "fleets"], ["--device", "abacus"]])
def test_what_is_not_known_is_refused_with_the_choices(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code = run.main(arguments)
    except SystemExit as ended:  # argparse's way
        code = int(ended.code or 0)
    assert code == 2
    said = capsys.readouterr().err
    assert arguments[1] in said
    assert ("fleet" in said and "suites" in said) or "cuda" in said


def test_every_benchmark_says_what_it_compares_and_measures_rows() -> None:
    for name in run.BENCHMARKS:
        text = (run.FOLDER / f"{name}.py").read_text()
        assert run.summary_of(run.FOLDER / f"{name}.py").endswith("?"), name
        assert "def measure(options: Options) -> list[Row]:" in text, name


def test_the_plain_script_knows_every_cell_of_the_suites_that_it_stands_for() -> None:
    from benchmarks import suites
    from benchmarks.scripts import one_cell

    from fmbench.runner.session import open_session

    for suite in suites.SUITES:
        plan = open_session(suite.file).plan
        assert len(suites.every(sorted(plan.evaluations, key=suites.place), suite.scripts)) == suite.scripts
        for cell in plan.evaluations:
            found = suites.described(cell, [])
            assert found["path"] in one_cell.PATHS
            assert found["t_distribution"] in one_cell.TIMES
            assert found["solver"] in {*one_cell.STEPS, "ab2"}
            assert (found["dataset"], found["network"]) in {("digits", "small_unet"), ("eight_gaussians", "mlp")}
            assert found["optimizer"] in one_cell.OPTIMIZERS


@pytest.mark.parametrize("name", ["linear", "cosine", "vp"])
def test_the_plain_script_learns_the_same_paths(name: str) -> None:
    import torch
    from benchmarks.scripts import one_cell

    from fmbench.plugins.registry import load_registry

    registry = load_registry()
    t = torch.linspace(0.01, 0.99, 50, dtype=torch.float64)
    theirs = registry.build(registry.spec("path", name)).coefficients(t)
    for own, other in zip(one_cell.PATHS[name](t), theirs, strict=True):
        torch.testing.assert_close(own, other)


def test_a_quick_try_cuts_sizes_and_repeats() -> None:
    assert Options(quick=True).repeats(15) == 3
    assert Options().repeats(15) == 15
    assert Options(quick=True).at_most(1000, 10) == 10
