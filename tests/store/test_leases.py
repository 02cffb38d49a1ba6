"""Leases: never two holders at once, whoever dies, stops, cleans or comes from another machine meanwhile."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from fmbench.errors import LeaseLost, UserError
from fmbench.io.file_lock import StoppedWaiting
from fmbench.store.cell_folder import CellFolder
from fmbench.store.holder import VARIABLE, HolderName, lease_seconds, own_name
from fmbench.store.lease_files import DIED, HOLDERS, LEASE, FolderLeaseFiles
from fmbench.store.leases import HolderWatch, Leases, said_of
from fmbench.store.store import Store

PLACE = f"training/{'a' * 20}"
ELSEWHERE = HolderName("node7", "0123456789", 4242, 77)
"""A process of another machine."""


class Clock:
    """A clock that the test winds."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def files(tmp_path: Path) -> FolderLeaseFiles:
    return FolderLeaseFiles(tmp_path)


@pytest.fixture
def leases(files: FolderLeaseFiles) -> Leases:
    return Leases(files, 60.0)


def beat(files: FolderLeaseFiles, counter: int, seconds: float = 60.0) -> None:
    files.beat(str(ELSEWHERE), json.dumps({"counter": counter, "seconds": seconds}).encode())


def lease_of(holder: HolderName, number: int = 1) -> str:
    return f"{LEASE}{holder}-{number}"


def test_a_lease_is_held_by_one_and_a_release_leaves_nothing(leases: Leases, files: FolderLeaseFiles) -> None:
    other = Leases(files, 60.0)
    with leases.held(PLACE):
        assert other.take(PLACE) == ""
        assert not leases.take(PLACE), "nor has another thread of the same process it"
        assert other.holders(PLACE) == [f"{own_name().host}, process {os.getpid()}"]
    assert files.names(PLACE) == []
    with other.held(PLACE):
        pass


def test_a_name_says_who_it_is_and_a_name_of_nobody_says_nothing(tmp_path: Path) -> None:
    assert HolderName.parsed(str(own_name())) == own_name()
    assert own_name().state() == "running"
    assert own_name()._replace(start=1).state() == "gone", "another process has its number"
    assert HolderName.parsed("node7") is None
    assert said_of(lease_of(ELSEWHERE)) == "node7, process 4242"


def test_a_lease_of_a_dead_process_of_this_machine_lapses_at_once_and_is_a_death(
    leases: Leases, files: FolderLeaseFiles
) -> None:
    for number in (1, 2):
        files.create(PLACE, lease_of(own_name()._replace(start=1), number))
    files.create(PLACE, f"{lease_of(own_name()._replace(start=2))}-fleet")
    with leases.held(PLACE):
        assert leases.deaths(PLACE) == ((own_name().host,) * 2, (own_name().host,))
    assert len(files.names(PLACE)) == 3, "they count until the cell gets on"
    with leases.held(PLACE):
        leases.wrote(PLACE)
    assert files.names(PLACE) == []


