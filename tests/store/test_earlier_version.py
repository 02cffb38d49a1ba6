"""A store and an MLflow database of an earlier version, as they lie beside this file, are read and lose nothing.

They were made at commit f9d36fc, before the core's modules were moved into rooms, by `fmbench run tiny.yaml` in an
empty folder, where tiny.yaml is the suite that lies in the archive.
"""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from fmbench.runner.run import make_tracker, run
from fmbench.runner.session import Options, open_session
from fmbench.store.merge import merge, open_sources
from fmbench.store.store import SECTIONS, Store
from fmbench.tracking import sync

ARCHIVE = Path(__file__).with_name("earlier_version.tar.xz")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project's folder of then: tiny.yaml, .fmbench and mlflow.db."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def runs(folder: Path) -> list[Run]:
    """The runs of the suite in the database."""
    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("tiny")
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id]))


def current(found: list[Run]) -> list[Run]:
    """The runs that no newer one takes the place of."""
    return [each for each in found if each.data.tags.get("fmbench.superseded") == "no"]


def cells(store: Store) -> dict[str, list[str]]:
    return {section: store.keys(section) for section in SECTIONS}


def test_cells_of_an_earlier_version_are_whole_and_their_code_counts_as_another(folder: Path) -> None:
    store = Store(folder / ".fmbench")
    before = cells(store)
    assert before["training"]
    assert before["evaluation"]
    for section in ("training", "evaluation"):
        for key in before[section]:
            assert store.folder(section, key).result(thorough=True) is not None
    session = open_session("tiny.yaml")
    index = session.results_index()
    assert not index.damaged
    assert not set(before["training"]) & {cell.key for cell in session.plan.trainings}, "their code was another"


def test_a_run_computes_anew_and_keeps_what_was_there(folder: Path) -> None:
    store = Store(folder / ".fmbench")
    before, logged = cells(store), runs(folder)
    result = run("tiny.yaml", Options(tracking_uri=f"sqlite:///{folder / 'mlflow.db'}"))
    assert not result.records.failed
    assert result.computed["training"] == len(result.records.trainings)
    after = cells(store)
    assert all(set(before[section]) <= set(after[section]) for section in SECTIONS)
    now = runs(folder)
    assert {each.info.run_id for each in logged} <= {each.info.run_id for each in now}
    names = [each.data.tags["mlflow.runName"] for each in current(now)]
    assert len(names) == len(set(names)), "of each cell one run is the current one"


def test_sync_twice_doubles_no_run(folder: Path) -> None:
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    run("tiny.yaml", Options(tracking_uri=uri))
    once = {each.info.run_id for each in runs(folder)}
    session = open_session("tiny.yaml", Options(tracking_uri=uri))
    tracker = make_tracker(session)
    tracker.ledger.unlink()
    for _ in range(2):
        summary = sync(session.records(session.results_index()), tracker.uri, tracker.ledger, None)
        assert not summary.pending
    assert {each.info.run_id for each in runs(folder)} == once


def test_an_earlier_store_is_merged(folder: Path, tmp_path: Path) -> None:
    into = Store(tmp_path / "both")
    result = merge(open_sources([folder / ".fmbench"], into.root), into)
    assert not result.skipped
    assert cells(into)["training"] == cells(Store(folder / ".fmbench"))["training"]
