"""The Ray executor: a worker process in an actor for each slot of a cluster, on nodes that share the store.

Through Ray go tasks, events and paths; data and weights go to the store. What a unit does not survive on its node is
the local executor's matter, see `fmbench.executors.node_worker`; new here is only that a node can be lost or join.
"""

from __future__ import annotations

import logging
import os
import socket
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from fmbench.errors import UserError
from fmbench.executors.choose import ExecutorOptions
from fmbench.executors.messages import Event, WorkerConfig
from fmbench.executors.node_worker import Gone, NodeSetup, NodeWorker, Said
from fmbench.executors.supervisor import Supervisor, WorkerGone
from fmbench.executors.tasks import Task
from fmbench.runtime.device import device_type
from fmbench.runtime.environment import cpu_count, measured_on
from fmbench.store.atomic_files import write_atomically

STOPPING_SECONDS = 5.0
"""A worker is given so long to end its process, before Ray ends it."""
ANSWER_SECONDS = 10.0
"""A cluster's address has so long to answer."""
JOINING_SECONDS = 300.0
"""So long is waited for a first node that has what a worker needs."""
LOOK_SECONDS = 1.0
"""So often the cluster is asked for its nodes."""
MOST_WANTED = 1000
"""Workers that an autoscaler is asked for at most."""
RESOURCES = {"cpu": "CPU", "gpu": "GPU", "memory": "memory"}
"""Ray's names of what a suite's `resources` name."""
ENVIRONMENT = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
"""What Ray is told where the user has not told it: to report nothing to its makers, and to leave CUDA_VISIBLE_DEVICES
alone for workers without a GPU."""
OF_ITS_OWN = {"RAY_AUTH_MODE": "token"}
"""And for a cluster that is started here: to let nobody in without the token that it keeps."""
PASSED_ON = "FMBENCH_"
"""What an environment variable begins with that workers are given, too."""

Slot = Mapping[str, float]
"""What a worker takes of its node, by Ray's names."""


class RayWorker(NodeWorker):
    """A worker on a node of a Ray cluster."""

    def node(self) -> str:
        """Return the node's id."""
        import ray

        return str(ray.get_runtime_context().get_node_id())


class ActorLink:
    """The line to the actor that hosts a worker."""

    def __init__(self, cluster: Cluster, config: WorkerConfig, setup: NodeSetup, slot: Slot, node: str = "") -> None:
        self._cluster = cluster
        self.actor = cluster.actor(config, setup, slot, node)
        self.node = self.actor.node.remote()
        self.stream: Any = None
        self._gone: Gone | None = None

    @property
    def has_ended(self) -> bool:
        """Whether the worker has said that it is gone, which `receive` has not told yet."""
        return self._gone is not None

    def send(self, message: Task | WorkerConfig) -> None:
        """Have the worker compute a task. Raises OSError where it is known to have ended."""
        if self._cluster.is_lost(self.node):
            raise OSError("the node is lost")
        self.stream = self.actor.serve.options(num_returns="streaming").remote(message)

    def receive(self) -> list[Event | None]:
        """Return what has arrived. Raises WorkerGone where it has ended and all that it said has been returned."""
        said: list[Event | None] = []
        while self._gone is None and self.stream is not None and None not in said:
            try:
                batch = self._cluster.next_of(self.stream)
            except WorkerGone:
                if said:
                    return said  # what it said comes first; the next look finds the same end
                raise
            if not batch:
                return said
            said += [each for each in batch if not isinstance(each, Gone)]
            self._gone = next((each for each in batch if isinstance(each, Gone)), None)
        if self._gone is not None and not said:
            raise WorkerGone(self._gone.why, killed=self._gone.killed)
        return said

    def stop(self) -> Any:
        """Ask the worker to end its process; return what says that it has."""
        return self.actor.stop.remote()

    def close(self) -> None:
        """End the worker and its process."""
        self._cluster.end([self])


