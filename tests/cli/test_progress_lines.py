"""Where there is no terminal a run says one line a minute: how much is done, what is at work, what is to go."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers import SMOKE

from fmbench.cli import output
from fmbench.cli.progress_lines import ProgressLines, duration
from fmbench.runner.run import run_session
from fmbench.runner.session import Options, open_session


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_line_a_minute_says_done_total_at_work_time_to_go_and_failures(clock: Clock) -> None:
    said: list[str] = []
    lines = ProgressLines(said.append, clock)
    lines.begin("training", 36_000, 0)
    lines.begin("evaluation", 288, 0)
    lines.began("training a", "training digits linear, seed 0")
    lines.began("training b", "training digits cosine, seed 0")
    for second in range(1, 181):
        clock.now = float(second)
        lines.advance("training", 100)
        if second == 100:
            lines.ended("training a", failed=True)
            lines.began("evaluation c", "evaluation of digits cosine, seed 0")
            lines.advance("evaluation", 1)
        lines.tick()
    assert said == [
        "After 60 s: 6,000 of 36,000 steps trained, about 5 min to go; 0 of 288 cells evaluated; "
        "at work: 2 trainings (training digits linear, seed 0, ...); none failed",
        "After 2 min: 12,000 of 36,000 steps trained, about 4 min to go; 1 of 288 cells evaluated, about 9 h 34 min to "
        "go; at work: 1 training, 1 evaluation (training digits cosine, seed 0, ...); 1 failed",
        "After 3 min: 18,000 of 36,000 steps trained, about 3 min to go; 1 of 288 cells evaluated, about 14 h 21 min "
        "to go; at work: 1 training, 1 evaluation (training digits cosine, seed 0, ...); 1 failed",
    ]


def test_what_was_done_before_gives_no_pace_and_nothing_is_said_between_stages(clock: Clock) -> None:
    said: list[str] = []
    lines = ProgressLines(said.append, clock)
    clock.now = 300
    lines.tick()
    lines.begin("evaluation", 10, 5)
    clock.now = 400
    lines.tick()
    lines.end("evaluation")
    clock.now = 500
    lines.tick()
    assert said == ["After 7 min: 5 of 10 cells evaluated; none failed"]


def test_every_stage_has_its_unit() -> None:
    from fmbench.cli.progress_lines import UNITS

    assert UNITS.keys() == output.STAGES.keys()


@pytest.mark.parametrize(("seconds", "text"), [(40, "40 s"), (180, "3 min"), (7500, "2 h 5 min")])
def test_durations_are_said(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_run_tells_what_is_at_work_and_all_of_it_ends(
    tmp_path: Path, undrawn: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tiny.yaml").write_text(SMOKE)
    options = Options(home=tmp_path / "store", reports=tmp_path / "reports", tracking=False, jobs="1")
    told: list[tuple[str, str]] = []
    monkeypatch.setattr(ProgressLines, "began", lambda self, unit, what: told.append((unit, what)))
    monkeypatch.setattr(ProgressLines, "ended", lambda self, unit, failed: told.append((unit, f"ended {failed}")))
    with output.bars_of() as bars:
        run_session(open_session(tmp_path / "tiny.yaml", options), bars)
    begun = {unit for unit, what in told if not what.startswith("ended")}
    assert begun == {unit for unit, what in told if what == "ended False"}
    assert sum(unit.startswith("training ") for unit in begun) == 1
    assert sum(unit.startswith("evaluation ") for unit in begun) == 3
    assert any(what.startswith("training moons linear") for _, what in told)
    assert any(what.startswith("evaluation moons linear") for _, what in told)
