"""How fast is a training step through torchcfm and through Meta's flow_matching, and through fmbench?

All train the same module on the same data with the same batch, Adam, and float32, with one thread. The peers' loops are
those of their own examples: torchcfm's ConditionalFlowMatcher, and Meta's AffineProbPath with CondOTScheduler, each
with a batch drawn at random, zero_grad, backward and step. fmbench trains a cell alone, or as one of a fleet of 32; it
also keeps a moving average and the loss curve, which the loops do not. Per step and model, steps alone.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
import torch
from torch import Tensor, nn

from benchmarks.measuring import Options, Row, alternate, attempt, faster, main, threads
from benchmarks.training import MEMBERS, Step, cells_of, fmbench_step, plain_step
from fmbench.plugins.registry import Registry, load_registry

BATCH = 128
MLP = ("mlp", {"width": 64, "depth": 2})
UNET = ("small_unet", {"channels": 32})
MOONS = ("moons", {"size": 500})
DIGITS = ("digits", {})


def torchcfm_loss() -> Step:
    """Return the loss of torchcfm's examples."""
    from torchcfm.conditional_flow_matching import ConditionalFlowMatcher

    matcher = ConditionalFlowMatcher(sigma=0.0)

    def loss(model: nn.Module, x_1: Tensor) -> Tensor:
        t, x_t, u_t = matcher.sample_location_and_conditional_flow(torch.randn_like(x_1), x_1)
        return torch.mean((model(x_t, t) - u_t) ** 2)

    return loss


def meta_loss() -> Step:
    """Return the loss of Meta's examples."""
    from flow_matching.path import AffineProbPath
    from flow_matching.path.scheduler import CondOTScheduler

    path = AffineProbPath(scheduler=CondOTScheduler())

    def loss(model: nn.Module, x_1: Tensor) -> Tensor:
        t = torch.rand(len(x_1), device=x_1.device)
        sample = path.sample(t=t, x_0=torch.randn_like(x_1), x_1=x_1)
        return torch.pow(model(sample.x_t, sample.t) - sample.dx_t, 2).mean()

    return loss


PEERS = {"torchcfm": torchcfm_loss, "Meta's flow_matching": meta_loss}


def measure(options: Options) -> list[Row]:
    """Measure both peers against a lone cell and a fleet of MLPs, and against a lone small U-Net."""
    registry = load_registry()
    rows = []
    with threads(1):
        for peer in PEERS:
            for who, network, dataset, members, steps in (
                ("MLP", MLP, MOONS, 1, 600),
                ("MLP", MLP, MOONS, MEMBERS, 300),
                ("small U-Net", UNET, DIGITS, 1, 24),
            ):
                name = f"{who} {'alone' if members == 1 else f'in a fleet of {members}'}, against {peer}"
                small = options.at_most(steps, 10)
                what: dict[str, Any] = {"network": network, "dataset": dataset, "members": members, "steps": small}
                rows += attempt(name, lambda n=name, p=peer, w=what: compare(n, p, registry, options, **w))
    return rows


def compare(
    name: str,
    peer: str,
    registry: Registry,
    options: Options,
    network: tuple[str, dict[str, Any]],
    dataset: tuple[str, dict[str, Any]],
    members: int,
    steps: int,
) -> Row:
    """Compare a step of fmbench's training with a step of a peer's loop."""
    loss = PEERS[peer]()
    # with all 32, members differ in path, t-distribution and seed; the first is the straight path with a uniform t
    cells = cells_of(registry, steps, BATCH, network, dataset=dataset)[:members]
    x, _ = registry.build(cells[0].dataset).load("train")
    data = x.to(options.device)

    def loop() -> float:
        module = registry.build(cells[0].network).build(tuple(data.shape[1:]), 0).to(options.device)
        return plain_step(module, data, max(steps // 2, 5), BATCH, loss, warm_up=2)

    pairs = alternate(lambda: fmbench_step(cells, registry, options.device), loop, options.repeats(3))
    ours = "a cell alone" if members == 1 else f"a fleet of {members}"
    shown = f"{network[0]}, batch {BATCH}"
    return faster(
        name, f"fmbench, {ours}, {shown}", f"{peer} and a plain loop, {shown}", pairs,
        scale=1e6, times_unit="us a step and model",
    )  # fmt: skip


if __name__ == "__main__":
    main(measure, __doc__)
