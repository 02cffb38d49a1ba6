"""How much faster are 32 small trainings as a fleet than as 32 plain loops?

A plain loop is what tutorials print: one module, Adam, a batch drawn at random, `zero_grad`, `backward`, `step`; no
harness, no moving average, nothing recorded. The fleet is fmbench's training, from the cells to their weights in a
store: 4 paths x 2 t-distributions x 4 seeds of one MLP 2-64-64-2 at batch 128, on moons. Repeats alternate between the
two, so that both meet the same machine; a repeat's ratio is that of neighbours in time.

    python tests/benchmarks/fleet.py [--steps 400] [--repeats 5] [--threads 1] [--device cpu]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[1]))
from helpers import SETTINGS, training_cell, workshop

from fmbench.assembly import Workshop
from fmbench.cells import TrainingCell
from fmbench.hardware import hardware, synchronise
from fmbench.registry import Registry, load_registry
from fmbench.train import train

MEMBERS = 32
BATCH = 128
ADAM = {"name": "adam", "lr": 1e-3, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.0}
LOOPS = 4
"""Plain loops a repeat, whose mean stands for all 32."""


def main() -> None:
    """Measure, and print the medians and the ratio with its spread."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    registry = load_registry()
    cells = members(registry, options.steps)
    plain_loop(registry, 50, options.device)
    fleet_seconds(members(registry, 10), registry, options.device)
    found = []
    for _ in range(options.repeats):
        alone = statistics.mean(plain_loop(registry, options.steps, options.device) for _ in range(LOOPS))
        found.append((alone, fleet_seconds(cells, registry, options.device) / MEMBERS))
    print(f"{hardware(options.device)}; torch {torch.__version__}; {options.threads} threads")
    print(f"MLP 2-64-64-2, batch {BATCH}, {MEMBERS} trainings of {options.steps} steps, n = {options.repeats} repeats")
    for name, seconds in zip(("plain loop", "fleet"), zip(*found, strict=True), strict=True):
        micro = sorted(1e6 * each / options.steps for each in seconds)
        print(f"{name:10} {statistics.median(micro):7.1f} us a training and step ({micro[0]:.1f} to {micro[-1]:.1f})")
    ratios = sorted(alone / fleet for alone, fleet in found)
    print(f"ratio      {statistics.median(ratios):7.1f} ({ratios[0]:.1f} to {ratios[-1]:.1f})")


def members(registry: Registry, steps: int) -> list[TrainingCell]:
    """Return the cells of the fleet."""
    settings = {**SETTINGS, "steps": steps, "batch_size": BATCH, "optimizer": ADAM}
    network = ("mlp", {"width": 64, "depth": 2})
    return [
        training_cell(registry, seed, settings, path=path, t_distribution=t_distribution, network=network)
        for path in ("linear", "cosine", "vp", "polynomial")
        for t_distribution in ("uniform", "u_shaped")
        for seed in range(4)
    ]


def fleet_seconds(cells: list[TrainingCell], registry: Registry, device: str) -> float:
    """Return the seconds of training cells as one fleet, into an empty store."""
    with tempfile.TemporaryDirectory() as folder:
        shop: Workshop = workshop(Path(folder), registry, device=device)
        shop.data(cells[0].dataset, "train")
        started = time.perf_counter()
        train(cells, shop)
        synchronise(device)
        return time.perf_counter() - started


def plain_loop(registry: Registry, steps: int, device: str) -> float:
    """Return the seconds of one training as tutorials write it."""
    data, _ = registry.build(registry.spec("dataset", "moons", {"size": 500})).load("train")
    data = data.to(device)
    started = time.perf_counter()
    model = nn.Sequential(nn.Linear(3, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 2)).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(steps):
        x_1 = data[torch.randint(0, len(data), (BATCH,), device=device)]
        x_0 = torch.randn_like(x_1)
        t = torch.rand(BATCH, 1, device=device)
        x_t = t * x_1 + (1 - t) * x_0
        loss = ((model(torch.cat([x_t, t], dim=1)) - (x_1 - x_0)) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    synchronise(device)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
