"""Models that exist already: weights of any program, exact velocities, and whether they run in their direction."""

from __future__ import annotations

import functools
import importlib
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from fmbench.errors import DataError
from fmbench.plugins.own_code import load
from fmbench.testing.dummy_components import StraightPath, TwoBlobs
from fmbench_models._conventions import Conventions, InOurTime
from fmbench_models.checkpoint import Checkpoint, fitting, read_weights
from fmbench_models.empirical_oracle import EmpiricalOracle
from fmbench_models.python import Python

MEAN, DEVIATION = 2.0, 0.5


def exact_velocity(x: Tensor, t: Tensor) -> Tensor:
    """Return the marginal velocity of the linear path to N(MEAN, DEVIATION^2), `x` `(batch, d)`."""
    t = t[:, None]
    variance = (1 - t) ** 2 + (t * DEVIATION) ** 2
    return MEAN + (t * DEVIATION**2 - (1 - t)) / variance * (x - t * MEAN)


class Net(nn.Module):
    def __init__(self, width: int = 5) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(3, width), nn.Linear(width, 2)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return self.last(torch.tanh(self.first(torch.cat([x, t[:, None]], 1))))


class Reversed(nn.Module):
    """The exact velocity in a time s = 1 - t, scaled by 1000: what a program with the data at zero learns."""

    def forward(self, x: Tensor, s: Tensor) -> Tensor:
        return -exact_velocity(x, 1 - s / 1000)


def in_our_time(network: nn.Module, **said: Any) -> nn.Module:
    return InOurTime(network, Conventions(**said), StraightPath())


def test_a_network_with_the_data_at_zero_is_the_same_velocity() -> None:
    x, t = torch.randn(50, 2, dtype=torch.float64), torch.rand(50, dtype=torch.float64)
    turned = in_our_time(Reversed(), time="data_at_zero", time_scale=1000.0)
    torch.testing.assert_close(turned(x, t), exact_velocity(x, t), rtol=1e-12, atol=1e-12)


def test_predictions_of_data_are_not_turned_round() -> None:
    x, t = torch.randn(5, 2), torch.rand(5)
    seen = in_our_time(_Returns(lambda x, s: x + s[:, None]), predicts="x_1", time="data_at_zero")
    torch.testing.assert_close(seen(x, t), x + (1 - t)[:, None])


class _Returns(nn.Module):
    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return self.function(x, t)


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "ema."])
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_weights_are_read_with_their_prefix(tmp_path: Path, prefix: str, suffix: str) -> None:
    net, file = Net(), tmp_path / f"weights{suffix}"
    saved = {prefix + name: value for name, value in net.state_dict().items()}
    save_file(saved, file) if suffix == ".safetensors" else torch.save({"model": saved, "step": 7}, file)
    x, t = torch.randn(4, 2), torch.rand(4)
    read = Checkpoint(file=str(file), network={}).build(TwoBlobs(), StraightPath(), Net())
    assert torch.equal(read(x, t), net(x, t))
    with pytest.raises(DataError, match="does not fit the network"):
        Checkpoint(file=str(file), network={}, prefix="wrong.").build(TwoBlobs(), StraightPath(), Net())


def test_a_prefix_that_would_fit_is_named() -> None:
    weights = {f"flow.net.{name}": value for name, value in Net().state_dict().items()}
    with pytest.raises(DataError, match=r"set prefix: 'flow\.net\.'"):
        fitting(weights, Net(), None, Path("model.pt"))
    assert fitting(weights, Net(), "flow.net.", Path("model.pt")).keys() == Net().state_dict().keys()


def test_what_does_not_fit_is_named_five_at_most() -> None:
    weights = {**Net(width=6).state_dict(), **{f"extra{i}": torch.zeros(1) for i in range(7)}}
    del weights["last.bias"]
    with pytest.raises(DataError) as caught:
        fitting(weights, Net(), "", Path("model.pt"))
    text = str(caught.value)
    assert "lacks last.bias" in text
    assert "has besides extra0, extra1, extra2, extra3, extra4 and 2 more" in text
    assert "first.weight is (6, 3) and must be (5, 3)" in text
    assert text.endswith("must be (2, 5).")  # nothing that is too much is near
    with pytest.raises(DataError, match=r"The nearest name to 'last\.bias' in it is 'final\.last\.bias'"):
        fitting(
            {"final.last.bias" if n == "last.bias" else n: v for n, v in weights_of(Net()).items()},
            Net(),
            "",
            Path("model.pt"),
        )


def weights_of(net: nn.Module) -> dict[str, Tensor]:
    return dict(net.state_dict())


def test_a_pickle_with_code_is_refused(tmp_path: Path) -> None:
    torch.save(Net(), tmp_path / "whole.pt")
    with pytest.raises(DataError, match=r"it holds test_models\.Net, which could run code\. Save the state dict"):
        read_weights(tmp_path / "whole.pt")


@pytest.mark.parametrize("content", [b"", b"no weights", b"\x08\x00\x00\x00\x00\x00\x00\x00{}      "])
@pytest.mark.parametrize("name", ["a.pt", "a.safetensors"])
def test_files_that_hold_no_weights_are_said(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=r"cannot be read|could run code|holds no state dict|does not fit"):
        fitting(read_weights(tmp_path / name), Net(), None, tmp_path / name)


