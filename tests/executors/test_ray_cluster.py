"""A Ray cluster of three nodes, of which one is killed in the midst of a training and one joins: the same table."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fmbench.errors import UserError
from fmbench.executors.messages import Event
from fmbench.runner.progress import Silent
from fmbench.runner.run import RunResult, run
from fmbench.runner.session import Options, open_session
from fmbench.runtime.environment import measured_on

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.slow

SUITE = """
name: lost
datasets: [moons]
training:
  paths: [linear, cosine]
  networks: [NETWORKS]
  seeds: [0]
  steps: 150
  batch_size: 32
  optimizer: {adam: {lr: 1e-3}}
evaluation: {solvers: [euler, heun], nfe: [2, 4], samples: 200, metrics: [sliced_wasserstein, validation_loss]}
resources: {cpu: 1}
""".replace("NETWORKS", ", ".join(f"{{mlp: {{width: {width}, depth: 1}}}}" for width in range(16, 22)))
"""Trainings of several widths, which form no fleets: there is something to do for each node."""
NODE = {"num_cpus": 1, "object_store_memory": 80 * 2**20}
TIMES = ("seconds", "train_seconds", "finished")


class Said(Silent):
    """Keeps what a run says."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def say(self, text: str) -> None:
        """Keep a text."""
        self.texts.append(text)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Three nodes on this machine; the first has the cluster's services."""
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    # a node is gone when it does not answer five times, a second apart
    checks = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 1000, "health_check_timeout_ms": 10_000}
    head = {**NODE, "include_dashboard": False, "_system_config": {**checks, "health_check_failure_threshold": 5}}
    found = Cluster(initialize_head=True, head_node_args=head)
    for _ in range(2):
        found.add_node(**NODE)
    found.wait_for_nodes()
    yield found
    ray.shutdown()
    found.shutdown()


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    (tmp_path / "lost.yaml").write_text(SUITE)
    return tmp_path / "lost.yaml"


def options(folder: Path, name: str, **more: Any) -> Options:
    places = {"home": folder / name, "reports": folder / f"reports-{name}", "tracking": False, "device": "cpu"}
    return Options(checkpoint_seconds=0.1, **{**places, **more})


def scores(result: RunResult) -> list[dict[str, Any]]:
    """Return all that was scored, without times."""
    rows = result.records.frame().to_dict("records")
    return [{name: value for name, value in row.items() if not name.startswith(TIMES)} for row in rows]


def wait_for_nodes(gone: str, there: str) -> None:
    """Wait until Ray knows that a node is gone and another is there."""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        alive = {node["NodeID"] for node in ray.nodes() if node["Alive"]}
        if gone not in alive and there in alive:
            return
        time.sleep(0.2)
    raise AssertionError("Ray has not noticed that a node is gone")


def test_a_node_is_lost_and_another_joins_and_the_table_is_the_same(
    cluster: Any, suite: Path, tmp_path: Path, undrawn: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fmbench.executors.ray import RayExecutor

    steps: Counter[str] = Counter()
    killed: list[str] = []
    nodes: set[str] = set()

    class Struck(RayExecutor):
        """Loses a node when a training on it has done a third of its steps, and gets another.

        The first node stays, for Ray's services are there.
        """

        def events(self) -> Iterator[Event]:
            for event in super().events():
                if event.what == "advanced":
                    steps[event.key] += event.amount
                    worker = next(w for w in self._workers if ("training", event.key) in w.units)
                    node = ray.get(worker.link.node)
                    nodes.add(node)
                    if not killed and node != cluster.head_node.node_id and steps[event.key] >= 50:
                        killed.append(event.key)
                        victim = next(each for each in cluster.list_all_nodes() if each.node_id == node)
                        cluster.remove_node(victim, allow_graceful=False)
                        joined = cluster.add_node(**NODE)
                        # until then nothing is given out, so that there is work for the one who joined
                        wait_for_nodes(gone=victim.node_id, there=joined.node_id)
                yield event

    monkeypatch.setattr("fmbench.executors.ray.RayExecutor", Struck)
    said = Said()
    struck = run(suite, options(tmp_path, "struck", executor="ray", address=cluster.address), said)
    monkeypatch.undo()
    assert killed, "no training was on a node that may be lost"
    assert any(text.startswith(f"training {killed[0]}: its node") for text in said.texts), said.texts
    undisturbed = run(suite, options(tmp_path, "local", jobs="2"))
    assert not struck.records.failed
    assert struck.computed == undisturbed.computed
    assert repr(scores(struck)) == repr(scores(undisturbed))
    assert len(nodes) == 4, "the node that joined was used"
    assert not list((tmp_path / "struck").glob(".shared-*"))


def test_what_samplers_are_timed_on_is_what_the_node_says(cluster: Any, suite: Path, tmp_path: Path) -> None:
    there = options(tmp_path, "timed", executor="ray", address=cluster.address)
    assert open_session(suite, there).measured_on == measured_on("cpu")
    wide = options(tmp_path, "timed", executor="ray", address=cluster.address, overrides=("resources.cpu=64",))
    assert open_session(suite, wide).measured_on == measured_on("cpu"), "where none fits now, any node is asked"


def test_a_store_that_a_node_does_not_see_is_named(
    cluster: Any, suite: Path, tmp_path: Path, undrawn: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fmbench.executors.ray.write_atomically", lambda *_: None)
    monkeypatch.setattr("fmbench.executors.node_worker.MARKER_SECONDS", 0.0)
    with pytest.raises(
        UserError, match=r"the node .* does not see the store .*apart: all nodes of a cluster must share"
    ):
        run(suite, options(tmp_path, "apart", executor="ray", address=cluster.address))


def test_what_no_node_has_is_said(
    cluster: Any, suite: Path, tmp_path: Path, undrawn: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fmbench.executors.ray.JOINING_SECONDS", 0.0)
    wide = options(tmp_path, "wide", executor="ray", address=cluster.address, overrides=("resources.cpu=64",))
    with pytest.raises(UserError, match=r"no node of the cluster has what a worker takes, 64 CPU\. There are: 1 CPU"):
        run(suite, wide)


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nowhere"])
def test_an_address_without_a_cluster_is_said(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from fmbench.executors.ray import Cluster

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with pytest.raises(UserError, match=f"--address {address}: no Ray cluster can be used there"):
        Cluster(address)
