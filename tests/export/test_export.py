"""A trained cell is taken away: the folder samples the same without fmbench, says its evidence, and harms nothing."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from helpers import built_ins, evaluation_cell, training_cell
from safetensors.torch import load_file
from typer.testing import CliRunner

import fmbench
from fmbench.cells.cells import EvaluationCell
from fmbench.cli.app import app
from fmbench.errors import UserError
from fmbench.evaluation.evaluate import evaluate
from fmbench.export import Asked, StoredCells, check_hub, draw, export_cell, upload
from fmbench.export.best import best_cell
from fmbench.model.context import WorkerContext
from fmbench.model.trained_model import load_trained
from fmbench.results.records import MetricFacts
from fmbench.runner.session import open_session
from fmbench.store.store import Store
from fmbench.training.loop import train

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "export.md"
SUITE = """
name: mine
datasets: [moons]
training:
  paths: [linear]
  networks: [{mlp: {width: 8, depth: 1}}]
  seeds: [0, 1]
  steps: 20
  batch_size: 16
  optimizer: {adam: {lr: 1e-3}}
evaluation: {solvers: [euler, heun, ddim, dopri5, ancestral], nfe: [4], samples: 300, metrics: [sliced_wasserstein]}
"""

BLOCKED = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0].startswith("fmbench"):
            raise ImportError(f"{name} is blocked")
sys.meta_path.insert(0, Blocker())
try:
    import fmbench
except ImportError:
    pass
else:
    raise SystemExit("fmbench was imported")
import torch
torch.set_num_threads(1)
for folder in sys.argv[1:]:
    sys.path.insert(0, folder)
    sys.modules.pop("sample", None)
    from sample import load
    model = load()
    sys.path.remove(folder)
    n = model.config.get("n", 200)
    torch.save(model.sample(n), folder + "/drawn.pt")
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a suite and its store."""
    folder = tmp_path_factory.mktemp("export")
    (folder / "suites").mkdir()
    (folder / "suites" / "mine.yaml").write_text(SUITE)
    session = open_session(folder / "suites" / "mine.yaml", fmbench.Options(home=folder / ".fmbench"))
    context = WorkerContext(session.registry, session.store)
    for training in session.plan.trainings:
        session.store.folder("training", training.key).begin(training.parts())
        train([training], context)
        trained = load_trained(training, context)
        for cell in session.plan.evaluations.of(training):
            session.store.folder("evaluation", cell.key).begin(cell.parts())
            evaluate(trained, cell, session.plan.metrics_for(training, "evaluation"))
    return folder


@pytest.fixture(scope="module")
def cells(home: Path) -> dict[str, EvaluationCell]:
    """Return an evaluation of seed 0 for each solver."""
    found = stored(home)
    all_cells = [found.evaluation(key) for key in found.store.keys("evaluation")]
    return {cell.solver.name: cell for cell in all_cells if cell.training.seed == 0}


def stored(home: Path) -> StoredCells:
    return StoredCells(Store(home / ".fmbench"), built_ins())


def invoke(*arguments: str) -> str:
    done = CliRunner().invoke(app, list(arguments))
    assert done.exit_code == 0, f"{done.output}{done.exception}"
    return done.output


