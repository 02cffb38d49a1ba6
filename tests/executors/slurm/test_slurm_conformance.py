"""The SLURM executor keeps every executor's promises; its jobs are processes that a test forks."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from forked_jobs import ForkedQueue

from fmbench.cells.cells import TrainingCell
from fmbench.cells.component_spec import Settings
from fmbench.errors import UserError
from fmbench.executors.messages import Event, WorkerConfig
from fmbench.executors.slurm import executor
from fmbench.executors.slurm.executor import SlurmExecutor
from fmbench.executors.tasks import TrainTask
from fmbench.plugins.registry import load_registry
from fmbench.testing import ExecutorConformance
from fmbench.testing.executors import PLUGIN, SETTINGS, Bench, ends, what

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True, scope="module")
def no_network() -> Iterator[None]:
    """Look at what jobs do all the time, and run them here."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("POLL_SECONDS", "STATE_SECONDS", "SETTLE_SECONDS"):
            patch.setattr(executor, name, 0.02)
        patch.setattr(executor, "make_queue", ForkedQueue)
        yield


def make(config: WorkerConfig, timeout: float | None, jobs: str = "1") -> SlurmExecutor:
    return SlurmExecutor(config, SimpleNamespace(timeout=timeout, jobs=jobs, slurm=("cluster=local",)))


class TestSlurmExecutor(ExecutorConformance):
    """One job at a time."""

    timeouts = False

    @classmethod
    def make(cls, config: WorkerConfig, timeout: float | None) -> SlurmExecutor:
        return make(config, timeout)

    def test_a_unit_that_takes_too_long_on_its_node_is_ended_there(self, bench: Bench) -> None:
        late, own = bench.cell(90, "sleep", marker="asleep"), make(bench.config(), timeout=5.0)
        events = bench.events(TrainTask((late,)), executor=own)
        own.close()
        assert ends(events) == [("failed", late.key)]
        assert [event.status for event in events if event.what == "failed"] == ["timeout"]
        assert not own.spool.root.exists(), "a finished spool is removed"


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A store and cells for all tests below."""
    bench = Bench(tmp_path_factory.mktemp("slurm"), load_registry((PLUGIN,)), make)
    yield bench
    bench.close()


def queue_of(own: SlurmExecutor) -> ForkedQueue:
    assert isinstance(own._jobs, ForkedQueue)
    return own._jobs


def long_cell(bench: Bench, seed: int, marker: str = "") -> TrainingCell:
    """Return a cell that trains for so long that it is disturbed in time."""
    return replace(bench.cell(seed, marker=marker), settings=Settings({**SETTINGS, "steps": 4000}))


def computed(own: SlurmExecutor, cell: TrainingCell, number: signal.Signals | None = None) -> list[Event]:
    """Train a cell; its first job gets a signal when it has told of steps."""
    own.submit(TrainTask((cell,)))
    events = []
    for event in own.events():
        events.append(event)
        if number is not None and event.what == "advanced":
            queue_of(own).signal(["0"], number)
            number = None
    own.close()
    return events


@pytest.mark.parametrize(
    ("number", "refuses"),
    [(signal.SIGUSR2, False), (signal.SIGUSR2, True), (signal.SIGTERM, True), (signal.SIGKILL, False)],
)
def test_a_job_that_is_disturbed_ends_with_the_same_weights(
    bench: Bench, number: signal.Signals, refuses: bool
) -> None:
    seed = 200 + 10 * number + refuses
    cell, undisturbed = long_cell(bench, seed), long_cell(bench, seed, marker="undisturbed")
    own = make(bench.config(checkpoint_seconds=0.2), timeout=None)
    queue_of(own).refuses_to_requeue = refuses
    events = computed(own, cell, number)
    assert ends(events) == [("finished", cell.key)]
    assert len(queue_of(own).runs) == 2, "it was begun once more, or submitted anew"
    is_killed = number == signal.SIGKILL
    assert ("again" in what(events, cell.key)) == is_killed, "to make room is no failure"
    assert own.spool.root.exists() == is_killed, "who asks what the job printed finds it"
    computed(make(bench.config(checkpoint_seconds=1e9), timeout=None), undisturbed)
    assert bench.weights(cell) == bench.weights(undisturbed)


def test_a_job_that_is_lost_twice_is_a_row_that_says_so_and_siblings_go_on(bench: Bench) -> None:
    own = make(bench.config(), timeout=None, jobs="2")
    lost, good = bench.cell(300, "sleep", marker="lost"), bench.cell(301)
    own.submit(TrainTask((lost,)))
    own.submit(TrainTask((good,)))
    events, queue = [], queue_of(own)
    for event in own.events():
        events.append(event)
        if event.what == "started" and event.key == lost.key:
            queue.signal([each for each, job in queue.jobs.items() if job.task == TrainTask((lost,))], signal.SIGKILL)
    own.close()
    assert sorted(ends(events)) == sorted([("failed", lost.key), ("finished", good.key)])
    assert queue.submitted[0] == (2, 2, False), "one array"
    failure = bench.store.folder("training", lost.key).failure()
    assert failure is not None
    assert "ended in the state NODE_FAIL on here: its node failed" in failure["error"]


def test_a_job_that_begins_nowhere_ends_the_run_with_what_it_printed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = make(bench.config(), timeout=None)
    monkeypatch.setattr("forked_jobs.run", fails_at_once)
    with pytest.raises(
        UserError, match=r"(?s)a worker could not begin: its SLURM job .* ended in the state FAILED.*no fmbench"
    ):
        bench.events(TrainTask((bench.cell(310),)), executor=own)
    own.close()


def fails_at_once(job: object, errors: str, folder: str, path: list[str]) -> None:
    Path(errors).write_text("ModuleNotFoundError: there is no fmbench on this node\n")
    raise SystemExit(1)