class Cluster:
    """A Ray cluster: one that is there, or one that is started on this machine and ended by `close`."""

    def __init__(self, address: str | None) -> None:
        for name, value in (ENVIRONMENT if address else ENVIRONMENT | OF_ITS_OWN).items():
            os.environ.setdefault(name, value)
        logging.getLogger("ray").setLevel(logging.ERROR)
        import ray

        self.ray = ray
        self._looked = 0.0
        self._nodes: list[Mapping[str, Any]] = []
        self._own = not ray.is_initialized()
        quiet = {"configure_logging": False, "log_to_driver": False, "logging_level": "ERROR"}
        try:
            if self._own and address is not None:
                _check_answers(address)
                ray.init(address=address, **quiet)
            elif self._own:
                ray.init(num_cpus=cpu_count(), include_dashboard=False, _node_ip_address="127.0.0.1", **quiet)
        except (OSError, RuntimeError, ValueError) as error:
            raise UserError(
                f"--address {address}: no Ray cluster can be used there ({_first_line(error)}). Start one by "
                "`ray start --head`, or leave --address away for one on this machine alone."
            ) from error
        self._worker = ray.remote(max_concurrency=2, max_restarts=0)(RayWorker)

    def nodes(self) -> list[Mapping[str, Any]]:
        """Return the nodes that are there, as Ray describes them."""
        if time.monotonic() - self._looked > LOOK_SECONDS or not self._nodes:
            self._nodes = [node for node in self.ray.nodes() if node["Alive"]]
            self._looked = time.monotonic()
        return self._nodes

    def slots(self, slot: Slot) -> list[int]:
        """Return how many workers each node has room for, where it has any."""
        found = []
        for node in self.nodes():
            room = [int(node["Resources"].get(name, 0.0) / amount + 1e-6) for name, amount in slot.items() if amount]
            found.append(min(room))
        return [number for number in found if number]

    def whole_node(self, slot: Slot) -> tuple[Slot, str]:
        """Return a node with all of its cores and GPUs: of those that have a slot, the one with the most.

        Where none has a slot, return the slot and no node: what asks for it waits.
        """
        fitting = [
            node
            for node in self.nodes()
            if all(node["Resources"].get(name, 0.0) >= amount for name, amount in slot.items())
        ]
        if not fitting:
            return slot, ""
        best = max(fitting, key=lambda node: [node["Resources"].get(name, 0.0) for name in ("GPU", "CPU")])
        whole = {name: best["Resources"][name] for name in ("CPU", "GPU") if best["Resources"].get(name)}
        return {**slot, **whole}, str(best["NodeID"])

    def actor(self, config: WorkerConfig, setup: NodeSetup, slot: Slot, node: str) -> Any:
        """Start an actor that takes a slot, on any node or on this one; it is not waited for."""
        strategy = self._strategy(node)
        given = {"num_cpus": slot.get("CPU", 0), "num_gpus": slot.get("GPU", 0), "memory": slot.get("memory")}
        return self._worker.options(scheduling_strategy=strategy, **given).remote(config, setup)

    def _strategy(self, node: str) -> Any:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        return NodeAffinitySchedulingStrategy(node, soft=False) if node else "SPREAD"

    def compute(self, function: Callable[..., Mapping[str, Any]], *given: object, slot: Slot, node: str) -> Any:
        """Call a function on a node, with the GPUs of a slot; return what it returns. Raises UserError."""
        strategy = self._strategy(node)
        task = self.ray.remote(num_cpus=0, num_gpus=min(1.0, slot.get("GPU", 0)), max_retries=0)(function)
        try:
            return self.ray.get(task.options(scheduling_strategy=strategy).remote(*given), timeout=JOINING_SECONDS)
        except self.ray.exceptions.RayError as error:
            raise UserError(f"a node of the cluster cannot work: {_last_line(error)}") from error

    def ready(self, streams: Sequence[Any], seconds: float) -> list[Any]:
        """Wait for so many seconds at most; return those streams that have something, or have ended."""
        first, _ = self.ray.wait(streams, num_returns=1, timeout=seconds)
        return self.ray.wait(streams, num_returns=len(streams), timeout=0)[0] if first else []

    def next_of(self, stream: Any) -> Said:
        """Return what comes next of a stream; nothing where nothing has arrived yet. Raises WorkerGone at its end."""
        errors = self.ray.exceptions
        if not self.ready([stream], 0):
            return []
        try:
            said: Said = self.ray.get(next(stream))
        except StopIteration:
            raise WorkerGone("it ended in the midst of its task", killed=True) from None
        except errors.RayTaskError as error:
            raise UserError(f"a node of the cluster cannot work: {_last_line(error)}") from error
        except errors.RayActorError as error:
            if "creation task" in str(error) or "failed to import" in str(error):
                raise UserError(
                    f"a node of the cluster cannot work: {_last_line(error)}. Every node needs this fmbench, and the "
                    "packages of the plugins."
                ) from error
            raise WorkerGone(
                f"its node, or Ray's process on it, was lost ({_first_line(error)})", killed=True, lost=True
            ) from error
        except errors.RayError as error:
            raise WorkerGone(f"Ray lost what it said ({_first_line(error)})", killed=True, lost=True) from error
        return said

    def is_lost(self, node: Any) -> bool:
        """Whether the node is gone whose id a reference stands for; not where that has not arrived yet."""
        if not self.ray.wait([node], timeout=0)[0]:
            return False
        try:
            return self.ray.get(node) not in {each["NodeID"] for each in self.nodes()}
        except self.ray.exceptions.RayError:
            return True

    def end(self, links: Sequence[ActorLink]) -> None:
        """End workers with their processes, all at once."""
        if not self.ray.is_initialized():
            return
        if stopping := [link.stop() for link in links]:
            self.ray.wait(stopping, num_returns=len(stopping), timeout=STOPPING_SECONDS)
        for link in links:
            with suppress(self.ray.exceptions.RayError, ValueError):
                self.ray.kill(link.actor)

    def ask_for(self, slot: Slot, workers: int) -> None:
        """Tell an autoscaler, if the cluster has one, how many workers there could be."""
        from ray.autoscaler.sdk import request_resources

        request_resources(bundles=[dict(slot)] * min(workers, MOST_WANTED))

    def close(self) -> None:
        """Leave the cluster; one that was started here ends."""
        if self._own and self.ray.is_initialized():
            self.ray.shutdown()


