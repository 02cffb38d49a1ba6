"""Train the feature extractor of a dataset: `python -m fmbench_metrics.extractors.train digits`.

Writes `<name>.safetensors` and `<name>.json` beside this file. The weights are part of what `fid_digits` and
`fid_mnist` mean: after training them again, no value can be compared with an earlier one (the scores' identity says
so by the hash).
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from fmbench_metrics.extractors.lenet import FEATURES, LeNet
from fmbench_metrics.quantiser import quantise

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from fmbench import Dataset

    Labelled = tuple[Tensor, Tensor]

DATASETS = {"digits": ("digits", 60), "mnist": ("mnist_5k", 15)}
"""By the extractor's name: the dataset, and the passes over its train split."""

BATCH = 64
LEARNING_RATE = 4e-3


def main() -> None:
    """Train, test on the held-out split, and write weights and facts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=sorted(DATASETS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=Path(__file__).parent, help="where to write")
    arguments = parser.parse_args()
    dataset, epochs = DATASETS[arguments.name]
    (x, y), (x_test, y_test) = load(dataset)
    torch.manual_seed(arguments.seed)
    network = train(x, y, epochs, torch.Generator().manual_seed(arguments.seed))
    facts = {
        "dataset": dataset,
        "train_examples": len(x),
        "train_accuracy": accuracy(network, x, y),
        "test_examples": len(x_test),
        "test_accuracy": accuracy(network, x_test, y_test),
        "features": FEATURES,
        "epochs": epochs,
        "seed": arguments.seed,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "torch": torch.__version__,
    }
    print(json.dumps(write(network, facts, arguments.folder / arguments.name), indent=2))


def load(name: str) -> tuple[Labelled, Labelled]:
    """Return the train and the test split of a registered dataset, each as pictures and labels."""
    from fmbench.plugins.registry import load_registry

    registry = load_registry()
    dataset = cast("Dataset", registry.build(registry.spec("dataset", name)))
    return cast("tuple[Labelled, Labelled]", (dataset.load("train"), dataset.load("test")))


def train(x: Tensor, y: Tensor, epochs: int, generator: Generator) -> LeNet:
    """Return a network trained on pictures `(n, 1, size, size)` in [-1, 1], each turned, scaled and moved a little."""
    network = LeNet(x.shape[-1], int(y.max()) + 1, dropout=0.1)
    steps = epochs * len(x) // BATCH
    optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps)
    for _ in range(steps):
        chosen = torch.randint(len(x), (BATCH,), generator=generator)
        logits = network(quantise(distort(x[chosen], generator)))
        loss = F.cross_entropy(logits, y[chosen], label_smoothing=0.05)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    return network.eval()


def distort(x: Tensor, generator: Generator) -> Tensor:
    """Turn by up to 10 degrees, scale by up to 10% and move by up to a pixel; what comes in from outside is -1.

    Pictures are `(n, 1, size, size)`, before and after.
    """
    angle, scale, right, down = 2 * torch.rand(4, len(x), generator=generator) - 1
    cos, sin = (f(angle * torch.pi / 18) * (1 + 0.1 * scale) for f in (torch.cos, torch.sin))
    pixel = 2 / x.shape[-1]
    rows = [torch.stack(row, dim=1) for row in ([cos, -sin, pixel * right], [sin, cos, pixel * down])]
    grid = F.affine_grid(torch.stack(rows, dim=1), list(x.shape), align_corners=False)
    return F.grid_sample(x + 1, grid, align_corners=False) - 1


@torch.no_grad()
def accuracy(network: LeNet, x: Tensor, y: Tensor) -> float:
    """Return the share of pictures `(n, 1, size, size)` whose digit `y` `(n,)` is recognised, to four digits."""
    return round(float((network(quantise(x)).argmax(dim=1) == y).float().mean()), 4)


def write(network: LeNet, facts: dict[str, object], stem: Path) -> dict[str, object]:
    """Write `stem`.safetensors and `stem`.json, and return the facts with the hash of the weights."""
    weights = stem.with_suffix(".safetensors")
    save_file(network.state_dict(), weights)
    facts = {**facts, "sha256": hashlib.sha256(weights.read_bytes()).hexdigest()}
    stem.with_suffix(".json").write_text(json.dumps(facts, indent=2) + "\n")
    return facts


if __name__ == "__main__":
    main()
