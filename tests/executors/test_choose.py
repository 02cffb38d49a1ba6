"""Which executor a name gives, and what is said where there is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fmbench.errors import UserError
from fmbench.executors import choose
from fmbench.executors.devices import Gpus
from fmbench.executors.local import LocalExecutor
from fmbench.executors.messages import WorkerConfig
from fmbench.executors.tasks import PrepareTask
from fmbench.runner.detached import detach
from fmbench.runner.run import run
from fmbench.runner.session import Options, open_session
from fmbench.runtime import environment

SUITE = """
name: chosen
datasets: [moons]
training: {paths: [linear], networks: [mlp], steps: 10}
evaluation: {solvers: [euler], nfe: [1], metrics: [sliced_wasserstein]}
"""


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    (tmp_path / "chosen.yaml").write_text(SUITE)
    return tmp_path / "chosen.yaml"


def test_the_local_executor_is_the_usual_one() -> None:
    config = WorkerConfig((), "", "", "cpu", 1, 1)
    assert isinstance(choose.make_executor("local", config, Options()), LocalExecutor)


def test_a_name_that_is_none_and_a_library_that_is_not_there_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"--executor must be one of local, ray.*; found 'kubernetes'"):
        choose.check_executor("kubernetes", Options())
    monkeypatch.setattr(choose, "find_spec", lambda library: None)
    with pytest.raises(UserError, match=r"needs ray, which is not installed here.*pip install 'fmbench\[ray\]'"):
        choose.check_executor("ray", Options())
    choose.check_executor("local", Options())
    with pytest.raises(UserError, match="--address auto is for --executor ray, and the executor is local"):
        choose.check_executor("local", Options(address="auto"))
    monkeypatch.setattr(choose, "find_spec", lambda library: library)
    with pytest.raises(UserError, match="--address auto is for --executor ray, and the executor is slurm"):
        choose.check_executor("slurm", Options(address="auto", slurm=("cluster=local",)))


@pytest.mark.parametrize("address", ["", "head", "head:", ":6379 ", "head:x"])
def test_an_address_that_is_none_is_said_before_ray_is_asked(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choose, "find_spec", lambda library: library)
    with pytest.raises(UserError, match="--address must be auto, or HOST:PORT as in head:6379"):
        choose.check_executor("ray", Options(address=address))
    choose.check_executor("ray", Options(address="[::1]:6379"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"jobs": "0"},
        {"executor": "kubernetes"},
        {"per_gpu": 2, "device": "cpu"},
        {"slurm": ("a=1",)},
        {"address": "x:1"},
    ],
)
def test_an_option_that_is_wrong_is_said_before_anything_is_written(wrong: dict[str, Any], suite: Path) -> None:
    place = suite.parent
    options = Options(home=place / "store", reports=place / "reports", tracking=False, **wrong)
    with pytest.raises(UserError, match="--"):
        run(suite, options)
    with pytest.raises(UserError, match="--"):
        detach(open_session(suite, options), ["run", str(suite)])
    assert list(place.iterdir()) == [suite]


def test_workers_on_other_machines_have_the_device_that_the_suite_gives_them(
    suite: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choose, "find_spec", lambda library: library)

    def device(*overrides: str, wanted: str = "auto") -> str:
        return open_session(suite, Options(overrides=overrides, executor="ray", device=wanted)).device

    assert device() == "cpu"
    assert device("resources.gpu=0.25") == "cuda"
    assert device(wanted="cuda") == "cuda", "whatever this machine has"
    assert device("resources.gpu=1", wanted="cpu") == "cpu"
    with pytest.raises(UserError, match="--device must be auto, cpu or cuda where workers are on other machines"):
        device(wanted="cuda:1")


def test_workers_share_the_gpus_of_this_machine_and_no_others(suite: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fmbench.runner.session.choose_device", lambda wanted: "cuda" if wanted == "auto" else wanted)
    monkeypatch.setattr("fmbench.runner.session.gpus_here", lambda environment: Gpus(("a", "b"), None))
    assert open_session(suite, Options(per_gpu=2)).gpus.devices == ("a", "b")
    assert open_session(suite, Options(device="cuda:1")).gpus.devices == ()
    assert open_session(suite, Options(device="cpu")).gpus.devices == ()
    with pytest.raises(UserError, match="--per-gpu is for the GPUs of this machine, and cpu computes; --jobs says"):
        _ = open_session(suite, Options(device="cpu", per_gpu=2)).gpus
    with pytest.raises(UserError, match=r"for a cluster, a suite says resources: \{gpu: 0\.5\}"):
        _ = open_session(suite, Options(executor="ray", per_gpu=2)).gpus


def test_each_gpu_has_its_share_of_the_workers_and_a_new_worker_takes_the_place_of_one_that_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Link:
        def __init__(self, process: object, connection: object, lifeline: object, gpu: str) -> None:
            self.gpu = gpu

        def send(self, message: object) -> None: ...

        def close(self) -> None: ...

    started: list[str] = []

    def start(threads: int, gpu: str) -> tuple[Any, ...]:
        started.append(gpu)
        return None, None, None

    monkeypatch.setattr("fmbench.executors.local.start_worker", start)
    monkeypatch.setattr("fmbench.executors.local.LocalLink", Link)
    config = WorkerConfig((), "", str(tmp_path), "cuda", 1, 4, gpus=("a", "b"))
    assert config.sharing == 2
    executor = LocalExecutor(config)
    executor.warm_up(4)
    assert started == ["a", "b", "a", "b"]
    executor._drop(executor._workers[0])
    executor.warm_up(4)
    assert started[4:] == ["a"]
    alone = WorkerConfig((), "", str(tmp_path), "cuda", 8, 1, gpus=("a", "b"), alone=True)
    executor._drop(executor._workers[2])
    executor.reconfigure(alone)
    assert [worker.link.gpu for worker in executor._workers] == ["a"], "samplers are timed on the first"
    executor.submit(PrepareTask(()))
    executor._assign()
    assert len(started) == 5


def test_hardware_is_named_where_the_gpus_are_elsewhere() -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    assert environment.hardware("cuda").startswith("GPUs of other machines; ")
