"""Models with labels, and models whose data have other values than the dataset's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from suites_of_models import options, scores, written

from fmbench.errors import SuiteError, UserError
from fmbench.runner.run import RunResult, run
from fmbench.runner.session import open_session

MLP = {"mlp": {"width": 16, "depth": 1}}
CLASSES = 3
MIXTURE = [{"gaussian_mixture": {"size": 600}}]
EVALUATION = {
    "solvers": ["euler"],
    "nfe": [8],
    "guidance": [1, 2],
    "samples": 200,
    "metrics": ["sliced_wasserstein", "class_wasserstein", "validation_loss"],
}
TRAINING = {"paths": ["linear"], "networks": [MLP], "seeds": [0], "steps": 100, "class_conditional": True}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("labels")


@pytest.fixture(scope="module")
def trained(folder: Path) -> RunResult:
    """A class-conditional training of fmbench's, whose averaged weights are saved with another index of "no label"."""
    result = run(written(folder, datasets=MIXTURE, training=TRAINING, evaluation=EVALUATION), options(folder))
    (file,) = (folder / "store" / "training").glob("*/weights.safetensors")
    weights = {name.removeprefix("ema."): value for name, value in load_file(file).items() if name.startswith("ema.")}
    torch.save(weights, folder / "labelled.pt")
    return result


def model(folder: Path, **said: Any) -> dict[str, Any]:
    return {"checkpoint": {"file": str(folder / "labelled.pt"), "network": MLP, **said}}


def test_a_model_with_labels_scores_what_the_cell_scores_that_trained_it(folder: Path, trained: RunResult) -> None:
    models = [model(folder, labels=True, no_label=CLASSES)]
    given = run(written(folder, datasets=MIXTURE, models=models, evaluation=EVALUATION), options(folder))
    assert len(given.records.evaluations) == 2  # each guidance
    for metric in EVALUATION["metrics"]:
        assert list(scores(given, metric).values()) == [
            pytest.approx(own, rel=1e-6) for own in scores(trained, metric).values()
        ]


def test_who_takes_labels_stands_beside_who_takes_none(folder: Path, trained: RunResult) -> None:
    models = [model(folder, labels=True), model(folder, labels=True, no_label=CLASSES), "empirical_oracle"]
    file = written(folder, datasets=[*MIXTURE, "gaussian"], models=models, training=TRAINING, evaluation=EVALUATION)
    plan = open_session(file, options(folder)).plan
    found = {
        (str(cell.training.network).partition("(")[0], bool(cell.training.settings["class_conditional"]), cell.guidance)
        for cell in plan.evaluations
        if cell.training.dataset.name == "gaussian_mixture"
    }
    assert found == {
        ("mlp", True, 1.0),
        ("mlp", True, 2.0),
        ("checkpoint", True, 1.0),
        ("checkpoint", True, 2.0),
        ("empirical_oracle", False, 1.0),
    }
    assert {str(cell.network) for cell in plan.trainings if cell.dataset.name == "gaussian"} == {"empirical_oracle"}
    said = [str(left) for left in plan.left_out]
    assert any("needs a model with labels: true" in text for text in said)
    assert any("needs a model with no_label" in text for text in said)
    assert any("needs 'classes', which" in text for text in said), said


IN_ITS_RANGE = """
import torch

def exact(middle=0.0, scale=1.0):
    '''The velocity to N(middle, scale^2), the standard normal data in another range, of the linear path.'''
    def velocity(x, t):
        assert float(x.detach().mean()) < 10
        t = t[:, None]
        variance = (1 - t) ** 2 + (t * scale) ** 2
        return middle + (t * scale**2 - (1 - t)) / variance * (x - t * middle)
    return velocity
"""


def test_samples_of_another_range_are_scored_as_data(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(IN_ITS_RANGE)
    place = f"{tmp_path / 'mine.py'}:exact"
    models = [
        {"python": {"function": place}},
        {"python": {"function": {place: {"middle": 0.5, "scale": 0.5}}, "value_range": [0, 1]}},
    ]
    evaluation = {
        "solvers": ["rk4"],
        "nfe": [64],
        "samples": 500,
        "metrics": ["sliced_wasserstein", "validation_loss", "solver_error"],
    }
    result = run(written(tmp_path, datasets=["gaussian"], models=models, evaluation=evaluation), options(tmp_path))
    ((own, other),) = scores(result).values()
    # Both velocities are exact and start from the same noise, which the flow only scales: the samples are the same.
    assert other == pytest.approx(own, rel=1e-3)
    at_data, elsewhere = result.records.trainings
    assert "validation_loss" in at_data.metrics
    assert "validation_loss" not in elsewhere.metrics
    assert all(record.status == "ok" for record in result.records.evaluations)
    reason = "the model works in a space of its own, and this asks its velocity at data (1 cell)"
    assert result.records.left_out == [("metric=validation_loss", reason)]
    # So are the solver's errors, though the second are states of half the size.
    assert scores(result, "solver_error").popitem()[1] == [pytest.approx(0.0, abs=1e-4)] * 2


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"predicts": "score", "path": "icfm"}, "predicts score, which is a velocity only on an affine path"),
        ({"predicts": "v", "path": "schrodinger_bridge"}, "Name the path on which it was trained"),
        ({"predicts": "epsilon"}, "'predicts' of model 'checkpoint' must be"),
        ({"value_range": "0 to 1"}, "value_range"),
    ],
)
def test_conventions_that_do_not_fit_are_said_with_their_place(
    folder: Path, trained: RunResult, said: dict[str, Any], words: str
) -> None:
    file = written(folder, datasets=MIXTURE, models=[model(folder, **said)], evaluation=EVALUATION)
    with pytest.raises(SuiteError) as caught:
        open_session(file, options(folder))
    assert words in str(caught.value)
    assert "suite.yaml:" in str(caught.value)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"time": "sigma"}, "time: sigma goes with predicts: x_1, noise, score"),
        ({"no_label": 3}, "no_label is of models that take labels: set labels: true"),
        ({"value_range": [1, 0]}, "the lower first"),
    ],
)
def test_conventions_that_do_not_go_together_end_a_run_before_it_computes(
    folder: Path, trained: RunResult, said: dict[str, Any], words: str
) -> None:
    file = written(folder, datasets=MIXTURE, models=[model(folder, **said)], evaluation=EVALUATION)
    with pytest.raises(UserError, match=words):
        run(file, options(folder))


def test_a_network_that_is_told_sigma_is_of_normal_noise(folder: Path, trained: RunResult) -> None:
    """x/alpha_t is data with normal noise added where the source is normal, and only there."""
    models = [model(folder, predicts="x_1", time="sigma"), "empirical_oracle"]
    file = written(folder, datasets=[*MIXTURE, "transport"], models=models, evaluation=EVALUATION)
    plan = open_session(file, options(folder)).plan
    assert {cell.dataset.name for cell in plan.trainings} == {"gaussian_mixture"}
    said = [left.reason for left in plan.left_out if left.unit == "training"]
    assert any(text.startswith("checkpoint(") and "needs 'normal_source'" in text for text in said), said
