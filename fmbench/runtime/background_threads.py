"""Threads beside a training: they pair and load batches ahead of the steps that need them."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from fmbench.runtime.environment import cpu_count

T = TypeVar("T")

WARM_UP, LOOK = 2, 8
"""The steps that are not measured, and those that then are."""
SHARE = 0.05
"""Pairing is done ahead where it takes more than this part of a step."""
MOST = 8
"""Threads beside a GPU, at most."""


@dataclass
class _Watch:
    """What the first steps said: `pays` is None as long as they have not said enough."""

    pays: bool | None = None
    first: int | None = None
    since: float | None = None
    measured: int = 0
    pairing: float = 0.0


class PrefetchPool:
    """Threads that a training, of one cell or a fleet, shares. They are there only within the context, and end with it.

    Whether couplings use them is decided by the first steps: `note` is told how long pairing took. They never do where
    no core is free for them: `jobs` processes share the machine, with `threads` threads each. One thread more loads
    data that is not on the device. What they compute is the same as without them.
    """

    def __init__(self, device: str, threads: int, jobs: int) -> None:
        cores = cpu_count() // jobs
        self._cores_are_free = cores > 1
        self.size = max(1, min(MOST, cores - 1) if device != "cpu" else cores // threads)
        self._pool: ThreadPoolExecutor | None = None
        self._loading: ThreadPoolExecutor | None = None
        self._watch = _Watch()

    def __enter__(self) -> None:
        self._watch = _Watch()
        self._pool = ThreadPoolExecutor(self.size, thread_name_prefix="fmbench-pairing")  # starts none until it is used
        self._loading = ThreadPoolExecutor(1, thread_name_prefix="fmbench-loading")

    def __exit__(self, *error: object) -> None:
        for pool in (self._pool, self._loading):
            if pool is not None:
                pool.shutdown(cancel_futures=True)
        self._pool = self._loading = None

    @property
    def pays(self) -> bool | None:
        """Whether pairing should be done ahead; None as long as that is not known."""
        return False if self._pool is None or not self._cores_are_free else self._watch.pays

    def submit(self, compute: Callable[[], T]) -> Future[T]:
        """Have a thread pair."""
        assert self._pool is not None, "threads are there within the context only"
        return self._pool.submit(compute)

    def load(self, compute: Callable[[], T]) -> Future[T] | None:
        """Have the one thread that loads compute something; None outside of the context."""
        return None if self._loading is None else self._loading.submit(compute)

    def note(self, step: int, began: float, random: bool) -> None:
        """Note that the pairing of a step, or of several from it on, began then (`time.perf_counter`) and ends now.

        With `random` it drew from torch's global generator, whose order threads would change: so it is not for them.
        """
        watch = self._watch
        if random:
            watch.pays = False
        if watch.first is None:
            watch.first = step
        if step < watch.first + WARM_UP or watch.pays is not None:
            return
        if watch.since is None:
            watch.measured, watch.since = step, began
        elif step >= watch.measured + LOOK:
            watch.pays = watch.pairing > SHARE * (began - watch.since)
        watch.pairing += time.perf_counter() - began
