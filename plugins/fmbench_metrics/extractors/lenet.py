"""The network whose penultimate layer gives the features of fid_digits, fid_mnist and their like."""

from __future__ import annotations

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
        x = F.max_pool2d(F.relu(self.first(x)), 2)
        x = F.max_pool2d(F.relu(self.second(x)), 2)
        return F.relu(self.third(self.dropout(x.flatten(1))))

    def forward(self, levels: Tensor) -> Tensor:
        """Return the logits `(n, classes)` of uint8 pictures `(n, 1, size, size)`."""
        logits: Tensor = self.head(self.dropout(self.features(levels)))
        return logits
