"""Fixtures that several test files share, and how the suite is spread over two processes."""

from __future__ import annotations

import fcntl
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from fmbench.plugins.registry import Registry

pytest_plugins = ["browser"]

# Two pytest processes share the cores. Set before anything imports torch, and inherited by subprocesses.
for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # or threads that wait take the core from those that work
# Hundreds of processes that tests start would each compile all modules of fmbench that they import.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


def pytest_configure(config: pytest.Config) -> None:
    """Give each of the processes that share the tests its share of the cores, and so all that it starts.

    What runs fmbench then starts one worker, and not one for each core, of which the other process's tests use theirs.
    """
    if not hasattr(config, "workerinput") or not hasattr(os, "sched_setaffinity"):
        return
    cores, number = sorted(os.sched_getaffinity(0)), int(config.workerinput["workerid"].removeprefix("gw"))
    if share := cores[number :: config.workerinput["workercount"]]:
        os.sched_setaffinity(0, share)


SLOW = (
    "test_two_drivers",
    "test_slurm_conformance",
    "test_ray_cluster",
    "test_ray_conformance",
    "test_s3_store",
    "test_detached",
    "test_run",
    "test_tutorials",
    "test_failures",
    "test_tuned_run",
    "test_plugin_mistakes",
    "test_mlflow_as_used",
    "test_tracking",
    "test_tracking_faults",
    "test_hostile_inputs",
    "test_local_executor",
    "test_local_conformance",
    "test_cli",
    "test_signals",
    "test_report",
    "test_flow_snapshots",
    "test_plane_figures",
    "test_quality",
    "test_outsider",
    "test_plugin_guide",
    "test_startup",
    "test_documentation_site",
    "test_given_models",
    "test_models_trained_elsewhere",
    "test_given_models_spaces",
)
"""Files whose tests run fmbench in processes of its own, or train for long, the longest first."""


EVERY_RUN: dict[str, dict[str, tuple[str, ...]]] = {
    "test_a_tutorial_runs_to_a_report_with_its_budget_cut": {"path": ("sine", "mnist_simple_cnn")},
    "test_a_run_on_a_disk_that_is_full_from_any_write_on": {"part": ()},
    "test_converges_at_its_order": {
        "grid": ("cosine", "uniform"),
        "problem": ("decay with a growing rate", "rotation"),
    },
}
"""Of these matrices every run tests so many of each axis, and `pytest -m nightly` the rest."""


ON_REQUEST = ("nightly", "slurm", "postgresql")
"""Markers of tests that run only where they are asked for."""


@pytest.hookimpl(tryfirst=True)  # before -m selects
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the slow files and put them first, so that no process is left alone with a long one at the end.

    Tests with one of ON_REQUEST are left to `-m MARKER`, unless they are asked for by name.
    """
    for item in items:
        if item.path.stem in SLOW:
            item.add_marker("slow")
        if not _is_of_every_run(item):
            item.add_marker("nightly")
    items.sort(key=lambda item: SLOW.index(item.path.stem) if item.path.stem in SLOW else len(SLOW))
    if not any("::" in argument for argument in config.args):
        unasked = [marker for marker in ON_REQUEST if marker not in config.option.markexpr]
        later = [item for item in items if any(map(item.get_closest_marker, unasked))]
        config.hook.pytest_deselected(items=later)
        items[:] = [item for item in items if not any(map(item.get_closest_marker, unasked))]


def _is_of_every_run(item: pytest.Item) -> bool:
    """Tell whether a test is no part of a matrix, or one of those of it that every run has."""
    if not isinstance(item, pytest.Function) or not hasattr(item, "callspec"):
        return True
    parameters = item.callspec.params
    return all(
        label(parameters[axis]) in kept
        for axis, kept in EVERY_RUN.get(item.originalname, {}).items()
        if axis in parameters
    )


def label(value: object) -> str:
    """Return how a parameter is called: a file by its stem, a problem by its name."""
    return str(getattr(value, "stem", None) or getattr(value, "name", None) or value)


@pytest.fixture(scope="session")
def outsider_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with tests/outsider installed in it, once for all processes; put it on a subprocess's PYTHONPATH."""
    if importlib.util.find_spec("pip") is None:
        pytest.fail("the outsider's installation needs pip in this environment: python -m ensurepip")
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "outsider"
    folder.mkdir(exist_ok=True)
    site = folder / "site"
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not site.exists():
            install_outsider(folder / "source", site)
    return site


def install_outsider(source: Path, site: Path) -> None:
    """Install a copy of tests/outsider: setuptools writes its build folder beside the sources."""
    shutil.copytree(Path(__file__).parent / "outsider", source, dirs_exist_ok=True)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    command += ["--disable-pip-version-check", "--target", str(site), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        shutil.rmtree(site, ignore_errors=True)
        pytest.fail(f"tests/outsider could not be installed:\n{done.stdout}{done.stderr}")


@pytest.fixture(scope="session")
def registry() -> Registry:
    """The registry of the built-in components."""
    from helpers import built_ins

    return built_ins()


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the reports of runs undrawn, for a test that looks at none."""
    monkeypatch.setattr("fmbench.report.write_report", lambda records, folder, **_: folder / "index.html")


@pytest.fixture
def double() -> Iterator[None]:
    """Let networks, source and uniforms be drawn in float64."""
    import torch

    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture(autouse=True, scope="session")
def watched() -> None:
    """Have this process watched as one in which plugins run: components that tests write are nobody's but theirs."""
    from fmbench.isolation import process_state

    process_state.note_foreign_code("a test")


@pytest.fixture(autouse=True, scope="session")
def forked_workers() -> Iterator[None]:
    """Have what is run in this process fork its workers, which then need not import torch anew, where that is safe."""
    from forked_workers import start_forked_worker

    with pytest.MonkeyPatch.context() as patch:
        if sys.platform == "linux":
            patch.setattr("fmbench.executors.local.start_worker", start_forked_worker)
        yield


@pytest.fixture
def real_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a test start its workers as fmbench does."""
    from fmbench.executors.start_worker import start_worker

    monkeypatch.setattr("fmbench.executors.local.start_worker", start_worker)
