"""A plugin whose components train in no time, and misbehave where they are asked to: executors are tested with it."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from pathlib import Path

import torch
from torch import Generator, Tensor, nn

from fmbench.components.contracts import Coupling, Grid, Network, PathSample, Solver, Velocity
from fmbench.components.hookspecs import Components, hookimpl
from fmbench.testing.dummy_components import EvenT, StraightPath, TinyNetwork, TwoBlobs, VelocityOutput

_calls: Counter[str] = Counter()
"""How often each component that counts was called in this process."""


def misbehave(how: str, marker: str = "") -> None:
    """Do what `how` says: "raise", "memory", "kill", "exit" or "sleep"; nothing for any other word.

    "kill once" leaves a file at `marker`, and does nothing where it is there already. "sleep" leaves the number of its
    process there.
    """
    if how == "raise":
        raise RuntimeError("something is wrong\n  with this")
    if how == "memory":
        raise MemoryError("cannot allocate a very large tensor")
    if how == "exit":
        os._exit(3)
    if how == "kill once" and not Path(marker).exists():
        Path(marker).touch()
        how = "kill"
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "sleep":
        Path(f"{marker}.new").write_text(str(os.getpid()))
        Path(f"{marker}.new").rename(marker)
        time.sleep(3600)


class Misbehaving(VelocityOutput):
    """The output is the velocity; at a call of the loss it misbehaves.

    Args:
        how: what it does then, see `misbehave`.
        at: at which call in its process.
        marker: a file that it leaves; beside it, in a file `.calls`, is a line for each call, with its process.
    """

    def __init__(self, *, how: str = "well", at: int = 1, marker: str = "") -> None:
        self.how, self.at, self.marker = how, at, marker

    def loss(self, output: Tensor, sample: PathSample) -> Tensor:
        """Return the loss of each example, `(batch,)`, if it behaves."""
        _calls[self.marker] += 1
        if self.marker:
            with Path(f"{self.marker}.calls").open("a") as calls:
                calls.write(f"{os.getpid()}\n")
        if _calls[self.marker] >= self.at:
            misbehave(self.how, self.marker)
        return super().loss(output, sample)


class Unbuildable(VelocityOutput):
    """Misbehaves where it is built.

    Args:
        how: what it does then, see `misbehave`.
    """

    def __init__(self, *, how: str) -> None:
        self.how = how
        misbehave(how)


class OneStep(Solver):
    """Goes to the end in one Euler step, if it behaves.

    Args:
        how: what it does, see `misbehave`.
    """

    def __init__(self, *, how: str = "well") -> None:
        self.how = how

    def integrate(self, velocity: Velocity, x_0: Tensor, times: Tensor) -> Tensor:
        """Return `x_1` of the shape of `x_0`."""
        misbehave(self.how)
        return x_0 + velocity(x_0, times[:1].expand(len(x_0)))


class Ends(Grid):
    """Evenly spaced times."""

    def times(self, steps: int) -> Tensor:
        """Return float64 times `(steps + 1,)`."""
        return torch.linspace(0, 1, steps + 1, dtype=torch.float64)


class AsDrawn(Coupling):
    """Pairs as they were drawn."""

    provides = ("independent",)

    def pair(
        self, x_0: Tensor, x_1: Tensor, y: Tensor | None, generator: Generator
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return `x_0`, `x_1` `(batch, *shape)` and labels themselves."""
        return x_0, x_1, y


class Tiny(Network):
    """One affine map."""

    def build(self, shape: tuple[int, ...], classes: int) -> nn.Module:
        """Return a module for examples of `shape`."""
        return TinyNetwork(shape)


@hookimpl
def fmbench_datasets() -> Components:
    """Name the dataset."""
    return {"conformance_blobs": TwoBlobs}


@hookimpl
def fmbench_paths() -> Components:
    """Name the path."""
    return {"conformance_path": StraightPath}


@hookimpl
def fmbench_couplings() -> Components:
    """Name the coupling."""
    return {"conformance_coupling": AsDrawn}


@hookimpl
def fmbench_t_distributions() -> Components:
    """Name the t-distribution."""
    return {"conformance_t": EvenT}


@hookimpl
def fmbench_objectives() -> Components:
    """Name the objectives."""
    return {"conformance_objective": Misbehaving, "conformance_unbuildable": Unbuildable}


@hookimpl
def fmbench_networks() -> Components:
    """Name the network."""
    return {"conformance_network": Tiny}


@hookimpl
def fmbench_solvers() -> Components:
    """Name the solver."""
    return {"conformance_solver": OneStep}


@hookimpl
def fmbench_grids() -> Components:
    """Name the grid."""
    return {"conformance_grid": Ends}
