"""A component that does the wrong thing changes no other cell's score, whatever it does to the process they share."""

from __future__ import annotations

import gc
import io
import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from helpers import built_ins, context, evaluation_cell, training_cell

import fmbench
from fmbench.cells.component_spec import ComponentSpec
from fmbench.components.contracts import KINDS, ProbabilityPath
from fmbench.errors import ProcessChanged
from fmbench.evaluation.evaluate import evaluate
from fmbench.evaluation.metrics import recorded
from fmbench.executors.messages import Event
from fmbench.executors.process_health import lingering
from fmbench.executors.run_task import Computer
from fmbench.isolation import global_random, process_state
from fmbench.isolation.inplace_guard import READ, marks
from fmbench.isolation.monkeypatches import OWN_PACKAGES, Attributes
from fmbench.isolation.plugin_code import plugin_code
from fmbench.isolation.process_state import Watch, guard_attributes, guard_class, unchanged, watch_all
from fmbench.model.context import WorkerContext
from fmbench.model.trained_model import Trained, load_trained
from fmbench.results.records import EvaluationRecord
from fmbench.runner.progress import Silent
from fmbench.runner.scheduler import Scheduler
from fmbench.runner.session import Options, open_session
from fmbench.training.loop import train

SOLVERS = {
    "float64": "torch.set_default_dtype(torch.float64)",
    "denormals": "torch.set_flush_denormal(True)",
    "patch": "torch.sum = torch.mean; torch.nn.functional.silu = torch.nn.functional.relu",
    "abort": "os.abort()",
    "closes": "os.closerange(3, 4096)",
    "forks": "os.fork()",
    "exits": "sys.exit(0)",
    "raises": "raise BaseException('nothing that Exception catches')",
    "interrupts": "raise KeyboardInterrupt",
    "memory": "raise MemoryError('no more')",
    "autocast": "torch.autocast('cpu', torch.bfloat16).__call__(velocity)(x_0, times[:1].expand(len(x_0)))",
    "seeds": "torch.manual_seed(0); numpy.random.seed(0); random.seed(0); torch.randn(3); random.random()",
    "generator": "velocity.generator.manual_seed(1)",
    "in_place": "velocity(x_0, times[:1].expand(len(x_0))).zero_(); x_0.numpy()[:] = 0",
    "grid": "times.mul_(0.5)",
    "labels": "velocity.y = torch.zeros(len(x_0), dtype=torch.int64)",
    "deletes": "x_0.mine = Deleted()",
    "count": "velocity.calls = -64",
    "nan": "x_0.fill_(float('nan'))",
}
"""What each does before it goes on as Euler's method does."""

PLUGIN = '''
import os, random, sys

import numpy, torch

from fmbench import Metric, Objective, Solver, hookimpl


class Deleted:
    def __del__(self):
        raise RuntimeError("while it was deleted")


class Good(Solver):
    """Euler's method."""

    nfe_per_step = 1

    def begin(self, velocity, x_0, times):
        pass

    def integrate(self, velocity, x_0, times):
        self.begin(velocity, x_0, times)
        x = x_0
        for t, after in zip(times[:-1], times[1:]):
            x = x + (after - t) * velocity(x, t.expand(len(x)))
        return x


class Doubles(Objective):
    """The velocity objective, in the wrong dtype from its first loss on."""

    def loss(self, output, sample):
        torch.set_default_dtype(torch.float64)
        return (output - sample.dx_t).square().mean(1)

    def velocity(self, output, x, t, path):
        return output


class Overwrites(Metric):
    """Writes into the real data, where torch does not see it."""

    def compute(self, evidence):
        evidence.real("test")[0].numpy()[:] = 0
        return {"overwrites": 0.0}


class Ends(Metric):
    """Ends the process."""

    def compute(self, evidence):
        raise SystemExit(0)


class Last(Metric):
    """How far the samples' mean lies from the real data's, after the metrics before it."""

    def compute(self, evidence):
        return {"last": (evidence.samples.mean() - evidence.real("test")[0].mean()).item()}


@hookimpl
def fmbench_objectives():
    return {"doubles": Doubles}


@hookimpl
def fmbench_metrics():
    return {"overwrites": Overwrites, "ends": Ends, "last": Last}
'''

