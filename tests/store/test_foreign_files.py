"""What fmbench did not write is neither removed nor followed, and stops nothing; what is no store is refused."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fmbench.cli.app import app
from fmbench.errors import DamagedFile, StoreError, UserError
from fmbench.results.unused_cells import find_unused
from fmbench.store.cell_folder import CellFolder
from fmbench.store.holder import own_name
from fmbench.store.merge import merge, open_sources
from fmbench.store.store import Store
from fmbench.store.store_mark import MARK, check_claimable, claim, is_store

KEY, OTHER, THIRD = (digit * 20 for digit in "abc")


def failed(root: Path, key: str = KEY) -> CellFolder:
    folder = Store(root).folder("training", key)
    folder.begin({"seed": 0})
    folder.fail("oom", "no memory")
    return folder


def strangers(root: Path) -> list[Path]:
    """Put what is no cell beside the cells of a store, and return the places, which must stay."""
    training = root / "training"
    (training / "notes").mkdir(parents=True)
    (training / "notes" / "cell.json").write_text("mine")
    (training / OTHER).symlink_to(root / "nowhere")
    (training / THIRD).symlink_to(training / THIRD)
    (training / ("d" * 20)).write_text("a file where a folder is due")
    (training / ("e" * 20)).mkdir()
    (training / ("e" * 20) / "thesis.tex").write_text("mine")
    outside = root.parent / "outside"
    outside.mkdir()
    (outside / "failure.json").write_text("mine")
    (training / ("f" * 20)).symlink_to(outside)
    (root / "oracle").symlink_to(outside)
    (root / "floor").symlink_to(root / "nowhere")
    (root / "study").write_text("a file where a section is due")
    below = (path for path in training.iterdir() if path.name != KEY)
    return [*below, training / ("e" * 20) / "thesis.tex", outside / "failure.json", root / "oracle", root / "study"]


def test_clean_removes_cells_and_says_what_it_passed_over(tmp_path: Path) -> None:
    cell, places = failed(tmp_path / "store"), strangers(tmp_path / "store")
    done = CliRunner().invoke(app, ["clean", "--failed", "--yes", "--home", str(tmp_path / "store"), "--json"])
    told = json.loads(done.output)
    assert told["cells"] == [f"training/{KEY}"]
    assert not cell.path.exists()
    assert all(os.path.lexists(place) for place in places)
    said = "\n".join(told["passed_over"])
    for name in ("notes", OTHER, THIRD, "d" * 20, "e" * 20, "f" * 20, "oracle", "floor", "study"):
        assert name in said
    assert "'thesis.tex', which is not of fmbench" in said


@pytest.mark.parametrize("verb", ["clean", "merge into", "merge from"])
def test_a_folder_that_is_no_store_is_refused(tmp_path: Path, verb: str) -> None:
    """It has folders of the names of a store's, as a project may."""
    project = tmp_path / "project"
    (project / "training" / "run1").mkdir(parents=True)
    (project / "evaluation" / KEY).mkdir(parents=True)
    (project / "evaluation" / KEY / "results.csv").write_text("mine")
    (project / "readme").write_text("mine")
    before = sorted(project.rglob("*"))
    failed(tmp_path / "store")
    arguments = {
        "clean": ["clean", "--older-than", "0", "--yes", "--home", str(project)],
        "merge into": ["merge", str(tmp_path / "store"), "--into", str(project)],
        "merge from": ["merge", str(project), "--into", str(tmp_path / "new")],
    }[verb]
    with pytest.raises(UserError, match=r"not a store"):
        CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert sorted(project.rglob("*")) == before


