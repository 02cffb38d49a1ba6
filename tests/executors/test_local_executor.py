"""The local executor: a worker that dies or is slow takes down its cell only; a driver that dies, its workers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from helpers import training_cell

from fmbench.cells.cells import TrainingCell
from fmbench.errors import UserError
from fmbench.executors.import_path import import_path, late_path
from fmbench.executors.jobs import jobs_and_threads
from fmbench.executors.local import LocalExecutor
from fmbench.executors.messages import Event, WorkerConfig
from fmbench.executors.tasks import PrepareTask, TrainTask
from fmbench.plugins.registry import Registry, load_registry
from fmbench.runtime.environment import cpu_count

PLUGIN = '''
import os, pathlib, time
from fmbench import Objective, hookimpl

class Bad(Objective):
    """Does something terrible."""

    def __init__(self, *, how: str) -> None:
        self.how = how

    def loss(self, output, sample):
        if self.how == "close":
            os.closerange(3, 1000)
        if self.how == "held":  # a child that holds all descriptors open, as multiprocessing's do
            if os.fork() == 0:
                time.sleep(3600)
            os._exit(3)
        if self.how == "sleep":
            pathlib.Path(os.environ["FMBENCH_TEST_ASLEEP"]).touch()
            time.sleep(3600)
        raise RuntimeError("something is wrong")

    def velocity(self, output, x, t, path):
        return output

class Hangs(Bad):
    """Hangs, or ends the process, where it is built."""

    def __init__(self, *, how: str) -> None:
        self.how = how
        self.loss(None, None)


@hookimpl
def fmbench_objectives():
    return {"bad": Bad, "hangs": Hangs}
'''


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("plugin") / "bad_objective.py"
    path.write_text(PLUGIN)
    return str(path)


@pytest.fixture(scope="module")
def registry(plugin: str) -> Registry:
    return load_registry((plugin,))


def config(registry: Registry, plugin: str, store: Path, **options: object) -> WorkerConfig:
    usual = {"fingerprints": registry.fingerprints(), "device": "cpu", "threads": 1, "jobs": 2}
    return WorkerConfig(plugins=(plugin,), store=str(store), **{**usual, **options})  # type: ignore[arg-type]


def events_of(executor: LocalExecutor, *tasks: TrainTask | PrepareTask) -> list[Event]:
    for task in tasks:
        executor.submit(task)
    try:
        return list(executor.events())
    finally:
        executor.close()


def test_a_worker_that_cannot_report_any_more_costs_its_cell_and_the_others_go_on(
    registry: Registry, plugin: str, tmp_path: Path
) -> None:
    ways = {"close": "a component closes file descriptors that are not its own", "held": "exit code 3"}
    bad = {how: training_cell(registry, objective=("bad", {"how": how})) for how in ways}
    good = [training_cell(registry, seed, settings={"steps": 5}) for seed in range(len(ways))]
    tasks = [TrainTask((cell,)) for pair in zip(bad.values(), good, strict=True) for cell in pair]
    events = events_of(LocalExecutor(config(registry, plugin, tmp_path, jobs=1)), *tasks)
    ended = {event.key: event for event in events if event.what in {"finished", "failed"}}
    for how, words in ways.items():
        assert ended[bad[how].key].status == "error", how
        assert words in ended[bad[how].key].text
    assert [ended[cell.key].what for cell in good] == ["finished"] * len(good)


def test_preparing_a_component_that_hangs_names_it(
    registry: Registry, plugin: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asleep = tmp_path / "asleep"
    monkeypatch.setenv("FMBENCH_TEST_ASLEEP", str(asleep))
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + 1e6 * asleep.exists())
    monkeypatch.setattr("fmbench.executors.supervisor.time", clock)
    executor = LocalExecutor(config(registry, plugin, tmp_path), timeout=1e5)
    grid, hangs = registry.spec("grid", "uniform"), registry.spec("objective", "hangs", {"how": "sleep"})
    words = r"^objective hangs\(how=.?sleep.?\) cannot be used: preparing it took longer than 100000 s, the --timeout"
    with pytest.raises(UserError, match=words):
        events_of(executor, PrepareTask((grid, hangs)))


SHADOWS = ("fmbench/__init__.py", "random.py", "queue.py", "torch.py")


def test_workers_import_nothing_from_where_they_stand(
    registry: Registry, plugin: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, real_workers: None
) -> None:
    for name in SHADOWS:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("raise SystemExit('imported from the working folder')")
    beside = tmp_path / "mine_in_the_working_folder.py"
    beside.write_text(PLUGIN.replace('"bad": Bad', '"beside": Bad'))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", "")
    # as Python does for `python -m` and for a notebook; what is found nowhere else is still imported
    for entry in ("", str(tmp_path)):
        monkeypatch.setattr(sys, "path", [*sys.path, entry])
        beside_registry = load_registry((beside.stem,))
        given = WorkerConfig((beside.stem,), beside_registry.fingerprints(), str(tmp_path / "store"), "cpu", 1, 1)
        assert given.late_path == (str(tmp_path),)
        assert not {entry, str(tmp_path)} & set(import_path())
    events = events_of(LocalExecutor(given), TrainTask((training_cell(registry, settings={"steps": 2}),)))
    assert [event.what for event in events if event.what in {"finished", "failed"}] == ["finished"]
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert str(tmp_path) in import_path(), "where the user asks for it, it stays"
    assert late_path() == ()


def test_preparing_reports_what_cannot_be_had(
    registry: Registry, plugin: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "empty"))
    fid = registry.spec("metric", "fid")
    with pytest.raises(UserError, match=r"weights-inception.*\.pth"):
        events_of(LocalExecutor(config(registry, plugin, tmp_path)), PrepareTask((fid,)))


DRIVER = """
import sys
sys.path[:0] = {path!r}
from helpers import training_cell
from fmbench.executors.local import LocalExecutor
from fmbench.executors.messages import WorkerConfig
from fmbench.executors.tasks import TrainTask
from fmbench.plugins.registry import load_registry
registry = load_registry(({plugin!r},))
executor = LocalExecutor(WorkerConfig(({plugin!r},), registry.fingerprints(), {store!r}, "cpu", 1, 1))
executor.submit(TrainTask((training_cell(registry, objective=("bad", {{"how": "sleep"}})),)))
for event in executor.events():
    print(event.what, executor._workers[0].link.process.pid, flush=True)