class RayExecutor(Supervisor[ActorLink]):
    """Runs tasks on the nodes of a Ray cluster: as many at a time as the nodes have room for, new ones included."""

    chains = True
    printed = "Ray keeps what it printed in its logs on that node"

    def __init__(self, config: WorkerConfig, options: ExecutorOptions) -> None:
        super().__init__(config, options.timeout)
        self._address = options.address
        self._connected: Cluster | None = None
        self._marker = Path(config.store) / f".shared-{uuid.uuid4().hex}"
        self._wanted = 0
        self._waiting_since: float | None = None
        self._notes: list[str] = []

    @property
    def _cluster(self) -> Cluster:
        if self._connected is None:
            self._connected = Cluster(self._address)
            write_atomically(self._marker, self._marker.name.encode())
        return self._connected

    @property
    def _slot(self) -> Slot:
        return slot_of(self._config.threads, self._config.device, self._config.resources)

    def warm_up(self, tasks: int) -> None:
        """Start the workers that so many tasks need now."""
        self._wanted = tasks
        super().warm_up(tasks)

    def reconfigure(self, config: WorkerConfig) -> None:
        """Go on under another configuration, with other workers: what is timed has a node for itself."""
        self._cluster.end([worker.link for worker in self._workers])
        self._workers.clear()
        self._config = config

    def events(self) -> Iterator[Event]:
        """Yield what happens until the queue is empty and every worker is idle."""
        for event in super().events():
            yield from (Event("slowed", text=note) for note in self._notes)
            self._notes.clear()
            yield event

    def close(self) -> None:
        """End all workers, at once, and leave the cluster."""
        if self._connected is None:
            return
        try:
            self._connected.end([worker.link for worker in self._workers])
            self._workers.clear()
        finally:
            self._marker.unlink(missing_ok=True)
            self._connected.close()
            self._connected = None

    def _room(self) -> int:
        if self._config.alone:
            return 1
        slots = self._cluster.slots(self._slot)
        self._check_room(bool(slots))
        return min(self._config.jobs, sum(slots))

    def _check_room(self, there: bool) -> None:
        """Raise UserError where for long no node has had what a worker needs."""
        now = time.monotonic()
        if there or self._workers:
            self._waiting_since = None
        elif self._waiting_since is None:
            self._waiting_since = now
        elif now - self._waiting_since > JOINING_SECONDS:
            nodes = "; ".join(_described(node["Resources"]) for node in self._cluster.nodes())
            raise UserError(
                f"no node of the cluster has what a worker takes, {_described(self._slot)}. There are: "
                f"{nodes or 'none'}. Ask for less in the suite's `resources`, or start a node that has it."
            )

    def _start(self) -> ActorLink:
        slots = self._cluster.slots(self._slot)
        slot, node = self._slot, ""
        if self._config.alone:
            slot, node = self._whole_node()
        own = {name: value for name, value in os.environ.items() if name.startswith(PASSED_ON)}
        setup = NodeSetup(
            folder=str(Path.cwd()),
            marker="" if self._config.store_url else str(self._marker),
            token=self._marker.name,
            sharing=max(slots, default=1),
            environment=own,
            without=str(Path(self._cluster.ray.__file__).parent),
        )
        return ActorLink(self._cluster, self._config, setup, slot, node)

    def _whole_node(self) -> tuple[Slot, str]:
        """Return a node with all that it has, for what is timed; a cluster's only node is not its own."""
        if len(self._cluster.nodes()) == 1 and self._address is not None:
            self._notes.append("samplers are timed on the cluster's only node, where Ray's own processes work, too")
        return self._cluster.whole_node(self._slot)

    def _ready(self, links: Sequence[ActorLink], seconds: float) -> list[ActorLink]:
        ended = [link for link in links if link.has_ended]
        ready = self._cluster.ready([link.stream for link in links], 0 if ended else seconds)
        return [link for link in links if link in ended or link.stream in ready]

    def _given_out(self) -> None:
        wanted = len(self._queue) + sum(worker.task is not None for worker in self._workers)
        if wanted != self._wanted and not self._config.alone:
            self._wanted = wanted
            self._cluster.ask_for(self._slot, min(wanted, self._config.jobs))


