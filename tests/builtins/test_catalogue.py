"""The catalogue: every method of the design is registered under its name, documented, with its source."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from fmbench.cli.app import app

CATALOGUE = {
    "path": "linear lipman icfm cosine vp ddpm linear_vp polynomial schrodinger_bridge",
    "coupling": "independent minibatch_ot sinkhorn conditional_ot reflow",
    "t_distribution": "uniform beta u_shaped logit_normal mode cosmap edm shifted_beta",
    "objective": "velocity x1_prediction noise_prediction pseudo_huber lpips_huber displacement_over_t",
    "network": "mlp additive_time_mlp simple_cnn unet small_unet adm_unet dit",
    "solver": "euler midpoint heun heun_edm rk4 ab2 dpmpp_2m dpmpp_2m_sde unipc ddim ancestral "
    "euler_ancestral_rf stochastic_euler "
    "dopri5 dopri8 bosh3 fehlberg2 adaptive_heun torchdiffeq_euler torchdiffeq_midpoint torchdiffeq_rk4",
    "grid": "uniform edm shift cosine beta linear_quadratic",
    "dataset": "sine gaussian gaussian_mixture eight_gaussians moons checkerboard s_curve transport gaussian_on_circle "
    "digits mnist_5k mnist fashion_mnist cifar10 cifar10_flipped image_folder image_folder_flipped arrays "
    "arrays_with_conditions",
    "metric": "validation_loss loss_by_t excess_loss x1_error fid fid_infinity kid precision recall sliced_wasserstein "
    "mind sfid inception_score fd_dinov2 cmmd density coverage c2st memorised mode_shares missed_modes solver_error "
    "round_trip_error wasserstein_2 joint_wasserstein mmd energy_distance nll straightness normalized_path_energy "
    "sample_ms train_seconds peak_memory parameters nfe",
}
LISTED = {
    (entry["kind"], entry["name"]): entry
    for entry in json.loads(CliRunner().invoke(app, ["plugins", "--json"]).stdout)["components"]
}


@pytest.mark.parametrize("kind", CATALOGUE)
def test_every_name_is_listed(kind: str) -> None:
    assert set(CATALOGUE[kind].split()) <= {name for each, name in LISTED if each == kind}


@pytest.mark.parametrize("key", sorted(LISTED), ids=lambda key: "-".join(key))
def test_every_component_says_what_it_is_and_where_it_comes_from(key: tuple[str, str]) -> None:
    entry = LISTED[key]
    assert entry["summary"].endswith(".")
    if not (key[0] == "metric" and key[1] in {"sample_ms", "train_seconds", "peak_memory", "parameters", "nfe"}):
        assert entry["reference"], "a method has a source"
    for parameter in entry["parameters"]:
        assert parameter["type"], parameter
        assert parameter["required"] or "default" in parameter
        assert len(parameter["description"]) > 8, parameter
