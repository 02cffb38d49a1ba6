"""A team's tracking server, with PostgreSQL and an S3 store below it, that is stopped and started while runs log to it.

Run with `pytest -n 0 -m postgresql tests/tracking`.
"""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import fmbench
from helpers import SMOKE
from team_server import S3_SECRET, TeamServer, keys_in, team_server
from test_tracking import evaluated, suite_of, trained

from fmbench.results.records import Records
from fmbench.tracking import Tracker

pytestmark = pytest.mark.postgresql

TRAININGS, SOLVERS, NFES = 100, 4, (2, 4)
RUNS = TRAININGS * (1 + SOLVERS)

RUNS_BY_CELL = """
SELECT cell.value, count(*), min(runs.status) FROM runs
JOIN experiments USING (experiment_id) JOIN tags AS cell ON cell.run_uuid = runs.run_uuid AND cell.key = 'fmbench.cell'
WHERE experiments.name = '{}' AND runs.lifecycle_stage = 'active' GROUP BY cell.value
"""
REPEATED_ENTRIES = "SELECT run_uuid, key, step, count(*) FROM metrics GROUP BY run_uuid, key, step HAVING count(*) > 1"
ORPHANS = """
SELECT parent.value FROM tags AS parent JOIN runs AS child ON child.run_uuid = parent.run_uuid
LEFT JOIN runs ON runs.run_uuid = parent.value AND runs.lifecycle_stage = 'active'
WHERE parent.key = 'mlflow.parentRunId' AND child.lifecycle_stage = 'active' AND runs.run_uuid IS NULL
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TeamServer]:
    """A server for all tests of this file."""
    with team_server(tmp_path_factory.mktemp("team")) as started:
        yield started


def cells(server: TeamServer, suite: str) -> dict[str, tuple[int, str]]:
    """Return, by cell, how many runs there are, and how they ended."""
    return {cell: (count, status) for cell, count, status in server.rows(RUNS_BY_CELL.format(suite))}


def check_once(server: TeamServer, suite: str, runs: int) -> None:
    """Each cell has one run, whole, below its training, and each number is there once."""
    found = cells(server, suite)
    assert len(found) == runs
    assert set(found.values()) == {(1, "FINISHED")}
    assert server.rows(REPEATED_ENTRIES) == []
    assert server.rows(ORPHANS) == []


def test_a_suite_is_logged_to_postgresql_and_its_pictures_to_s3(server: TeamServer, tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(SMOKE)
    done = fmbench("run", "tiny.yaml", "--tracking-uri", server.uri, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "not in MLflow" not in done.stdout
    check_once(server, "tiny", runs=6)
    kinds = Counter(key.rpartition(".")[2] for key in keys_in(os.environ["MLFLOW_S3_ENDPOINT_URL"]))
    assert (kinds["png"], kinds["webp"]) >= (4, 4)
    assert kinds["html"] == 1

    done = fmbench("run", "tiny.yaml", cwd=tmp_path, MLFLOW_TRACKING_URI=server.database)
    assert "not in MLflow" not in done.stdout, done.stdout
    check_once(server, "tiny", runs=6)
    for file in (file for file in tmp_path.rglob("*") if file.is_file()):
        for secret in (server.database.split(":")[2].partition("@")[0], S3_SECRET):
            assert secret.encode() not in file.read_bytes()


def many() -> Records:
    """500 runs: 100 trainings, each sampled with four solvers at two NFE."""
    trainings = [trained(seed) for seed in range(TRAININGS)]
    evaluations = [evaluated(t, f"solver{i}", nfe) for t in trainings for i in range(SOLVERS) for nfe in NFES]
    return suite_of(trainings, evaluations, "many")


def wait_for(server: TeamServer, runs: int) -> None:
    """Wait until so many runs are there."""
    until = time.monotonic() + 1800
    while len(cells(server, "many")) < runs:
        assert time.monotonic() < until
        time.sleep(0.2)


def test_500_runs_of_two_drivers_through_a_server_that_is_stopped_and_started(
    server: TeamServer, tmp_path: Path
) -> None:
    records = many()
    ledgers = [tmp_path / name / "many.json" for name in ("one", "two")]
    trackers = [Tracker(server.uri, "many", ledger, "", records.settings, patience=60.0) for ledger in ledgers]
    for each in trackers:
        each.start()
        each.log_all(records)
    for runs, how in ((RUNS // 5, signal.SIGKILL), (3 * RUNS // 5, signal.SIGTERM)):
        wait_for(server, runs)
        server.stop(how)
        time.sleep(2.0)
        server.start()
    summaries = [each.finish(records, None) for each in trackers]
    assert [(summary.pending, summary.problem) for summary in summaries] == [(0, ""), (0, "")]
    check_once(server, "many", runs=RUNS + SOLVERS + 1)

    again = Tracker(server.uri, "many", tmp_path / "three" / "many.json", "", records.settings, patience=60.0)
    again.start()
    summary = again.finish(records, None)
    assert (summary.logged, summary.unchanged) == (0, RUNS + SOLVERS + 1)
