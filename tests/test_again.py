"""An alarm about time is measured again at another moment, and only what holds each time is one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from fmbench.cli import app
from fmbench.store import read_sealed
from fmbench.timings import joined

SUITE = """
name: timed
datasets: [{moons: {size: 300}}]
training:
  paths: [linear]
  networks: [{mlp: {width: 8, depth: 1}}]
  seeds: [0, 1]
  steps: 5
  batch_size: 16
evaluation: {solvers: [euler, ab2], nfe: [2, 4], samples: 100, metrics: [ticks, validation_loss]}
"""
METRIC = '''
from pathlib import Path

import fmbench

HERE = Path(__file__).parent

class Ticks(fmbench.Metric):
    """A time of 1, or of 2 in the first `slow` measurements."""

    scope = "sampler"
    unit = "ms"

    def compute(self, evidence):
        slow, count = float((HERE / "slow.txt").read_text()), HERE / "count.txt"
        number = int(count.read_text()) + 1
        count.write_text(str(number))
        ratio = 2.0 if number <= slow else 1.0
        return {"ticks": ratio, "ticks_relative": ratio, "ticks_relative_iqr": 0.01}

@fmbench.hookimpl
def fmbench_metrics():
    return {"ticks": Ticks}
'''


class Night:
    """A suite with a scripted clock, accepted once; `check` measures its four samplers anew."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, *arguments: str) -> Result:
        places = ["--plugins", str(self.folder / "ticks.py"), "--home", str(self.folder / "store")]
        places += ["--reports", str(self.folder / "reports"), "--jobs", "1", "--no-tracking", "--no-history"]
        return CliRunner().invoke(app, ["check", str(self.folder / "timed.yaml"), *places, *arguments])

    def check(self, slow: int) -> Result:
        shutil.rmtree(self.folder / "store" / "sampler", ignore_errors=True)
        (self.folder / "slow.txt").write_text(str(slow))
        (self.folder / "count.txt").write_text("0")
        return self.run()

    @property
    def moments(self) -> list[list[float]]:
        files = sorted((self.folder / "store" / "sampler").glob("*/metrics.json"))
        entries = [entry for file in files for entry in (read_sealed(file) or {}).values()]
        return [[values["ticks_relative"] for values in entry.get("moments", [])] for entry in entries]


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Night:
    found = Night(tmp_path_factory.mktemp("again"))
    (found.folder / "timed.yaml").write_text(SUITE)
    (found.folder / "ticks.py").write_text(METRIC)
    (found.folder / "slow.txt").write_text("0")
    (found.folder / "count.txt").write_text("0")
    assert found.run("--accept").exit_code == 0
    return found


def test_what_was_slow_for_a_while_is_no_alarm_and_both_measurements_stay(night: Night) -> None:
    result = night.check(slow=4)
    assert result.exit_code == 0, result.output
    assert "times that seemed worse were measured again: no alarm for ticks_relative" in " ".join(result.stdout.split())
    assert night.moments == [[2.0, 1.0]] * 4


def test_what_is_slow_each_time_is_an_alarm(night: Night) -> None:
    result = night.check(slow=1000)
    assert result.exit_code == 1, result.output
    assert result.stdout.startswith("WORSE: ticks_relative of the whole suite: worse by 100.0%")
    assert night.moments == [[2.0, 2.0, 2.0]] * 4


def test_the_moment_at_which_it_took_least_is_compared() -> None:
    def entry(ratio: float) -> dict[str, object]:
        return {"name": "sample_ms", "values": {"sample_ms": 3.0, "sample_ms_relative": ratio}}

    first, second, third = entry(2.0), entry(1.5), entry(1.7)
    twice = joined({"a": first}, {"a": second})
    assert twice["a"]["values"] == second["values"]
    thrice = joined(twice, {"a": third})["a"]
    assert thrice["values"] == second["values"]
    assert thrice["moments"] == [first["values"], second["values"], third["values"]]
    failed = {"name": "sample_ms", "values": {}, "status": "error", "error": "no"}
    assert joined({"a": first}, {"a": failed}) == {"a": failed}
    assert joined({"a": failed}, {"a": first}) == {"a": first}
