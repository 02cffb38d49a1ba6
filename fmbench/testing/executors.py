"""What every executor promises, wherever its workers are."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fmbench.cells.cells import EvaluationCell, TrainingCell
from fmbench.cells.component_spec import Settings
from fmbench.errors import UserError
from fmbench.executors.base import Executor
from fmbench.executors.messages import Event, WorkerConfig
from fmbench.executors.tasks import EvaluateTask, PrepareTask, Task, TrainAndEvaluateTask, TrainTask, Work
from fmbench.plugins.registry import Registry, load_registry
from fmbench.store.store import Store

PLUGIN = "fmbench.testing.misbehaving_components"
STEPS = 12
TIMEOUT = 1e5
"""Seconds: the clock is put on, where a unit is to be late."""
SETTINGS: dict[str, Any] = {
    "steps": STEPS,
    "batch_size": 16,
    "optimizer": {"name": "adam", "lr": 1e-2, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.0},
    "schedule": {"name": "constant", "warmup": 0},
    "gradient_clip": None,
    "ema": 0.9,
    "precision": "float32",
    "class_conditional": False,
    "label_dropout": 0.1,
}
END = {"finished", "failed"}
LONGEST = 120.0
"""Seconds that a process may take to be gone."""


@dataclass
class Bench:
    """A store, cells for it, and one executor that is used for several tests: starting one takes longer than they do.

    `folder` is on a disk that the workers see.
    """

    folder: Path
    registry: Registry
    make: Callable[[WorkerConfig, float | None], Executor]
    made: list[Executor] = field(default_factory=list)
    shared: list[Executor] = field(default_factory=list)

    def config(self, **options: Any) -> WorkerConfig:
        """Return the configuration of one worker that saves a checkpoint at each step."""
        usual: dict[str, Any] = {"fingerprints": self.registry.fingerprints(), "checkpoint_seconds": 0.0}
        named: dict[str, Any] = {"plugins": (PLUGIN,), "store": str(self.store.root), "device": "cpu"}
        return WorkerConfig(**{**named, "threads": 1, "jobs": 1, **usual, **options})

    def another(self, **options: Any) -> Executor:
        """Return an executor of one's own."""
        self.made.append(self.make(self.config(**options), TIMEOUT))
        return self.made[-1]

    @property
    def executor(self) -> Executor:
        """The executor that tests share."""
        if not self.shared:
            self.shared.append(self.another())
        return self.shared[0]

    @property
    def store(self) -> Store:
        """The store of all that is computed."""
        return Store(self.folder / "store")

    def close(self) -> None:
        """Close what was made."""
        for executor in self.made:
            executor.close()

    def cell(self, seed: int, how: str = "well", at: int = 1, marker: str = "") -> TrainingCell:
        """Return a cell whose objective misbehaves so."""
        objective = {"how": how, "at": at, "marker": str(self.folder / marker) if marker else ""}
        return TrainingCell(
            dataset=self.registry.spec("dataset", "conformance_blobs", {}),
            path=self.registry.spec("path", "conformance_path", {}),
            coupling=self.registry.spec("coupling", "conformance_coupling", {}),
            t_distribution=self.registry.spec("t_distribution", "conformance_t", {}),
            objective=self.registry.spec("objective", "conformance_objective", objective),
            network=self.registry.spec("network", "conformance_network", {}),
            seed=seed,
            settings=Settings(SETTINGS),
        )

    def evaluation(self, cell: TrainingCell, how: str = "well", samples: int = 20) -> Work:
        """Return an evaluation of a cell whose solver misbehaves so, and of which nothing is measured."""
        solver = self.registry.spec("solver", "conformance_solver", {"how": how})
        grid = self.registry.spec("grid", "conformance_grid", {})
        found = EvaluationCell(cell, solver, grid, 1, 1, 1.0, "ema", Settings({"samples": samples}))
        return Work(found.key, found, ())

    def events(self, *tasks: Task, executor: Executor | None = None) -> list[Event]:
        """Have tasks computed; return what was said."""
        executor = executor or self.executor
        for task in tasks:
            executor.submit(task)
        return list(executor.events())

    def weights(self, cell: TrainingCell) -> bytes:
        """Return the trained weights of a cell."""
        return self.store.folder("training", cell.key).read("weights.safetensors")


