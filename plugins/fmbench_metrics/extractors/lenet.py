"""The network whose penultimate layer gives the features of fid_digits, fid_mnist and their like."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FEATURES = 32


class LeNet(nn.Module):
    """A LeNet-sized classifier of grey pictures whose height and width divide by 4 (LeCun et al. 1998).

    `features` gives the penultimate layer, after its nonlinearity; `forward` the logits.
    """

    def __init__(self, size: int, classes: int = 10, dropout: float = 0.0) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 12, 5, padding=2)
        self.second = nn.Conv2d(12, 24, 5, padding=2)
        self.third = nn.Linear(24 * (size // 4) ** 2, FEATURES)
        self.head = nn.Linear(FEATURES, classes)
        self.dropout = nn.Dropout(dropout)

    def features(self, levels: Tensor) -> Tensor:
        """Return float32 features `(n, 32)` of uint8 pictures `(n, 1, size, size)`."""
        x = levels.float() / 127.5 - 1
        x = F.relu(_pooled(self.first(x)))
        x = F.relu(_pooled(self.second(x)))
        return F.relu(self.third(self.dropout(x.flatten(1))))

    def forward(self, levels: Tensor) -> Tensor:
        """Return the logits `(n, classes)` of uint8 pictures `(n, 1, size, size)`."""
        logits: Tensor = self.head(self.dropout(self.features(levels)))
        return logits


def _pooled(x: Tensor) -> Tensor:
    """Return the largest of each two by two, as `max_pool2d` does, in half of its time on a CPU."""
    rows = torch.maximum(x[..., ::2, :], x[..., 1::2, :])
    return torch.maximum(rows[..., ::2], rows[..., 1::2])
