"""Pickles that pose as weights, checkpoints, samples, statistics, data or histories: a message, and no code run."""

from __future__ import annotations

import pickle
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from canary import pickles
from command_line import fmbench
from helpers import context, training_cell
from suites_of_models import MLP, written

from fmbench.errors import DamagedFile, UserError
from fmbench.history import parquet_file
from fmbench.io.array_files import find_array
from fmbench.model.trained_model import load_trained
from fmbench.plugins.registry import Registry
from fmbench.regression import baseline_file
from fmbench.store.store import Store
from fmbench.store.store_mark import claim
from fmbench.training.loop import train
from fmbench_datasets.cifar10 import Cifar10
from fmbench_metrics.published_statistics import target_on
from fmbench_metrics.weights_file import WeightsFile
from fmbench_models.checkpoint import read_weights

FORMS = tuple(pickles(Path("canary")))


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Path]:
    """A folder that must not be there in the end."""
    place = tmp_path / "code-was-run"
    yield place
    assert not place.exists()


READERS: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "weights of a model": ("weights.pt", read_weights),
    "weights of a model, named safetensors": ("weights.safetensors", read_weights),
    "weights of a metric": ("weights.pth", WeightsFile("a", "b", "c").read),
    "weights of a metric, named safetensors": ("weights.safetensors", WeightsFile("a", "b", "c").read),
    "samples as .npy": ("samples.npy", lambda file: find_array(str(file), None, "samples").read()),
    "samples as .npz": ("samples.npz", lambda file: find_array(str(file), "x", "samples").read()),
    "samples as safetensors": ("samples.safetensors", lambda file: find_array(str(file), None, "samples").read()),
    "published statistics": ("statistics.npz", lambda file: target_on(str(file), ("mu", "sigma"), "cpu")),
    "a history": ("tiny.parquet", lambda file: parquet_file.read(file, "tiny")),
    "a baseline": ("tiny.json", lambda file: baseline_file.read_baseline(file, "tiny")),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("reader", READERS)
def test_a_pickle_that_poses_as_another_file_is_refused_in_one_message(
    reader: str, form: str, tmp_path: Path, canary: Path
) -> None:
    name, read = READERS[reader]
    file = tmp_path / name
    file.write_bytes(pickles(canary)[form])
    with pytest.raises(UserError) as refused:
        read(file)
    said = str(refused.value)
    assert str(file) in said
    assert "Traceback" not in said
    assert len(said) < 1200 + len(str(file))


def test_the_pickles_of_these_tests_run_code(tmp_path: Path) -> None:
    """Or nothing here could fail."""
    for form in ("pickle 0", "pickle 2", "pickle 5", "optimised pickle"):
        pickle.loads(pickles(tmp_path / form)[form])
        assert (tmp_path / form).is_dir()


@pytest.mark.parametrize("form", FORMS)
def test_a_checkpoint_whose_checksum_is_right_is_loaded_without_code_and_else_begun_anew(
    form: str, tmp_path: Path, canary: Path, registry: Registry
) -> None:
    cell, here = training_cell(registry, settings={"steps": 5}), context(tmp_path, registry)
    folder = here.store.folder("training", cell.key)
    folder.begin(cell.parts())
    folder.checkpoints.save(3, pickles(canary)[form])
    train([cell], here)
    assert folder.recorded() is not None


