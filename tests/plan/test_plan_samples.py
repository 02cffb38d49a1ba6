"""Samples made elsewhere, as cells: what they are compared with before anything runs, and what counts in their keys."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from helpers import built_ins
from PIL import Image

from fmbench.cells.cells import EvaluationCell
from fmbench.errors import SuiteError, UserError
from fmbench.io.picture_files import natural_order
from fmbench.plan import Plan, make_plan
from fmbench.suite import read_suite

N = 12
LEVELS = np.random.default_rng(0).integers(0, 256, (N, 8, 8), dtype=np.uint8)
EVALUATION: dict[str, Any] = {"samples": N, "metrics": ["sliced_wasserstein"]}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def pictures(place: Path, levels: np.ndarray = LEVELS, mode: str | None = None) -> str:
    """Write pictures 0.png, 1.png, ... and return the folder's name."""
    place.mkdir(parents=True, exist_ok=True)
    for number, each in enumerate(levels):
        picture = Image.fromarray(each)
        (picture.convert(mode) if mode else picture).save(place / f"{number}.png")
    return place.name


def array(file: Path, **arrays: np.ndarray) -> str:
    np.savez(file, **arrays)
    return file.name


def plan(*entries: dict[str, Any], datasets: tuple[Any, ...] = ("digits",), filters: Any = (), **suite: Any) -> Plan:
    named = [{"name": "theirs", **entry} for entry in entries]
    text = yaml.safe_dump(
        {"name": "s", "datasets": list(datasets), "evaluation": EVALUATION, **suite, "samples": named}
    )
    return make_plan(read_suite(text), built_ins(), filters)


def cell(*entries: dict[str, Any], **more: Any) -> EvaluationCell:
    (only,) = plan(*entries, **more).evaluations
    return only


def test_a_suite_of_samples_needs_neither_training_nor_solvers(folder: Path) -> None:
    found = cell({"folder": pictures(folder / "out"), "nfe": 8})
    assert (str(found.training.network), str(found.solver), found.nfe) == ("theirs", "made elsewhere", 8)
    assert str(found) == "digits theirs made elsewhere seed=0 nfe=8"


def test_numbers_in_names_are_in_their_own_order() -> None:
    names = ["10.png", "9.png", "b/2.png", "b/10.png", "a2/1.png", "a10/1.png", "1.png"]
    expected = ["1.png", "9.png", "10.png", "a2/1.png", "a10/1.png", "b/2.png", "b/10.png"]
    assert sorted(names, key=natural_order) == expected


def test_the_key_is_that_of_the_content_and_of_how_it_is_read(folder: Path) -> None:
    before = cell({"folder": pictures(folder / "out")}).key
    os.utime(folder / "out" / "3.png", (1, 1))
    (folder / "out").rename(folder / "elsewhere")
    (folder / "elsewhere" / "notes.txt").write_text("no picture")
    assert cell({"folder": "elsewhere"}).key == before

    changed = LEVELS.copy()
    changed[5, 0, 0] ^= 1
    assert cell({"folder": pictures(folder / "changed", changed)}).key != before
    swapped = LEVELS[[1, 0, *range(2, N)]]
    assert cell({"folder": pictures(folder / "swapped", swapped)}).key != before, "the first n are others"

    file = array(folder / "x.npz", x=LEVELS.astype(np.float32))
    ranges = {cell({"file": file, "value_range": each}).key for each in ([0, 255], [0, 300])}
    assert len(ranges) == 2


def test_bytes_are_bytes_whether_their_range_is_written_or_not(folder: Path) -> None:
    file = array(folder / "x.npz", x=LEVELS)
    assert cell({"file": file}).key == cell({"file": file, "value_range": [0, 255]}).key


def test_several_places_are_repeats_and_stand_under_a_seed_each(folder: Path) -> None:
    places = [pictures(folder / f"out{k}", np.roll(LEVELS, k)) for k in range(3)]
    cells = list(plan({"folders": places, "nfe": 4}).evaluations)
    assert [each.training.seed for each in cells] == [0, 1, 2]
    assert len({each.training.network.text for each in cells}) == 1, "one row of the table"
    assert [each.training.seed for each in plan({"folders": places, "seeds": [7, 5, 3]}).evaluations] == [7, 5, 3]