SOLVER = '''

class {title}(Good):
    """Does something before it solves."""

    def begin(self, velocity, x_0, times):
        {code}
'''

BAD_METRICS = ("overwrites", "ends")
BAD_OBJECTIVES = ("doubles",)


def suite(solvers: list[str], metrics: list[str], objectives: list[str]) -> dict[str, Any]:
    return {
        "name": "beside",
        "datasets": [{"moons": {"size": 400}}],
        "training": {
            "paths": ["linear"],
            "networks": [{"mlp": {"width": 8, "depth": 1}}],
            "objectives": objectives,
            "seeds": [0],
            "steps": 20,
            "batch_size": 32,
        },
        "evaluation": {"solvers": solvers, "nfe": [2], "samples": 64, "metrics": metrics},
    }


def run(folder: Path, name: str, **parts: list[str]) -> list[EvaluationRecord]:
    file = folder / "plugin.py"
    names = {solver: f"Solver{number}" for number, solver in enumerate(SOLVERS)}
    solvers = "".join(SOLVER.format(title=names[solver], code=code) for solver, code in SOLVERS.items())
    listed = ", ".join(f'"{solver}": {title}' for solver, title in {"good": "Good", **names}.items())
    file.write_text(f"{PLUGIN}{solvers}\n\n@hookimpl\ndef fmbench_solvers():\n    return {{{listed}}}\n")
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(suite(**parts)))
    options = Options((), (), (str(file),), home=folder / name, reports=folder / "reports", tracking=False, jobs="1")
    session = open_session(path, options)
    Scheduler(session, session.results_index(), Silent(), None).run()
    return list(session.records(session.results_index()).evaluations)


def test_many_bad_components_change_not_one_bit_of_a_good_ones_scores(tmp_path: Path) -> None:
    assert len(SOLVERS) + len(BAD_METRICS) + len(BAD_OBJECTIVES) == 22
    scores = ["sliced_wasserstein", "last"]
    alone = run(tmp_path, "alone", solvers=["good"], metrics=scores, objectives=["velocity"])
    metrics = ["sliced_wasserstein", *BAD_METRICS, "last"]
    beside = run(tmp_path, "both", solvers=[*SOLVERS, "good"], metrics=metrics, objectives=["velocity", "doubles"])

    [expected] = alone
    assert set(expected.metrics) == set(scores)
    found = {(record.cell.training.objective.name, record.cell.solver.name): record for record in beside}
    good = found["velocity", "good"]
    assert {name: good.metrics[name] for name in scores} == expected.metrics
    assert "metric overwrites: it changes in place the samples or the real data" in good.error
    assert "metric ends: SystemExit: 0" in good.error
    errors = {
        "float64": "solver float64 changed torch's default dtype from torch.float32 to torch.float64",
        "denormals": "solver denormals changed the smallest numbers (denormals) from kept to flushed to zero",
        "patch": "solver patch changed torch.sum, torch.nn.functional.silu",
        "abort": "its process was ended by signal 6 (Abort",
        "closes": "it closed the connection to fmbench",
        "exits": "SystemExit: 0",
        "raises": "BaseException: nothing that Exception catches",
        "interrupts": "KeyboardInterrupt",
        "memory": "no more",
        "nan": "64 of 64 samples are not finite",
    }
    for solver, words in errors.items():
        assert words in found["velocity", solver].error, solver
        assert not found["velocity", solver].metrics, f"{solver} failed, and no value of it counts"
    for solver in ("seeds", "generator", "deletes"):  # which changes nothing for others
        assert found["velocity", solver].metrics["sliced_wasserstein"] == expected.metrics["sliced_wasserstein"]
    assert {record.status for (objective, _), record in found.items() if objective == "doubles"} == {"error"}