def test_a_store_has_a_mark_and_an_older_one_gets_it(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    assert not is_store(store)
    failed(store.root)
    assert is_store(store), "of an older fmbench: it has a cell"
    claim(store)
    assert json.loads((store.root / MARK).read_text())["format"] == 1
    store.folder("training", KEY).remove()
    assert is_store(store)
    (store.root / "stranger").write_text("")
    check_claimable(store, "")
    (store.root / MARK).write_text('{"format": 2}')
    with pytest.raises(StoreError, match="format 2, and this fmbench reads 1"):
        is_store(store)


@pytest.mark.parametrize("mark", ["[" * 100_000, "{}", '{"format": "1"}', "not JSON"])
def test_a_mark_that_is_none_does_not_count(tmp_path: Path, mark: str) -> None:
    (tmp_path / MARK).write_text(mark)
    assert not is_store(Store(tmp_path))
    with pytest.raises(StoreError, match="is not a store of fmbench"):
        find_unused(Store(tmp_path), [])


@pytest.mark.parametrize("days", ["-1", "nan", "inf", "-0.5"])
def test_a_number_of_days_is_not_negative(tmp_path: Path, days: str) -> None:
    cell = failed(tmp_path / "store")
    arguments = ["clean", "--older-than", days, "--yes", "--home", str(tmp_path / "store")]
    with pytest.raises(UserError, match=rf"--older-than takes a number of days, 0 or more.*found {days}"):
        CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert cell.path.exists()


def test_a_cell_that_is_worked_on_is_not_removed(tmp_path: Path) -> None:
    cell = failed(tmp_path / "store")
    found = find_unused(Store(tmp_path / "store"), [])
    with cell.lock():
        found.remove()
    assert not found.cells
    assert "is worked on by another process" in found.passed_over[0]
    assert cell.failure() is not None


def test_merging_removes_what_it_made_and_nothing_else(tmp_path: Path) -> None:
    failed(tmp_path / "theirs")
    strangers(tmp_path / "theirs")
    mine = Store(tmp_path / "mine")
    claim(mine)
    left = Store(mine.root / "merging" / "cell-abcd1234").folder("training", OTHER)
    left.begin({"seed": 1})  # of a merge that was killed
    theirs = [mine.root / "merging" / name for name in ("notes.txt", "cell-mine0000/thesis.tex", "cell-link0000")]
    for path in theirs[:2]:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    theirs[2].symlink_to(tmp_path)
    result = merge(open_sources([tmp_path / "theirs"], mine.root), mine)
    assert result.counts["training"]["copied"] == 1
    assert all(os.path.lexists(path) for path in theirs)
    assert not left.path.parent.parent.exists()
    assert {"notes.txt is not of a merge", f"{OTHER} leads nowhere"} <= {
        text.rpartition("/")[2].partition(":")[0] for text in result.passed_over
    }
    for path in theirs:
        path.unlink()
    theirs[1].parent.rmdir()
    merge(open_sources([tmp_path / "theirs"], mine.root), mine)
    assert not (mine.root / "merging").exists()


@pytest.mark.parametrize("parent", ["../../outside", "/etc", KEY])
def test_a_cell_names_no_folder_but_those_of_other_cells(tmp_path: Path, parent: str) -> None:
    """It is what a cell of a stranger's store was made from; its own key would be a circle."""
    folder = Store(tmp_path / "theirs").folder("training", KEY)
    folder.begin({"teacher": parent})
    folder.write("weights.safetensors", b"")
    folder.write("history.json", b"[]")
    folder.finish({"facts": {"seconds": 1.0}}, ("weights.safetensors", "history.json"))
    (tmp_path / "outside").mkdir()
    result = merge([Store(tmp_path / "theirs")], Store(tmp_path / "mine"))
    assert {cell.outcome for cell in result.cells} <= {"damaged", "apart"}
    assert not (tmp_path / "mine" / "training").exists()


@pytest.mark.parametrize("kind", ["file", "dangling link", "link loop"])
def test_a_cell_is_computed_where_something_stands_in_its_place(tmp_path: Path, kind: str) -> None:
    folder = Store(tmp_path / "store").folder("training", KEY)
    folder.path.parent.mkdir(parents=True)
    if kind == "file":
        folder.path.write_text("mine")
    else:
        folder.path.symlink_to(folder.path if kind == "link loop" else tmp_path / "nowhere")
    with pytest.raises(DamagedFile) if kind != "dangling link" else pytest.MonkeyPatch.context():
        folder.result()
    with folder.lock():
        folder.begin({"seed": 0})
    assert folder.cell() == {"seed": 0}
    assert os.path.lexists(folder.path.with_name(f"{KEY}.aside-1"))
    assert not (tmp_path / "nowhere").exists()


def test_a_damaged_cell_is_discarded_and_no_link_is_followed(tmp_path: Path) -> None:
    cell = failed(tmp_path / "store")
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("mine")
    (cell.path / "cell.json").unlink()
    (cell.path / "cell.json").symlink_to(precious)
    (cell.path / "metrics.json").mkdir()
    (cell.path / "metrics.json" / "file").write_text("mine")
    (cell.path / "notes").write_text("mine")
    with pytest.raises(DamagedFile, match="it is a folder, and must be a regular file"):
        cell.check()
    cell.discard()
    assert (precious / "file").exists()
    assert sorted(path.name for path in cell.path.iterdir()) == ["metrics.json.aside-1", "notes"]
    cell.begin({"seed": 0})
    cell.add_metrics({})
    cell.check()


def test_a_lease_is_no_link(tmp_path: Path) -> None:
    """Else whatever it leads to would be renamed, removed or emptied. Its holder is gone: there is no such process."""
    cell = failed(tmp_path / "store")
    (tmp_path / "precious").write_text("mine")
    gone = own_name()._replace(start=1)
    (cell.path / f".lease-{gone}-1").symlink_to(tmp_path / "precious")
    with cell.lock():
        assert cell.leases.deaths(cell.place).alone == (gone.host,)
    cell.remove()
    assert not cell.path.exists()
    assert (tmp_path / "precious").read_text() == "mine"


def test_the_lock_of_an_earlier_version_is_removed_with_its_cell(tmp_path: Path) -> None:
    cell = failed(tmp_path / "store")
    (cell.path / ".lock").write_text("")
    assert cell.strange() == ""
    cell.remove()
    assert not cell.path.exists()
