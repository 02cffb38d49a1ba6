"""A store by URL: what one machine finishes another has, whole, and what cannot be sent is kept and sent later."""

from __future__ import annotations

import contextlib
import itertools
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fmbench.errors import DamagedFile, StoreError
from fmbench.store.cell_folder import CellFolder
from fmbench.store.open_store import open_store, shown_home
from fmbench.store.remote import objects
from fmbench.store.remote.address import cache_folder, is_url, shown, without_secrets
from fmbench.store.remote.lazy_file import LazyFile
from fmbench.store.remote.mirror import Mirror
from fmbench.store.remote.objects import Objects
from fmbench.store.store import Store
from fmbench.store.store_mark import MARK, claim

KEY, OTHER = "0" * 20, "1" * 20
Machine = Callable[[], Store]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Open the one store from another machine each time: with a cache of its own."""
    monkeypatch.setenv("FMBENCH_STORE_PATIENCE", "0")
    number = itertools.count()

    def opened() -> Store:
        monkeypatch.setenv("FMBENCH_CACHE", str(tmp_path / f"cache-{next(number)}"))
        return open_store(f"file://{tmp_path}/bucket/team")

    return opened


@pytest.fixture
def bucket(tmp_path: Path) -> Path:
    """The folder in which the objects of `machine`'s store lie as files."""
    return tmp_path / "bucket" / "team"


def finish(store: Store, key: str = KEY, weights: bytes = b"\x00" * 1000) -> CellFolder:
    folder = store.folder("training", key)
    with folder.lock():
        folder.begin({"seed": 0})
        folder.write("weights.safetensors", weights)
        folder.write("history.json", b"[[1,0.5]]")
        folder.finish({"facts": {"seconds": 1.5}}, ("weights.safetensors", "history.json"))
        folder.add_metrics({"d": {"name": "m", "values": {"m": 1.0}, "identity": {}, "seconds": 0.1}})
    return folder


def files(place: Path) -> set[str]:
    return {path.name for path in place.iterdir() if not path.name.startswith(".")} if place.is_dir() else set()


def sent(folder: CellFolder) -> None:
    """Wait until the newest checkpoint is sent."""
    assert isinstance(folder.mirror, Mirror)
    for each in folder.mirror._working[folder.place].sending:
        each.result()


WHOLE = {"cell.json", "weights.safetensors", "history.json", "result.json", "metrics.json"}


# --- what is sent and fetched ---


def test_what_one_machine_finished_another_has_whole(machine: Machine, bucket: Path) -> None:
    mine = finish(machine())
    assert files(bucket / "training" / KEY) == WHOLE
    theirs = machine().folder("training", KEY)
    assert theirs.result(thorough=True) == mine.result()
    assert theirs.metrics() == mine.metrics()
    assert theirs.history() == [(1, 0.5)]
    assert not (theirs.path / "weights.safetensors").exists(), "large files are fetched when they are read"
    assert theirs.read("weights.safetensors") == b"\x00" * 1000
    assert theirs.path.is_relative_to(os.environ["FMBENCH_CACHE"])