CHANGES: dict[str, Callable[[], object]] = {
    "torch's deterministic algorithms": lambda: torch.use_deterministic_algorithms(True),
    "torch's flag deterministic_fill_uninitialized_memory": lambda: fill(False),
    "torch's grad mode": lambda: torch.set_grad_enabled(False),
    "torch's precision of float32 products": lambda: torch.set_float32_matmul_precision("medium"),
    "torch's number of threads": lambda: torch.set_num_threads(torch.get_num_threads() + 1),
    "torch's autocast on cpu": lambda: torch.set_autocast_enabled("cpu", True),
    "torch's anomaly detection": lambda: torch.autograd.set_detect_anomaly(True),
    "torch's flag mkldnn_enabled": lambda: torch._C._set_mkldnn_enabled(False),
    "torch's modes for functions": lambda: torch.set_default_device("meta"),
    "torch's hooks for all modules": lambda: torch.nn.modules.module.register_module_forward_hook(print),
    "NumPy's handling of errors": lambda: np.seterr(all="raise"),
    "the working folder": lambda: os.chdir("/"),
    "the environment variable HOME": lambda: os.environ.pop("HOME"),
    "the garbage collector": gc.disable,
}


def fill(on: bool) -> None:
    torch.utils.deterministic.fill_uninitialized_memory = on  # type: ignore[assignment]


@pytest.mark.parametrize("what", CHANGES)
def test_what_changes_the_process_fails_by_name(what: str) -> None:
    watch = Watch()
    try:
        with pytest.raises(ProcessChanged, match=rf"^metric mine changed.*{what}"), unchanged("metric mine"):
            CHANGES[what]()
        assert any(what in change for change in watch.changes())
    finally:
        assert watch.put_back() == []


def test_what_fails_and_changes_the_process_says_both() -> None:
    watch = Watch()

    def fail() -> None:
        torch.set_grad_enabled(False)
        raise ValueError

    with pytest.raises(ProcessChanged, match=r"torch's grad mode .*it failed, too, with ValueError"), unchanged("it"):
        fail()
    assert watch.put_back() == []