def test_a_file_of_another_name_is_read_as_what_it_holds(tmp_path: Path) -> None:
    saved = Net().state_dict()
    save_file(saved, tmp_path / "a.pt")
    torch.save(saved, tmp_path / "a.safetensors")
    for file in (tmp_path / "a.pt", tmp_path / "a.safetensors"):
        found = read_weights(file)
        assert found.keys() == saved.keys()
        assert all(torch.equal(found[name], saved[name]) for name in saved)


def test_weights_and_their_average_in_one_file_are_not_guessed_between(tmp_path: Path) -> None:
    both = {f"{each}.{name}": value for each in ("model", "ema_model") for name, value in Net().state_dict().items()}
    with pytest.raises(DataError, match=r"fit with 'model\.' and with 'ema_model\.': set prefix"):
        fitting(both, Net(), None, Path("model.pt"))
    torch.save({"ema": {"decay": 0.9}, "model": Net().state_dict()}, tmp_path / "model.pt")
    assert read_weights(tmp_path / "model.pt").keys() == Net().state_dict().keys()


def test_complex_weights_of_a_real_network_are_refused() -> None:
    weights = {name: value.to(torch.complex64) for name, value in Net().state_dict().items()}
    with pytest.raises(DataError, match=r"is torch\.complex64 and must be torch\.float32"):
        fitting(weights, Net(), "", Path("model.pt"))


def test_what_is_changed_in_place_is_the_models_own_and_no_gradient_is_said() -> None:
    x, t = torch.randn(3, 2), torch.rand(3)
    before = x.clone()
    in_our_time(_Returns(lambda x, t: x.mul_(0.5)))(x, t)
    assert torch.equal(x, before)
    silent = in_our_time(_Returns(lambda x, t: x.detach()))
    with pytest.raises(RuntimeError, match="gives no gradient"):
        silent(x.requires_grad_(), t)


def closure(net: nn.Module) -> Any:
    return lambda x, t: net(x, t)


class Holder:
    def __init__(self, net: nn.Module) -> None:
        self.nets = [net]

    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        return self.nets[0](x, t)

    def call(self, x: Tensor, t: Tensor) -> Tensor:
        return self(x, t)


@pytest.mark.parametrize(
    "hold",
    [
        closure,
        lambda net: closure(closure(net)),
        lambda net: functools.partial(closure(net)),
        lambda net: net.forward,
        Holder,
        lambda net: Holder(net).call,
    ],
)
def test_networks_that_a_function_holds_are_evaluated_in_eval_mode(hold: Any) -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5))
    net.forward = lambda x, t: nn.Sequential.forward(net, x)  # type: ignore[method-assign]
    model = Python(function="mine.py:load")
    module = model.build(TwoBlobs(), StraightPath(), hold(net)).eval()
    assert not net.training
    assert sum(parameter.numel() for parameter in module.parameters()) == 6
    x, t = torch.randn(64, 2), torch.rand(64)
    assert torch.equal(module(x, t), module(x, t))


@pytest.mark.parametrize("target", ["torch:zeros_like", "functools:partial", "scipy.stats:norm"])
def test_a_function_of_a_library_is_no_intruder_in_it(target: str) -> None:
    place, _, name = target.partition(":")
    assert load(target) is getattr(importlib.import_module(place), name)


def test_a_state_dict_of_no_tensors_is_said(tmp_path: Path) -> None:
    torch.save({"step": 3}, tmp_path / "a.pt")
    with pytest.raises(DataError, match="holds no state dict"):
        read_weights(tmp_path / "a.pt")


def oracle(points: int) -> tuple[nn.Module, Tensor]:
    data = TwoBlobs().load("train")[0][:points]
    return EmpiricalOracle(points=points).build(TwoBlobs(), StraightPath(), None), data


def test_the_empirical_oracle_is_the_posterior_mean() -> None:
    module, data = oracle(5)
    x = torch.randn(8, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    t = torch.linspace(0.05, 0.75, 8, dtype=torch.float64)
    for i in range(8):
        weights = [float(torch.exp(-((x[i] - t[i] * p) ** 2).sum() / (2 * (1 - t[i]) ** 2))) for p in data.double()]
        mean = sum(w * p for w, p in zip(weights, data.double(), strict=True)) / sum(weights)
        torch.testing.assert_close(module(x, t)[i], mean, rtol=1e-9, atol=1e-9)


def test_the_empirical_oracle_ends_at_training_points() -> None:
    module, data = oracle(40)
    x, n = torch.randn(100, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)), 400
    for step in range(n):
        t = torch.full((100,), step / n, dtype=torch.float64)
        x = x + (module(x, t) - x) / (1 - t[:, None]) / n  # v = (E[x_1] - x) / (1 - t)
    assert float(torch.cdist(x, data.double()).min(1).values.max()) < 0.02


def test_at_the_ends_of_time_the_oracle_knows_all_or_the_nearest() -> None:
    module, data = oracle(30)
    torch.testing.assert_close(module(torch.randn(3, 2), torch.zeros(3)), data.mean(0).expand(3, 2))
    torch.testing.assert_close(module(data[:4] + 1e-4, torch.ones(4)), data[:4])
