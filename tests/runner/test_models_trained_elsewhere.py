"""Weights that other programs trained: a plain script, torchcfm and Meta's flow_matching."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from suites_of_models import EVALUATION, MLP, options, scores, written
from torch import Tensor, nn
from torchdiffeq import odeint

from fmbench.model.context import WorkerContext
from fmbench.model.trained_model import source_samples
from fmbench.plugins.registry import load_registry
from fmbench.runner.run import RunResult, run
from fmbench.store.store import Store

STEPS, BATCH, RATE, SAMPLES = 400, 128, 5e-3, 300
REGISTRY = load_registry()
MOONS = REGISTRY.spec("dataset", "moons", {"size": 500})


def moons() -> Tensor:
    return REGISTRY.build(MOONS).load("train")[0]


def mlp() -> nn.Module:
    return REGISTRY.build(REGISTRY.spec("network", "mlp", MLP["mlp"])).build((2,), 0)


def plainly_trained(seed: int, time: str) -> dict[str, Tensor]:
    """Train as a tutorial does, without fmbench: the same recipe, in either convention of time."""
    torch.manual_seed(seed)
    net, data = mlp(), moons()
    optimizer = torch.optim.AdamW(net.parameters(), lr=RATE)
    for _ in range(STEPS):
        x_1, s = data[torch.randint(len(data), (BATCH,))], torch.rand(BATCH)
        noise = torch.randn_like(x_1)
        if time == "data_at_one":
            x, target, told = s[:, None] * x_1 + (1 - s)[:, None] * noise, x_1 - noise, s
        else:
            x, target, told = s[:, None] * noise + (1 - s)[:, None] * x_1, noise - x_1, s
        loss = (net(x, told) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return {name: value.detach().clone() for name, value in net.state_dict().items()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("elsewhere")


@pytest.fixture(scope="module")
def table(folder: Path) -> RunResult:
    """A run of two scripts' weights beside cells that fmbench trained with the same recipe."""
    files: list[dict[str, Any]] = []
    for name, seed, time in (("forward", 0, "data_at_one"), ("backward", 1, "data_at_zero")):
        weights = plainly_trained(seed, time)
        torch.save(weights, folder / f"{name}.pt")
        save_file(weights, folder / f"{name}.safetensors")
        files += [{"file": str(folder / f"{name}.{kind}"), "time": time} for kind in ("pt", "safetensors")]
    files.append({"file": str(folder / "backward.pt")})  # told the wrong time
    models = [{"checkpoint": {"network": MLP, **each}} for each in files]
    training = {
        "paths": ["linear"],
        "networks": [MLP],
        "seeds": [0, 1, 2, 3],
        "steps": STEPS,
        "batch_size": BATCH,
        "optimizer": {"adamw": {"lr": RATE}},
        "ema": 0,
    }
    evaluation = {**EVALUATION, "metrics": ["sliced_wasserstein"]}
    file = written(folder, models=models, training=training, model_seeds=[0], evaluation=evaluation)
    return run(file, options(folder))


def test_a_plain_scripts_weights_score_as_the_same_recipe_does_here(table: RunResult) -> None:
    rows = table.records.frame()
    names = list(dict.fromkeys(rows.network))
    assert len(names) == 6
    by_network = {name: scores(_only(table, name)) for name in names}
    (trained, *models) = (by_network[name] for name in names)
    assert len(trained) == 4 * 4 + 1  # 5 solvers, of which one is adaptive, at 4 NFE
    for place, own in trained.items():
        middle, spread = sum(own) / len(own), max(own) - min(own)
        forward, same_forward, backward, same_backward, wrong = (model[place][0] for model in models)
        assert (same_forward, same_backward) == (forward, backward)
        for score in (forward, backward):
            assert abs(score - middle) <= 2 * spread, (place, score, own)
        assert wrong - middle > 3 * spread, (place, wrong, own)


class _only:
    """The rows of one network."""

    def __init__(self, result: RunResult, network: str) -> None:
        self.records, self._frame = self, result.records.frame()
        self._frame = self._frame[self._frame.network == network]

    def frame(self) -> Any:
        return self._frame


NETWORKS = """
import torch
import torchcfm.models


class OfTorchCFM(torchcfm.models.MLP):
    def forward(self, x, t):
        return super().forward(torch.cat([x, t[:, None]], 1))


def of_torchcfm():
    return OfTorchCFM(dim=2, w=16, time_varying=True)
"""


