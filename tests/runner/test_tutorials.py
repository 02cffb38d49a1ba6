"""Every tutorial suite says what it teaches, and runs to its report on a CPU with its budget cut."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fmbench.runner.run import run
from fmbench.runner.session import Options, open_session

SUITES = sorted((Path(__file__).parents[2] / "suites" / "tutorials").glob("*.yaml"))
CUT = ("training.steps=101", "training.batch_size=16", "training.seeds=[0]", "evaluation.samples=300")
SMALLER = {
    "cifar10_unet": ("training.networks=[{unet: {channels: 8}}]", "evaluation.nfe=[8]"),
    "digits_likelihood": ("evaluation.nfe=[10]", "evaluation.metrics=[fid_digits, {nll: {points: 8}}]"),
    "mnist_simple_cnn": (
        "training.networks=[{simple_cnn: {channels: 4}}]",
        "evaluation.metrics=[fid_mnist, loss_by_t]",
    ),
    "reflow_digits": (
        "training.couplings=[independent, {reflow: {pairs: 64, steps: 1}}]",
        "evaluation.nfe=[1]",
        "evaluation.metrics=[fid_digits, straightness]",
    ),
    "rectified_flow_mnist": (
        "training.networks=[{small_unet: {channels: 8}}]",
        "training.couplings=[independent, {reflow: {pairs: 64, steps: 1}}]",
        "training.t_distributions=[uniform]",
        "evaluation.metrics=[fid_mnist, straightness]",
    ),
}
"""What else is cut, so that a test takes seconds; the components stay those of the suite."""


def pictures(folder: Path) -> Path:
    """Write 3 classes of 12 small colour pictures."""
    noise = np.random.default_rng(0)
    for name in ("red", "green", "blue"):
        (folder / name).mkdir(parents=True)
        for number in range(12):
            image = Image.fromarray(noise.integers(0, 256, (20, 24, 3), dtype=np.uint8))
            image.save(folder / name / f"{number}.png")
    return folder


def test_there_are_the_seven_systems_that_people_meet_first() -> None:
    wanted = {"sine", "gaussian_mixture", "gaussian_odeint", "digits_likelihood", "mnist_simple_cnn", "cifar10_unet"}
    assert wanted | {"rectified_flow_mnist"} <= {path.stem for path in SUITES}


@pytest.mark.parametrize("path", SUITES, ids=lambda path: path.stem)
def test_a_tutorial_says_what_it_teaches_and_how_it_is_run(path: Path) -> None:
    head = [line for line in path.read_text().splitlines() if line.startswith("#")]
    assert len(head) >= 4
    assert any(f"fmbench run suites/tutorials/{path.name}" in line for line in head)
    session = open_session(path)
    assert session.suite.name == f"tutorial_{path.stem}"
    assert session.suite.description.endswith("?")
    assert session.plan.suite.baseline is not None
    reasons = {left.reason for left in session.plan.left_out}
    assert all("calls the network" in reason for reason in reasons), "a tutorial leaves out budgets, and nothing else"


@pytest.mark.slow
@pytest.mark.parametrize("path", SUITES, ids=lambda path: path.stem)
def test_a_tutorial_runs_to_a_report_with_its_budget_cut(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cut = [*CUT, *SMALLER.get(path.stem, ())]
    if path.stem == "cifar10_unet":
        cut.append(f"datasets=[{{image_folder: {{folder: {pictures(tmp_path / 'pictures')}, size: 16}}}}]")
    result = run(path, Options(tracking=False, overrides=tuple(cut)))
    assert not result.records.failed, [record.error for record in result.records.failed]
    assert result.report.is_file()
    assert all(record.metrics for record in result.records.evaluations)
