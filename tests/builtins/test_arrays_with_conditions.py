"""Arrays with condition vectors: what is read, that vectors stay with their rows, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from own_arrays import LABELS, LEVELS, POINTS, REGISTRY, planned, written

from fmbench import DataError

VECTORS = np.stack([POINTS[:, 0], 2 * POINTS[:, 1]], axis=1)
"""They follow from their points."""


def built(file: str, **parameters: Any) -> Any:
    return REGISTRY.build(REGISTRY.spec("dataset", "arrays_with_conditions", {"file": file, **parameters}))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_vectors_stay_with_their_examples(tmp_path: Path, dtype: Any) -> None:
    dataset = built(written(tmp_path / "own.npz", x=POINTS, c=VECTORS.astype(dtype)), key="x", labels={"key": "c"})
    assert (dataset.condition_width, dataset.classes) == (2, 0)
    for split in ("train", "test"):
        x, c = dataset.load(split)
        assert c.dtype == torch.float32
        expected = torch.stack([x[:, 0], 2 * x[:, 1]], dim=1)
        torch.testing.assert_close(c, expected, rtol=0, atol=1e-2 if dtype == np.float16 else 0)


def test_splits_are_those_of_arrays(tmp_path: Path) -> None:
    file = written(tmp_path / "own.npz", x=POINTS, c=VECTORS)
    plain = REGISTRY.build(REGISTRY.spec("dataset", "arrays", {"file": file, "key": "x"}))
    for split in ("train", "test"):
        assert torch.equal(plain.load(split)[0], built(file, key="x", labels={"key": "c"}).load(split)[0])


def test_files_of_their_own_and_flips(tmp_path: Path) -> None:
    x, other = written(tmp_path / "x.npy", x=LEVELS[:30]), written(tmp_path / "other.npy", x=LEVELS[30:])
    c, of_other = written(tmp_path / "c.npy", c=VECTORS[:30]), written(tmp_path / "of_other.npy", c=VECTORS[30:])
    parameters = {"pictures": "0 to 255", "labels": c, "test": other, "test_labels": of_other}
    dataset = built(x, **parameters, horizontal_flips=True)
    (pictures, vectors), (_, held_out) = dataset.load("train"), dataset.load("test")
    assert torch.equal(pictures[30:], pictures[:30].flip(-1))
    assert torch.equal(vectors, torch.from_numpy(np.concatenate([VECTORS[:30]] * 2)))
    assert torch.equal(held_out, torch.from_numpy(VECTORS[30:]))
    assert "with condition vectors of 2 numbers" in dataset.describe()
    written(tmp_path / "of_other.npy", c=VECTORS[30:, :1])
    with pytest.raises(DataError, match=r"have 2 numbers, as in training; .* is float32 \(20, 1\)"):
        built(x, **parameters).load("test")


BAD = {
    "labels": (LABELS, r"condition vectors are \(n, width\), .* take the dataset arrays"),
    "another length": (VECTORS[:49], "condition vectors are one for each example; .* has 49 and .* has 50 rows"),
    "no number": (VECTORS.astype(bool), "condition vectors are numbers"),
    "NaN": (np.where(VECTORS[7] == VECTORS, np.nan, VECTORS), r"1 of 50 rows \(the first is number 7, .*\) is not"),
    "no columns": (VECTORS[:, :0], r"condition vectors are \(n, width\)"),
}


@pytest.mark.parametrize("mistake", BAD)
def test_what_are_no_vectors_is_refused(tmp_path: Path, mistake: str) -> None:
    vectors, said = BAD[mistake]
    file = written(tmp_path / "own.npz", x=POINTS, c=vectors)
    with pytest.raises(DataError, match=said):
        built(file, key="x", labels={"key": "c"})


def test_vectors_given_to_arrays_are_told_where_to_go(tmp_path: Path) -> None:
    file = written(tmp_path / "own.npz", x=POINTS, c=VECTORS)
    with pytest.raises(DataError, match="take the dataset arrays_with_conditions"):
        REGISTRY.build(REGISTRY.spec("dataset", "arrays", {"file": file, "key": "x", "labels": {"key": "c"}}))


def test_a_plan_tells_networks_the_vectors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    written(Path("x.npz"), x=POINTS, c=VECTORS)
    dataset = "datasets=[{arrays_with_conditions: {file: x.npz, key: x, labels: {key: c}}}]"
    said = planned(dataset, "training.class_conditional=true", "training.couplings=[conditional_ot]")
    assert said.exit_code == 0, said.output
    assert "condition vectors of 2 numbers" in " ".join(said.output.split())
    nobody = planned(dataset.replace(", labels: {key: c}", ""), "training.class_conditional=true").exception
    assert "needs 'classes' or 'vectors'" in str(nobody)
