"""A module of torch as a program that needs no code but torch's: traced, saved, and loaded again."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fmbench.errors import CellFailure, brief

LARGEST_BATCH = 2**20


@dataclass(frozen=True)
class TracedProgram:
    """A program as the bytes of torch's .pt2 file. `batch` is the one batch that it takes; None where it takes any."""

    saved: bytes
    batch: int | None

    def __call__(self, *inputs: Tensor) -> Tensor:
        """Return what the program computes of inputs `(n, ...)`, loaded from its bytes; each call loads it anew."""
        with _quiet():
            module = torch.export.load(io.BytesIO(self.saved)).module()
        if self.batch is None:
            return module(*inputs)  # type: ignore[no-any-return]
        n, found = len(inputs[0]), []
        for first in range(0, n, self.batch):
            rows = torch.arange(first, first + self.batch) % n
            found.append(module(*(value[rows] for value in inputs)))
        return torch.cat(found)[:n]


@torch.no_grad()
def trace(module: nn.Module, inputs: tuple[Tensor, ...]) -> TracedProgram:
    """Trace a module called with `inputs`, each `(batch, ...)`, on the CPU.

    It takes any batch where torch can tell that nothing depends on it; else the batch of `inputs`. Raises CellFailure
    where it cannot be traced: its steps depend on values, say.
    """
    with _quiet():
        try:
            batch = torch.export.Dim("batch", max=LARGEST_BATCH)
            shapes = tuple({0: batch} for _ in inputs)
            return TracedProgram(
                _saved(torch.export.export(module, inputs, dynamic_shapes=(shapes,), strict=False)), None
            )
        except Exception:  # what solvers and networks raise under torch's stand-ins for tensors may be anything
            return TracedProgram(_saved(_traced_at_one_batch(module, inputs)), len(inputs[0]))


def _traced_at_one_batch(module: nn.Module, inputs: tuple[Tensor, ...]) -> torch.export.ExportedProgram:
    """Trace with real tensors, so that what depends on times alone may look at its values."""
    from torch.fx.experimental.proxy_tensor import make_fx

    try:
        return torch.export.export(make_fx(module)(*inputs), inputs)
    except Exception as error:
        raise CellFailure(
            f"torch cannot trace it ({type(error).__name__}: {brief(str(error).splitlines()[0])})"
        ) from error


def _saved(program: torch.export.ExportedProgram) -> bytes:
    buffer = io.BytesIO()
    torch.export.save(program, buffer)
    return buffer.getvalue()


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep torch from printing graphs, and from warning of itself."""
    loggers = [logging.getLogger(name) for name in ("torch", "torch.fx", "torch.export", "torch._export")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
