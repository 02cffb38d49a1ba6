"""`fmbench init` writes a suite that runs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml

from fmbench.cli.init import init
from fmbench.errors import UserError
from fmbench.runner.run import run
from fmbench.runner.session import Options

NET = """
import torch

class Net(torch.nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.first, self.last = torch.nn.Linear(3, width), torch.nn.Linear(width, 2)

    def forward(self, x, t):
        return self.last(torch.tanh(self.first(torch.cat([x, t[:, None]], 1))))
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(NET)
    torch.manual_seed(0)
    names: dict[str, object] = {}
    exec(NET, names)
    torch.save(names["Net"]().state_dict(), "net.pt")  # type: ignore[operator]
    return tmp_path


def test_what_is_written_runs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    init("moons", Path("mine.yaml"), checkpoint=Path("net.pt"), network="net.py:Net")
    assert "Run: fmbench run mine.yaml" in capsys.readouterr().out
    small = ("evaluation.samples=100", "evaluation.solvers=[euler]", "evaluation.nfe=[4]")
    result = run("mine.yaml", Options(overrides=small, tracking=False, jobs="1"))
    assert [record.status for record in result.records.evaluations] == ["ok"]


def test_nothing_is_left_of_a_suite_that_cannot_be_planned_and_none_is_overwritten(folder: Path) -> None:
    with pytest.raises(UserError, match="must be file\\.py:Name"):
        init("moons", Path("mine.yaml"), checkpoint=Path("net.pt"), network="nowhere.py:Net")
    assert not Path("mine.yaml").exists()
    with pytest.raises(UserError, match="--network must be written as in a suite"):
        init("moons", Path("mine.yaml"), checkpoint=Path("net.pt"), network="{mlp")
    Path("mine.yaml").write_text(yaml.safe_dump({"kept": True}))
    with pytest.raises(UserError, match="is there already"):
        init("moons", Path("mine.yaml"), checkpoint=Path("net.pt"), network="net.py:Net")
    assert yaml.safe_load(Path("mine.yaml").read_text()) == {"kept": True}


def test_a_suite_of_samples_scores_all_that_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import numpy as np

    monkeypatch.chdir(tmp_path)
    np.savez("theirs.npz", samples=np.random.default_rng(0).normal(size=(60, 2)))
    init("moons", Path("mine.yaml"), samples=Path("theirs.npz"), nfe=8)
    assert "1 evaluation, nothing to train" in capsys.readouterr().out
    result = run("mine.yaml", Options(tracking=False, jobs="1"))
    (record,) = result.records.evaluations
    assert (record.status, record.cell.nfe, record.cell.settings["samples"]) == ("ok", 8, 60)


def test_what_is_said_of_a_checkpoint_is_written_and_nothing_is_passed_over(folder: Path) -> None:
    init("gaussian", Path("mine.yaml"), checkpoint=Path("net.pt"), network="net.py:Net", value_range="[0, 1]")
    ((model,),) = (each.values() for each in yaml.safe_load(Path("mine.yaml").read_text())["models"])
    assert model["value_range"] == [0, 1]
    with pytest.raises(UserError, match="--nfe is of --samples"):
        init("moons", Path("other.yaml"), checkpoint=Path("net.pt"), network="net.py:Net", nfe=8)
    assert not Path("other.yaml").exists()


def test_samples_are_called_as_their_place_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    Path("heun.8").mkdir()
    for number in range(3):
        Image.new("L", (8, 8), 40 * number).save(f"heun.8/{number}.png")
    init("digits", Path("mine.yaml"), samples=Path("heun.8"))
    (entry,) = yaml.safe_load(Path("mine.yaml").read_text())["samples"]
    assert entry == {"folder": "heun.8", "name": "heun.8"}
    with pytest.raises(UserError, match=r"--samples heun\.9 is not there\. Give a folder"):
        init("digits", Path("other.yaml"), samples=Path("heun.9"))


def test_it_is_for_a_checkpoint_with_a_network_or_for_samples(folder: Path) -> None:
    for given in ({}, {"checkpoint": Path("net.pt")}, {"checkpoint": Path("net.pt"), "samples": Path("x.npz")}):
        with pytest.raises(UserError, match="give --checkpoint FILE with its --network, or --samples PLACE"):
            init("moons", Path("mine.yaml"), **given)
