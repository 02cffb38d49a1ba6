"""The table after a run: the best rows first, no wider than the screen, no word broken, every sign explained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from test_report import FID, Factory, small, spec

from fmbench.cli.headline_table import tell_tables
from fmbench.cli.text_table import folded, wide
from fmbench.report.result_table import make_result_tables
from fmbench.report.tables.headline_table import as_data, best_first, headline_tables
from fmbench.results.records import Records


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Records:
    """30 rows by 4 NFE, with a baseline."""
    baseline = {"path": "cosine", "t_distribution": "uniform"}
    return Factory(tmp_path_factory.mktemp("records"), metrics=(FID,), baseline=baseline).records()


def told(tables: list[dict[str, Any]], width: int, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", str(width))
        tell_tables(tables)
    return capsys.readouterr().out


@pytest.mark.parametrize("width", [60, 80, 130])
def test_it_fits_the_screen_and_breaks_no_word(
    records: Records, width: int, capsys: pytest.CaptureFixture[str]
) -> None:
    (table,) = map(as_data, headline_tables(records))
    text = told([table], width, capsys)
    lines = text.splitlines()
    assert max(map(wide, lines[2:-1])) <= width
    words = {word for line in table["lines"][:8] for label in line["labels"] for word in label.split()}
    assert words <= set(text.split()), "each stands whole"
    rows = 20 if width > 120 else 8
    assert f"{rows + 1} of 30 rows, the best first" in text, "the baseline stands beneath the best"
    assert "(baseline)" in text
    assert ("±" in "".join(lines[4:12])) == (width > 120), "a wide screen shows the intervals"
    assert "\x1b" not in text
    assert "\u2026" not in text


def test_rows_that_lead_at_an_nfe_come_first_and_are_marked(records: Records) -> None:
    (result_table,) = make_result_tables(records)
    (table,) = headline_tables(records)
    order = best_first(result_table, result_table.rows())
    assert sorted(order) == sorted(result_table.rows())
    best = [any(entry.best for entry in line.entries) for line in table.lines]
    assert best == sorted(best, reverse=True)
    assert 1 <= sum(best) <= 4
    data = as_data(table)
    assert data == json.loads(json.dumps(data))
    assert {line["is"] for line in data["lines"]} == {"baseline", ""}
    assert all(len(line["entries"]) == 4 for line in data["lines"])


def test_a_suite_of_several_datasets_has_a_table_for_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    several = small(tmp_path, datasets=("digits", "moons"), metrics=(FID,)).records()
    text = told(list(map(as_data, headline_tables(several))), 80, capsys)
    assert [line.split(":")[0] for line in text.splitlines() if "by NFE" in line] == ["digits", "moons"]


def test_solvers_without_an_nfe_are_shown_where_there_are_no_others(tmp_path: Path) -> None:
    (table,) = headline_tables(small(tmp_path, solvers=(), adaptive=("dopri5",), metrics=(FID,)).records())
    assert table.columns[0] == "NFE (measured)"
    assert headline_tables(small(tmp_path, metrics=()).records()) == []


def test_what_somebody_calls_a_component_cannot_move_the_cursor(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hostile = (spec("network", "a\x1b[2Jb"), spec("network", "[red]c[/]"))
    text = told(list(map(as_data, headline_tables(small(tmp_path, networks=hostile).records()))), 80, capsys)
    assert "\x1b" not in text
    assert r"a\x1b[2Jb" in text
    assert "[red]c[/]" in text


def test_a_text_is_folded_between_words_and_never_within_a_command() -> None:
    text = "Its traceback: `fmbench why 0123456789 suites/low_nfe.yaml --set training.steps=4` says more of it"
    lines = folded(text, 40).splitlines()
    assert [line for line in lines if line.startswith("`")] == [
        "`fmbench why 0123456789 suites/low_nfe.yaml --set training.steps=4`"
    ]
    assert " ".join(lines) == text
    assert max(wide(line) for line in lines if "`" not in line) <= 40
    assert folded("  indented text\n  and more", 12) == "  indented\n  text\n  and more"