def test_nothing_is_sent_before_the_files_that_the_result_vouches_for(
    machine: Machine, bucket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[set[str]] = []
    write = Objects.write

    def watched(self: Objects, payload: dict[str, Path]) -> Any:
        seen.append(files(bucket / "training" / KEY))
        return write(self, payload)

    monkeypatch.setattr(Objects, "write", watched)
    finish(machine())
    assert {"cell.json", "weights.safetensors", "history.json"} in seen, "before the result"
    assert WHOLE - {"metrics.json"} in seen, "before the metrics"


def test_keys_are_those_of_all_machines(machine: Machine) -> None:
    finish(machine(), OTHER)
    second = machine()
    finish(second)
    assert second.keys("training") == [KEY, OTHER]
    assert machine().keys("training") == [KEY, OTHER]
    assert machine().keys("evaluation") == []


def test_what_another_did_meanwhile_is_seen_when_a_cell_is_held(machine: Machine) -> None:
    first, second = machine(), machine()
    mine = first.folder("training", KEY)
    assert mine.result() is None
    finish(second)
    assert mine.result() is None, "one look counts"
    with mine.lock():
        assert mine.result() is not None
    second.folder("training", KEY).remove()
    first.look_anew()
    assert mine.result() is None
    assert files(mine.path) == set()


def test_many_cells_are_fetched_at_once(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    store, keys = machine(), [f"{number:020x}" for number in range(40)]
    for key in keys:
        finish(store, key)
    other, calls = machine(), 0
    read = Objects.read

    def counted(self: Objects, names: list[str]) -> Any:
        nonlocal calls
        calls += 1
        return read(self, names)

    monkeypatch.setattr(Objects, "read", counted)
    other.pull("training", keys)
    assert all(other.folder("training", key).result() is not None for key in keys)
    assert calls == 1
    other.look_anew()
    other.pull("training", keys)
    assert all(other.folder("training", key).result() is not None for key in keys)
    assert calls == 1, "nothing has changed since"


def test_a_cell_costs_few_requests(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    tried = Objects._tried

    def counted(self: Objects, what: str, *rest: Any) -> Any:
        asked.append(what)
        return tried(self, what, *rest)

    store = machine()
    monkeypatch.setattr(Objects, "_tried", counted)
    finish(store)
    steps = [what for what in asked if not what.startswith("be read") and "holders" not in what]
    # what is read is not asked of S3, and the heart beats for many cells
    assert len(steps) == 6, "lease, list, files, result, metrics, lease"


def test_failures_and_their_end_are_seen_elsewhere(machine: Machine) -> None:
    first = machine()
    first.folder("training", KEY).fail("died", "its process was killed")
    other = machine().folder("training", KEY)
    assert (other.failure() or {}).get("status") == "died"
    other.clear_failures()
    assert machine().folder("training", KEY).failure() is None
    finish(first)
    assert machine().folder("training", KEY).failure() is None


def test_a_failure_that_is_noted_late_removes_nothing_that_another_machine_finished(
    machine: Machine, bucket: Path
) -> None:
    first = machine()
    mine = first.folder("training", KEY)
    assert mine.result() is None
    finish(machine())
    mine.fail("timeout", "took longer than 60 s")  # by the driver, whose worker was ended
    assert files(bucket / "training" / KEY) == WHOLE | {"failure.json"}
    assert machine().folder("training", KEY).result(thorough=True) is not None
    assert mine.result() is not None
    assert not list(first.mirror.synced.unsent() if first.mirror else [mine.place])


def test_a_training_goes_on_elsewhere_from_its_checkpoint(machine: Machine, bucket: Path) -> None:
    mine = machine().folder("training", KEY)
    with contextlib.suppress(KeyboardInterrupt), mine.lock():
        mine.begin({"seed": 0})
        for step in (100, 200):
            mine.checkpoints.save(step, f"state {step}".encode())
            sent(mine)
        raise KeyboardInterrupt  # as when it is killed: nothing more is sent
    store = machine()
    theirs = store.folder("training", KEY)
    with theirs.lock():
        assert theirs.checkpoints.steps() == [200]
        assert theirs.checkpoints.load() == b"state 200"
        theirs.checkpoints.save(300, b"state 300")
    assert machine().folder("training", KEY).checkpoints.steps() == [300]
    finish(store)
    assert files(bucket / "training" / KEY) == WHOLE
    assert machine().folder("training", KEY).checkpoints.steps() == []


def test_states_of_a_course_stand_beside_each_other(machine: Machine) -> None:
    for step in (10, 20):
        folder = machine().folder("course", KEY)
        with folder.lock():
            folder.begin({"seed": 0})
            folder.checkpoints.save(step, str(step).encode(), beside=True)
    assert machine().folder("course", KEY).checkpoints.steps() == [10, 20]
    assert machine().folder("course", KEY).checkpoints.load(before=20) == b"10"


def test_samples_are_fetched_when_they_are_opened(machine: Machine) -> None:
    finish(machine())
    folder = machine().folder("training", KEY)
    assert folder.has("weights.safetensors")
    assert not folder.has("samples.safetensors")
    path = folder.file("weights.safetensors")
    assert str(path) == str(folder.path / "weights.safetensors")
    assert path.parent.name == KEY
    assert not (folder.path / "weights.safetensors").exists()
    assert path.is_file()
    assert path.read_bytes() == b"\x00" * 1000
    assert type(pickle.loads(pickle.dumps(path))) is type(Path())


def test_a_file_is_fetched_once(tmp_path: Path) -> None:
    fetched: list[int] = []
    path = LazyFile(tmp_path / "a", lambda: fetched.append(1))
    assert not path.exists()
    assert not path.exists()
    assert fetched == [1]
    assert type(path / "b") is type(Path()) or not isinstance(path / "b", LazyFile) or (path / "b")._fetch is None


def test_shared_files_of_the_cache_are_everywhere(machine: Machine) -> None:
    first = machine()
    (first.cache() / "real-abc.safetensors").write_bytes(b"samples")
    (first.cache() / "t-density-abc.json").write_text("{}")
    (first.cache() / "statistics.npz").write_bytes(b"of one machine")
    first.send_shared()
    second = machine()
    assert second.shared_file(second.root / "cache" / "real-abc.safetensors") is None
    second.pull_shared()
    assert files(second.root / "cache") == {"t-density-abc.json"}
    found = second.shared_file(second.root / "cache" / "real-abc.safetensors")
    assert found is not None
    assert found.read_bytes() == b"samples"


def test_of_several_that_write_a_shared_file_the_first_counts(machine: Machine) -> None:
    name = f"{KEY}-0.json"
    for content in ("mine", "yours"):
        store = machine()
        store.pull_shared()
        (store.root / "fleets").mkdir(parents=True, exist_ok=True)
        path = store.root / "fleets" / name
        path.write_text(content)
        store.agree_on(path)
        assert path.read_text() == "mine"
        store.send_shared()
    third = machine()
    third.pull_shared()
    assert (third.root / "fleets" / name).read_text() == "mine"


# --- what cannot be sent ---


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Have nothing of cells written to any store, as where its server is away; or have it written again."""
    pipe = Objects._pipe

    def refused(self: Objects, payloads: Any) -> None:
        if not all("/.lease" in name for name in payloads):
            raise ConnectionError("no answer")
        pipe(self, payloads)

    def away(yes: bool) -> None:
        monkeypatch.setattr(Objects, "_pipe", refused if yes else pipe)

    return away


def test_what_could_not_be_sent_is_kept_and_sent_by_the_next_run(
    machine: Machine, bucket: Path, broken: Callable[[bool], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = machine()
    cache = os.environ["FMBENCH_CACHE"]
    broken(True)
    with pytest.raises(StoreError, match=r"cannot be written.*the next run sends it"):
        finish(store)
    assert files(bucket / "training" / KEY) == set()
    monkeypatch.setenv("FMBENCH_CACHE", cache)
    again = open_store(store.url)
    assert again.folder("training", KEY).result() is not None, "it counts here"
    broken(False)
    assert again.send_left() == 1
    assert again.send_left() == 0
    assert machine().folder("training", KEY).read("weights.safetensors") == b"\x00" * 1000


def test_half_of_a_cell_in_the_store_is_not_done(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that dies between files and result leaves a cell that others compute."""
    write = Objects.write

    def dies(self: Objects, payload: dict[str, Path]) -> Any:
        if any(name.endswith("result.json") for name in payload):
            raise KeyboardInterrupt
        return write(self, payload)

    monkeypatch.setattr(Objects, "write", dies)
    with contextlib.suppress(KeyboardInterrupt):
        finish(machine())
    monkeypatch.undo()
    monkeypatch.setenv("FMBENCH_STORE_PATIENCE", "0")
    assert machine().folder("training", KEY).result() is None
    finish(machine(), weights=b"\x01" * 1000)
    assert machine().folder("training", KEY).read("weights.safetensors") == b"\x01" * 1000


def test_what_another_machine_finished_takes_the_place_of_what_could_not_be_sent(
    machine: Machine, broken: Callable[[bool], None]
) -> None:
    store = machine()
    broken(True)
    with pytest.raises(StoreError):
        finish(store, weights=b"\x01" * 1000)
    broken(False)
    finish(machine(), weights=b"\x02" * 1000)
    assert store.send_left() == 1
    assert store.folder("training", KEY).read("weights.safetensors") == b"\x02" * 1000
    assert machine().folder("training", KEY).read("weights.safetensors") == b"\x02" * 1000


def test_a_store_that_does_not_answer_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FMBENCH_STORE_PATIENCE", "60")
    monkeypatch.setattr(objects.time, "sleep", lambda seconds: None)
    store, failures = Objects(f"file://{tmp_path}/bucket"), iter((ConnectionError(), TimeoutError(), None))
    pipe = Objects._pipe

    def unsteady(self: Objects, payloads: Any) -> None:
        if (failure := next(failures)) is not None:
            raise failure
        pipe(self, payloads)

    monkeypatch.setattr(Objects, "_pipe", unsteady)
    store.put("a", b"1")
    assert store.read(["a", "b"]) == {"a": b"1"}


def test_several_things_that_cannot_be_sent_do_not_all_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FMBENCH_STORE_PATIENCE", "5")
    waited: list[float] = []
    moment = [0.0]

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        moment[0] += seconds

    monkeypatch.setattr(objects.time, "sleep", sleep)
    monkeypatch.setattr(objects.time, "monotonic", lambda: moment[0])
    store = Objects(f"file://{tmp_path}/bucket")
    monkeypatch.setattr(store, "_pipe", lambda payloads: (_ for _ in ()).throw(ConnectionError()))
    for _ in range(3):
        with pytest.raises(StoreError):
            store.put("a", b"1")
    assert sum(waited) == pytest.approx(5)


# --- damage ---


@pytest.mark.parametrize("name", ["weights.safetensors", "result.json", "metrics.json", "history.json", "cell.json"])
@pytest.mark.parametrize("damage", ["truncated", "garbage", "deleted"])
def test_damaged_objects_are_noticed_and_computed_again(machine: Machine, bucket: Path, name: str, damage: str) -> None:
    store = machine()
    finish(store)
    path = bucket / "training" / KEY / name
    content = path.read_bytes()
    path.unlink() if damage == "deleted" else path.write_bytes(content[:-7] if damage == "truncated" else b"\xff\xfe")
    for each in (store, machine()):
        each.look_anew()
        folder = each.folder("training", KEY)
        if damage == "deleted" and name in ("result.json", "metrics.json", "cell.json"):
            assert folder.sealed(name) is None
        else:
            with pytest.raises(DamagedFile):
                folder.check()
    with folder.lock():
        folder.discard()
    assert files(bucket / "training" / KEY) == set()
    finish(store)
    assert files(bucket / "training" / KEY) == WHOLE
    machine().folder("training", KEY).check()


def test_garbage_of_the_same_size_is_noticed_when_it_is_read(machine: Machine, bucket: Path) -> None:
    finish(machine())
    (bucket / "training" / KEY / "weights.safetensors").write_bytes(b"\x07" * 1000)
    folder = machine().folder("training", KEY)
    assert folder.result() is not None
    with pytest.raises(DamagedFile, match="checksum"):
        folder.read("weights.safetensors")
    with pytest.raises(DamagedFile, match="checksum"):
        folder.result()


def test_a_damaged_cache_costs_nothing(machine: Machine) -> None:
    folder = finish(machine())
    (folder.path / "weights.safetensors").write_bytes(b"\x07" * 1000)
    assert folder.result() is not None
    (folder.path / "weights.safetensors").write_bytes(b"\x07" * 1000)
    assert folder.read("weights.safetensors") == b"\x00" * 1000
    (folder.path / "result.json").write_bytes(b"nonsense")
    assert isinstance(folder.mirror, Mirror)
    folder.mirror.pull([folder.place])
    assert folder.result() is not None


# --- removal ---


def test_removing_a_cell_removes_its_objects_and_nothing_else(machine: Machine, bucket: Path) -> None:
    store = machine()
    finish(store)
    finish(store, OTHER)
    (bucket / "training" / OTHER / "notes.txt").write_text("somebody's")
    other = machine()
    other.folder("training", KEY).remove()
    assert files(bucket / "training" / KEY) == set()
    assert "notes.txt" in other.folder("training", OTHER).strange()
    with pytest.raises(StoreError, match=r"notes\.txt"):
        other.folder("training", OTHER).remove()
    with other.folder("training", OTHER).lock():
        other.folder("training", OTHER).discard()
    assert files(bucket / "training" / OTHER) == {"notes.txt"}
    assert machine().keys("training") == [OTHER]


def test_size_and_age_are_those_of_the_objects(machine: Machine, bucket: Path) -> None:
    finish(machine())
    for path in (bucket / "training" / KEY).iterdir():
        os.utime(path, (1e9, 1e9))
    folder = machine().folder("training", KEY)
    assert folder.size() > 1000
    assert folder.touched() == 1e9


# --- addresses ---


def test_an_address_is_a_folder_or_a_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FMBENCH_HOME", str(tmp_path / "store"))
    store = open_store()
    assert store.mirror is None
    assert store.url == ""
    assert str(store) == str(tmp_path / "store")
    assert not is_url("C:/store")
    assert not is_url(Path("s3://bucket"))
    monkeypatch.setenv("FMBENCH_HOME", f"file://{tmp_path}/bucket")
    assert open_store().url == f"file://{tmp_path}/bucket"


def test_the_cache_is_one_for_each_url_and_not_for_each_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    monkeypatch.delenv("FMBENCH_CACHE", raising=False)
    found = cache_folder("s3://bucket/a/team")
    assert found.parent == Path("/somewhere/fmbench/stores")
    assert found.name.startswith("team-")
    assert cache_folder("s3://other/a/team") != found
    assert cache_folder("sftp://me:one@host/team") == cache_folder("sftp://me:two@host/team")
    monkeypatch.setenv("FMBENCH_CACHE", "/mine")
    assert cache_folder("s3://bucket/a/team") == Path("/mine") / found.name


def test_passwords_are_never_shown() -> None:
    assert shown("sftp://me:secret@host/p?token=abc") == "sftp://me:***@host/p?token=***"
    assert shown_home("ftp://token@host/p") == "ftp://***@host/p"
    assert shown("s3://bucket/p@2x") == "s3://bucket/p@2x"
    assert shown("no answer from ftp://a:b@h/p, ftp://c:d@h") == "no answer from ftp://a:***@h/p, ftp://c:***@h"


def test_an_error_of_a_file_system_shows_no_password(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FMBENCH_STORE_PATIENCE", "0")
    store = Objects(f"file://{tmp_path}/x")
    store.url, store.shown = "ftp://me:secret@host/p", "ftp://me:***@host/p"

    def refused(*_: Any, **__: Any) -> None:
        raise PermissionError("no, ftp://me:secret@host/p/a")

    monkeypatch.setattr(store, "_files", type("Refusing", (), {"find": refused})())
    with pytest.raises(StoreError) as found:
        store.list("training")
    assert "secret" not in str(found.value)
    assert found.value.__cause__ is None
    assert "credentials" in str(found.value)


def test_a_url_that_a_library_took_apart_shows_no_password() -> None:
    said = 'Invalid bucket name "me:se@cret"; login of me with se@cret failed'
    assert "se@cret" not in without_secrets(said, "s3://me:se%40cret@bucket/p")
    assert without_secrets("no bucket 'u:ab@c' in a cab", "s3://u:ab@c/p") == "no bucket 'u:***@c' in a cab"
    assert without_secrets("not abcd", "https://host/p?token=abcd") == "not ***"
    with pytest.raises(StoreError) as found:
        open_store("s3://me:password@bucket/p")
    assert "password" not in str(found.value)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("s3://", "names no place"),
        ("simplecache::s3://bucket/p", "a chain of file systems"),
        ("nonsense://bucket/p", "Protocol not known"),
        ("memory://bucket/p", "seen by one process alone"),
        ("gs://bucket/p", "needs a package that is not installed"),
    ],
)
def test_a_url_that_cannot_be_used_is_said(url: str, said: str) -> None:
    with pytest.raises(StoreError, match=said):
        open_store(url)


def test_patience_is_a_number(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FMBENCH_STORE_PATIENCE", "long")
    with pytest.raises(StoreError, match="FMBENCH_STORE_PATIENCE is a number of seconds"):
        open_store(f"file://{tmp_path}/x")


def test_the_mark_is_in_the_store(machine: Machine, bucket: Path) -> None:
    store = machine()
    assert not bucket.exists(), "opening writes nothing"
    claim(store)
    assert (bucket / MARK).is_file()
    assert (machine().root / MARK).is_file()
