"""The simplest component of each kind that other components are tested with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Generator, Tensor, nn

from fmbench.components.contracts import AffinePath, Dataset, Objective, PathSample, ProbabilityPath, TDistribution
from fmbench.testing.base import generator


class StraightPath(AffinePath):
    """x_t = t x_1 + (1-t) x_0."""

    def coefficients(self, t: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return `t`, `1 - t` and their derivatives, each of the shape of `t`."""
        return t, 1 - t, torch.ones_like(t), -torch.ones_like(t)


class BentPath(AffinePath):
    """x_t = sin^2(pi t/2) x_1 + cos^2(pi t/2) x_0: an affine path whose velocity depends on t."""

    def coefficients(self, t: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the squared sine and cosine and their derivatives, each of the shape of `t`."""
        alpha_t = torch.sin(torch.pi / 2 * t).square()
        d_alpha_t = torch.pi / 2 * torch.sin(torch.pi * t)
        return alpha_t, 1 - alpha_t, d_alpha_t, -d_alpha_t


class VelocityOutput(Objective):
    """The output is the velocity; the loss is its squared error."""

    def loss(self, output: Tensor, sample: PathSample) -> Tensor:
        """Return the mean squared error of each example, `(batch,)`."""
        return (output - sample.dx_t).square().flatten(1).mean(1)

    def velocity(self, output: Tensor, x: Tensor, t: Tensor, path: ProbabilityPath) -> Tensor:
        """Return the output itself, `(batch, *shape)`."""
        return output


class EvenT(TDistribution):
    """t is uniform."""

    def quantile(self, u: Tensor) -> Tensor:
        """Return `u` itself, of any shape."""
        return u

    def density(self, t: Tensor) -> Tensor:
        """Return ones of the shape of `t`."""
        return torch.ones_like(t)


class TwoBlobs(Dataset):
    """Two Gaussian blobs in the plane, 2,000 points to train and 1,000 to test, the blob being the class."""

    provides = ("points", "classes", "normal_source")
    shape = (2,)
    classes = 2

    def load(self, split: Literal["train", "test"]) -> tuple[Tensor, Tensor | None]:
        """Return points `(n, 2)` and blobs `(n,)`."""
        n = 2000 if split == "train" else 1000
        y = torch.arange(n) % 2
        noise = 0.3 * torch.randn(n, 2, generator=generator(n))
        return noise + (2.0 * y - 1)[:, None], y


class TwoPictures(Dataset):
    """Noisy bars, 8 by 8 and of one channel, 1,000 to train and 500 to test: upright ones, and ones that lie."""

    provides = ("images", "classes", "normal_source")
    shape = (1, 8, 8)
    classes = 2

    def load(self, split: Literal["train", "test"]) -> tuple[Tensor, Tensor | None]:
        """Return pictures `(n, 1, 8, 8)` in [-1, 1], and which way the bar goes `(n,)`."""
        n = 1000 if split == "train" else 500
        y = torch.arange(n) % 2
        bar = (torch.arange(8) // 2 == 2).float() - 0.5
        pictures = torch.where((y == 0)[:, None, None], bar[None, None, :], bar[None, :, None])
        noise = 0.2 * torch.randn(n, 8, 8, generator=generator(n))
        return (1.5 * pictures + noise).clamp(-1, 1)[:, None], y


class TinyNetwork(nn.Module):
    """One affine map of the flattened state, the time and a label that it ignores; its output has the shape of `x`."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        size = torch.Size(shape).numel()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.linear = nn.Linear(size + 1, size)

    def forward(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        """Map `x` `(batch, *shape)` and `t` `(batch,)`."""
        output: Tensor = self.linear(torch.cat([x.flatten(1), t[:, None]], dim=1))
        return output.reshape(x.shape)


class CountedField:
    """A velocity field of a function `(x, t)` that counts its calls and keeps the times that it was asked for."""

    def __init__(
        self,
        function: Callable[[Tensor, Tensor], Tensor],
        path: ProbabilityPath | None = None,
        noise: Generator | None = None,
    ) -> None:
        self.path = path or StraightPath()
        self.generator = noise or generator()
        self.y: Tensor | None = None
        self.function = function
        self.calls = 0
        self.times: list[Tensor] = []

    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        """Return the velocity at `x` and `t`, after checking their shapes."""
        assert t.shape == (x.shape[0],), f"a velocity is asked with t of shape (batch,); found {tuple(t.shape)}"
        assert t.dtype == x.dtype, f"t has the dtype of x; found {t.dtype} with {x.dtype}"
        self.calls += 1
        self.times.append(t)
        return self.function(x, t)
