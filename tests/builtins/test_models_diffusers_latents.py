"""Transformers of diffusers with labels, timesteps and an autoencoder: samples are those of the library's pipeline."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from suites_of_models import options, written
from torch import Tensor

from fmbench.components.contracts import Dataset
from fmbench.errors import DataError
from fmbench.plan.given_models import OBJECTIVES
from fmbench.plugins.registry import load_registry
from fmbench.runner.run import run
from fmbench_models.diffusers import Diffusers

diffusers = pytest.importorskip("diffusers")

CLASSES, NULL = 3, 1000
SHAPE = (3, 16, 16)
DDPM = {"ddpm": {}}


class Pictures(Dataset):
    """Colour pictures of three classes."""

    shape = SHAPE
    classes = CLASSES

    def load(self, split: str) -> tuple[Tensor, Tensor]:
        return torch.rand(8, *SHAPE) * 2 - 1, torch.arange(8) % CLASSES


def transformer(variance: bool = True) -> Any:
    torch.manual_seed(0)
    network = diffusers.DiTTransformer2DModel(
        num_attention_heads=2,
        attention_head_dim=8,
        in_channels=4,
        out_channels=8 if variance else 4,
        num_layers=2,
        sample_size=8,
        norm_num_groups=4,
        num_embeds_ada_norm=NULL,
    )
    for parameter in network.parameters():  # the library begins with zeros, by which no label counts
        torch.nn.init.normal_(parameter, std=0.1)
    return network


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as DiTPipeline.save_pretrained writes it, with tiny random weights."""
    network = transformer()
    vae = diffusers.AutoencoderKL(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=16,
        scaling_factor=0.5,
    )
    scheduler = diffusers.DDIMScheduler(timestep_spacing="trailing", clip_sample=False)
    place = tmp_path_factory.mktemp("dit")
    diffusers.DiTPipeline(transformer=network, vae=vae, scheduler=scheduler).save_pretrained(place)
    return place


def built(kind: str, name: str, **parameters: Any) -> Any:
    registry = load_registry()
    return registry.build(registry.spec(kind, name, parameters))


def model(folder: Path, **said: Any) -> Diffusers:
    return Diffusers(**{"folder": str(folder), "predicts": "noise", "labels": True, "no_label": NULL, **said})


class Guided:
    """The velocity of a module under classifier-free guidance, in float64."""

    def __init__(self, module: torch.nn.Module, path: Any, predicts: str, y: Tensor, weight: float = 1.0) -> None:
        self.module, self.path, self.y, self.weight = module, path, y, weight
        self.objective = built("objective", OBJECTIVES[predicts])

    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        with_label, without = (
            self.objective.velocity(self.module(x, t, y), x, t, self.path)
            for y in (self.y, torch.full_like(self.y, CLASSES))
        )
        return without + self.weight * (with_label - without)


