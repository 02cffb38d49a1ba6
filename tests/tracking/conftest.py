"""MLflow's tables, which take seconds to make."""

from __future__ import annotations

from pathlib import Path

import pytest

from fmbench.tracking.experiment import Server
from fmbench.tracking.uris import sqlite_uri


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with MLflow's tables in it, made once: they take 3 s."""
    folder = tmp_path_factory.mktemp("mlflow") / "ml%20flow ? # é"
    Server(sqlite_uri(folder / "mlflow.db"), "x").client.search_experiments()
    assert [file.name for file in folder.parent.iterdir()] == [folder.name]
    return folder
