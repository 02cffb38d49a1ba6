"""The store keeps what was written, notices what was damaged, and never shows half a cell."""

from __future__ import annotations

import contextlib
import hashlib
import multiprocessing
import os
import shutil
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fmbench.errors import DamagedFile, EarlierFile, StoreError
from fmbench.io.file_lock import StoppedWaiting
from fmbench.io.whole_files import temporary_name, write_whole
from fmbench.store.atomic_files import read_sealed, write_atomically, write_sealed
from fmbench.store.cell_folder import CellFolder
from fmbench.store.store import Store


@pytest.fixture
def folder(tmp_path: Path) -> CellFolder:
    return Store(tmp_path / "store").folder("training", "abc")


def finished(folder: CellFolder) -> CellFolder:
    folder.begin({"seed": 0})
    folder.write("weights.safetensors", b"\x00" * 1000)
    folder.write("history.json", b"[[1,0.5]]")
    folder.finish({"facts": {"seconds": 1.5}}, ("weights.safetensors", "history.json"))
    return folder


def test_a_finished_training_has_no_checkpoint_left_nor_one_that_was_cut_off(folder: CellFolder) -> None:
    folder.begin({"seed": 0})
    folder.checkpoints.save(100, b"state")
    (cut_off,) = {temporary_name(path) for path in folder.path.glob("checkpoint-*.pt")}
    cut_off.write_bytes(b"sta")  # as a process leaves it that is killed while it writes
    assert folder.checkpoints.load() == b"state"
    finished(folder)
    assert not [path.name for path in folder.path.iterdir() if "checkpoint" in path.name]


def test_a_cell_is_not_done_before_its_result(folder: CellFolder) -> None:
    folder.begin({"seed": 0})
    folder.write("weights.safetensors", b"\x00" * 1000)
    assert folder.result() is None
    assert finished(folder).result() is not None
    assert folder.read("weights.safetensors") == b"\x00" * 1000
    assert folder.history() == [(1, 0.5)]


@pytest.mark.parametrize("name", ["weights.safetensors", "result.json", "cell.json"])
@pytest.mark.parametrize("damage", ["flip", "truncate", "garbage"])
def test_damage_is_noticed(folder: CellFolder, name: str, damage: str) -> None:
    finished(folder)
    path = folder.path / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes({"flip": bytes(content), "truncate": content[:-7], "garbage": b"\xff\xfe not json"}[damage])
    look = folder.cell if name == "cell.json" else folder.result
    with pytest.raises(DamagedFile):
        look()


def test_a_file_that_is_gone_is_damage(folder: CellFolder) -> None:
    (finished(folder).path / "weights.safetensors").unlink()
    with pytest.raises(DamagedFile, match="is missing"):
        folder.result()


@pytest.mark.parametrize("name", ["cell.json", "metrics.json", "result.json", "failure.json"])
def test_a_file_of_another_cell_is_damage(tmp_path: Path, name: str) -> None:
    store = Store(tmp_path / "store")
    places = (("training", "abc"), ("training", "def"), ("evaluation", "abc"))
    mine, *others = (finished(store.folder(*place)) for place in places)
    for each in (mine, *others):
        each.add_metrics({"a": {"name": "fid", "values": {"fid": 1.0}, "identity": {}, "seconds": 0.0}})
        each.fail("oom", "no memory")
    for other in others:
        shutil.copy(mine.path / name, other.path / name)
        with pytest.raises(DamagedFile, match=rf"belongs to training/abc/{name} and lies in {other.place}/{name}"):
            other.check()
    mine.check()
    moved = Store((tmp_path / "store").rename(tmp_path / "elsewhere")).folder("training", "abc")
    moved.check()


def test_a_file_under_another_name_and_one_that_names_no_place_are_damage(tmp_path: Path) -> None:
    write_sealed(tmp_path / "cache" / "fleet-a.json", {"size": 8})
    shutil.copy(tmp_path / "cache" / "fleet-a.json", tmp_path / "cache" / "fleet-b.json")
    assert read_sealed(tmp_path / "cache" / "fleet-a.json") == {"size": 8}
    with pytest.raises(DamagedFile, match=r"belongs to cache/fleet-a.json and lies in cache/fleet-b.json"):
        read_sealed(tmp_path / "cache" / "fleet-b.json")
    body = '{"size":8}'
    seal = hashlib.sha256(body.encode()).hexdigest()
    (tmp_path / "cache" / "fleet-a.json").write_text(f'{{"checksum":"{seal}","body":{body}}}')
    with pytest.raises(EarlierFile, match="an earlier version of fmbench wrote it"):
        read_sealed(tmp_path / "cache" / "fleet-a.json")