@pytest.mark.parametrize("weight", [1.0, 4.0])
@torch.no_grad()
def test_samples_are_those_of_the_dit_pipeline(folder: Path, weight: float) -> None:
    steps, labels = 8, torch.tensor([0, 2, 1])
    path = built("path", "ddpm")
    module = model(folder, latents=True).build(Pictures(), path, None).eval().double()
    noise = torch.randn(3, 4, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    velocity = Guided(module, path, "noise", labels, weight)
    times = torch.linspace(0, 1, steps + 1, dtype=torch.float64)
    ours = module.decode(built("solver", "ddim").integrate(velocity, noise, times))

    pipeline = diffusers.DiTPipeline.from_pretrained(folder).to(torch.float64)
    pipeline.set_progress_bar_config(disable=True)
    theirs = pipeline(
        labels.tolist(),
        guidance_scale=weight,
        generator=torch.Generator().manual_seed(1),
        num_inference_steps=steps,
        output_type="pt",
    ).images
    assert module.state_shape == (4, 8, 8)
    torch.testing.assert_close((ours / 2 + 0.5).clamp(0, 1), theirs, rtol=1e-5, atol=1e-5)
    assert float(theirs.std()) > 0.01


@torch.no_grad()
def test_a_flow_transformer_is_sampled_as_by_the_librarys_scheduler(tmp_path: Path) -> None:
    network = transformer(variance=False)
    network.save_pretrained(tmp_path / "transformer")
    diffusers.FlowMatchEulerDiscreteScheduler().save_pretrained(tmp_path / "scheduler")
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler.from_pretrained(tmp_path / "scheduler")
    scheduler.set_timesteps(8)
    y, x = torch.tensor([1, 2]), torch.randn(2, 4, 8, 8)
    path = built("path", "linear")
    latents = SimpleNamespace(shape=(4, 8, 8), classes=CLASSES)
    module = model(tmp_path, predicts="velocity").build(latents, path, None).eval()
    ours = built("solver", "euler").integrate(Guided(module, path, "velocity", y), x, 1 - scheduler.sigmas)
    theirs = x
    for timestep in scheduler.timesteps:
        output = network.eval()(theirs, timestep.expand(2), class_labels=y).sample
        theirs = scheduler.step(output, timestep, theirs).prev_sample
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_a_dit_under_its_earlier_name_and_a_solver_of_flows(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "transformer").mkdir()
    config = json.loads((folder / "transformer" / "config.json").read_text())
    renamed = json.dumps({**config, "_class_name": "Transformer2DModel"})
    (tmp_path / "transformer" / "config.json").write_text(renamed)
    weights = "diffusion_pytorch_model.safetensors"
    (tmp_path / "transformer" / weights).symlink_to(folder / "transformer" / weights)
    flows = diffusers.UniPCMultistepScheduler(use_flow_sigmas=True, prediction_type="flow_prediction")
    flows.save_pretrained(tmp_path / "scheduler")
    latents = SimpleNamespace(shape=(4, 8, 8), classes=CLASSES)
    x, t, y = torch.randn(2, 4, 8, 8), torch.rand(2), torch.tensor([0, 1])
    module = model(tmp_path, predicts="velocity").build(latents, built("path", "linear"), None).eval()
    with torch.no_grad():
        output = transformer().eval()(x, 1000 * (1 - t), class_labels=y).sample
        torch.testing.assert_close(module(x, t, y), -output[:, :4])


def test_the_path_ddpm_is_the_librarys() -> None:
    latent = {"schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
    for said in ({}, latent, {"schedule": "squaredcos_cap_v2"}):
        betas = {name.replace("schedule", "beta_schedule"): value for name, value in said.items()}
        kept = diffusers.DDPMScheduler(**betas).alphas_cumprod.double()
        t = 1 - torch.arange(1, 1001, dtype=torch.float64) / 1000
        alpha, sigma, _, _ = built("path", "ddpm", **said).coefficients(t)
        torch.testing.assert_close(alpha, kept.sqrt(), rtol=1e-5, atol=5e-6)
        torch.testing.assert_close(sigma, (1 - kept).sqrt(), rtol=1e-5, atol=5e-6)


@pytest.mark.parametrize(
    ("said", "path", "words"),
    [
        ({"latents": True}, "linear", "set path: ddpm$"),
        ({"latents": True}, "vp", "set path: ddpm$"),
        ({"latents": True, "predicts": "velocity"}, "ddpm", "predicts epsilon: set predicts: noise"),
        ({}, "ddpm", r"for pictures of 4 channels.*set latents: true"),
        ({"labels": False, "no_label": None}, "ddpm", "takes labels: set labels: true"),
        ({"no_label": 2000}, "ddpm", "knows 1001 labels, no label among them, and is asked for number 2000"),
    ],
)
def test_what_contradicts_the_folder_is_said(folder: Path, said: Any, path: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        model(folder, **said).build(Pictures(), built("path", path), None)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"_class_name": "VQDiffusionScheduler"}, "is not read so far"),
        ({"_class_name": "DDPMScheduler", "beta_schedule": "scaled_linear", "beta_end": 0.012},
         r"set path: \{ddpm: \{schedule: scaled_linear, beta_end: 0.012\}\}"),
        ({"_class_name": "DDPMScheduler", "beta_schedule": "linear", "num_train_timesteps": 500},
         r"set path: \{ddpm: \{timesteps: 500\}\}"),
        ({"_class_name": "DDPMScheduler", "beta_schedule": "sigmoid"}, "no path that comes with fmbench"),
    ],
)  # fmt: skip
def test_other_schedulers_are_refused_with_the_path_that_fits(
    folder: Path, tmp_path: Path, config: dict[str, Any], words: str
) -> None:
    (tmp_path / "transformer").symlink_to(folder / "transformer")
    (tmp_path / "scheduler").mkdir()
    (tmp_path / "scheduler" / "scheduler_config.json").write_text(json.dumps(config))
    with pytest.raises(DataError, match=words):
        model(tmp_path).build(Pictures(), built("path", "ddpm"), None)


