"""Drivers and workers that are killed at random moments: the suite ends as if nobody had touched it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from benchmarks import kills


@pytest.mark.slow
@pytest.mark.nightly
def test_a_suite_that_is_killed_at_random_moments_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    results: dict[str, Any] = {"kills": [], "runs": 0, "wrong": [], "seed": 3, "interval": 0.2, "steps": 400}
    kept: list[int] = []
    kills.measure(tmp_path, results, 5, lambda: kept.append(len(results["kills"])))
    assert results["wrong"] == []
    assert len(results["kills"]) == 5
    assert kept[-1] == 5


def test_the_table_counts_kills_by_stage_and_says_what_was_wrong() -> None:
    found = [kills.Kill("driver", "training", 3.0, 0.4), kills.Kill("all", "report", 5.0, 0.0)]
    results = {"kills": [vars(kill) for kill in found], "runs": 2, "wrong": ["row abc: 1 and 2"], "seed": 0}
    text = kills.table({**results, "interval": 0.5, "steps": 100})
    assert "1 differences" in text
    assert "cost 0.40 s of" in text
    assert "| training | 1 | 0 | 0 |" in text
    assert "| report | 0 | 0 | 1 |" in text
    assert text.rstrip().endswith("- row abc: 1 and 2")


def test_runs_differ_where_a_score_does_and_not_where_a_time_does(tmp_path: Path) -> None:
    for name, seconds, score in (("one", "1.5", "0.25"), ("two", "2.5", "0.25"), ("three", "1.5", "0.26")):
        place = tmp_path / name / "reports" / "kills"
        place.mkdir(parents=True)
        text = f"key,sliced_wasserstein,train_seconds,sample_ms\nabc,{score},{seconds},{seconds}\n"
        (place / "records.csv").write_text(text)
    one, two, three = (kills.scores(tmp_path / name) for name in ("one", "two", "three"))
    assert kills.differences(one, two) == []
    (line,) = kills.differences(one, three)
    assert line.startswith("row abc")