def test_what_was_exported_samples_the_same_where_fmbench_cannot_be_imported(
    home: Path, cells: dict[str, EvaluationCell], tmp_path: Path
) -> None:
    folders = {name: tmp_path / name for name in ("heun", "ddim")}
    for name, folder in folders.items():
        config = export_cell(stored(home), cells[name].key, folder)
        assert config["program"] == "sampler"
    training = tmp_path / "training"
    export_cell(stored(home), cells["heun"].training.key, training)
    done = subprocess.run(
        [sys.executable, "-P", "-c", BLOCKED, *map(str, [*folders.values(), training])],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for name, folder in folders.items():
        own = load_file(home / ".fmbench" / "evaluation" / cells[name].key / "samples.safetensors")["samples"][:200]
        drawn = torch.load(folder / "drawn.pt", weights_only=True)
        assert len(own) == len(drawn) == 200
        torch.testing.assert_close(drawn, own, rtol=0, atol=1e-5)
    assert torch.isfinite(torch.load(training / "drawn.pt", weights_only=True)).all()


def test_labels_and_guidance_come_along(tmp_path: Path) -> None:
    registry = built_ins()
    context = WorkerContext(registry, Store(tmp_path / ".fmbench"))
    settings = {"class_conditional": True, "steps": 3}
    training = training_cell(registry, dataset="digits", network=("mlp", {"width": 16, "depth": 1}), settings=settings)
    train([training], context)
    cell = replace(evaluation_cell(registry, training, nfe=4), guidance=2.0, steps=2)
    evaluate(load_trained(training, context), cell, [])
    for section, each in (("training", training), ("evaluation", cell)):
        context.store.folder(section, each.key).begin(each.parts())  # type: ignore[attr-defined]
    export_cell(stored(tmp_path), cell.key, tmp_path / "winner")
    found: dict[str, Any] = {"__file__": str(tmp_path / "winner" / "sample.py"), "__name__": "sample"}
    exec((tmp_path / "winner" / "sample.py").read_text(), found)
    model = found["load"]()
    own = load_file(context.store.folder("evaluation", cell.key).path / "samples.safetensors")["samples"]
    torch.testing.assert_close(model.sample(len(own)), own, rtol=0, atol=1e-5)
    one_class = model.sample(5, seed=1, labels=[3])
    assert torch.equal(one_class, model.sample(5, seed=1, labels=3))
    assert not torch.equal(one_class, model.sample(5, seed=1, labels=4))
    assert found["check"](model) <= 1e-5
    drawn = draw(stored(tmp_path), cell.key, Asked(5, label=3))
    assert drawn.labels is not None
    assert drawn.labels.tolist() == [3] * 5


def test_the_card_has_the_evidence_and_front_matter_and_the_weights_are_the_stored_ones(
    home: Path, cells: dict[str, EvaluationCell], tmp_path: Path
) -> None:
    cell = cells["heun"]
    config = export_cell(stored(home), cell.key, tmp_path / "heun", licence="mit")
    (score,) = config["scores"]  # type: ignore[misc,attr-defined]
    found = stored(home)
    values = []
    for key in found.store.keys("evaluation"):
        if (other := found.evaluation(key)).solver == cell.solver:
            (entry,) = found.store.folder("evaluation", other.key).metrics().values()
            values.append(entry["values"]["sliced_wasserstein"])
    assert score["mean"] == pytest.approx(np.mean(values))
    assert (score["seeds"], score["samples"]) == (2, 300)
    card = (tmp_path / "heun" / "README.md").read_text()
    _, front, body = card.split("---\n", 2)
    content = yaml.safe_load(front)
    assert content["license"] == "mit"
    assert content["model-index"][0]["results"][0]["metrics"][0]["value"] == pytest.approx(score["mean"])
    assert re.search(r"place \d of 4 configurations", body)  # dopri5 has no NFE
    assert cell.key in body
    weights = load_file(tmp_path / "heun" / "model.safetensors")
    saved = load_file(home / ".fmbench" / "training" / cell.training.key / "weights.safetensors")
    assert all(torch.equal(value, saved[f"ema.{name}"]) for name, value in weights.items())


@pytest.mark.parametrize(("solver", "says"), [("dopri5", "chooses its steps"), ("ancestral", "draws noise")])
def test_a_solver_without_a_program_is_refused_and_the_training_named(
    home: Path, cells: dict[str, EvaluationCell], tmp_path: Path, solver: str, says: str
) -> None:
    with pytest.raises(UserError, match=rf"{says}.*fmbench export {cells[solver].training.key}"):
        export_cell(stored(home), cells[solver].key, tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_nothing_is_overwritten_unasked_and_mistakes_are_told(
    home: Path, cells: dict[str, EvaluationCell], tmp_path: Path
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    (tmp_path / "a.png").write_text("mine")
    key, place = cells["euler"].key, ["--home", str(home / ".fmbench")]
    for arguments, says in (
        (["export", key, "-o", str(tmp_path / "full")], "not empty"),
        (["export", key, "-o", str(tmp_path / "a.png")], "is a file"),
        (["export", key, "-o", str(tmp_path / "b"), "--weights", "raw"], "was evaluated with weights"),
        (["export", key, "-o", str(tmp_path / "b"), "--license", "x: y"], "identifier"),
        (["export", "ffffffff", "-o", str(tmp_path / "b")], "no training or evaluation"),
        (["export", "ff"], "at least its first"),
        (["sample", key, "-o", str(tmp_path / "a.png")], "is there already"),
        (["sample", key, "-o", str(tmp_path / "a.txt")], "suffix"),
        (["sample", key, "-o", str(tmp_path / "c.png"), "--solver", "heun", "--nfe", "3"], "2 or 4 times"),
        (["sample", key, "-o", str(tmp_path / "c.png"), "--class", "1"], "takes no classes"),
        (["sample", key, "-o", str(tmp_path / "c.png"), "--guidance", "2"], "needs labels"),
        (["sample", cells["euler"].training.key, "-o", str(tmp_path / "c.png")], "give --solver"),
        (["sample", key, "-o", str(tmp_path / "c.png"), "--solver", "hein"], "Did you mean 'heun'"),
    ):
        done = CliRunner().invoke(app, [*arguments, *place])
        assert isinstance(done.exception, UserError), done.output
        assert says in str(done.exception)
    assert (tmp_path / "a.png").read_text() == "mine"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.png", "full"]


def test_samples_are_those_of_the_evaluation_and_the_store_stays(
    home: Path, cells: dict[str, EvaluationCell], tmp_path: Path
) -> None:
    before = sorted((str(file), file.stat().st_mtime_ns) for file in (home / ".fmbench").rglob("*"))
    place = ["--home", str(home / ".fmbench"), "--device", "cpu"]
    for name in ("ancestral", "dopri5", "euler"):
        file = tmp_path / f"{name}.npz"
        invoke("sample", cells[name].key, "--n", "300", "-o", str(file), *place)
        own = load_file(home / ".fmbench" / "evaluation" / cells[name].key / "samples.safetensors")["samples"]
        np.testing.assert_allclose(np.load(file)["samples"][: len(own)], own.numpy(), atol=1e-5)
    invoke("sample", cells["euler"].key, "--seed", "9", "-o", str(tmp_path / "other.npy"), *place)
    assert not np.allclose(np.load(tmp_path / "other.npy"), np.load(tmp_path / "euler.npz")["samples"][:64])
    assert before == sorted((str(file), file.stat().st_mtime_ns) for file in (home / ".fmbench").rglob("*"))


def test_hostile_labels_mark_up_nothing_in_the_card(home: Path, cells: dict[str, EvaluationCell]) -> None:
    from fmbench.export.config import config_of
    from fmbench.export.evidence import ScoredEvidence
    from fmbench.export.model_card import Origin, model_card
    from fmbench.export.winner import winner_of

    evil = "x | <script>alert(1)</script>\n---\n# [a](b) `c` \x1b[2J"
    found = stored(home)
    winner = winner_of(cells["euler"], WorkerContext(found.registry, found.store))
    training = cells["euler"].training
    hostile = replace(
        training, network=replace(training.network, label=evil), dataset=replace(training.dataset, label=evil)
    )
    winner.cell = replace(cells["euler"], training=hostile, solver=replace(cells["euler"].solver, label=evil))
    winner.trained.cell = hostile
    card = model_card(winner, ScoredEvidence(), config_of(winner, ScoredEvidence(), "ema"), Origin(), None)
    assert "<script>" not in card.split("---\n", 2)[2]
    assert "\x1b" not in card
    assert "[a](b)" not in card.split("---\n", 2)[2]
    assert yaml.safe_load(card.split("---\n", 2)[1])["library_name"] == "pytorch"


class FakeHub:
    """Stands for the hub's interface."""

    def __init__(self, fails: bool = False) -> None:
        self.fails = fails
        self.calls: list[tuple[str, Any]] = []

    def create_repo(self, name: str, **options: Any) -> None:
        self.calls.append((name, options))

    def upload_folder(self, **options: Any) -> SimpleNamespace:
        if self.fails:
            raise RuntimeError("401 for token hf_secret")
        self.calls.append(("upload", options))
        return SimpleNamespace(commit_url="https://hub.example/me/model/commit/1")


def test_the_hub_is_given_the_models_files_alone_and_no_credential_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = FakeHub()
    assert upload(hub, "me/model", tmp_path, private=True) == "https://hub.example/me/model/commit/1"
    assert hub.calls[0][1]["private"] is True
    assert "README.md" in hub.calls[1][1]["allow_patterns"]
    with pytest.raises(UserError, match="did not take me/model") as raised:
        upload(FakeHub(fails=True), "me/model", tmp_path, private=False)
    assert "hf_secret" not in str(raised.value)
    for name in ("model", "a/b/c", "../x", "a/..", ""):
        with pytest.raises(UserError, match="USER/NAME"):
            check_hub(name)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(UserError, match=r"fmbench\[hub\]"):
        check_hub("me/model")


@pytest.mark.slow
def test_the_commands_and_the_five_lines_of_the_guide_run(
    home: Path, cells: dict[str, EvaluationCell], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home)
    hub = FakeHub()
    monkeypatch.setitem(sys.modules, "huggingface_hub", SimpleNamespace(HfApi=lambda: hub))  # type: ignore[arg-type]
    guide = GUIDE.read_text()
    commands = [line for block in re.findall(r"```bash\n(.*?)```", guide, re.S) for line in block.splitlines()]
    assert len(commands) == 7
    for command in commands:
        if command.startswith("fmbench "):
            words = shlex.split(command.replace("KEY", cells["heun"].key).replace("USER/NAME", "me/model"))[1:]
            invoke(*words, *(["--force"] if "--to-hub" in words else []))
    assert json.loads((home / "best" / "config.json").read_text())["nfe"] == 4
    assert len(hub.calls) == 2
    (five,) = re.findall(r"```python\n(.*?)```", guide, re.S)
    assert len(five.strip().splitlines()) <= 5
    done = subprocess.run(
        [sys.executable, "-c", five], cwd=home / "winner", capture_output=True, text=True, check=False
    )
    assert done.stdout == "torch.Size([16, 2])\n", done.stderr


def test_a_batch_of_one_size_is_cut_and_a_network_for_pictures_is_traced_whole(tmp_path: Path) -> None:
    from fmbench.export.winner import SamplerModule
    from fmbench.model.build import assemble, make_module
    from fmbench.model.traced_program import trace
    from fmbench.model.velocity import ModelVelocity

    registry = built_ins()
    context = WorkerContext(registry, Store(tmp_path / "store"))
    cell = training_cell(registry, dataset="digits", network="small_unet")
    parts = assemble(cell, context)
    module = make_module(cell, parts, "cpu").eval().requires_grad_(False)
    velocity = ModelVelocity(module, parts, None, "cpu", torch.Generator())
    model: Any = SimpleNamespace(module=module, context=context, cell=cell, decode=lambda x: x)
    for solver, batch in (("euler", None), ("ddim", 4)):
        sampler = SamplerModule(model, evaluation_cell(registry, cell, solver, nfe=1), velocity)
        x_0 = torch.randn(7, 1, 8, 8, generator=torch.Generator().manual_seed(0))
        program = trace(sampler, (x_0[:4],))
        assert program.batch == batch
        with torch.no_grad():
            torch.testing.assert_close(program(x_0), sampler(x_0), rtol=0, atol=1e-5)


def test_the_best_is_of_configurations_with_all_seeds_and_of_it_the_lowest_seed_goes() -> None:
    registry = built_ins()
    facts = MetricFacts("score", "lower", "", "evaluation", "score")
    scores = {("linear", 1): 2.0, ("linear", 0): 3.0, ("cosine", 0): 4.0, ("cosine", 1): 5.0, ("vp", 1): 0.1}
    evaluations = [
        SimpleNamespace(
            status="ok", metrics={"score": score},
            cell=evaluation_cell(registry, training_cell(registry, path=path, seed=seed)),
        )
        for (path, seed), score in scores.items()
    ]  # fmt: skip
    records: Any = SimpleNamespace(metrics=[facts], last_steps=SimpleNamespace(evaluations=evaluations))
    cell, metric = best_cell(records)
    assert (cell.training.path.name, cell.training.seed, metric) == ("linear", 0, "score"), "vp was lucky once"
    with pytest.raises(UserError, match="has no metric 'fid' of samples; it has score"):
        best_cell(records, "fid")