def test_a_unet_with_labels_and_v_prediction(tmp_path: Path) -> None:
    unet = diffusers.UNet2DModel(
        sample_size=16,
        layers_per_block=1,
        block_out_channels=(8, 8),
        down_block_types=("DownBlock2D",) * 2,
        up_block_types=("UpBlock2D",) * 2,
        norm_num_groups=4,
        num_class_embeds=CLASSES,
    )
    unet.save_pretrained(tmp_path / "unet")
    diffusers.DDPMScheduler(prediction_type="v_prediction").save_pretrained(tmp_path / "scheduler")
    path, x, y = built("path", "ddpm"), torch.randn(2, *SHAPE), torch.tensor([0, 2])
    module = model(tmp_path, predicts="v", no_label=None).build(Pictures(), path, None).eval()
    timestep, t = 249, torch.full((2,), 0.75)
    velocity = module(x, t, y)
    # The library's own reading of v at that timestep, and the velocity of its ends.
    scheduler = diffusers.DDIMScheduler(prediction_type="v_prediction", clip_sample=False)
    scheduler.set_timesteps(1000)
    output = unet.eval()(x, timestep, class_labels=y).sample
    x_1 = scheduler.step(output, timestep, x).pred_original_sample
    alpha, sigma, d_alpha, d_sigma = (float(each) for each in path.coefficients(torch.tensor(0.75).double()))
    torch.testing.assert_close(velocity, d_alpha * x_1 + d_sigma * (x - alpha * x_1) / sigma, rtol=1e-4, atol=1e-4)


def test_a_latent_model_is_scored_as_pictures(folder: Path, tmp_path: Path) -> None:
    pictures = np.random.default_rng(0).uniform(-1, 1, (60, *SHAPE)).astype("float32")
    np.savez(tmp_path / "pictures.npz", x=pictures, y=np.arange(60) % CLASSES)
    arrays = {"file": str(tmp_path / "pictures.npz"), "key": "x", "labels": {"key": "y"}, "pictures": "-1 to 1"}
    said = {"path": "ddpm", "predicts": "noise", "latents": True, "labels": True, "no_label": NULL}
    evaluation = {
        "solvers": ["ddim"],
        "nfe": [4],
        "guidance": [1, 2],
        "samples": 30,
        "metrics": ["sliced_wasserstein", "class_wasserstein", "validation_loss", {"solver_error": {"samples": 4}}],
    }
    suite = {"datasets": [{"arrays": arrays}], "models": [{"diffusers": {"folder": str(folder), **said}}]}
    result = run(written(tmp_path, evaluation=evaluation, **suite), options(tmp_path))
    assert [record.status for record in result.records.evaluations] == ["ok"] * 2
    assert {record.cell.guidance for record in result.records.evaluations} == {1.0, 2.0}
    for record in result.records.evaluations:
        samples = load_file(tmp_path / "store" / "evaluation" / record.cell.key / "samples.safetensors")["samples"]
        assert samples.shape == (30, *SHAPE)
        assert {"sliced_wasserstein", "class_wasserstein"} <= record.metrics.keys()
        assert record.metrics["solver_error"] > 10 * record.metrics["solver_error_reference"]
        assert "validation_loss" not in record.metrics
