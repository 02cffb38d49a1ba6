"""The datasets that come with fmbench."""

from __future__ import annotations

from fmbench import hookimpl


@hookimpl
def fmbench_datasets() -> dict[str, str]:
    """Return the datasets by name."""
    return {
        "digits": "fmbench_datasets.digits:Digits",
        "eight_gaussians": "fmbench_datasets.eight_gaussians:EightGaussians",
        "gaussian_mixture": "fmbench_datasets.gaussian_mixture:GaussianMixture",
        "image_folder": "fmbench_datasets.image_folder:ImageFolder",
        "mnist_5k": "fmbench_datasets.mnist_5k:Mnist5k",
        "moons": "fmbench_datasets.moons:Moons",
        "sine": "fmbench_datasets.sine:Sine",
    }
