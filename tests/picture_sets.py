"""Pictures that the tests of metrics score, metrics by name, and torch-fidelity's own scores."""

from functools import cache

import torch

from fmbench import Dataset
from fmbench.plugins.registry import load_registry
from fmbench_datasets.digits import Digits
from fmbench_metrics.quantiser import quantise

DIGITS = Digits()
REAL = DIGITS.load("train")[0]
NOISE = torch.randn(1200, 1, 8, 8, generator=torch.Generator().manual_seed(0)).clamp(-1, 1)
BLURRED = REAL + 0.2 * torch.randn(REAL.shape, generator=torch.Generator().manual_seed(1))


registry = cache(load_registry)


def by_name(name, **parameters):
    """Return a metric as a suite names it."""
    return registry().build(registry().spec("metric", name, parameters))


class Pictures(Dataset):
    """Given tensors as a dataset."""

    def __init__(self, x):
        self.x, self.shape = x, tuple(x.shape[1:])

    def load(self, split):
        return self.x, None


class Levels(torch.utils.data.Dataset):
    """The 8-bit levels of pictures, as torch-fidelity takes them."""

    def __init__(self, x):
        self.levels = quantise(x)

    def __len__(self):
        return len(self.levels)

    def __getitem__(self, i):
        return self.levels[i]


def torch_fidelitys(samples, real, **options):
    """Return what torch-fidelity itself makes of samples and real pictures."""
    import torch_fidelity

    quiet = {"cuda": False, "cache": False, "save_cpu_ram": True, "verbose": False}
    return torch_fidelity.calculate_metrics(input1=Levels(samples), input2=Levels(real), **quiet, **options)
