"""Every built-in model conforms."""

from typing import Any

import pytest
import torch
from built_ins import names
from torch import nn

from fmbench.plugins.registry import load_registry
from fmbench.testing import ModelConformance

NETWORK = {"mlp": {"width": 8, "depth": 1}}
FUNCTION = "def rotate(speed=1.0):\n    return lambda x, t: speed * x.flip(1) * t[:, None]\n"


def mlp() -> nn.Module:
    registry = load_registry()
    return registry.build(registry.spec("network", "mlp", NETWORK["mlp"])).build((2,), 0)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    torch.manual_seed(1)
    file = tmp_path_factory.mktemp("weights") / "model.pt"
    torch.save(mlp().state_dict(), file)
    return str(file)


class TestCheckpoint(ModelConformance):
    @pytest.fixture(params=["data_at_one", "data_at_zero"])
    def component(self, request: pytest.FixtureRequest, weights: str) -> Any:
        registry = load_registry()
        parameters = {"file": weights, "network": NETWORK, "time": request.param, "time_scale": 1000.0}
        return registry.build(registry.spec("model", "checkpoint", parameters))

    def network(self) -> nn.Module:
        return mlp()


CONVENTIONS = [
    {"labels": True},
    {"labels": True, "no_label": 7, "value_range": [0.0, 1.0]},
    {"labels": True, "predicts": "x_1", "time": "sigma"},
    {"labels": True, "predicts": "score", "time": "data_at_zero", "time_scale": 999.0},
    {"labels": True, "predicts": "v", "time": "data_at_zero"},
]


class TestConventions(ModelConformance):
    @pytest.fixture(params=CONVENTIONS, ids=str)
    def component(self, request: pytest.FixtureRequest) -> Any:
        registry = load_registry()
        return registry.build(registry.spec("model", "python", {"function": "mine.py:rotate", **request.param}))

    def network(self) -> Any:
        return lambda x, t, y: x.flip(1) * t[:, None] + y[:, None]


class TestEmpiricalOracle(ModelConformance):
    @pytest.fixture(params=[{}, {"points": 50}])
    def component(self, request: pytest.FixtureRequest) -> Any:
        registry = load_registry()
        return registry.build(registry.spec("model", "empirical_oracle", request.param))


class TestPython(ModelConformance):
    @pytest.fixture
    def component(self) -> Any:
        registry = load_registry()
        return registry.build(registry.spec("model", "python", {"function": "mine.py:rotate"}))

    def network(self) -> Any:
        return lambda x, t: x.flip(1) * t[:, None]


def test_each_built_in_is_tried() -> None:
    assert set(names("model")) == {"checkpoint", "diffusers", "empirical_oracle", "python"}
