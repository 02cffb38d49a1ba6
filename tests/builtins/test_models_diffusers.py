"""A folder of diffusers: the samples are those of the library's own scheduler."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from fmbench.errors import DataError
from fmbench.plugins.registry import load_registry
from fmbench.testing.dummy_components import StraightPath
from fmbench_models.diffusers import Diffusers
from fmbench_solvers.euler import Euler

diffusers = pytest.importorskip("diffusers")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    place = tmp_path_factory.mktemp("pipeline")
    unet = diffusers.UNet2DModel(
        sample_size=8,
        in_channels=1,
        out_channels=1,
        layers_per_block=1,
        block_out_channels=(8, 16),
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        norm_num_groups=4,
        attention_head_dim=4,
    )
    unet.save_pretrained(place / "unet")
    diffusers.FlowMatchEulerDiscreteScheduler().save_pretrained(place / "scheduler")
    return place


@pytest.fixture(scope="module")
def digits():
    registry = load_registry()
    return registry.build(registry.spec("dataset", "digits"))


class Velocity:
    def __init__(self, module: torch.nn.Module) -> None:
        self.module, self.path, self.y = module, StraightPath(), None

    def __call__(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return self.module(x, t)


@torch.no_grad()
def test_samples_are_those_of_the_librarys_scheduler(folder: Path, digits) -> None:
    steps, x = 8, torch.randn(4, 1, 8, 8)
    module = Diffusers(folder=str(folder)).build(digits, StraightPath(), None).eval()
    ours = Euler().integrate(Velocity(module), x, torch.linspace(0, 1, steps + 1))

    unet = diffusers.UNet2DModel.from_pretrained(folder / "unet").eval()
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler.from_pretrained(folder / "scheduler")
    scheduler.set_timesteps(sigmas=np.linspace(1.0, 1 / steps, steps))
    theirs = x
    for timestep in scheduler.timesteps:
        theirs = scheduler.step(unet(theirs, timestep).sample, timestep, theirs).prev_sample
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_a_network_alone_is_read_too(folder: Path, digits) -> None:
    x, t = torch.randn(2, 1, 8, 8), torch.rand(2)
    whole, alone = (
        Diffusers(folder=str(each)).build(digits, StraightPath(), None) for each in (folder, folder / "unet")
    )
    assert torch.equal(whole(x, t), alone(x, t))


def test_a_scheduler_of_another_prediction_is_said(folder: Path, digits) -> None:
    with pytest.raises(DataError, match="predicts flow_prediction: set predicts: velocity"):
        Diffusers(folder=str(folder), predicts="noise").build(digits, StraightPath(), None)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (None, "there is no network in"),
        ({"_class_name": "VQModel"}, "holds a VQModel; what is read so far: UNet2DModel, DiTTransformer2DModel"),
        ("{", "cannot be read as JSON"),
        ({"_class_name": "UNet2DModel"}, "cannot be read by diffusers"),
    ],
)
def test_folders_that_hold_no_network_are_said(tmp_path: Path, digits, config: object, words: str) -> None:
    if config is not None:
        (tmp_path / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))
    with pytest.raises(DataError, match=words):
        Diffusers(folder=str(tmp_path)).build(digits, StraightPath(), None)


def test_pictures_of_other_channels_are_refused(folder: Path) -> None:
    registry = load_registry()
    colour = registry.build(registry.spec("dataset", "gaussian"))
    with pytest.raises(DataError, match="for pictures of 1 channels"):
        Diffusers(folder=str(folder)).build(colour, StraightPath(), None)
