"""What a worker is told, and what it says back: plain data both ways."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from fmbench.executors.import_path import late_path
from fmbench.plugins.source import core_fingerprint
from fmbench.store.open_store import open_store
from fmbench.store.store import Store


@dataclass(frozen=True)
class WorkerConfig:
    """What a worker needs in order to rebuild the registry and the worker context.

    `fingerprints` is the driver's `Registry.fingerprints(components)`, where `components` are the kinds and names of
    those that the tasks need (None for all), and `core` is that of fmbench itself: a worker whose own differ refuses to
    work. `jobs` is how many workers there are at most, and in a worker how many share its machine; with `alone` what is
    computed is timed, and a worker has a machine for itself. `resources` are those that the suite names: "gpu", "cpu"
    and "memory", for a worker. `gpus` are those of this machine that workers are shared out to, as CUDA_VISIBLE_DEVICES
    names each; without any, all workers see what the driver sees. `late_path` are folders from which it imports what is
    found nowhere else. With `trains` there is something to train, for which an idle worker makes itself ready. One that
    is `preemptible` makes room when it is asked to (`fmbench.executors.preemption`). `store` is the store's folder; of
    a store by URL the driver's cache: a worker on another machine has its own, and `opened_store` knows it.
    """

    plugins: tuple[str, ...]
    fingerprints: str
    store: str
    device: str
    threads: int
    jobs: int
    checkpoint_seconds: float = 15.0
    evaluation_batch: int | None = None
    keep_samples: int | None = None
    trains: bool = False
    alone: bool = False
    resources: tuple[tuple[str, float], ...] = ()
    gpus: tuple[str, ...] = ()
    preemptible: bool = False
    components: tuple[tuple[str, str], ...] | None = None
    core: str = field(default_factory=core_fingerprint)
    late_path: tuple[str, ...] = field(default_factory=late_path)
    store_url: str = field(default="", repr=False)

    def opened_store(self) -> Store:
        """Return the store, by URL where there is one; nothing is asked of it yet."""
        return open_store(self.store_url, look=False) if self.store_url else Store(Path(self.store))

    @property
    def sharing(self) -> int:
        """How many workers share the memory of a device."""
        return -(-self.jobs // max(1, len(self.gpus)))


ELSEWHERE = "elsewhere"
"""The status of what was finished, and nothing was left to compute: another process did."""


@dataclass(frozen=True)
class Event:
    """What a worker says.

    `what` is "started" (with `fleet`, all keys, where cells train as one), "advanced" (by `amount` optimizer steps,
    added up over a fleet), "finished" (with the `status` ELSEWHERE where another process had computed it), "failed"
    (with `status` and `text`), "damaged" (a stored file was not what was written; `text` says which, and it is computed
    again), "slowed" (cells could not be computed together; `text` says why), "warned" (a library warned; `text` is
    that), "again" (the worker was killed, or a fleet took too long; `text` says how, and the unit is tried once more),
    "held" (another process is at the unit, which is asked for again later), "waiting" (nothing is left but what others
    are at; `text` says who), "preempted" (a cluster wants its machine back: what was saved goes on later), "spoilt"
    (the process must compute nothing more, `text` says why: what the task still lacks is for another) or "fatal"
    (nothing can go on, `text` says why).
    """

    what: str
    section: str = ""
    key: str = ""
    amount: int = 0
    status: str = ""
    text: str = ""
    fleet: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the event as JSON holds it, without what is as usual."""
        values = ((each.name, getattr(self, each.name), each.default) for each in fields(self))
        return {name: list(value) if name == "fleet" else value for name, value, usual in values if value != usual}

    @classmethod
    def from_dict(cls, written: Mapping[str, Any]) -> Event:
        """Return the event that `as_dict` wrote. Raises TypeError for what it did not write."""
        return cls(**{**written, "fleet": tuple(written.get("fleet", ()))})


Say = Callable[[Event], None]
"""How a worker tells its driver what happens."""
