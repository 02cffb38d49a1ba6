"""An alarm about time is measured again at another moment, and only what holds each time is one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from fmbench.cli.app import app
from fmbench.regression import Comparison, Outcome
from fmbench.results.records import Records
from fmbench.runner import remeasure
from fmbench.runner.progress import Silent
from fmbench.store.sampler_timings import joined
from fmbench.store.store import Store

SUITE = """
name: timed
datasets: [{moons: {size: 300}}]
training:
  paths: [linear]
  networks: [{mlp: {width: 8, depth: 1}}]
  seeds: [0, 1]
  steps: 5
  batch_size: 16
evaluation: {solvers: [euler, ab2], nfe: [2, 4], samples: 100, metrics: [ticks, laps, validation_loss]}
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
        slow, count = float((HERE / f"{self.scope}-slow.txt").read_text()), HERE / f"{self.scope}-count.txt"
        number = int(count.read_text()) + 1
        count.write_text(str(number))
        ratio = 2.0 if number <= slow else 1.0
        name = type(self).__name__.lower()
        return {name: ratio, f"{name}_relative": ratio, f"{name}_relative_iqr": 0.01}

class Laps(Ticks):
    """The same of a training."""

    scope = "training"

@fmbench.hookimpl
def fmbench_metrics():
    return {"ticks": Ticks, "laps": Laps}
'''


class Night:
    """A suite with a scripted clock, accepted once; `check` measures its four samplers anew."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, *arguments: str) -> Result:
        places = ["--plugins", str(self.folder / "ticks.py"), "--home", str(self.folder / "store")]
        places += ["--reports", str(self.folder / "reports"), "--jobs", "1", "--no-tracking", "--no-history"]
        return CliRunner().invoke(app, ["check", str(self.folder / "timed.yaml"), *places, *arguments])

    def set(self, slow: int) -> None:
        """Let so many measurements of samplers, and of trainings, be slow from now on."""
        for scope in ("sampler", "training"):
            (self.folder / f"{scope}-slow.txt").write_text(str(slow))
            (self.folder / f"{scope}-count.txt").write_text("0")

    def check(self, slow: int, *sections: str) -> Result:
        """Measure what samplers, or trainings, take anew, so many times slowly."""
        store = Store(self.folder / "store")
        for folder in (store.folder(section, key) for section in sections for key in store.keys(section)):
            kept = {
                digest: entry for digest, entry in folder.metrics().items() if entry["name"] not in ("ticks", "laps")
            }
            folder.seal("metrics.json", kept)
        self.set(slow)
        return self.run()

    def entries(self, section: str, name: str) -> list[dict[str, Any]]:
        """What the store holds of a metric, cell by cell."""
        store = Store(self.folder / "store")
        entries = [entry for key in store.keys(section) for entry in store.folder(section, key).metrics().values()]
        return [entry for entry in entries if entry["name"] == name]

    def values(self, section: str, name: str) -> list[dict[str, float]]:
        return [entry["values"] for entry in self.entries(section, name)]

    def moments(self, section: str, name: str) -> list[list[float]]:
        """The relative times of all moments, cell by cell."""
        return [[v[f"{name}_relative"] for v in entry.get("moments", [])] for entry in self.entries(section, name)]


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Night:
    found = Night(tmp_path_factory.mktemp("again"))
    (found.folder / "timed.yaml").write_text(SUITE)
    (found.folder / "ticks.py").write_text(METRIC)
    found.set(slow=0)
    assert found.run("--accept").exit_code == 0
    store = Store(found.folder / "store")
    for key in store.keys("sampler"):
        entry = {"name": "tocks", "values": {"tocks": 3.0}, "identity": {}, "seconds": 0.0}
        store.folder("sampler", key).add_metrics({"another suite's": entry})
    return found


def test_what_was_slow_for_a_while_is_no_alarm_and_all_measurements_stay(night: Night) -> None:
    result = night.check(4, "sampler", "training")
    assert result.exit_code == 0, result.output
    said = " ".join(result.output.split())
    assert "2 trainings and 4 samplers seem slower than in the baseline: measured again (1)" in said
    assert "2 trainings seem slower than in the baseline: measured again (2)" in said
    assert "times that seemed worse were measured again: no alarm for laps_relative of dataset moons" in said
    assert night.moments("sampler", "ticks") == [[2.0, 1.0]] * 4
    assert night.moments("sampler", "tocks") == [[]] * 4, "what this suite does not ask for is not measured again"
    assert night.moments("training", "laps") == [[2.0, 2.0, 1.0]] * 2
    # what a few steps say of a whole training is not taken over
    assert night.values("training", "laps") == [{"laps": 2.0, "laps_relative": 1.0, "laps_relative_iqr": 0.01}] * 2


def test_what_is_slow_each_time_is_an_alarm_after_so_many_moments(monkeypatch: pytest.MonkeyPatch) -> None:
    slower = Comparison("sample_ms_relative", "cell", "NFE 4", {}, "worse", is_time=True, scope="sampler", effect=0.5)
    outcome, measured = Outcome("s", (slower,), (), (slower,)), []

    class Session:
        def results_index(self) -> None:
            return None

        def records(self, results_index: None) -> Records:
            return Records("s", "", [], [], [])

    class Scheduler:
        def __init__(self, *arguments: object) -> None:
            return None

        def time_again(self, cells: list[str]) -> None:
            measured.append(cells)

    monkeypatch.setattr(remeasure, "Scheduler", Scheduler)
    monkeypatch.setattr(remeasure, "sampler_key", str)
    monkeypatch.setattr(remeasure, "alarmed_samplers", lambda records, found: ["a sampler"] if found.worse else [])
    session: Any = Session()
    _, found = remeasure.confirm(session, session.records(None), lambda records: outcome, Silent())
    assert measured == [["a sampler"]] * remeasure.MOMENTS
    assert found.exit_code == 1
    assert found.notes == ("times that seemed worse were measured again: they still do",)


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