@pytest.fixture
def stranger_at_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have this process compare what one of fmbench's own with somebody else's component in it does."""
    monkeypatch.setattr(process_state, "_held", [Attributes()])
    monkeypatch.setattr(process_state, "_strangers", {Watch})
    monkeypatch.setattr(process_state, "_parts_seen", set())


def test_a_part_of_a_unit_is_compared_as_a_whole_at_first_and_the_unit_always(stranger_at_work: None) -> None:
    randn = torch.randn
    for turn in range(2):
        unit = watch_all()
        try:
            with pytest.raises(ProcessChanged, match=r"^solver mine changed torch.randn"), unchanged("solver mine"):
                torch.randn = torch.rand  # type: ignore[assignment]
            assert "torch.randn" in unit.changes()
        finally:
            torch.randn = randn  # type: ignore[assignment]

        def replace_it() -> None:
            with unchanged("solver mine", "mine"):
                torch.randn, os.environ["HOME"] = torch.rand, "/elsewhere"  # type: ignore[assignment]

        home = os.environ["HOME"]
        try:
            if turn:
                replace_it()
            else:
                with pytest.raises(ProcessChanged, match=r"^solver mine changed the environment variable HOME, torch"):
                    replace_it()
            assert unit.changes() == ["the environment variable HOME", "torch.randn"]
        finally:
            torch.randn, os.environ["HOME"] = randn, home  # type: ignore[assignment]
        assert unit.changes() == []


def test_attributes_are_compared_from_the_first_stranger_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_state, "_held", [])
    monkeypatch.setattr(process_state, "_strangers", set())
    guard_attributes()
    unit, randn = watch_all(), torch.randn
    try:
        torch.randn = torch.rand  # type: ignore[assignment]
        guard_class("solver euler", Watch, own=True)
        assert unit.changes() == []
        guard_class("solver mine", Attributes)
        assert unit.changes() == ["torch.randn"], "though its watch began before there was one"
    finally:
        torch.randn = randn  # type: ignore[assignment]


def test_the_process_is_watched_as_soon_as_foreign_code_runs_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_state, "_foreign_code", set())
    tensor, before = torch.zeros(3), random.getstate()
    with plugin_code("plugin 'fmbench_solvers'", own=True):
        assert marks([tensor]) == [(0, 0)]
    with unchanged("fmbench's own solver"):
        torch.set_default_dtype(torch.float64)
    torch.set_default_dtype(torch.float32)
    with plugin_code("plugin 'another'"):
        assert marks([tensor]) != [(0, 0)]
    with pytest.raises(ProcessChanged, match="default dtype"), unchanged("fmbench's own solver"):
        torch.set_default_dtype(torch.float64)
    torch.set_default_dtype(torch.float32)
    assert random.getstate() == before


def test_a_worker_without_plugins_of_others_watches_nothing_and_one_with_such_does(tmp_path: Path) -> None:
    plugin = tmp_path / "another.py"
    plugin.write_text(
        "from fmbench import Solver, hookimpl\n\n\n"
        "class Another(Solver):\n    def integrate(self, velocity, x, times):\n        return x\n\n\n"
        "@hookimpl\ndef fmbench_solvers():\n    return {'another': Another}\n"
    )
    code = (
        "import sys\n"
        "from fmbench.isolation.process_state import foreign_code_ran\n"
        "from fmbench.plugins.registry import load_registry\n"
        "load_registry(tuple(sys.argv[1:]))\n"
        "print(foreign_code_ran())\n"
    )
    for given, watched in (((), "False"), ((str(plugin),), "True")):
        done = subprocess.run([sys.executable, "-c", code, *given], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == watched, done.stderr


def test_contexts_and_late_imports_are_no_changes() -> None:
    with unchanged("it"):
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16), np.errstate(all="raise"):
            torch.randn(2)
        os.environ["KMP_OF_A_LIBRARY"] = "1"
    del os.environ["KMP_OF_A_LIBRARY"]


def test_replaced_attributes_of_a_component_and_of_torch_are_seen() -> None:
    attributes = Attributes()
    path = built_ins().build(built_ins().spec("path", "linear"))
    attributes.include("path linear", type(path))
    was = type(path).sample
    try:
        torch.nn.functional.mine = print  # type: ignore[attr-defined]
        assert attributes.replaced() == []
        type(path).sample = None  # type: ignore[assignment,method-assign]
        torch.randn, randn = torch.rand, torch.randn  # type: ignore[assignment]
        assert attributes.replaced() == ["torch.randn", "path linear.sample"]
    finally:
        attributes.put_back()
        del torch.nn.functional.mine  # type: ignore[attr-defined]
    assert type(path).sample is was
    assert torch.randn is randn


def test_what_is_compared_are_the_packages_of_all_kinds() -> None:
    points = [point for point in entry_points(group="fmbench") if point.dist and point.dist.name == "fmbench"]
    shipped = {point.module for point in points}
    plurals = {kind: f"{kind}s" for kind in KINDS} | {"guidance": "guidance"}
    assert set(OWN_PACKAGES) == shipped == {f"fmbench_{plural}" for plural in plurals.values()}


def test_a_contract_of_two_names_is_told_once() -> None:
    attributes = Attributes()
    assert fmbench.Path is ProbabilityPath
    try:
        ProbabilityPath.sample = None  # type: ignore[assignment,method-assign]
        assert attributes.replaced() == ["fmbench.ProbabilityPath.sample"]
    finally:
        attributes.put_back()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> WorkerContext:
    return context(tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="module")
def trained(shop: WorkerContext) -> Trained:
    cell = training_cell(shop.registry, settings={"steps": 2})
    train([cell], shop)
    return load_trained(cell, shop)


def test_a_component_that_somebody_else_changed_is_named(shop: WorkerContext, trained: Trained) -> None:
    dataset = shop.build(trained.cell.dataset)
    assert shop.altered() == ""
    dataset.size = dataset.size + 1
    assert shop.altered() == "size of dataset moons(size=500)"
    dataset.size -= 1
    assert shop.altered() == ""


def test_a_component_is_watched_while_another_is_called_and_where_that_fails(
    shop: WorkerContext, trained: Trained, stranger_at_work: None
) -> None:
    dataset = shop.build(trained.cell.dataset)
    specs = [shop.registry.spec("metric", name) for name in ("mmd", "nfe", "straightness")]

    def score(spec: ComponentSpec) -> dict[str, Any]:
        if spec.name == "nfe":
            dataset.size += 1
            raise ValueError(spec.name)
        return {"values": {spec.name: 1.0}, "identity": {}}

    own = replace(shop)
    try:
        found = recorded(specs, trained.cell, own, score)
    finally:
        dataset.size -= 1
    assert [entry["name"] for entry in found.values()] == ["mmd", "nfe"]
    error = found[specs[1].digest]["error"]
    assert "metric nfe: it changed size of dataset moons(size=500), which others use" in error
    assert error.endswith("it failed, too, with ValueError")
    assert own.spoilt.startswith("metric nfe")


def test_metrics_computed_beside_a_changed_component_are_not_kept(shop: WorkerContext, trained: Trained) -> None:
    """A training is done and has a metric; the next ones are computed while somebody writes into the weights."""
    folder = shop.store.folder("training", trained.cell.key)
    computer = Computer(replace(shop), lambda event: None)
    computer._trained = load_trained(trained.cell, shop)
    entry = {"name": "mmd", "values": {"mmd": 1.0}, "identity": {}, "seconds": 0.0}
    folder.add_metrics({"before": entry})

    def compute() -> None:
        next(computer._trained.module.parameters()).detach().numpy()[0] += 1
        folder.add_metrics({"wrong": entry})

    event = computer._attempt("training", trained.cell.key, folder, compute)
    assert event.what == "failed"
    assert "the weights, the mode or the hooks of the trained network" in event.text
    assert computer.context.spoilt
    assert set(folder.metrics()) == {"before"}
    folder.clear_failures()


def test_changed_weights_are_seen_however_they_were_written(trained: Trained) -> None:
    weight = next(trained.module.parameters())
    assert trained.is_intact()
    weight.detach().numpy()[0] += 1
    assert not trained.is_intact()
    weight.detach().numpy()[:] = trained.saved["ema." + next(iter(dict(trained.module.named_parameters())))].numpy()
    assert trained.is_intact()
    trained.module.train()
    assert not trained.is_intact()
    trained.module.eval()
    inner = next(each for each in trained.module.modules() if each is not trained.module)
    inner.train()
    assert not trained.is_intact()
    inner.eval()
    hook = trained.module.register_forward_hook(lambda module, given, output: 2 * output)
    assert not trained.is_intact()
    hook.remove()
    assert trained.is_intact()


def test_marks_see_what_torch_does_not() -> None:
    images = torch.zeros(4, 3, 8, 8).to(memory_format=torch.channels_last)
    for x in (torch.zeros(10), torch.zeros(3 * READ), images, torch.zeros(10, 4)[:, ::2]):
        before = marks([x, None])
        assert marks([x, None]) == before
        x.numpy()[::3] = 1
        assert marks([x, None]) != before


def test_metrics_after_one_that_changed_the_process_are_left_for_another(
    shop: WorkerContext, trained: Trained, stranger_at_work: None
) -> None:
    specs = [shop.registry.spec("metric", name) for name in ("mmd", "nfe", "straightness")]
    watch = Watch()

    def score(spec: ComponentSpec) -> dict[str, Any]:
        if spec.name == "nfe":
            torch.set_grad_enabled(False)
        return {"values": {spec.name: 1.0}, "identity": {}}

    own = replace(shop)
    try:
        found = recorded(specs, trained.cell, own, score)
    finally:
        assert watch.put_back() == []
    assert [entry["name"] for entry in found.values()] == ["mmd", "nfe"]
    assert "metric nfe: it changed torch's grad mode from True to False" in found[specs[1].digest]["error"]
    assert own.spoilt.startswith("metric nfe")


def test_only_fmbenchs_own_solvers_share_calls(
    shop: WorkerContext, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another may call the network under something that it changes for a while, such as autocast or a function."""
    shared: list[str] = []
    sharing = Trained.sharing

    def noted(self: Trained, *given: Any) -> Any:
        shared.append("euler")
        return sharing(self, *given)

    monkeypatch.setattr(Trained, "sharing", noted)
    own = evaluation_cell(shop.registry, trained.cell, samples=50)
    evaluate(trained, own, [])
    assert shared == ["euler"]
    evaluate(trained, replace(own, solver=replace(own.solver, owner="mine.py"), nfe=2, steps=2), [])
    assert shared == ["euler"]
    trained.forget()


