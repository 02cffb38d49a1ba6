"""How much of what the machine can do does a fleet's training step reach?

The limits are measured in the same run: the product of two large matrices (2048 x 2048 on a CPU), and the bandwidth of
the triad a = b + s c over arrays that no cache holds. The fleet is fmbench's own training of 32 MLPs 2-128-128-128-2 at
batch 256, from cells to weights in a store, with all that a step does: draws, loss, backward, optimiser, moving
average. What counts are its matrix products alone: forward, and backward for the weights and for the inputs of every
layer but the first, whose inputs need no gradient. So whatever else a step does is part of what is lost. Product and
training alternate and have one thread each, as fmbench's workers have on a CPU. On a GPU the product is in bfloat16,
and a step of the ADM-style U-Net at batch 256 is set against it; its products are counted by torch.
"""

from __future__ import annotations

import sys
import time
from itertools import pairwise
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
import torch
from torch import nn

from benchmarks.measuring import Options, Row, alternate, at_least, attempt, main, threads
from benchmarks.training import MEMBERS, cells_of, fmbench_step
from fmbench.plugins.registry import load_registry
from fmbench.runtime.device import synchronise
from fmbench.runtime.environment import cpu_count

WIDTH, DEPTH, BATCH = 128, 3, 256
SIDES = {"cpu": 2048, "cuda": 8192}
"""The sides of the square matrices of which the product is the limit."""
SHARE = "of the limit"


def measure(options: Options) -> list[Row]:
    """Measure the machine's limits, and what a fleet reaches of them."""
    rows = []
    for count in dict.fromkeys((1, cpu_count())) if options.device == "cpu" else (torch.get_num_threads(),):
        with threads(count):
            who = f"{count} thread{'s' * (count > 1)}" if options.device == "cpu" else options.device
            rows += attempt(f"matrix product, {who}", lambda who=who: product_row(who, options))
            rows += attempt(f"bandwidth, {who}", lambda who=who: bandwidth_row(who, options))
    with threads(1):
        rows += attempt("MLP 128 wide x 32, share of the matrix product", lambda: fleet_row(options))
    if options.device == "cuda":
        rows += attempt("ADM-style U-Net, share of the bf16 rate", lambda: unet_row(options))
    return rows


def product_row(who: str, options: Options) -> Row:
    """Return the rate of a large matrix product."""
    dtype = torch.bfloat16 if options.device == "cuda" else torch.float32
    side = SIDES.get(options.device, SIDES["cpu"])
    rates = tuple(product_rate(options.device, dtype) / 1e9 for _ in range(options.repeats(9) + 1))[1:]
    return Row(f"matrix product, {who}", f"{side} x {side}, {dtype}", "", rates, "GFLOP/s")


def product_rate(device: str, dtype: torch.dtype) -> float:
    """Return the floating-point operations a second of a matrix product."""
    side = SIDES.get(device, SIDES["cpu"])
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    out = torch.empty_like(a)
    times = 1 if device == "cpu" else 50
    torch.mm(a, b, out=out)
    synchronise(device)
    started = time.perf_counter()
    for _ in range(times):
        torch.mm(a, b, out=out)
    synchronise(device)
    return 2 * side**3 * times / (time.perf_counter() - started)


def bandwidth_row(who: str, options: Options) -> Row:
    """Return the bandwidth of a triad: two arrays read and one written, 4 bytes a number."""
    size = options.at_most(2**26, 2**22)
    a, b, c = (torch.ones(size, device=options.device) for _ in range(3))

    def rate() -> float:
        synchronise(options.device)
        started = time.perf_counter()
        torch.add(b, c, alpha=3.0, out=a)
        synchronise(options.device)
        return 3 * 4 * size / (time.perf_counter() - started) / 1e9

    rates = tuple(rate() for _ in range(options.repeats(9) + 2))[2:]
    return Row(f"bandwidth, {who}", f"triad over 3 x {4 * size / 2**20:.0f} MiB", "", rates, "GB/s")


def fleet_row(options: Options) -> Row:
    """Return which part of the matrix product's rate a fleet's matrix products have."""
    registry = load_registry()
    steps = options.at_most(60, 8)
    cells = cells_of(registry, steps, BATCH, ("mlp", {"width": WIDTH, "depth": DEPTH}))
    sizes = [3] + [WIDTH] * DEPTH + [2]
    work = MEMBERS * BATCH * mlp_operations(sizes)

    def ours() -> float:
        return MEMBERS * fmbench_step(cells, registry, options.device)

    def limit() -> float:
        return work / product_rate(options.device, torch.float32)

    pairs = alternate(ours, limit, options.repeats(7))
    layers = "-".join(map(str, [2, *sizes[1:]]))
    return Row(
        "MLP 128 wide x 32, share of the matrix product",
        f"a step of fmbench's fleet of {MEMBERS}, MLP {layers}, batch {BATCH}",
        f"its {work / 1e9:.2f} GFLOP at the rate of the large product",
        tuple(pair.peer / pair.ours for pair in pairs),
        SHARE,
        at_least(0.5),
        tuple(1e3 * pair.ours for pair in pairs),
        tuple(1e3 * pair.peer for pair in pairs),
        "ms a step",
    )


def mlp_operations(sizes: list[int]) -> int:
    """Return the operations of the matrix products of one example's training step, for layers of these sizes."""
    products = [2 * before * after for before, after in pairwise(sizes)]
    return 3 * sum(products) - products[0]


def unet_row(options: Options) -> Row:
    """Return which part of the bf16 rate a training step of the ADM-style U-Net has, alone."""
    from torch.utils.flop_counter import FlopCounterMode

    registry = load_registry()
    batch = options.at_most(256, 16)
    settings = {"precision": "bf16", "ema": 0.999}
    network = ("adm_unet", {"channels": options.at_most(128, 32), "blocks": 2})
    cell = cells_of(registry, options.at_most(40, 6), batch, network, settings=settings, dataset=("mnist_5k", {}))[0]
    module: nn.Module = registry.build(cell.network).build((1, 28, 28), 0).to(options.device)
    x = torch.randn(4, 1, 28, 28, device=options.device)
    with FlopCounterMode(display=False) as counter:
        module(x, torch.rand(4, device=options.device)).square().mean().backward()
    work = counter.get_total_flops() / len(x) * batch

    def ours() -> float:
        return fmbench_step([cell], registry, options.device)

    def limit() -> float:
        return work / product_rate(options.device, torch.bfloat16)

    pairs = alternate(ours, limit, options.repeats(5))
    return Row(
        "ADM-style U-Net, share of the bf16 rate",
        f"a step of fmbench's training, adm_unet, 28 x 28, batch {batch}, bf16",
        f"its {work / 1e12:.2f} TFLOP at the rate of the large product in bfloat16",
        tuple(pair.peer / pair.ours for pair in pairs),
        SHARE,
        None,
        tuple(1e3 * pair.ours for pair in pairs),
        tuple(1e3 * pair.peer for pair in pairs),
        "ms a step",
    )


if __name__ == "__main__":
    main(measure, __doc__)
