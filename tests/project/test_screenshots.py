"""The pictures of docs/screenshots: all made by the script, all in use, and of what is there now."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from make_screenshots import FOLDER, NOTES, PICTURES, TERMINAL, PagePicture, TerminalPicture
from mlflow_screenshots import MlflowPicture

ROOT = Path(__file__).parents[2]
MADE = json.loads(NOTES.read_text())
AGAIN = "run python docs/scripts/make_screenshots.py --home STORE"


def test_all_pictures_are_made_by_the_script() -> None:
    there = {file.name for file in FOLDER.iterdir() if file != NOTES}
    assert there == set(MADE) == {picture.name for picture in PICTURES}, AGAIN


def test_all_pictures_are_in_use() -> None:
    pages = "".join(page.read_text() for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
    assert [name for name in MADE if f"screenshots/{name}" not in pages] == []


@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture.name)
def test_it_shows_what_is_there_now(picture: PagePicture | TerminalPicture | MlflowPicture) -> None:
    """A page is the file that was drawn, a terminal prints the same, the code of MLflow's views is the same."""
    assert MADE[picture.name] == {"shows": picture.shows, "sha256": picture.digest()}, f"it is out of date: {AGAIN}"


@pytest.mark.parametrize("picture", TERMINAL, ids=lambda picture: picture.name)
def test_it_loads_nothing_from_elsewhere(picture: TerminalPicture) -> None:
    assert "url(http" not in (FOLDER / picture.name).read_text()
