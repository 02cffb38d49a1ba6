"""`fmbench init` writes a suite that runs."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import torch
import yaml
from command_line import fmbench

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
    init(Path("mine.yaml"), ["moons"], checkpoint=Path("net.pt"), network="net.py:Net")
    assert "Run: fmbench run mine.yaml" in capsys.readouterr().out
    small = ("evaluation.samples=100", "evaluation.solvers=[euler]", "evaluation.nfe=[4]")
    result = run("mine.yaml", Options(overrides=small, tracking=False, jobs="1"))
    assert [record.status for record in result.records.evaluations] == ["ok"]


def test_nothing_is_left_of_a_suite_that_cannot_be_planned_and_none_is_overwritten(folder: Path) -> None:
    with pytest.raises(UserError, match="must be file\\.py:Name"):
        init(Path("mine.yaml"), ["moons"], checkpoint=Path("net.pt"), network="nowhere.py:Net")
    assert not Path("mine.yaml").exists()
    with pytest.raises(UserError, match="--network must be written as in a suite"):
        init(Path("mine.yaml"), ["moons"], checkpoint=Path("net.pt"), network="{mlp")
    Path("mine.yaml").write_text(yaml.safe_dump({"kept": True}))
    with pytest.raises(UserError, match="is there already"):
        init(Path("mine.yaml"), ["moons"], checkpoint=Path("net.pt"), network="net.py:Net")
    assert yaml.safe_load(Path("mine.yaml").read_text()) == {"kept": True}


def test_a_suite_of_samples_scores_all_that_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import numpy as np

    monkeypatch.chdir(tmp_path)
    np.savez("theirs.npz", samples=np.random.default_rng(0).normal(size=(60, 2)))
    init(Path("mine.yaml"), ["moons"], samples=Path("theirs.npz"), nfe="8")
    assert "1 evaluation, nothing to train" in capsys.readouterr().out
    result = run("mine.yaml", Options(tracking=False, jobs="1"))
    (record,) = result.records.evaluations
    assert (record.status, record.cell.nfe, record.cell.settings["samples"]) == ("ok", 8, 60)


def test_what_is_said_of_a_checkpoint_is_written_and_nothing_is_passed_over(folder: Path) -> None:
    init(Path("mine.yaml"), ["gaussian"], checkpoint=Path("net.pt"), network="net.py:Net", value_range="[0, 1]")
    ((model,),) = (each.values() for each in yaml.safe_load(Path("mine.yaml").read_text())["models"])
    assert model["value_range"] == [0, 1]
    with pytest.raises(UserError, match="--nfe is of --samples"):
        init(Path("other.yaml"), ["moons"], checkpoint=Path("net.pt"), network="net.py:Net", nfe="8")
    assert not Path("other.yaml").exists()


def test_samples_are_called_as_their_place_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    Path("heun.8").mkdir()
    for number in range(3):
        Image.new("L", (8, 8), 40 * number).save(f"heun.8/{number}.png")
    init(Path("mine.yaml"), ["digits"], samples=Path("heun.8"))
    (entry,) = yaml.safe_load(Path("mine.yaml").read_text())["samples"]
    assert entry == {"folder": "heun.8", "name": "heun.8"}
    with pytest.raises(UserError, match=r"--samples heun\.9 is not there\. Give a folder"):
        init(Path("other.yaml"), ["digits"], samples=Path("heun.9"))


def test_it_is_for_a_checkpoint_with_a_network_or_for_samples(folder: Path) -> None:
    for given in ({"checkpoint": Path("net.pt")}, {"checkpoint": Path("net.pt"), "samples": Path("x.npz")}):
        with pytest.raises(UserError, match="give --checkpoint FILE with its --network, or --samples PLACE"):
            init(Path("mine.yaml"), ["moons"], **given)


def asked(answers: list[str], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Have a person at a terminal who gives these answers, "" for what is offered; return the questions."""
    questions: list[str] = []

    def prompt(text: str, default: str) -> str:
        questions.append(text)
        return answers.pop(0) or default

    monkeypatch.setattr("fmbench.cli.init.can_ask", lambda: True)
    monkeypatch.setattr("typer.prompt", prompt)
    return questions


def test_flags_make_a_suite_with_comments_that_its_schema_accepts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    flags = ("--dataset", "moons", "--path", "linear", "--path", "cosine", "--solver", "{heun: {}}", "--nfe", "2,4")
    done = fmbench("init", "mine.yaml", *flags, "--seeds", "2", "--budget", "medium", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Wrote mine.yaml: 4 trainings, 8 evaluations. Run: fmbench run mine.yaml" in done.stdout
    text = Path("mine.yaml").read_text()
    assert text.startswith("# yaml-language-server: $schema=fmbench.schema.json\n")
    suite = yaml.safe_load(text)
    assert (suite["training"]["seeds"], suite["training"]["steps"]) == ([0, 1], 10_000)
    assert suite["baseline"] == {"path": "linear"}
    schema = json.loads(Path("fmbench.schema.json").read_text())
    jsonschema.validate(suite, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**suite, "datasets": ["mooons"]}, schema)


def test_what_flags_do_not_say_is_asked_and_a_wrong_name_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    answers = ["mooons", "moons", "linear, {cosine: {}}", "", "euler", "0", "1,2", "two", "2", ""]
    questions = asked(answers, monkeypatch)
    init(Path("mine.yaml"), budget="small")
    assert answers == [""], "the budget was said"
    assert len(questions) == 9
    told = capsys.readouterr().out
    assert "there is no dataset 'mooons'. Did you mean 'moons'?" in told
    assert "NFE is whole numbers above 0" in told
    suite = yaml.safe_load(Path("mine.yaml").read_text())
    assert suite["training"]["paths"] == ["linear", {"cosine": {}}]
    assert (suite["evaluation"]["solvers"], suite["evaluation"]["nfe"]) == (["euler"], [1, 2])
    assert suite["training"]["seeds"] == [0, 1]


def test_where_nobody_can_be_asked_the_flags_are_named(tmp_path: Path) -> None:
    done = fmbench("init", "mine.yaml", "--path", "linear", cwd=tmp_path)
    assert done.returncode == 2
    assert "give --dataset NAME at least" in done.stderr
    assert not (tmp_path / "mine.yaml").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--nfe", "2,x"], "--nfe is whole numbers above 0"),
        (["--seeds", "0"], "the number of seeds is"),
        (["--budget", "huge"], "a budget is one of small, medium, large"),
        (["--path", "{a"], "a path is written NAME or"),
        (["--solver", "huen"], "Did you mean 'heun'?"),
        (["--checkpoint", "x.pt", "--budget", "small"], "are of suites that train"),
    ],
    ids=" ".join,
)
def test_a_wrong_flag_is_said_and_nothing_is_left(tmp_path: Path, flags: list[str], message: str) -> None:
    done = fmbench("init", "mine.yaml", "--dataset", "moons", *flags, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert [file.name for file in tmp_path.iterdir() if file.suffix in (".yaml", ".json")] == []


def test_the_schema_is_written_to_a_file(tmp_path: Path) -> None:
    done = fmbench("schema", "-o", "suite.schema.json", cwd=tmp_path)
    assert "# yaml-language-server: $schema=suite.schema.json" in done.stdout
    written = json.loads((tmp_path / "suite.schema.json").read_text())
    assert written == json.loads(fmbench("schema", cwd=tmp_path).stdout)
    (tmp_path / "file").write_text("")
    refused = fmbench("schema", "-o", "file/schema.json", cwd=tmp_path)
    assert (refused.returncode, "cannot be written" in refused.stderr) == (2, True)
