"""`fmbench status`: what is done, who is at the rest, and nothing is written."""

from __future__ import annotations

import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from command_line import fmbench
from helpers import SMOKE

from fmbench.runner.session import Options, Session, open_session
from fmbench.store.atomic_files import write_sealed
from fmbench.store.holder import VARIABLE, HolderName, own_name
from fmbench.store.lease_files import LEASE
from fmbench.store.leases import Leases
from fmbench.store.store import Store
from fmbench.store.store_mark import claim

ELSEWHERE = HolderName("node7", "0123456789", 4242, 77)


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    (tmp_path / "suite.yaml").write_text(SMOKE)
    return tmp_path / "suite.yaml"


@pytest.fixture
def session(suite: Path, tmp_path: Path) -> Session:
    return open_session(suite, Options(home=tmp_path / "store"))


def status(suite: Path, **environment: str) -> dict[str, Any]:
    done = fmbench("status", suite.name, "--home", "store", "--json", cwd=suite.parent, **environment)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def at_work(leases: Leases, place: str, counter: int = 1) -> None:
    """Have somebody on another machine hold a cell."""
    body = {"counter": counter, "seconds": 60.0, "host": "node7", "pid": 4242, "job": "99_3", "held": 1}
    leases.files.beat(str(ELSEWHERE), json.dumps({**body, "units": [[place, 3700.0, 12]]}).encode())
    leases.files.create(place, f"{LEASE}{ELSEWHERE}-1")


def test_a_suite_of_which_nothing_is_computed_is_all_to_do_and_nothing_is_written(suite: Path, tmp_path: Path) -> None:
    found = status(suite)
    assert found["counts"]["trainings"] == {"total": 1, "done": 0, "failed": 0, "todo": 1, "running": 0}
    assert found["counts"]["evaluations"]["todo"] == found["counts"]["evaluations"]["total"] > 0
    assert found["running"] == []
    assert found["expected_seconds"] is None
    assert not (tmp_path / "store").exists()


def test_a_store_that_is_not_there_is_said(suite: Path, tmp_path: Path) -> None:
    done = fmbench("status", suite.name, "--home", "mistyped", cwd=tmp_path)
    assert (done.returncode, "mistyped holds no cell yet" in done.stdout) == (0, True), done.stdout + done.stderr
    assert not (tmp_path / "mistyped").exists()
    (tmp_path / "store").mkdir()
    claim(Store(tmp_path / "store"))
    assert "no cell yet" not in fmbench("status", suite.name, "--home", "store", cwd=tmp_path).stdout


def test_who_is_at_work_elsewhere_is_shown_with_what_it_says(
    suite: Path, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = session.plan.trainings[0].key
    at_work(session.store.leases, f"training/{key}")
    found = status(suite, **{VARIABLE: "0.6"})
    assert found["counts"]["trainings"] == {"total": 1, "done": 0, "failed": 0, "todo": 0, "running": 1}
    known = {"section": "training", "key": key, "host": "node7", "pid": 4242, "job": "99_3", "seconds": 3700.0}
    assert found["running"] == [{**known, "step": 12, "steps": 20, "alive": False}]
    said = fmbench("status", suite.name, "--home", "store", cwd=suite.parent, **{VARIABLE: "0.6"}).stdout
    for words in (key, "node7, process 4242, job 99_3 (no sign of life)", "1:01:40", "12 of 20", "without a sign of"):
        assert words in said


def test_a_counter_that_changes_is_a_sign_of_life(
    suite: Path, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    leases, place = session.store.leases, f"training/{session.plan.trainings[0].key}"
    at_work(leases, place)
    clock = SimpleNamespace(sleep=lambda seconds: at_work(leases, place, 2), monotonic=time.monotonic)
    monkeypatch.setattr("fmbench.runner.status.time", clock)
    assert [unit["alive"] for unit in status(suite)["running"]] == [True]


def test_what_is_of_this_machine_other_suites_or_given_back_is_told_apart(suite: Path, session: Session) -> None:
    leases, key = session.store.leases, session.plan.trainings[0].key
    with session.store.folder("training", key).lock(), session.store.folder("training", "b" * 20).lock():
        leases.files.beat(str(own_name()), leases.holder.statement())
        found = status(suite)
        assert [(unit["key"], unit["alive"]) for unit in found["running"]] == [(key, True)]
        assert found["others"] == 1
    assert status(suite)["running"] == [], "the heartbeat says so still, and the lease is gone"


def test_runs_without_a_terminal_are_named_with_what_became_of_them(
    suite: Path, session: Session, tmp_path: Path
) -> None:
    folder = tmp_path / "store" / "detached"
    run = {"command": "fmbench run suite.yaml", "log": "a.log", "started": "2026-01-01", "host": "node1", "job": ""}
    for name, about in {
        "a": {"suite": "tiny", "ended": None},
        "b": {"suite": "tiny", "ended": 1, "log": "b.log"},
        "c": {"suite": "another", "ended": None},
    }.items():
        write_sealed(folder / f"{name}.json", {**run, "process": 4711, **about})
    (folder / "d.json").write_text("not sealed")
    found = status(suite)["detached"]
    assert {each["file"]: each["at_work"] for each in found} == {"a.json": True, "b.json": False}
    said = fmbench("status", suite.name, "--home", "store", cwd=suite.parent).stdout
    assert "Detached: process 4711 on node1, since 2026-01-01; log: a.log; `kill 4711` ends it." in said
    assert "Detached: ended with exit code 1, begun 2026-01-01; log: b.log" in said


@pytest.mark.parametrize("units", ["1", "[[1]]", '[["x", "y", []]]', '[["training/a", 1, 2]]'])
def test_a_heartbeat_of_another_shape_says_nothing(suite: Path, session: Session, units: str) -> None:
    session.store.leases.files.beat(str(ELSEWHERE), f'{{"units": {units}}}'.encode())
    assert status(suite)["running"] == []