def test_a_checkpoint_of_another_cell_or_step_is_not_gone_on_from(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    mine, other = (store.folder("training", key) for key in ("abc", "def"))
    mine.checkpoints.save(10, b"ten")
    other.begin({})
    (file,) = mine.path.glob("checkpoint-*.pt")
    shutil.copy(file, other.path)
    shutil.copy(file, mine.path / file.name.replace("-10-", "-20-"))
    assert mine.checkpoints.newest() == (10, file)
    assert (mine.checkpoints.load(), other.checkpoints.load()) == (b"ten", None)


def test_metrics_accumulate(folder: CellFolder) -> None:
    fid, kid = (
        {"name": name, "values": {name: value}, "identity": {}, "seconds": 0.1}
        for name, value in (("fid", 1.0), ("kid", float("inf")))
    )
    folder.add_metrics({"a": fid})
    folder.add_metrics({"b": kid})
    assert folder.metrics() == {"a": fid, "b": kid}


def test_the_newest_whole_checkpoint_is_used(folder: CellFolder) -> None:
    folder.checkpoints.save(10, b"ten")
    (folder.path / f"checkpoint-20-{'0' * 64}.pt").write_bytes(b"damaged")
    assert folder.checkpoints.load() == b"ten"
    folder.checkpoints.save(30, b"thirty")
    assert [p.name.split("-")[1] for p in folder.path.glob("checkpoint-*.pt")] == ["30"]


def test_finishing_removes_checkpoints_and_failures(folder: CellFolder) -> None:
    folder.checkpoints.save(1, b"state")
    folder.fail("error", "it broke")
    finished(folder)
    assert folder.checkpoints.load() is None
    assert folder.failure() is None


def test_a_diverged_training_starts_anew_and_another_goes_on(folder: CellFolder) -> None:
    for status, kept in (("diverged", None), ("error", b"state")):
        folder.checkpoints.save(1, b"state")
        folder.fail(status, "why")
        folder.clear_failures()
        assert folder.failure() is None
        assert folder.checkpoints.load() == kept


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def no_space(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(StoreError, match="No space left on device; free some space"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_cut_off_write_leaves_is_a_file_of_the_cell(folder: CellFolder) -> None:
    folder.begin({"seed": 0})
    names = {temporary_name(folder.path / name) for name in ("result.json", "weights.safetensors") for _ in range(100)}
    assert len(names) == 200, "two processes of one number, on two hosts, do not write the same file"
    for path in names:
        path.write_bytes(b"half")
    assert folder.strange() == ""
    folder.discard()
    assert list(folder.path.iterdir()) == []


@pytest.mark.parametrize("mode", [None, 0o644, 0o600])
def test_a_whole_file_has_the_permissions_that_are_asked_for_or_those_of_the_umask(
    tmp_path: Path, mode: int | None
) -> None:
    before = os.umask(0o027)
    try:
        write_whole(tmp_path / "file", b"content", mode=mode)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == (0o640 if mode is None else mode)
    assert (tmp_path / "file").read_bytes() == b"content"
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_a_store_below_a_file_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        Store(tmp_path / "file" / "store").check_writable()


def test_sealed_json_comes_back_equal(tmp_path: Path) -> None:
    body = {"text": "ünï\n", "numbers": [1, 2.5, float("inf")], "none": None}
    write_sealed(tmp_path / "a.json", body)
    assert read_sealed(tmp_path / "a.json") == body
    assert read_sealed(tmp_path / "b.json") is None


def _hold(path: Path, ready: multiprocessing.synchronize.Event, release: multiprocessing.synchronize.Event) -> None:
    with CellFolder(path).lock():
        ready.set()
        release.wait(30)
        (path / "released").write_text("")


def test_the_lock_is_held_by_one_process_at_a_time(folder: CellFolder) -> None:
    spawn = multiprocessing.get_context("spawn")
    ready, release = spawn.Event(), spawn.Event()
    other = spawn.Process(target=_hold, args=(folder.path, ready, release))
    other.start()
    assert ready.wait(60)
    release.set()
    with folder.lock():
        assert (folder.path / "released").exists()
    other.join(30)
    assert other.exitcode == 0


def test_a_lock_is_had_though_others_remove_the_folder_meanwhile(tmp_path: Path) -> None:
    folder, ends = Store(tmp_path).folder("training", "a" * 20), time.monotonic() + 1.0
    failed: list[BaseException] = []

    def again_and_again(step: Callable[[], None]) -> None:
        try:
            while time.monotonic() < ends:
                step()
        except BaseException as error:
            failed.append(error)

    def hold() -> None:
        with folder.lock():
            folder.begin({"seed": 0})

    def remove() -> None:
        with contextlib.suppress(StoppedWaiting):
            if folder.is_there():
                folder.remove()

    threads = [threading.Thread(target=again_and_again, args=(step,)) for step in (hold, hold, remove)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