def what(events: Sequence[Event], key: str) -> list[str]:
    """Return what was said of the unit, or the fleet, of a key, in order; progress once."""
    said = [event.what for event in events if event.key == key]
    return [each for each, before in zip(said, ["", *said], strict=False) if (each, before) != ("advanced",) * 2]


def ends(events: Sequence[Event]) -> list[tuple[str, str]]:
    """Return the units that ended, in order, as (what, key)."""
    return [(event.what, event.key) for event in events if event.what in END]


class ExecutorConformance:
    """The rules of every executor; inherit it and say in `make` how yours is made. The tests share one of one worker.

    Where `timeouts` is false, the executor's clock is not that of `fmbench.executors.supervisor`, and a test of its own
    must show that units are ended in time.
    """

    timeouts = True

    @classmethod
    def make(cls, config: WorkerConfig, timeout: float | None) -> Executor:
        """Return the executor under test."""
        raise NotImplementedError

    @pytest.fixture(scope="class")
    @classmethod
    def bench(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
        """The store and the executor."""
        bench = Bench(tmp_path_factory.mktemp("executor"), load_registry((PLUGIN,)), cls.make)
        try:
            yield bench
        finally:
            bench.close()

    def test_a_unit_starts_advances_and_ends_and_units_end_in_order(self, bench: Bench) -> None:
        cells = [bench.cell(seed) for seed in range(3)]
        events = bench.events(*(TrainTask((cell,)) for cell in cells))
        assert ends(events) == [("finished", cell.key) for cell in cells]
        for cell in cells:
            assert what(events, cell.key) == ["started", "advanced", "finished"]
            assert sum(event.amount for event in events if event.key == cell.key) == STEPS
            assert bench.store.folder("training", cell.key).result() is not None
        assert not bench.events(), "nothing was asked for"

    def test_what_fails_in_any_way_is_a_row_and_the_others_go_on(self, bench: Bench) -> None:
        ways = {"raise": "error", "memory": "oom", "exit": "error", "kill": "error"}
        bad = {how: bench.cell(10, how) for how in ways}
        good = {how: bench.cell(11 + number) for number, how in enumerate(ways)}
        events = bench.events(*(TrainTask((cell,)) for how in ways for cell in (bad[how], good[how])))
        ended = {event.key: event for event in events if event.what in END}
        for how, status in ways.items():
            said = ended[bad[how].key]
            assert (said.what, said.status) == ("failed", status), how
            failure = bench.store.folder("training", bad[how].key).failure()
            assert failure is not None
            assert (failure["status"], failure["error"]) == (status, said.text)
            assert ended[good[how].key].what == "finished", how
        assert "something is wrong with this" in ended[bad["raise"].key].text
        assert "exit code 3" in ended[bad["exit"].key].text
        assert what(events, bad["kill"].key) == ["started", "again", "started", "failed"], (
            "killed twice, it is to blame"
        )
        assert "signal 9" in ended[bad["kill"].key].text

    def test_a_unit_whose_worker_is_killed_goes_on_from_its_checkpoint(self, bench: Bench) -> None:
        killed = bench.cell(20, "kill once", at=STEPS - 2, marker="killed")
        events = bench.events(TrainTask((killed,)))
        assert what(events, killed.key) == ["started", "advanced", "again", "started", "advanced", "finished"]
        undisturbed = bench.cell(20, marker="undisturbed")
        bench.events(TrainTask((undisturbed,)))
        calls = {
            name: len((bench.folder / f"{name}.calls").read_text().splitlines()) for name in ("killed", "undisturbed")
        }
        assert calls["killed"] < calls["undisturbed"] + STEPS / 2, "it does not begin anew"
        assert bench.weights(killed) == bench.weights(undisturbed)

    def test_a_fleet_whose_worker_is_killed_twice_is_trained_cell_by_cell(self, bench: Bench) -> None:
        cells = [bench.cell(30), bench.cell(31, "kill", at=2), bench.cell(32)]
        events = bench.events(TrainTask(tuple(cells), 3))
        ended = [("finished", cells[0].key), ("failed", cells[1].key), ("finished", cells[2].key)]
        assert sorted(ends(events)) == sorted(ended)

    def test_the_rest_of_a_task_whose_worker_died_is_computed_and_what_had_ended_is_not(self, bench: Bench) -> None:
        cell = bench.cell(40)
        works = [bench.evaluation(cell), bench.evaluation(cell, "exit"), bench.evaluation(cell, samples=30)]
        events = bench.events(TrainTask((cell,)), EvaluateTask(cell, (), tuple(works)))
        ended = [("finished", works[0].key), ("failed", works[1].key), ("finished", works[2].key)]
        assert sorted(ends(events)[1:]) == sorted(ended)
        said = what(events, works[0].key)
        # its files were on their way to the disk when the process died, or they were there
        assert said == (["started"] * 2 if said.count("started") > 1 else ["started"]) + ["finished"]

    def test_a_fleet_and_its_evaluations_can_be_one_task(self, bench: Bench) -> None:
        cells = [bench.cell(50), bench.cell(51, "raise")]
        works = [bench.evaluation(cell) for cell in cells]
        evaluations = tuple(EvaluateTask(cell, (), (work,)) for cell, work in zip(cells, works, strict=True))
        task = TrainAndEvaluateTask(TrainTask(tuple(cells), 2), evaluations)
        ended = ends(bench.events(task))
        assert ended[-1] == ("finished", works[0].key)
        assert sorted(ended[:-1]) == sorted([("finished", cells[0].key), ("failed", cells[1].key)])

    def test_a_unit_that_takes_too_long_is_ended_and_the_others_go_on(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if not self.timeouts:
            pytest.skip("this executor's clock is tested elsewhere")
        asleep = bench.folder / "asleep"
        clock = SimpleNamespace(monotonic=lambda: time.monotonic() + 10 * TIMEOUT * asleep.exists(), sleep=time.sleep)
        monkeypatch.setattr("fmbench.executors.supervisor.time", clock)
        late, good = bench.cell(60, "sleep", marker="asleep"), bench.cell(61)
        events = bench.events(TrainTask((late,)), TrainTask((good,)))
        assert ends(events) == [("failed", late.key), ("finished", good.key)]
        assert [event.status for event in events if event.what == "failed"] == ["timeout"]
        wait_until_gone(int(asleep.read_text()))

    @pytest.mark.parametrize(("how", "words"), [("raise", "something is wrong with this"), ("exit", "exit code 3")])
    def test_a_component_that_cannot_be_prepared_is_named(self, bench: Bench, how: str, words: str) -> None:
        spec = bench.registry.spec("objective", "conformance_unbuildable", {"how": how})
        named = rf"objective conformance_unbuildable\(how=.?{how}.?\) cannot be used.*{words}"
        executor = bench.another()
        with pytest.raises(UserError, match=named):
            bench.events(PrepareTask((bench.registry.spec("grid", "conformance_grid", {}), spec)), executor=executor)
        executor.close()

    @pytest.mark.parametrize(
        ("differs", "words"),
        [
            ({"core": "of another fmbench"}, "the code of fmbench itself, in .*, is not that with which the run began"),
            ({"fingerprints": "of other plugins"}, "changed after the run had begun"),
        ],
    )
    def test_a_worker_with_other_code_refuses_to_work(self, bench: Bench, differs: dict[str, str], words: str) -> None:
        executor, cell = bench.another(**differs), bench.cell(70)
        with pytest.raises(UserError, match=words):
            bench.events(TrainTask((cell,)), executor=executor)
        executor.close()
        assert bench.store.folder("training", cell.key).result() is None

    def test_closing_leaves_no_process_and_another_executor_goes_on(self, bench: Bench) -> None:
        executor, cell = bench.another(), bench.cell(80, "sleep", at=5, marker="closed")
        executor.submit(TrainTask((cell,)))
        marker = bench.folder / "closed"
        for event in executor.events():
            if event.what == "advanced" and event.amount:
                while not marker.exists():
                    time.sleep(0.02)
                break
        executor.close()
        wait_until_gone(int(marker.read_text()))
        folder = bench.store.folder("training", cell.key)
        assert folder.checkpoints.steps()
        assert folder.failure() is None, "to be stopped is no failure"
        assert not folder.leases.others(folder.place)
        assert folder.leases.deaths(folder.place) == ((), ()), "nor is it a death"


def wait_until_gone(process: int) -> None:
    """Wait until a process of this machine has ended; one that nobody has waited for counts as ended."""
    until = time.monotonic() + LONGEST
    while time.monotonic() < until:
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return
        status = Path(f"/proc/{process}/status")
        try:
            if status.exists() and "State:\tZ" in status.read_text():
                return
        except (FileNotFoundError, ProcessLookupError):
            return
        time.sleep(0.05)
    raise AssertionError(f"the process {process} is still there")
