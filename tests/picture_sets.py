"""Pictures that the tests of metrics score: digits, blurred digits, noise, and given tensors as a dataset."""

import torch

from fmbench import Dataset
from fmbench_datasets.digits import Digits

DIGITS = Digits()
REAL = DIGITS.load("train")[0]
NOISE = torch.randn(1200, 1, 8, 8, generator=torch.Generator().manual_seed(0)).clamp(-1, 1)
BLURRED = REAL + 0.2 * torch.randn(REAL.shape, generator=torch.Generator().manual_seed(1))


class Pictures(Dataset):
    """Given tensors as a dataset."""

    def __init__(self, x):
        self.x, self.shape = x, tuple(x.shape[1:])

    def load(self, split):
        return self.x, None
