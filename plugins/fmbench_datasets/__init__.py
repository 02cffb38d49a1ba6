"""The datasets that come with fmbench."""

from __future__ import annotations

from fmbench import hookimpl


@hookimpl
def fmbench_datasets() -> dict[str, str]:
    """Return the datasets by name."""
    return {
        "arrays": "fmbench_datasets.arrays:Arrays",
        "arrays_with_conditions": "fmbench_datasets.arrays_with_conditions:ArraysWithConditions",
        "checkerboard": "fmbench_datasets.checkerboard:Checkerboard",
        "cifar10": "fmbench_datasets.cifar10:Cifar10",
        "cifar10_flipped": "fmbench_datasets.cifar10_flipped:Cifar10Flipped",
        "digits": "fmbench_datasets.digits:Digits",
        "eight_gaussians": "fmbench_datasets.eight_gaussians:EightGaussians",
        "fashion_mnist": "fmbench_datasets.fashion_mnist:FashionMnist",
        "gaussian": "fmbench_datasets.gaussian:Gaussian",
        "gaussian_mixture": "fmbench_datasets.gaussian_mixture:GaussianMixture",
        "gaussian_on_circle": "fmbench_datasets.gaussian_on_circle:GaussianOnCircle",
        "image_folder": "fmbench_datasets.image_folder:ImageFolder",
        "image_folder_flipped": "fmbench_datasets.image_folder_flipped:ImageFolderFlipped",
        "mnist": "fmbench_datasets.mnist:Mnist",
        "mnist_5k": "fmbench_datasets.mnist_5k:Mnist5k",
        "moons": "fmbench_datasets.moons:Moons",
        "s_curve": "fmbench_datasets.s_curve:SCurve",
        "sine": "fmbench_datasets.sine:Sine",
        "transport": "fmbench_datasets.transport:Transport",
    }