def test_metrics_of_a_network_are_left_out_with_the_reason(folder: Path) -> None:
    metrics = ["sliced_wasserstein", "validation_loss", "train_seconds", "sample_ms", "solver_error", "nfe"]
    found = plan({"folder": pictures(folder / "out")}, evaluation={**EVALUATION, "metrics": metrics})
    assert [spec.name for spec in found.metrics] == ["sliced_wasserstein"]
    assert {left.cell for left in found.left_out} == {f"metric={name}" for name in metrics[1:]}
    assert all("is no metric of samples alone" in left.reason for left in found.left_out)


def test_metrics_of_classes_are_for_samples_with_labels(folder: Path) -> None:
    evaluation = {**EVALUATION, "metrics": ["sliced_wasserstein", "class_wasserstein"]}
    plain = array(folder / "plain.npz", samples=LEVELS)
    labelled = array(folder / "labelled.npz", samples=LEVELS, labels=np.arange(N) % 10)
    entries = [{"file": plain, "name": "plain"}, {"file": labelled, "name": "labelled"}]
    found = plan(*entries, evaluation=evaluation)
    wanted = {str(c.network): [m.name for m in found.metrics_for(c, "evaluation")] for c in found.trainings}
    assert wanted == {"plain": ["sliced_wasserstein"], "labelled": ["sliced_wasserstein", "class_wasserstein"]}
    assert [str(left) for left in found.left_out] == [
        "network=plain metric=class_wasserstein: class_wasserstein needs samples with labels"
    ]


def test_filters_and_exclusions_know_their_names_and_nfe(folder: Path) -> None:
    entries = [
        {"folder": pictures(folder / "a"), "name": "torchcfm heun", "nfe": 8},
        {"folder": pictures(folder / "b"), "name": "edm", "nfe": 35},
    ]
    assert [str(c.training.network) for c in plan(*entries, filters=["network=torchcfm heun"]).evaluations] == [
        "torchcfm heun"
    ]
    assert [c.nfe for c in plan(*entries, filters=["nfe=35"]).evaluations] == [35]
    left = plan(*entries, exclude=[{"network": "edm"}])
    assert [c.nfe for c in left.evaluations] == [8]
    with pytest.raises(UserError, match="The axis holds torchcfm heun, edm"):
        plan(*entries, filters=["network=other"])


def test_they_stand_beside_trained_cells_whose_keys_they_leave_alone(folder: Path) -> None:
    evaluation = {**EVALUATION, "solvers": ["euler", "dopri5"], "nfe": [2]}
    training = {"paths": ["linear"], "networks": ["mlp"], "steps": 10}
    alone = yaml.safe_dump({"name": "s", "datasets": ["digits"], "evaluation": evaluation, "training": training})
    keys = list(make_plan(read_suite(alone), built_ins()).evaluations.keys())
    entry = {"folder": pictures(folder / "out"), "nfe": 8}
    both = plan(entry, evaluation=evaluation, training=training, baseline={"network": "theirs"})
    assert list(both.evaluations.keys())[: len(keys)] == keys
    assert len(both.evaluations) == len(keys) + 1


def test_the_classes_of_subfolders_take_turns(folder: Path) -> None:
    from fmbench.io.picture_files import list_pictures

    for label in range(10):
        pictures(folder / "out" / str(label), LEVELS[:3])
    found, labels = list_pictures(folder / "out", 10)
    assert labels == [*range(10)] * 3
    assert [each.name for each in found[:2]] == ["0/0.png", "1/0.png"]
    walked, none = list_pictures(folder / "out")
    assert [each.name for each in walked] == [each.name for each in found], "whether or not they are said to be classes"
    assert not none
    evaluation = {"samples": 20, "metrics": ["class_wasserstein"]}
    assert cell({"folder": "out", "labels": "subfolders"}, evaluation=evaluation)


@pytest.mark.parametrize("shape", [(8, 8), (1, 8, 8), (8, 8, 1)])
def test_grey_arrays_may_have_their_channel_first_last_or_nowhere(folder: Path, shape: tuple[int, ...]) -> None:
    assert cell({"file": array(folder / "x.npz", arr_0=LEVELS.reshape(N, *shape))})


def test_what_is_an_array_of_samples_is_found_among_others(folder: Path) -> None:
    file = array(folder / "x.npz", samples=LEVELS, other=np.zeros(3))
    samples = cell({"file": file}).training.samples
    assert samples is not None
    assert samples.array == "samples"


def fault(entry: dict[str, Any], **more: Any) -> str:
    with pytest.raises(SuiteError) as raised:
        plan(entry, **more)
    return str(raised.value)