"""


def test_workers_end_when_their_driver_is_killed(plugin: str, tmp_path: Path) -> None:
    script = DRIVER.format(path=[str(Path(__file__).parents[1]), *sys.path], plugin=plugin, store=str(tmp_path))
    environment = {**os.environ, "FMBENCH_TEST_ASLEEP": str(tmp_path / "asleep")}
    driver = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=environment)
    assert driver.stdout is not None
    worker = int(driver.stdout.readline().split()[1])
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    driver.stdout.close()
    for _ in range(600):
        try:
            os.kill(worker, 0)
        except ProcessLookupError:
            return
        if "State:\tZ" in Path(f"/proc/{worker}/status").read_text():
            return
        time.sleep(0.1)
    pytest.fail("the worker outlived its driver")


def test_jobs_use_every_core_once() -> None:
    jobs, threads = jobs_and_threads("auto", 100, "cpu")
    assert jobs * threads == cpu_count()
    assert jobs_and_threads("auto", 1, "cpu") == (1, cpu_count())
    assert jobs_and_threads("auto", 100, "cuda")[0] == 1
    assert jobs_and_threads("1", 100, "cpu") == (1, cpu_count())
    with pytest.raises(UserError, match="--jobs must be"):
        jobs_and_threads("0", 1, "cpu")


def test_cells_are_plain_data(registry: Registry) -> None:
    import pickle

    cell: TrainingCell = training_cell(registry)
    again = pickle.loads(pickle.dumps(cell))
    assert again == cell
    assert again.key == cell.key
