"""Samples made elsewhere, from the suite to the table: their scores are those of the cell that drew them."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image
from safetensors.numpy import load_file

from fmbench.errors import SuiteError
from fmbench.report.result_table import make_result_tables
from fmbench.report.tables import standard_tables
from fmbench.report.tables.baseline import against_baseline
from fmbench.runner.run import RunResult, run
from fmbench.runner.session import Options, open_session
from fmbench.runner.why import explain_cell
from fmbench.store.merge import merge, open_sources
from fmbench.store.store import Store
from fmbench.tracking.cell_runs import Common, evaluation_contents

N = 200
METRICS = ["fid_digits", "sliced_wasserstein", "energy_distance", "validation_loss"]


def options(folder: Path) -> Options:
    return Options(home=folder / "store", reports=folder / "reports", tracking=False, jobs="1")


def ran(folder: Path, **suite: Any) -> RunResult:
    evaluation = {"samples": N, "keep_samples": N, "metrics": METRICS, **suite.pop("evaluation", {})}
    file = folder / f"{suite.pop('file', 'suite')}.yaml"
    file.write_text(yaml.safe_dump({"name": "s", "datasets": ["digits"], "evaluation": evaluation, **suite}))
    return run(file, options(folder))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("samples")


TRAINING = {"paths": ["linear"], "networks": [{"mlp": {"width": 16, "depth": 1}}], "seeds": [0, 1], "steps": 30}
SAMPLED = {"solvers": ["euler"], "nfe": [4]}


@pytest.fixture(scope="module")
def drawn(folder: Path) -> dict[int, np.ndarray]:
    """All samples that fmbench itself drew, by seed; they are written as arrays, and as pictures of seed 0."""
    result = ran(folder, training=TRAINING, evaluation=SAMPLED)
    found = {}
    for record in result.records.evaluations:
        assert record.samples is not None
        samples = load_file(record.samples)["samples"]
        seed = record.cell.training.seed
        found[seed] = samples
        np.savez(folder / f"drawn{seed}.npz", samples=samples)
    (folder / "pictures").mkdir()
    for number, each in enumerate(found[0]):
        levels = np.floor(each[0] * 127.5 + 128).clip(0, 255).astype(np.uint8)
        Image.fromarray(levels).save(folder / "pictures" / f"{number}.png")
    return found


@pytest.fixture(scope="module")
def result(folder: Path, drawn: dict[int, np.ndarray]) -> RunResult:
    theirs = {"files": [str(folder / f"drawn{seed}.npz") for seed in drawn], "name": "theirs", "nfe": 4}
    pictures = {"folder": str(folder / "pictures"), "name": "pictures"}
    return ran(
        folder,
        training=TRAINING,
        samples=[{**theirs, "value_range": [-1, 1]}, pictures],
        evaluation=SAMPLED,
        baseline={"network": "theirs"},
    )


def scores(result: RunResult, name: str) -> dict[str, list[float]]:
    frame = result.records.frame()
    rows = frame[frame.network == name]
    return {metric: rows[metric].tolist() for metric in METRICS[:3]}


def test_samples_that_fmbench_drew_have_the_score_of_the_cell_that_drew_them(result: RunResult) -> None:
    frame = result.records.frame()
    (network,) = set(frame.network) - {"theirs", "pictures"}
    assert scores(result, "theirs") == scores(result, network), "to the last bit"
    assert set(frame.status) == {"ok"}


def test_pictures_of_them_differ_by_their_quantisation(result: RunResult) -> None:
    exact, rounded = scores(result, "theirs"), scores(result, "pictures")
    assert rounded["fid_digits"] == exact["fid_digits"][:1], "its features are those of bytes anyway"
    assert rounded["sliced_wasserstein"] != exact["sliced_wasserstein"][:1]


def test_their_rows_say_what_is_known_and_nothing_else(result: RunResult) -> None:
    rows = [r.row() for r in result.records.evaluations if r.cell.training.samples is not None]
    assert {row["solver"] for row in rows} == {"made elsewhere"}
    assert [(row["network"], row["seed"], row["nfe_budget"], row["nfe"]) for row in rows] == [
        ("theirs", 0, 4, None),
        ("theirs", 1, 4, None),
        ("pictures", 0, None, None),
    ]
    assert all("validation_loss" not in row and row["guidance"] is None for row in rows)
    assert sum("seconds" in r.facts for r in result.records.trainings) == len(TRAINING["seeds"])


def test_they_share_the_table_of_their_nfe_and_those_without_one_have_their_own(result: RunResult) -> None:
    (table,) = make_result_tables(result.records)
    facts = table.headline
    assert facts is not None
    shown = standard_tables.by_nfe(table, facts, lambda row: "")
    assert shown is not None
    assert shown.columns == ("NFE 4",)
    assert [line.labels[-2:] for line in shown.lines[1:]] == [
        ("mlp(width=16, depth=1)", "euler"),
        ("theirs", "made elsewhere"),
    ]
    assert any("was not measured" in note for note in shown.notes)
    unsaid = standard_tables.of_unsaid(table, lambda row: "")
    assert unsaid is not None
    assert [line.labels for line in unsaid.lines[1:]] == [("pictures",)]
    assert standard_tables.of_adaptive(table, lambda row: "") is None
    losses = standard_tables.of_training(table, lambda row: "")
    assert losses is not None
    assert len(losses.lines) == 1


def test_as_the_baseline_they_are_compared_with_every_solver(result: RunResult) -> None:
    (table,) = make_result_tables(result.records)
    shown = against_baseline(table, {"network": "theirs"}, lambda row: "")
    assert shown is not None
    assert [[entry.note for entry in line.entries] for line in shown.lines] == [["n.d."]], "the very same samples"
    assert any("made elsewhere" in note for note in shown.notes)
    page = (result.report).read_text(encoding="utf-8")
    element = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert element
    assert len(json.loads(element[1])["datasets"][0]["rows"]["elsewhere"]) == 2, "the page says so: noise of its own"


def test_an_mlflow_run_of_them_has_their_name_and_no_training(result: RunResult) -> None:
    given = next(r for r in result.records.trainings if str(r.cell.network) == "theirs")
    own = [r for r in result.records.evaluations if r.cell.training.key == given.cell.key]
    (content,) = evaluation_contents(given, own, Common("s"))
    assert content.name == "made elsewhere | digits theirs seed=0"
    assert content.params["samples"] == "theirs"
    assert not any(name.startswith("training.") for name in content.params if name != "training.code")
    assert {value.step for part in content.parts.values() for value in part.values} == {4}


def test_a_second_run_computes_nothing_and_says_why(folder: Path, result: RunResult) -> None:
    session = open_session(folder / "suite.yaml", options(folder))
    again = run(folder / "suite.yaml", options(folder))
    assert again.computed == {}
    cell = next(c for c in session.plan.evaluations if c.training.samples is not None)
    assert explain_cell(session, cell.key)["verdict"].startswith("computed on cpu")


def test_a_copy_of_the_test_data_is_at_no_distance_from_it(folder: Path) -> None:
    from helpers import built_ins

    digits = built_ins().build(built_ins().spec("dataset", "digits"))
    x = digits.load("test")[0].numpy()  # type: ignore[attr-defined]
    np.savez(folder / "copy.npz", samples=x)
    entry = {"file": str(folder / "copy.npz"), "name": "copy", "value_range": [-1, 1]}
    evaluation = {"samples": len(x), "metrics": ["sliced_wasserstein"]}
    found = ran(folder, file="copies", samples=[entry], evaluation=evaluation)
    (record,) = found.records.evaluations
    (floor,) = found.records.references
    assert record.metrics["sliced_wasserstein"] < 1e-6 < floor.metrics["sliced_wasserstein"]


def test_a_folder_that_changed_is_scored_anew_and_why_says_so(folder: Path, drawn: dict[int, np.ndarray]) -> None:
    place = folder / "changing"
    shutil.copytree(folder / "pictures", place)
    samples = [{"folder": str(place), "name": "changing"}]
    suite = {"file": "changing", "samples": samples, "evaluation": {"metrics": METRICS[1:2]}}
    first = ran(folder, **suite).records.evaluations[0]
    (place / "0.png").rename(place / "9999.png")
    second = ran(folder, **suite)
    assert second.computed == {"evaluation": 1}
    assert second.records.evaluations[0].cell.key != first.cell.key

    Image.new("L", (8, 8)).save(place / "5.png")
    session = open_session(folder / "changing.yaml", options(folder))
    (cell,) = session.plan.evaluations
    differences = explain_cell(session, cell.key)["differences"]
    assert [part for part, _, _ in differences] == ["made_elsewhere.samples.fingerprint"]


def test_stores_that_hold_them_are_merged(folder: Path, result: RunResult, tmp_path: Path) -> None:
    into = tmp_path / "other"
    merge(open_sources([folder / "store"], into), Store(into))
    session = open_session(folder / "suite.yaml", Options(home=into))
    given = [c for c in session.plan.evaluations if c.training.samples is not None]
    assert given
    assert all(session.results_index().evaluation(cell).status == "ok" for cell in given)


def test_reports_need_no_samples_that_a_run_has_read(tmp_path: Path) -> None:
    levels = np.random.default_rng(0).random((20, 1, 8, 8))
    np.savez(tmp_path / "theirs.npz", samples=levels)
    entry = {"file": str(tmp_path / "theirs.npz"), "name": "theirs", "value_range": [0, 1]}
    few = {"samples": 20, "metrics": ["energy_distance"]}
    done = ran(tmp_path, samples=[entry], evaluation=few)
    (tmp_path / "theirs.npz").unlink()
    reading = dataclasses.replace(options(tmp_path), computes=False)
    session = open_session(tmp_path / "suite.yaml", reading)
    assert [cell.key for cell in session.plan.evaluations] == [each.cell.key for each in done.records.evaluations]
    assert session.registry.gone == [str(tmp_path / "theirs.npz")]
    with pytest.raises(SuiteError, match="it does not exist"):
        open_session(tmp_path / "suite.yaml", options(tmp_path))
    text = (tmp_path / "suite.yaml").read_text()
    (tmp_path / "suite.yaml").write_text(text.replace("- 0\n", "- -1\n"))
    with pytest.raises(SuiteError, match="it does not exist"):
        open_session(tmp_path / "suite.yaml", reading)