def test_a_folder_that_cannot_be_scored_is_refused_where_the_suite_names_it(folder: Path) -> None:
    taller = np.zeros((9, 8), dtype=np.uint8)
    pictures(folder / "mixed")
    Image.fromarray(taller).save(folder / "mixed" / "3.png")
    pictures(folder / "clear", mode="RGBA")
    pictures(folder / "broken")
    (folder / "broken" / "4.png").write_bytes(b"nothing")
    (folder / "empty").mkdir()
    pictures(folder / "ok")
    expected = {
        "nowhere": "it does not exist",
        "empty": "holds no picture",
        "mixed": "pictures of digits are 8 x 8; mixed/3.png is 8 x 9",
        "clear": "clear/0.png is of mode RGBA. Save it as L",
        "broken": "broken/4.png is not a picture",
    }
    for place, text in expected.items():
        said = fault({"folder": place})
        assert text in said
        assert said.startswith("suite.yaml:"), said
    too_few = fault({"folder": "ok"}, evaluation={**EVALUATION, "samples": 50})
    assert f"ok holds {N} samples, and evaluation.samples is 50" in too_few
    assert "pictures are of datasets of grey or RGB images" in fault({"folder": "ok"}, datasets=("moons",))
    assert "each subfolder of ok is a class; 0.png lies in none" in fault({"folder": "ok", "labels": "subfolders"})


def test_an_array_that_cannot_be_scored_is_refused(folder: Path) -> None:
    floats = LEVELS.astype(np.float32)
    cut = array(folder / "cut.npz", x=floats[:, :4])
    plain = array(folder / "plain.npz", x=floats)
    two = array(folder / "two.npz", a=floats, b=floats)
    points = array(folder / "points.npz", x=floats[:, 0, :2])
    labels = array(folder / "labels.npz", x=LEVELS, y=np.zeros(3, dtype=int))
    assert "samples of digits are (n, 1, 8, 8) or (n, 8, 8, 1)" in fault({"file": cut, "value_range": [0, 1]})
    assert "does not say what black and white are. Set value_range" in fault({"file": plain})
    assert "does not say which of its arrays that is; found 'a', 'b'" in fault({"file": two})
    assert "value_range is for pictures" in fault({"file": points, "value_range": [0, 1]}, datasets=("moons",))
    assert "labels are whole numbers, one a sample: (12,)" in fault({"file": labels, "key": "x", "labels": "y"})
    assert cell({"file": points}, datasets=("moons",))


def test_an_array_with_two_readings_says_which(folder: Path) -> None:
    x = np.zeros((N, 3, 3, 3), dtype=np.uint8)
    dataset = {"arrays": {"file": array(folder / "data.npz", x=np.random.default_rng(0).random(x.shape, np.float32))}}
    dataset["arrays"] |= {"pictures": "0 to 1"}
    file = array(folder / "x.npz", x=x)
    assert "may have its channels first or last. Say layout" in fault({"file": file}, datasets=(dataset,))
    keys = {cell({"file": file, "layout": each}, datasets=(dataset,)).key for each in ("NCHW", "NHWC")}
    assert len(keys) == 2


def test_entries_that_contradict_each_other_are_refused(folder: Path) -> None:
    one, copy = pictures(folder / "one"), pictures(folder / "copy")
    other = pictures(folder / "other", np.roll(LEVELS, 1))
    assert "hold the very same samples" in fault({"folders": [one, copy]})
    with pytest.raises(SuiteError, match="'theirs' stands twice for one dataset, NFE and seed"):
        plan({"folder": one}, {"folder": other})
    training = {"paths": ["linear"], "networks": ["mlp"], "steps": 10}
    evaluation = {**EVALUATION, "solvers": ["euler"], "nfe": [2]}
    assert "the name 'mlp' is taken" in fault({"folder": one, "name": "mlp"}, training=training, evaluation=evaluation)
    assert "dataset must be one of the suite's" in fault({"folder": one}, datasets=("digits", "moons"))
    assert "found mnist" in fault({"folder": one, "dataset": "mnist"})
    assert cell({"folder": one, "dataset": "digits"}, datasets=("digits", "moons"))


def test_further_draws_of_noise_are_for_cells_that_draw(folder: Path) -> None:
    entry = {"folder": pictures(folder / "out")}
    assert cell(entry, evaluation={**EVALUATION, "noise_draws": 3}).key == cell(entry).key