def test_work_begins_with_global_generators_of_its_own_cell(shop: WorkerContext, trained: Trained) -> None:
    """What is drawn from them depends on the cell and the metric, not on what the process computed before."""
    specs = [shop.registry.spec("metric", name) for name in ("mmd", "nfe")]

    def score(spec: ComponentSpec) -> dict[str, Any]:
        values = [torch.rand(1).item(), random.random(), float(np.random.rand())]
        return {"values": dict(enumerate(values)), "identity": {}}

    both = recorded(specs, trained.cell, shop, score)
    alone = recorded(specs[1:], trained.cell, shop, score)
    assert both[specs[1].digest]["values"] == alone[specs[1].digest]["values"]
    assert both[specs[0].digest]["values"] != both[specs[1].digest]["values"]


def test_global_generators_are_kept_and_restored() -> None:
    before = global_random.state()
    buffer = io.BytesIO()
    torch.save(before, buffer)
    buffer.seek(0)
    drawn = [torch.rand(2).tolist(), random.random(), np.random.rand()]
    assert not global_random.alike(before, global_random.state())
    global_random.restore(torch.load(buffer, weights_only=True))
    assert global_random.alike(before, global_random.state())
    assert [torch.rand(2).tolist(), random.random(), np.random.rand()] == drawn
    for draw in (lambda: torch.rand(1), random.random, np.random.rand):
        global_random.restore(before)
        draw()
        assert not global_random.alike(before, global_random.state())


def test_threads_that_are_left_running_are_named() -> None:
    before = set(threading.enumerate())
    ended = threading.Event()
    left = threading.Thread(target=ended.wait, name="of a metric", daemon=True)
    left.start()
    assert lingering(before) == ["of a metric"]
    ended.set()
    left.join()
    assert lingering(before) == []


def test_a_loop_of_warnings_is_said_in_three_lines(shop: WorkerContext) -> None:
    said: list[Event] = []
    computer = Computer(shop, said.append)
    for number in range(50):
        computer.warnings.take(f"value {number}", UserWarning, "/a/loop.py", 7)
    computer.warnings.take("another line", UserWarning, "/a/loop.py", 8)
    computer.say(Event("finished", "evaluation", "key"))
    assert [event.text for event in said[:-1]] == [
        "UserWarning: value 0 (loop.py, line 7)",
        "UserWarning: value 1 (loop.py, line 7)",
        "UserWarning: value 2 (loop.py, line 7); more of this line are not shown",
        "UserWarning: another line (loop.py, line 8)",
    ]
