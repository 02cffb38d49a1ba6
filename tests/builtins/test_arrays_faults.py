"""What people bring and nobody can train on: each fault has one message, and nothing is unpickled."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from own_arrays import LABELS, LEVELS, POINTS, both, built, planned, written

from fmbench import DataError
from fmbench.errors import ComponentError
from fmbench_datasets.arrays import Arrays


def broken(value: float) -> np.ndarray:
    points = POINTS.astype(np.float64)
    points[[7, 9], 1] = value
    return points


BAD: dict[str, tuple[dict[str, np.ndarray], dict[str, Any], str]] = {
    "labels of another length": (
        {"x": POINTS, "y": LABELS[:49]},
        {"labels": {"key": "y"}},
        r"labels are one for each example; array 'y' of .* has 49 and array 'x' of .* has 50 rows\. Save both",
    ),
    "not a number": (
        {"x": broken(np.nan)},
        {},
        r"numbers are finite.* 2 of 50 rows \(the first is number 7, .*\) are not",
    ),
    "too large for float32": ({"x": broken(1e300)}, {}, r"in float32 too.* 2 of 50 rows .*isfinite\(x\.astype\("),
    "no such array": (
        {"xs": POINTS, "y": LABELS},
        {},
        r"examples are to be array 'x' of .*own\.npz, which has none\. Did you mean 'xs'\? It has 'xs', 'y'\.",
    ),
    "several arrays": (
        {"x": POINTS, "y": LABELS},
        {"key": None},
        r"which of its arrays that is; found 'x', 'y'\. Name",
    ),
    "labels that are no whole numbers": (
        {"x": POINTS, "y": LABELS / 2},
        {"labels": {"key": "y"}},
        r"labels are whole numbers; array 'y' of .* is float64 \(50,\)\. Save y\.astype",
    ),
    "labels with a gap": (
        {"x": POINTS, "y": LABELS + (LABELS == 3)},
        {"labels": {"key": "y"}},
        r"labels are 0 to classes - 1 without gaps; those of .* are 0 to 4, and none is 3\. Save np\.unique",
    ),
    "labels from 1": (
        {"x": POINTS, "y": LABELS + 1},
        {"labels": {"key": "y"}},
        r"are 1 to 4, and none is 0\. Save y - 1, or",
    ),
    "labels far apart": (
        {"x": POINTS, "y": 10**12 * LABELS},
        {"labels": {"key": "y"}},
        r"none is 1, 2, 3, 4, 5, \.\.\.",
    ),
    "labels below 0": (
        {"x": POINTS, "y": LABELS - 1},
        {"labels": {"key": "y"}},
        r"labels are 0, 1, .* are -1 to 2\. Save",
    ),
    "labels of one-hot rows": (
        {"x": POINTS, "y": np.eye(4)[LABELS]},
        {"labels": {"key": "y"}},
        r"labels are \(n,\), a number a row; .* is float64 \(50, 4\)\. Of one-hot rows save y\.argmax\(1\)",
    ),
    "labels in a column": ({"x": POINTS, "y": LABELS[:, None]}, {"labels": {"key": "y"}}, r"Save y\.reshape\(-1\)"),
    "too few rows": ({"x": POINTS[:3]}, {}, r"each split has at least 2 examples.* has 3 rows\. Give more rows"),
    "too small a share": (
        {"x": POINTS},
        {"test": 0.01},
        r"50 rows, of which a share of 0\.01 leaves 0 for the test split",
    ),
    "no rows": ({"x": POINTS[:0]}, {}, r"examples are not empty; .* is float32 \(0, 3\)"),
    "levels without a range": (
        {"x": LEVELS},
        {},
        r'pictures need the range .* "0 to 255"; .* is uint8 \(50, 1, 4, 5\), and pictures is null\. Set it',
    ),
    "whole numbers as levels from -1 to 1": (
        {"x": LEVELS},
        {"pictures": "-1 to 1"},
        r'type uint8 are whole numbers, and levels -1 to 1 are not; .* Set pictures to "0 to 255"',
    ),
    "levels out of range": (
        {"x": LEVELS / 255.0 * 2 - 1},
        {"pictures": "0 to 1"},
        r"levels of pictures are 0 to 1, .* are -1 to 1: .* of 50 rows .* out of range\. Set .*: '-1 to 1', or",
    ),
    "levels of no range": (
        {"x": LEVELS * 2.0},
        {"pictures": "0 to 255"},
        r"are 0 to 510: .* out of range\. Scale them",
    ),
    "channels last": (
        {"x": LEVELS.reshape(50, 4, 5, 1).repeat(3, axis=3).repeat(2, axis=1)},
        {"pictures": "0 to 255"},
        r"looks like channels last\. Save x\.transpose\(0, 3, 1, 2\)",
    ),
    "grey pictures without channels": (
        {"x": LEVELS[:, 0]},
        {"pictures": "0 to 255"},
        r"save x\[:, None\] and set pictures",
    ),
    "points as pictures": ({"x": POINTS}, {"pictures": "0 to 1"}, r"pictures are \(n, channels.* Leave `pictures` out"),
    "numbers in a row": ({"x": POINTS[:, 0]}, {}, r"points are \(n, dim\); .* is float32 \(50,\)\. Save x\[:, None\]"),
    "a source of another shape": (
        {"x": POINTS, "x0": POINTS[:, :2]},
        {"source": {"key": "x0"}},
        r"the source has the shape of the examples, \(n, 3\), n at least 2; array 'x0' of .* is float32 \(50, 2\)",
    ),
    "text": ({"x": np.array([["a", "b"]])}, {}, r"float16, float32, float64 or an integer; .* is str\d* \(1, 2\)"),
    "complex numbers": ({"x": POINTS * 1j}, {}, r"float16, float32, float64 or an integer; .* is complex"),
    "objects": (
        {"x": np.array([[1, 2], [3, None]], dtype=object)},
        {},
        r"array 'x' of .* holds Python objects, .* pickles can run code: they are not read\. Make one array",
    ),
}


@pytest.mark.parametrize("fault", BAD)
def test_what_cannot_be_trained_on_has_one_message(fault: str, tmp_path: Path) -> None:
    arrays, parameters, message = BAD[fault]
    np.savez(tmp_path / "own.npz", **arrays)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=message):
        both(built(str(tmp_path / "own.npz"), **{"key": "x", **parameters}))


class Runs:
    """Unpickling it leaves a file, as a pickle that somebody sent may do worse."""

    def __reduce__(self) -> Any:
        return Path.touch, (Path("it-ran"),)


def test_pickles_are_not_read_whatever_they_are_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("objects.npy", np.array([Runs(), Runs()], dtype=object), allow_pickle=True)
    np.savez("objects.npz", x=np.array([Runs(), Runs()], dtype=object))
    Path("pickle.npy").write_bytes(pickle.dumps(Runs()))
    Path("pickle.npz").write_bytes(pickle.dumps(Runs()))
    Path("pickle.safetensors").write_bytes(pickle.dumps(Runs()))
    for name in ("objects.npy", "objects.npz", "pickle.npy", "pickle.npz", "pickle.safetensors"):
        with pytest.raises(DataError, match=r"not read"):
            Arrays(file=name)
    assert not Path("it-ran").exists()


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".safetensors"])
def test_half_a_file_is_broken(suffix: str, tmp_path: Path) -> None:
    file = Path(written(tmp_path / f"x{suffix}", x=POINTS))
    content = file.read_bytes()
    for part in (0, 5, len(content) // 2, len(content) - 1):
        file.write_bytes(content[:part])
        with pytest.raises(DataError, match=rf"cannot be read as a {suffix} file .*Write it with (np|safetensors)"):
            Arrays(file=str(file)).load("train")


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"file": "x.txt"}, r"known by their suffix: \.npy .*\.safetensors .*; found x\.txt"),
        ({"file": "folder.npy"}, r"folder\.npy: it is no file"),
        ({"file": "gone.npy"}, r"gone\.npy: it does not exist\. Relative paths begin"),
        ({"file": "x.npy", "key": "x"}, r"a \.npy file holds one array, which has no name"),
        ({"file": "x.npy", "test": "x.npy"}, r"share no example; in x\.npy 50 of 50 rows .* are in x\.npy too"),
        ({"file": "x.npy", "test": "y.npy"}, r"points are \(n, dim\); y\.npy is"),
        (
            {"file": "x.npy", "test": "two.npy"},
            r"test examples have the shape of x\.npy, .* two\.npy is float32 \(50, 2\)",
        ),
        (
            {"file": "x.npy", "labels": "y.npy", "test": "other.npy", "test_labels": "y.npy"},
            r"labels are one for each example; y\.npy has 50 and other\.npy has 4 rows",
        ),
        (
            {"file": "x.npy", "labels": "y.npy", "test": "other.npy", "test_labels": "nine.npy"},
            r"labels are 0 to 3, as in training; those of nine\.npy are 9 to 9",
        ),
    ],
)
def test_files_that_do_not_fit(
    parameters: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("x.txt").write_text("1 2 3")
    Path("folder.npy").mkdir()
    files = {"x": POINTS, "y": LABELS, "two": POINTS[:, :2], "other": POINTS[:4] + 9, "nine": np.full(4, 9)}
    for name, array in files.items():
        written(Path(f"{name}.npy"), x=array)
    with pytest.raises(DataError, match=message):
        Arrays(**parameters).load("test")


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"horizontal_flips": True}, "horizontal_flips is for pictures"),
        ({"test_labels": "x.npy"}, "test_labels is a file exactly where test and labels are files"),
        ({"test": "x.npy", "labels": "x.npy"}, "found test: 'x.npy', labels: 'x.npy', test_labels: None"),
        ({"test": 1.0}, "'test' of dataset 'arrays' must be number > 0 and < 1 or text; found 1.0"),
        ({"labels": {}}, "'labels' of dataset 'arrays' must be"),
        ({"pictures": "0 to 256"}, 'must be "-1 to 1" or "0 to 1" or "0 to 255" or null; found "0 to 256"'),
        ({"source": "gone.npy"}, "'source' of dataset 'arrays' names 'gone.npy', which cannot be read"),
    ],
)
def test_parameters_that_do_not_fit(
    parameters: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    written(Path("x.npy"), x=POINTS)
    with pytest.raises(ComponentError) as caught:
        built("x.npy", **parameters)
    assert message in str(caught.value)


def test_a_plan_refuses_what_cannot_be_read_and_computes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    written(Path("x.npy"), x=LEVELS)
    said = planned()
    assert isinstance(said.exception, DataError)
    assert "pictures need the range of their levels" in str(said.exception)
    assert not list(tmp_path.glob("store/training/*"))
