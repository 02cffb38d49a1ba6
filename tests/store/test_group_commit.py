"""Cells that are written together: each whole or absent, in order, and said to have ended only after that."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from fmbench.errors import LeaseLost, StoreError
from fmbench.store.cell_folder import CellFolder
from fmbench.store.group_commit import MOST_FILES
from fmbench.store.store import Store

FILES = ["cell.json", "metrics.json", "result.json", "samples.safetensors"]
DONE = {"facts": {"seconds": 1.0}}


def key(number: int) -> str:
    """Return a cell's key."""
    return f"{number:020x}"


def compute(store: Store, number: int) -> CellFolder:
    """Write a cell as an evaluation does."""
    folder = store.folder("evaluation", key(number))
    folder.begin({"number": number})
    folder.add_metrics({"a": {"name": "a", "values": {"a": 1.0}, "identity": {}, "seconds": 1.0}})
    folder.write("samples.safetensors", b"samples")
    folder.finish(DONE, ("samples.safetensors",))
    return folder


def compute_some(
    store: Store, cells: int, said: list[int], freed: list[int], then: Callable[[], None] = lambda: None
) -> None:
    """Write cells as a group, and do something more before that is committed."""
    with store.group_commit() as group:
        for number in range(cells):
            compute(store, number)
            group.end_cell(Ending(partial(said.append, number), partial(freed.append, number)))
        then()


@dataclass
class Ending:
    """Notes what becomes of a cell."""

    kept: Callable[[], object] = lambda: None
    release: Callable[[], object] = lambda: None
    taken_over: Callable[[LeaseLost], object] = lambda error: None
    check: Callable[[], object] = lambda: None


def there(store: Store, number: int) -> list[str]:
    """Return the files of a cell that have their names."""
    return sorted(p.name for p in (store.root / "evaluation" / key(number)).glob("[!.]*"))


def left_over(store: Store) -> list[Path]:
    """Return the files under temporary names."""
    return list(store.root.rglob(".*.tmp"))


@pytest.fixture
def slow_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Flush nothing until the event is set."""
    ready, flush = threading.Event(), os.fsync

    def fsync(descriptor: int) -> None:
        assert ready.wait(10)
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    yield ready
    ready.set()


def test_a_cell_has_its_files_and_has_ended_once_they_are_on_the_disk(
    tmp_path: Path, slow_disk: threading.Event
) -> None:
    store, said = Store(tmp_path), []
    with store.group_commit() as group:
        for number in range(3):
            compute(store, number)
            group.end_cell(Ending(lambda n=number: said.append((n, there(store, n)))))
        assert said == []
        assert [there(store, number) for number in range(3)] == [[], [], []]
        slow_disk.set()
    assert said == [(number, FILES) for number in range(3)]
    assert all(store.folder("evaluation", key(n)).result(thorough=True) == {**DONE, "files": said_sums(store, n)}
               for n in range(3))  # fmt: skip
    assert left_over(store) == []


def said_sums(store: Store, number: int) -> object:
    """Return the checksums that a cell's result has."""
    return (store.folder("evaluation", key(number)).recorded() or {})["files"]


def test_the_result_gets_its_name_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, named = Store(tmp_path), []
    replace = Path.replace
    monkeypatch.setattr(Path, "replace", lambda self, target: (named.append(target.name), replace(self, target))[1])
    with store.group_commit() as group:
        for number in range(2):
            compute(store, number)
            group.end_cell(Ending())
    assert named == ["cell.json", "metrics.json", "samples.safetensors", "result.json"] * 2


def test_who_writes_waits_for_no_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, by = Store(tmp_path), []
    flush = os.fsync
    monkeypatch.setattr(os, "fsync", lambda number: (by.append(threading.current_thread()), flush(number))[1])
    with store.group_commit() as group:
        for number in range(25):
            compute(store, number)
            group.end_cell(Ending())
    assert len(by) == 4 * 25
    assert threading.current_thread() not in by


def test_no_more_files_wait_than_may_be_open(tmp_path: Path) -> None:
    store, most = Store(tmp_path), 0
    with store.group_commit() as group:
        for number in range(MOST_FILES):
            compute(store, number)
            most = max(most, len(left_over(store))) if number % 16 == 0 else most
            if number % 2:  # every other one is a cell of twice as many files
                group.end_cell(Ending())
    assert most <= MOST_FILES
    assert len(store.keys("evaluation")) == MOST_FILES


def test_who_reads_what_waits_has_it_committed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store.group_commit():
        folder = compute(store, 0)
        assert set(folder.metrics()) == {"a"}
        folder.add_metrics({"b": {"name": "b", "values": {}, "identity": {}, "seconds": 1.0}})
        assert set(folder.metrics()) == {"a", "b"}
        assert folder.read("samples.safetensors") == b"samples"