def test_a_lease_that_could_not_be_removed_is_in_nobodys_way(
    leases: Leases, files: FolderLeaseFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that went away for a moment: the process that is said to hold it lives, and does not."""

    def fails(place: str, name: str) -> None:
        raise OSError("the server is away")

    with monkeypatch.context() as away, leases.held(PLACE):
        away.setattr(files, "remove", fails)
    assert len(files.names(PLACE)) == 1
    with Leases(files, 60.0).held(PLACE, lambda: False):
        assert leases.deaths(PLACE) == ((), ())
    assert not files.names(PLACE)


def test_a_process_of_which_nothing_is_told_is_watched(
    leases: Leases, files: FolderLeaseFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another user's, where /proc shows to each his own."""
    monkeypatch.setattr("fmbench.store.holder._state_and_start", lambda pid: None)
    hidden = own_name()._replace(start=1)
    files.create(PLACE, lease_of(hidden))
    assert hidden.state() == "hidden"
    assert leases.others(PLACE)


def test_heartbeats_of_the_dead_of_this_machine_are_removed(files: FolderLeaseFiles) -> None:
    gone, leases = own_name()._replace(start=1), Leases(files, 0.6)
    for name in (gone, ELSEWHERE):
        files.beat(str(name), b"{}")
    with leases.held(PLACE):
        while str(gone) in files.holders():
            time.sleep(0.01)
    assert str(ELSEWHERE) in files.holders(), "who knows"


def test_a_zombie_is_dead(leases: Leases, files: FolderLeaseFiles) -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    while own_name()._replace(pid=process.pid).state() == "running":
        time.sleep(0.01)
    stat = Path(f"/proc/{process.pid}/stat")
    while stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z":
        time.sleep(0.01)
    start = int(stat.read_text().rpartition(")")[2].split()[19]) if stat.exists() else 1
    files.create(PLACE, lease_of(own_name()._replace(pid=process.pid, start=start)))
    with leases.held(PLACE, lambda: False):
        pass
    process.wait()


@pytest.mark.parametrize("has_heartbeat", [True, False])
def test_a_lease_of_another_machine_lapses_by_its_counter_alone(
    files: FolderLeaseFiles, monkeypatch: pytest.MonkeyPatch, has_heartbeat: bool
) -> None:
    """Whatever this machine's clock of the day says, and whatever times the files have."""
    steps = iter([0.0, 4e9, -4e9, 1e12] * 100)
    monkeypatch.setattr(time, "time", lambda: next(steps))
    clock, leases = Clock(), Leases(files, 60.0)
    leases.watch = HolderWatch(files, 60.0, clock)
    files.create(PLACE, lease_of(ELSEWHERE))
    if has_heartbeat:
        for counter in range(20):  # it lives, for a long time
            beat(files, counter)
            os.utime(Path(files.where) / HOLDERS / str(ELSEWHERE), (0, 0))
            clock.now += 50.0
            assert leases.others(PLACE)
    leases.others(PLACE)
    for _ in range(11):
        clock.now += 5.0
        assert leases.others(PLACE), "55 seconds are too few"
    clock.now += 6.0
    with leases.held(PLACE, lambda: False):
        assert leases.deaths(PLACE).alone == ("node7",)


def test_who_stood_still_himself_takes_nobody_for_dead(files: FolderLeaseFiles) -> None:
    """A queue that suspends all jobs at once, and goes on with the one that looks first."""
    clock = Clock()
    watch = HolderWatch(files, 60.0, clock)
    beat(files, 1)
    assert not watch.is_gone(str(ELSEWHERE))
    clock.now += 1e5
    assert not watch.is_gone(str(ELSEWHERE))


def test_the_holder_says_after_how_long_it_lapses(files: FolderLeaseFiles) -> None:
    clock = Clock()
    watch = HolderWatch(files, 60.0, clock)
    beat(files, 1, seconds=1.2)
    assert not watch.is_gone(str(ELSEWHERE))
    for _ in range(7):
        clock.now += 0.2
        gone = watch.is_gone(str(ELSEWHERE))
    assert gone


@pytest.mark.parametrize("payload", [b"", b"[", b"{}", b'{"counter": "x", "seconds": 1}', b"[" * 100_000, b"\xff"])
def test_a_heartbeat_that_is_none_is_silence(files: FolderLeaseFiles, payload: bytes) -> None:
    clock = Clock()
    watch = HolderWatch(files, 60.0, clock)
    files.beat(str(ELSEWHERE), payload)
    assert not watch.is_gone(str(ELSEWHERE))
    for _ in range(12):
        clock.now += 5.5
        gone = watch.is_gone(str(ELSEWHERE))
    assert gone


def test_who_stood_still_and_was_taken_for_dead_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr("fmbench.store.holder._own_clock", clock)
    files = FolderLeaseFiles(tmp_path)
    leases = Leases(files, 60.0)
    monkeypatch.setattr(leases.holder, "_beat_on", lambda: None)
    folder = CellFolder(tmp_path / PLACE, PLACE, leases)
    with folder.lock():
        folder.begin({"seed": 0})
        own = next(name for name in files.names(PLACE))
        clock.now += 25.0
        folder.add_metrics({})
        clock.now += 100.0
        folder.add_metrics({})  # it stood still, and nobody minded
        clock.now += 100.0
        files.move(PLACE, own, DIED + own.removeprefix(LEASE))
        files.create(PLACE, lease_of(ELSEWHERE))
        for write in (
            lambda: folder.finish({}, ()),
            lambda: folder.fail("error", "it failed"),
            lambda: folder.set_metrics({}),
            lambda: folder.checkpoints.save(1, b"state"),
        ):
            with pytest.raises(LeaseLost, match="this process stood still for so long"):
                write()
    assert folder.result() is None
    assert folder.checkpoints.steps() == []
    assert lease_of(ELSEWHERE) in files.names(PLACE), "the release of what was lost takes nothing from others"


def test_a_process_that_is_about_to_end_writes_nothing_more_and_takes_nothing(
    leases: Leases, files: FolderLeaseFiles
) -> None:
    """Another thread of it computes on until it is gone, while others have its cells already."""
    assert leases.take(PLACE)
    leases.release_all()
    assert files.names(PLACE) == []
    with pytest.raises(LeaseLost, match="about to end"):
        leases.check(PLACE)
    assert not leases.take(PLACE)
    assert files.names(PLACE) == []


def test_a_child_that_was_forked_is_another_holder(tmp_path: Path) -> None:
    """It does not beat for its parent, nor take away the parent's heartbeat or lease when it ends."""
    folder = Store(tmp_path).folder("training", "a" * 20)
    with folder.lock():
        pid = os.fork()
        if pid == 0:
            code = 1
            with contextlib.suppress(BaseException):
                mine = Store(tmp_path).folder("training", "a" * 20)
                with contextlib.suppress(StoppedWaiting), mine.lock(wait=False):
                    os._exit(2)
                with Store(tmp_path).folder("training", "b" * 20).lock(wait=False):
                    code = 0
            os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert len(folder.leases.files.names(PLACE)) == 1


@pytest.mark.parametrize("text", ["soon", "-1", "nan", "inf", "0"])
def test_a_span_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv(VARIABLE, text)
    with pytest.raises(UserError, match=f"{VARIABLE} is a number of seconds, such as 60; found '{text}'"):
        lease_seconds()


def test_a_holder_beats_while_it_holds_something_and_says_what(tmp_path: Path) -> None:
    leases = Leases(FolderLeaseFiles(tmp_path), 0.6)
    with leases.held(PLACE):
        seen = set()
        while len(seen) < 3:
            time.sleep(0.01)
            if payload := leases.files.heartbeat(str(own_name())):
                body = json.loads(payload)
                seen.add(body["counter"])
        assert body["units"][0][0] == PLACE
        assert body["pid"] == os.getpid()
    while leases.files.holders():  # who holds nothing is no holder
        time.sleep(0.01)


class Inside:
    """Tells whether two are inside at once, by a link that is made exclusively; who was killed inside is out."""

    def __init__(self, link: Path) -> None:
        self.link = link

    def enter(self) -> None:
        try:
            self.link.symlink_to(str(os.getpid()))
        except FileExistsError:
            other = int(self.link.readlink().name)
            assert other != os.getpid(), "two threads are inside"
            assert other not in _running(), "two processes are inside"
            self.link.unlink()
            self.enter()

    def leave(self) -> None:
        self.link.unlink()


def _running() -> set[int]:
    """Return the numbers of processes that run; those that were killed, and not waited for, do not."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if stat.read_text().rpartition(")")[2].split()[0] not in "ZX":
                found.add(int(stat.parent.name))
    return found


def _hammer(root: Path, seed: int, seconds: float, faults: Path) -> None:
    """Take, release and remove one cell, again and again."""
    chance, ends = random.Random(seed), time.monotonic() + seconds
    folder, inside = Store(root).folder("training", "a" * 20), Inside(root / "inside")
    try:
        while time.monotonic() < ends:
            with contextlib.suppress(StoppedWaiting):
                if chance.random() < 0.2:
                    folder.remove()
                    continue
                with folder.lock(wait=chance.random() < 0.5):
                    inside.enter()
                    folder.begin({"seed": 0})
                    if chance.random() < 0.3:
                        time.sleep(0.001)
                    inside.leave()
                    with (root / f"times-{os.getpid()}").open("a") as times:
                        times.write(".")
    except BaseException as error:
        with faults.open("a") as said:
            said.write(f"{type(error).__name__}: {error}\n")
        raise


def test_what_another_process_removed_between_two_looks_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Store(tmp_path).folder("training", "a" * 20)
    with folder.lock(wait=False):
        folder.begin({"seed": 0})
    shutil.rmtree(folder.path)
    monkeypatch.setattr(type(folder), "is_there", lambda self: True)
    assert folder.strange() == ""
    folder.remove()
    assert not folder.path.exists()


def test_threads_never_hold_a_cell_at_once(tmp_path: Path) -> None:
    faults = tmp_path / "faults"
    threads = [threading.Thread(target=_hammer, args=(tmp_path, seed, 1.5, faults)) for seed in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults.exists(), faults.read_text()
    assert len((tmp_path / f"times-{os.getpid()}").read_text()) > 20


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="tells by /proc who lives")
def test_processes_never_hold_a_cell_at_once_whoever_is_killed(tmp_path: Path) -> None:
    faults, spawn = tmp_path / "faults", multiprocessing.get_context("fork")
    chance = random.Random(0)

    def begin(seed: int) -> multiprocessing.process.BaseProcess:
        process = spawn.Process(target=_hammer, args=(tmp_path, seed, 60.0, faults))
        process.start()
        return process

    processes = [begin(seed) for seed in range(4)]
    for seed in range(100, 120):
        time.sleep(0.15)
        victim = processes.pop(chance.randrange(len(processes)))
        assert victim.pid is not None
        os.kill(victim.pid, signal.SIGKILL)
        victim.join()
        processes.append(begin(seed))
    for process in processes:
        process.kill()
        process.join()
    assert not faults.exists(), faults.read_text()
    assert sum(len(file.read_text()) for file in tmp_path.glob("times-*")) > 100
    with Store(tmp_path).folder("training", "a" * 20).lock(wait=False):
        pass  # nothing of the dead is in the way


def test_a_lock_waits_and_takes_over_from_who_dies_meanwhile(tmp_path: Path) -> None:
    """The holder is stopped for good: its counter stands still, though there is such a process."""
    code = (
        "import sys, time; from pathlib import Path; from fmbench.store.store import Store\n"
        f"with Store(Path({str(tmp_path)!r})).folder('training', 'a' * 20).lock():\n"
        "    print('held', flush=True); time.sleep(600)"
    )
    environment = {**os.environ, VARIABLE: "0.6"}
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=environment)
    assert process.stdout is not None
    try:
        process.stdout.readline()
        folder = Store(tmp_path).folder("training", "a" * 20)
        while not folder.leases.files.holders():
            time.sleep(0.01)
        with pytest.raises(StoppedWaiting), folder.lock(wait=False):
            pass
        os.kill(process.pid, signal.SIGSTOP)
        with folder.lock():
            assert len(folder.leases.deaths(PLACE).alone) == 1
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
