"""The notebooks of the documentation run in a real kernel, and what is committed of their outputs is clean."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
PLACES = re.compile(r"/(home|root|tmp|work|Users|usr|var)/")


def cells(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def outputs(cell: dict[str, Any]) -> list[list[str]]:
    """What kinds of output a cell has."""
    return [sorted(each.get("data", {"text": ""})) for each in cell["outputs"]]


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_what_is_committed_was_run_from_top_to_bottom_and_names_no_place(file: Path) -> None:
    notebook = json.loads(file.read_text())
    assert [cell["execution_count"] for cell in cells(notebook)] == list(range(1, len(cells(notebook)) + 1))
    assert not any(each["output_type"] == "error" for cell in cells(notebook) for each in cell["outputs"])
    shown = json.dumps([cell["outputs"] for cell in cells(notebook)])
    assert not PLACES.search(shown)
    assert "text/html" in shown


@pytest.mark.slow
@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_a_notebook_runs_in_a_kernel(file: Path, tmp_path: Path) -> None:
    reason = "the kernel of notebooks is not installed: pip install -e '.[test]'"
    client = pytest.importorskip("nbclient", reason=reason)
    nbformat = pytest.importorskip("nbformat", reason=reason)
    pytest.importorskip("ipykernel", reason=reason)
    (tmp_path / "suites").mkdir()
    shutil.copy(ROOT / "suites" / "smoke.yaml", tmp_path / "suites")
    notebook = nbformat.read(file, as_version=4)
    wanted = [outputs(cell) for cell in cells(notebook)]
    resources = {"metadata": {"path": str(tmp_path)}}
    client.NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources).execute()
    assert [outputs(cell) for cell in cells(notebook)] == wanted
    assert (tmp_path / "reports" / "smoke" / "index.html").is_file()
