"""Do fmbench's solvers add anything to the calls of the network, and are they as fast as torchdiffeq's and Meta's?

One small U-Net with 64 channels on pictures of 28 x 28, one batch, 8 calls of the network a sample, one thread. The
bare calls are 8 forward passes at the same times and nothing else: what no solver can be faster than. torchdiffeq's
fixed-grid `odeint` and Meta's `ODESolver` get the same network, grid and precision through the wrappers that their
documentation shows; fmbench's solvers call it as evaluations do, with the objective, autocast and count of calls.
Euler's and the midpoint rule's results must agree with the peers'; rk4 is another rule in both (torchdiffeq's, of the
same cost). Who begins changes from repeat to repeat.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
import torch
from helpers import context, training_cell
from torch import Tensor

from benchmarks.measuring import Options, Row, alternate, at_most, attempt, main, overhead, threads
from fmbench.model.build import assemble, make_module
from fmbench.model.velocity import ModelVelocity
from fmbench.plugins.registry import load_registry
from fmbench.runtime.device import synchronise

NFE = 8
STAGES = {"euler": 1, "heun": 2, "midpoint": 2, "rk4": 4}
BARE, EVEN = at_most(1.02), at_most(1.0)


@dataclass
class Bench:
    """A network on one batch, and how each side moves that batch from noise to data. All return the samples."""

    device: str
    batch: int
    x_0: Tensor = field(init=False)
    calls: int = 0

    def __post_init__(self) -> None:
        registry = load_registry()
        shop = context(Path(tempfile.gettempdir()), registry, device=self.device)
        settings = {"precision": "auto"}
        network = ("small_unet", {"channels": 64})
        cell = training_cell(registry, settings=settings, dataset="mnist_5k", network=network)
        self.parts = assemble(cell, shop)
        self.module = make_module(cell, self.parts, self.device).eval()
        self.generator = shop.generator(cell, "solver_noise")
        self.solvers = {name: registry.build(registry.spec("solver", name)) for name in STAGES}
        self.x_0 = torch.randn(self.batch, 1, 28, 28, generator=torch.Generator().manual_seed(0)).to(self.device)
        self.autocast = self.parts.autocast(self.device)

    def network(self, x: Tensor, t: Tensor) -> Tensor:
        """Call the network as a plain script does, and count it; under autocast only where that is the precision."""
        self.calls += 1
        if self.parts.precision == "float32":
            return self.module(x, t)
        with self.autocast():
            output: Tensor = self.module(x, t)
        return output.to(x.dtype)

    def bare(self) -> Tensor:
        """Only call the network."""
        x = self.x_0
        for call in range(NFE):
            x = self.network(self.x_0, self.x_0.new_full((self.batch,), call / NFE))
        return x

    def ours(self, solver: str) -> Tensor:
        """Sample as an evaluation does."""
        velocity = ModelVelocity(self.module, self.parts, None, self.device, self.generator)
        times = torch.linspace(0, 1, NFE // STAGES[solver] + 1, device=self.device)
        samples: Tensor = self.solvers[solver].integrate(velocity, self.x_0, times)
        self.calls += velocity.calls // self.batch
        return samples

    def torchdiffeq(self, method: str) -> Tensor:
        """Sample with torchdiffeq, asked for the two ends."""
        from torchdiffeq import odeint

        ends = torch.tensor([0.0, 1.0], device=self.device)
        options = {"step_size": STAGES[method] / NFE}
        states = odeint(lambda t, x: self.network(x, t.expand(len(x))), self.x_0, ends, method=method, options=options)
        return states[-1]

    def meta(self, method: str) -> Tensor:
        """Sample with Meta's solver."""
        from flow_matching.solver import ODESolver
        from flow_matching.utils import ModelWrapper

        bench = self

        class Wrapped(ModelWrapper):
            def forward(self, x: Tensor, t: Tensor, **extras: Any) -> Tensor:
                return bench.network(x, t.expand(len(x)))

        ends = torch.tensor([0.0, 1.0], device=self.device)
        solver = ODESolver(velocity_model=Wrapped(self.module))
        return solver.sample(self.x_0, step_size=STAGES[method] / NFE, method=method, time_grid=ends)


def measure(options: Options) -> list[Row]:
    """Measure every solver against the bare calls, and three against both libraries."""
    bench = Bench(options.device, options.at_most(8 if options.device == "cpu" else 256, 2))
    rows = []
    with torch.no_grad(), threads(1):
        for solver in ("euler", "heun", "rk4"):
            name = f"{solver}, NFE {NFE}, against bare calls"
            rows += attempt(name, lambda n=name, s=solver: against_bare(n, s, bench, options))
        for peer, sample in (("torchdiffeq", bench.torchdiffeq), ("Meta's ODESolver", bench.meta)):
            for solver in ("euler", "midpoint", "rk4"):
                name = f"{solver}, NFE {NFE}, against {peer}"
                rows += attempt(
                    name,
                    lambda n=name, s=solver, p=peer, f=sample: against(n, s, p, f, bench, options),
                )
    return rows


def against_bare(name: str, solver: str, bench: Bench, options: Options) -> Row:
    """Compare a solver with nothing but the calls of the network."""
    pairs = alternate(
        clocked(lambda: bench.ours(solver), bench), clocked(bench.bare, bench), options.repeats(15), warm_up=2
    )
    return overhead(name, f"fmbench's {solver}", f"{NFE} forward passes", pairs, BARE, **shown(bench))


def against(name: str, solver: str, peer: str, sample: Callable[[str], Tensor], bench: Bench, options: Options) -> Row:
    """Compare a solver with a library's, after a look at whether both give the same."""
    mine, theirs = bench.ours(solver), sample(solver)
    off = float((mine - theirs).abs().max() / theirs.abs().max())
    if solver != "rk4" and off > (1e-4 if bench.parts.precision == "float32" else 0.05):
        raise ValueError(f"fmbench's and {peer}'s {solver} differ by {off:.2g} of the largest value")
    pairs = alternate(
        clocked(lambda: bench.ours(solver), bench),
        clocked(lambda: sample(solver), bench),
        options.repeats(15),
        warm_up=2,
    )
    return overhead(name, f"fmbench's {solver}", f"{peer}, {solver}", pairs, EVEN, **shown(bench))


def clocked(sample: Callable[[], Tensor], bench: Bench) -> Callable[[], None]:
    """Return a function that samples and waits for the end. Raises ValueError for another number of calls."""

    def run() -> None:
        before = bench.calls
        sample()
        synchronise(bench.device)
        if bench.calls - before != NFE:
            raise ValueError(f"the network was called {bench.calls - before} times, not {NFE}")

    return run


def shown(bench: Bench) -> dict[str, Any]:
    """Return how times are shown, and with which batch and precision they were taken."""
    note = f"small_unet with 64 channels, 28 x 28, batch {bench.batch}, {bench.parts.precision}, one thread"
    return {"scale": 1e3, "times_unit": "ms a batch", "note": note}


if __name__ == "__main__":
    main(measure, __doc__)