def test_a_file_of_pictures_that_was_exchanged_is_not_unpickled(
    tmp_path: Path, canary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CIFAR-10 comes as pickles; torchvision compares each with its checksum first."""
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for name in ("batches.meta", "test_batch", *(f"data_batch_{number}" for number in range(1, 6))):
        (folder / name).write_bytes(pickles(canary)["pickle 2"])
    with tarfile.open(tmp_path / "cifar-10-python.tar.gz", "w:gz") as archive:
        archive.add(folder, folder.name)
    monkeypatch.setattr("fmbench_datasets.downloads._retrieve", refuse)
    with pytest.raises(UserError):
        Cifar10(root=str(tmp_path)).load("train")


def refuse(*_: Any, **__: Any) -> Any:
    raise OSError("nothing is fetched here")


@pytest.mark.slow
@pytest.mark.parametrize("form", ["pickle 2", "torch zip"])
def test_a_model_that_is_a_pickle_is_planned_unread_and_fails_its_cell(form: str, tmp_path: Path, canary: Path) -> None:
    file = tmp_path / "model.pt"
    file.write_bytes(pickles(canary)[form])
    suite = written(tmp_path, models=[{"checkpoint": {"file": str(file), "network": MLP}}])
    for verb, options, code in (("plan", (), 0), ("run", ("--no-tracking",), 1)):
        done = fmbench(verb, str(suite), *options, "--home", str(tmp_path / "home"), cwd=tmp_path)
        said = done.stdout + done.stderr
        assert done.returncode == code, said
        assert "Traceback" not in said
        assert not canary.exists()
    assert "posix.mkdir, which could run code" in said
    assert not list((tmp_path / "home").glob("evaluation/*/result.json"))


@pytest.mark.parametrize("kind", ["network of a checkpoint", "model in Python"])
def test_python_files_that_a_suite_names_are_read_and_not_run_by_a_plan(
    kind: str, tmp_path: Path, canary: Path
) -> None:
    (tmp_path / "mine.py").write_text(f"import os\nos.mkdir({str(canary)!r})\ndef build(): ...\nclass Net: ...\n")
    (tmp_path / "weights.pt").write_bytes(b"x")
    target = f"{tmp_path / 'mine.py'}:"
    checkpoint = {"checkpoint": {"file": str(tmp_path / "weights.pt"), "network": {f"{target}Net": {}}}}
    python = {"python": {"function": f"{target}build", "path": "linear"}}
    suite = written(tmp_path, models=[checkpoint if kind == "network of a checkpoint" else python])
    for words in (("plan", str(suite)), ("plan", str(suite), "--json"), ("why", "0", str(suite))):
        done = fmbench(*words, "--home", str(tmp_path / "home"), cwd=tmp_path)
        assert done.returncode == 0 or (words[0], done.returncode) == ("why", 2), done.stderr  # is there a key with 0?
        assert not canary.exists()


@pytest.mark.parametrize("form", FORMS)
def test_weights_in_a_store_that_are_a_pickle_are_no_weights(
    form: str, tmp_path: Path, canary: Path, registry: Registry
) -> None:
    """Whoever can write to a store can write checksums, too."""
    cell, here = training_cell(registry, settings={"steps": 3}), context(tmp_path, registry)
    train([cell], here)
    folder = here.store.folder("training", cell.key)
    recorded = folder.recorded()
    assert recorded is not None
    folder.write("weights.safetensors", pickles(canary)[form])
    folder.finish({"facts": recorded["facts"]}, ("weights.safetensors", "history.json"))
    with pytest.raises(DamagedFile, match=r"weights\.safetensors holds no tensors"):
        load_trained(cell, here)


def test_a_store_of_somebody_else_is_merged_without_reading_its_weights(tmp_path: Path, canary: Path) -> None:
    theirs = tmp_path / "theirs"
    for section in ("training", "study", "snapshot", "course", "evaluation"):
        for number, content in enumerate(pickles(canary).values()):
            cell = theirs / section / f"{number:020x}"
            cell.mkdir(parents=True)
            for name in ("cell.json", "result.json", "weights.safetensors", f"checkpoint-1-{'0' * 64}.pt"):
                (cell / name).write_bytes(content)
    claim(Store(theirs))
    done = fmbench("merge", str(theirs), "--into", str(tmp_path / "ours"), cwd=tmp_path)
    assert done.returncode in (1, 2)
    assert "Traceback" not in done.stdout + done.stderr