def _check_answers(address: str) -> None:
    """Raise OSError where nobody answers at HOST:PORT: Ray itself tries for minutes."""
    host, _, port = address.rpartition(":")
    if host and port.isdecimal() and "/" not in address:
        socket.create_connection((host.strip("[]"), int(port)), ANSWER_SECONDS).close()


def slot_of(threads: int, device: str, resources: Sequence[tuple[str, float]]) -> Slot:
    """Return what a worker takes of its node."""
    gpu = {"GPU": 1.0} if device_type(device) == "cuda" else {}
    return {"CPU": float(threads), **gpu, **{RESOURCES[name]: amount for name, amount in resources}}


def timed_on(options: ExecutorOptions, device: str, resources: Sequence[tuple[str, float]]) -> Mapping[str, Any]:
    """Ask the node on which samplers are timed what it is; see `fmbench.executors.choose.timed_on`."""
    if options.address is None:
        return measured_on(device)
    cluster = Cluster(options.address)
    try:
        slot, node = cluster.whole_node(slot_of(1, device, resources))
        found: Mapping[str, Any] = cluster.compute(measured_on, device, slot=slot, node=node)
        return found
    finally:
        cluster.close()


def _described(resources: Mapping[str, float]) -> str:
    named = {"CPU": "CPU", "GPU": "GPU", "memory": "memory"}
    return ", ".join(f"{resources.get(name, 0):g} {label}" for name, label in named.items() if resources.get(name))


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _last_line(error: BaseException) -> str:
    return next((line.strip() for line in reversed(str(error).splitlines()) if line.strip()), type(error).__name__)
