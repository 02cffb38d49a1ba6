"""The training data, batch by batch in the order of the seed: from the device, or loaded ahead from memory."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from itertools import repeat
from typing import Any, Protocol

import torch
from torch import Generator, Tensor

from fmbench.cells.cells import TrainingCell
from fmbench.cells.seeds import seed_for
from fmbench.model.context import WorkerContext
from fmbench.runtime.background_threads import PrefetchPool
from fmbench.runtime.device import device_type
from fmbench.runtime.memory import free_memory

RESIDENT = 0.25
"""Data that take less than this part of a GPU's free memory are kept on it."""
BUFFERS = 3
"""Batches of pinned memory that are being filled, waiting and being copied."""
AT_ONCE, SMALL = 8, 2**16
"""So many steps' rows are gathered in one call, as long as they have at most so many numbers."""

Rows = tuple[Tensor, Tensor | None]
"""Data `x_1` and conditions, or None without."""


class DataLoader(Protocol):
    """Hands out training data on the device."""

    def take(self, steps: range) -> Rows:
        """Return the batches of some steps as one: `(len(steps) * batch_size, *shape)` and labels."""


def data_loader(cell: TrainingCell, context: WorkerContext) -> DataLoader:
    """Return the training data of a cell, from where there is room for it."""
    x, y = context.load(cell.dataset, "train")
    if device_type(context.device) == "cuda" and x.nbytes > RESIDENT * free_memory(context.device):
        return Prefetched(x, y, DataOrder(cell, len(x), "cpu"), context.device, context.prefetch_pool)
    x, y = context.data(cell.dataset, "train")
    return Resident(x, y, DataOrder(cell, len(x), context.device))


class Resident:
    """Data that lie on the device. The rows of several steps of small examples are gathered at once."""

    def __init__(self, x: Tensor, y: Tensor | None, order: DataOrder) -> None:
        self._x, self._y, self._order = x, y, order
        self._at_once = max(1, min(AT_ONCE, SMALL // (order.batch * x[0].numel())))
        self._batches: dict[int, Rows] = {}

    def take(self, steps: range) -> Rows:
        """Return the batches of some steps as one."""
        if len(steps) > 1 or self._at_once == 1:
            return self._gathered(steps)
        step = steps.start
        if step not in self._batches:
            x, y = self._gathered(range(step, step + self._at_once))
            labels = repeat(None) if y is None else y.chunk(self._at_once)
            self._batches = dict(enumerate(zip(x.chunk(self._at_once), labels, strict=False), step))
        return self._batches.pop(step)

    def _gathered(self, steps: range) -> Rows:
        rows = self._order.of(steps)
        return self._x.index_select(0, rows), None if self._y is None else self._y.index_select(0, rows)


class Prefetched:
    """Data that lie in the machine's memory: a thread gathers the rows of the steps to come in pinned memory.

    From there they are copied to the device without waiting for it. Any steps can be asked for: what was not foreseen
    is gathered at once, so resuming needs no state.
    """

    def __init__(self, x: Tensor, y: Tensor | None, order: DataOrder, device: str, threads: PrefetchPool) -> None:
        self._x, self._y, self._order, self._device, self._threads = x, y, order, device, threads
        self._ahead: dict[range, Future[_Buffer]] = {}
        self._free: list[_Buffer] = []
        self._rows = 0

    def take(self, steps: range) -> Rows:
        """Return the batches of some steps as one, and have the following ones be gathered."""
        rows = len(steps) * self._order.batch
        if self._rows != rows:
            self._rows = rows
            self._drop()
        future = self._ahead.pop(steps, None)
        if future is None or future.cancelled():
            self._drop()
            future = None
        buffer = self._fill(self._free.pop(0), steps)() if future is None else future.result()
        taken = buffer.copied(self._device)
        self._free.append(buffer)
        following = steps
        for _ in range(BUFFERS - 1):
            following = range(following.stop, following.stop + len(steps))
            if following not in self._ahead:
                self._begin(following)
        return taken

    def _begin(self, steps: range) -> None:
        """Have the thread gather the rows of some steps, where there is one."""
        gathered = self._threads.load(self._fill(self._free[0], steps))
        if gathered is not None:
            self._ahead[steps] = gathered
            self._free.pop(0)

    def _fill(self, buffer: _Buffer, steps: range) -> Callable[[], _Buffer]:
        return partial(buffer.fill, self._x, self._y, self._order.of(steps))

    def _drop(self) -> None:
        """Forget what was gathered and is not asked for, and the buffers with it."""
        for future in self._ahead.values():
            if not future.cancel():
                future.exception()  # the thread is at it
        self._ahead.clear()
        self._free = [_Buffer(self._x, self._y, self._rows, self._device) for _ in range(BUFFERS)]


class _Buffer:
    """Memory for so many rows, pinned for a GPU. It is not filled again before it has been copied."""

    def __init__(self, x: Tensor, y: Tensor | None, rows: int, device: str) -> None:
        pinned = device_type(device) == "cuda"
        self._x = torch.empty((rows, *x.shape[1:]), dtype=x.dtype, pin_memory=pinned)
        self._y = None if y is None else torch.empty((rows, *y.shape[1:]), dtype=y.dtype, pin_memory=pinned)
        self._event: Any = torch.cuda.Event() if pinned else None  # type: ignore[no-untyped-call]

    def fill(self, x: Tensor, y: Tensor | None, rows: Tensor) -> _Buffer:
        """Gather rows; return the buffer."""
        if self._event is not None:
            self._event.synchronize()
        torch.index_select(x, 0, rows, out=self._x)
        if y is not None:
            torch.index_select(y, 0, rows, out=self._y)
        return self

    def copied(self, device: str) -> Rows:
        """Return a copy on the device, which may not have arrived yet: what is queued there next waits for it."""
        there = [value for value in (self._x, self._y) if value is not None]
        x, *y = [torch.empty_like(value, device=device).copy_(value, non_blocking=True) for value in there]
        if self._event is not None:
            self._event.record(torch.cuda.current_stream(device))
        return x, y[0] if y else None


class DataOrder:
    """Which rows of the data each step sees: a shuffled pass over all of them, then another, ...

    The order depends on the seed and the dataset alone, and any step can be asked for, so resuming needs no state.
    """

    def __init__(self, cell: TrainingCell, size: int, device: str) -> None:
        self._cell, self._size, self._device = cell, size, device
        self.batch: int = cell.settings["batch_size"]
        self._passes: dict[int, Tensor] = {}

    def of(self, steps: range) -> Tensor:
        """Return the row numbers of some steps, one after the other: int64 `(len(steps) * batch,)`, on the device."""
        first, last = steps.start * self.batch, steps.stop * self.batch
        needed = range(first // self._size, (last - 1) // self._size + 1)
        self._passes = {number: self._pass(number) for number in needed}
        start = first - needed[0] * self._size
        rows = list(self._passes.values())
        return (rows[0] if len(rows) == 1 else torch.cat(rows))[start : start + last - first]

    def _pass(self, number: int) -> Tensor:
        if number not in self._passes:
            seed = seed_for(self._cell.seed, f"data_order/{number}", self._cell.dataset.text)
            order = torch.randperm(self._size, generator=Generator().manual_seed(seed))
            self._passes[number] = order.to(self._device)
        return self._passes[number]