def test_what_is_discarded_before_it_is_on_the_disk_stays_away(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store.group_commit() as group:
        compute(store, 0)
        group.end_cell(Ending())
        compute(store, 1).discard()
        store.folder("evaluation", key(1)).fail("error", "it changed the process")
        group.end_cell(Ending())
    assert there(store, 0) == FILES
    assert there(store, 1) == ["failure.json"]
    assert left_over(store) == []


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO])
def test_a_disk_that_fails_leaves_no_cell_that_is_said_to_have_ended(
    error: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, said, freed = Store(tmp_path), [], []
    flush, flushed = os.fsync, []

    def fsync(descriptor: int) -> None:
        flushed.append(descriptor)
        if len(flushed) > 6:
            raise OSError(error, os.strerror(error))
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(StoreError, match="cannot be written"):
        compute_some(store, 4, said, freed)
    assert freed == list(range(len(freed)))  # whoever waits for them can go on
    assert len(freed) > len(said)
    assert all(there(store, number) == FILES for number in said)
    assert all("result.json" not in there(store, number) for number in set(range(4)) - set(said))
    assert left_over(store) == []


def test_what_had_ended_before_something_else_failed_is_kept(tmp_path: Path) -> None:
    store, said = Store(tmp_path), []

    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compute_some(store, 1, said, [], interrupted)
    assert said == [0]
    assert there(store, 0) == FILES


def test_a_cell_has_its_names_while_the_next_one_is_computed(tmp_path: Path) -> None:
    store, said = Store(tmp_path), []
    with store.group_commit() as group:
        for number in range(2):
            compute(store, number)
            group.end_cell(Ending(partial(said.append, number)))
        until = time.monotonic() + 60
        while there(store, 1) != FILES and time.monotonic() < until:
            time.sleep(0.001)
        assert [there(store, number) for number in range(2)] == [FILES, FILES], "nobody asked for it"
        assert 1 not in said, "who computes says so"
    assert said == [0, 1]


def compute_three(store: Store, when: str) -> list[tuple[str, int]]:
    """Compute three cells, of which another process has the second by the time of `when`; return what was said."""
    said: list[tuple[str, int]] = []

    def taken() -> None:
        raise LeaseLost("another process has it")

    with store.group_commit() as group:
        for number in range(3):
            compute(store, number)
            ending = Ending(
                partial(said.append, ("kept", number)), taken_over=lambda e, n=number: said.append((str(e), n))
            )
            if number == 1:
                setattr(ending, when, taken)
            group.end_cell(ending)
    return said


def test_a_cell_that_another_process_took_over_is_not_kept(tmp_path: Path) -> None:
    store = Store(tmp_path)
    said = compute_three(store, "check")
    assert said == [("kept", 0), ("another process has it", 1), ("kept", 2)]
    assert [there(store, number) for number in range(3)] == [FILES, [], FILES]
    assert left_over(store) == []


def test_a_cell_that_a_store_by_url_does_not_take_any_more_is_not_said_to_have_ended(tmp_path: Path) -> None:
    """What is written of it goes to the store when it is let go of; another has taken it over by then."""
    said = compute_three(Store(tmp_path), "release")
    assert said == [("kept", 0), ("another process has it", 1), ("kept", 2)]


def test_all_cells_are_let_go_of_where_the_store_fails_for_one(tmp_path: Path, slow_disk: threading.Event) -> None:
    store, freed = Store(tmp_path), []

    def fails() -> None:
        freed.append(1)
        raise StoreError("the store does not answer")

    def compute_all() -> None:
        with store.group_commit() as group:
            for number in range(3):
                compute(store, number)
                group.end_cell(Ending(release=fails if number == 1 else partial(freed.append, number)))
            slow_disk.set()
            raise StoreError("the disk is full")

    with pytest.raises(StoreError, match="does not answer"):
        compute_all()
    assert freed == [0, 1, 2]


KILLED = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from store.test_group_commit import Ending, compute
from fmbench.store.store import Store

store = Store(Path(sys.argv[1]))
with store.group_commit() as group:
    for number in range(100_000):
        compute(store, number)
        group.end_cell(Ending(lambda n=number: print(n, flush=True)))
"""


@pytest.mark.slow
def test_a_process_that_is_killed_leaves_whole_cells_and_all_that_it_said(tmp_path: Path) -> None:
    for attempt in range(5):
        store = Store(tmp_path / str(attempt))
        command = [sys.executable, "-c", KILLED, str(store.root), str(Path(__file__).parents[1])]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            said = [int(process.stdout.readline()) for _ in range(1 + 40 * attempt)]
            process.send_signal(signal.SIGKILL)
            said += [int(line) for line in process.stdout if line.endswith("\n")]
        for place in store.keys("evaluation"):
            folder = store.folder("evaluation", place)
            folder.check()
            assert (folder.result(thorough=True) is not None) >= (int(place, 16) in said)
        assert said == list(range(len(said)))
        assert {key(number) for number in said} <= set(store.keys("evaluation"))