def noise(folder: Path) -> Tensor:
    """Return the source samples that fmbench gives the models on moons."""
    context = WorkerContext(REGISTRY, Store(folder / "other"), "cpu")
    return source_samples(context, MOONS, 0, 0, SAMPLES, "evaluation_noise")


def samples_by_fmbench(folder: Path, model: dict[str, Any], nfe: int) -> Tensor:
    evaluation = {
        "solvers": ["euler"],
        "nfe": [nfe],
        "samples": SAMPLES,
        "keep_samples": SAMPLES,
        "metrics": ["sliced_wasserstein"],
    }
    result = run(written(folder, models=[model], evaluation=evaluation), options(folder))
    (record,) = result.records.evaluations
    assert record.status == "ok", record.error
    return load_file(folder / "store" / "evaluation" / record.cell.key / "samples.safetensors")["samples"]


def test_weights_of_torchcfm_give_what_its_own_sampler_gives(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torchcfm's own imports
        matching = pytest.importorskip("torchcfm.conditional_flow_matching")
        from torchcfm.models import MLP as TheirMLP
        from torchcfm.utils import torch_wrapper
    torch.manual_seed(0)
    net, data = TheirMLP(dim=2, w=16, time_varying=True), moons()
    matcher = matching.ConditionalFlowMatcher(sigma=0.0)
    optimizer = torch.optim.Adam(net.parameters(), lr=RATE)
    for _ in range(STEPS):
        x_1 = data[torch.randint(len(data), (BATCH,))]
        t, x_t, u_t = matcher.sample_location_and_conditional_flow(torch.randn_like(x_1), x_1)
        loss = (net(torch.cat([x_t, t[:, None]], 1)) - u_t).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    torch.save({"model": net.state_dict()}, tmp_path / "theirs.pt")
    (tmp_path / "net.py").write_text(NETWORKS)
    network = f"{tmp_path / 'net.py'}:of_torchcfm"
    ours = samples_by_fmbench(tmp_path, {"checkpoint": {"file": str(tmp_path / "theirs.pt"), "network": network}}, 16)
    with torch.no_grad():
        theirs = odeint(torch_wrapper(net), noise(tmp_path), torch.linspace(0, 1, 17), method="euler")[-1]
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    assert distance(ours) < distance(noise(tmp_path)) / 3


OF_META = """
import torch


def load(file):
    net = torch.nn.Sequential(torch.nn.Linear(3, 32), torch.nn.ELU(), torch.nn.Linear(32, 2))
    net.load_state_dict(torch.load(file, weights_only=True))
    return lambda x, t: net(torch.cat([x, t[:, None]], 1))
"""


def test_weights_of_flow_matching_give_what_its_own_sampler_gives(tmp_path: Path) -> None:
    meta = pytest.importorskip("flow_matching.path")
    from flow_matching.solver import ODESolver
    from flow_matching.utils import ModelWrapper

    torch.manual_seed(0)
    net, data = nn.Sequential(nn.Linear(3, 32), nn.ELU(), nn.Linear(32, 2)), moons()
    path, optimizer = meta.CondOTProbPath(), torch.optim.Adam(net.parameters(), lr=RATE)
    for _ in range(STEPS):
        x_1, t = data[torch.randint(len(data), (BATCH,))], torch.rand(BATCH)
        drawn = path.sample(t=t, x_0=torch.randn_like(x_1), x_1=x_1)
        loss = (net(torch.cat([drawn.x_t, drawn.t[:, None]], 1)) - drawn.dx_t).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    torch.save(net.state_dict(), tmp_path / "theirs.pt")
    (tmp_path / "mine.py").write_text(OF_META)
    function = {f"{tmp_path / 'mine.py'}:load": {"file": str(tmp_path / "theirs.pt")}}
    ours = samples_by_fmbench(tmp_path, {"python": {"function": function}}, 16)

    class Wrapped(ModelWrapper):
        def forward(self, x: Tensor, t: Tensor, **extras: Any) -> Tensor:
            return self.model(torch.cat([x, t.expand(len(x))[:, None]], 1))

    with torch.no_grad():
        theirs = ODESolver(Wrapped(net)).sample(noise(tmp_path), step_size=1 / 16, method="euler")
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    assert distance(ours) < distance(noise(tmp_path)) / 3


def distance(x: Tensor) -> float:
    """Return the energy distance of samples to the data."""
    from fmbench.training.given_models import energy_distance

    return energy_distance(x, moons())
