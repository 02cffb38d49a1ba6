"""MLflow's tables, which take seconds to make."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from test_tracking import Place

from fmbench.tracking.experiment import Server
from fmbench.tracking.uris import sqlite_uri


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with MLflow's tables in it, made once: they take 3 s."""
    folder = tmp_path_factory.mktemp("mlflow") / "ml%20flow ? # é"
    Server(sqlite_uri(folder / "mlflow.db"), "x").client.search_experiments()
    assert [file.name for file in folder.parent.iterdir()] == [folder.name]
    return folder


@pytest.fixture
def place(tmp_path: Path, empty_database: Path) -> Place:
    """Return a folder with a database of its own, and a report."""
    for file in empty_database.glob("mlflow.db*"):
        shutil.copy(file, tmp_path)
    report = tmp_path / "report"
    report.mkdir()
    (report / "index.html").write_text("<p>page</p>")
    (report / "table.md").write_text("| a |\n|---|\n| 1 |\n")
    (tmp_path / "ledger").mkdir()
    return Place(tmp_path, tmp_path / "ledger" / "suite.json", report)
