"""Samples made elsewhere, as they are read: what black and white become, which come first, and what is refused."""

from __future__ import annotations

import re
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest
import torch
import yaml
from helpers import built_ins, context
from numpy.lib import format as npy
from PIL import Image
from torch import Tensor

from fmbench.cells.cells import TrainingCell
from fmbench.errors import DataError, SuiteError
from fmbench.evaluation.given_samples import read_samples
from fmbench.plan import make_plan
from fmbench.suite import read_suite

N = 6
LEVELS = np.random.default_rng(0).integers(0, 256, (N, 8, 8), dtype=np.uint8)


def cell(home: Path, dataset: str = "digits", **entry: Any) -> TrainingCell:
    """Return the cell of samples in a folder; `x` among the entry's keys is saved as an array first."""
    if "x" in entry:
        np.savez(home / "x.npz", x=entry.pop("x"), **({"labels": entry.pop("y")} if "y" in entry else {}))
        entry |= {"file": str(home / "x.npz"), "key": "x"}
    suite = {"name": "s", "datasets": [dataset], "evaluation": {"samples": 3, "metrics": ["energy_distance"]}}
    text = yaml.safe_dump({**suite, "samples": [{"name": "theirs", **entry}]})
    (found,) = make_plan(read_suite(text), built_ins()).trainings
    return found


def read(home: Path, n: int = N, **entry: Any) -> Tensor:
    return read_samples(cell(home, **entry), n, context(home))[0]


def test_the_levels_of_pictures_become_those_of_a_dataset(tmp_path: Path) -> None:
    for number in range(N):
        Image.fromarray(LEVELS[number]).save(tmp_path / f"{number + 8}.png")
    expected = torch.from_numpy(LEVELS).float()[:, None] / 127.5 - 1
    assert torch.equal(read(tmp_path, folder=str(tmp_path)), expected), "8, 9, 10, ...: by number"
    assert torch.equal(read(tmp_path, folder=str(tmp_path), n=2), expected[:2])
    assert torch.equal(read(tmp_path, x=LEVELS), expected)
    assert torch.equal(read(tmp_path, x=LEVELS[..., None]), expected)


def test_channels_last_is_the_same_picture(tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 256, (N, 3, 5, 4), dtype=np.uint8)
    np.savez(tmp_path / "data.npz", x=x)
    dataset: Any = {"arrays": {"file": str(tmp_path / "data.npz"), "pictures": "0 to 255"}}
    first = read(tmp_path, dataset=dataset, x=x)
    assert torch.equal(first, read(tmp_path, dataset=dataset, x=x.transpose(0, 2, 3, 1)))
    assert first.shape == (N, 3, 5, 4)


def test_grey_pictures_saved_as_rgb_are_grey(tmp_path: Path) -> None:
    for number in range(N):
        Image.fromarray(LEVELS[number]).convert("RGB").save(tmp_path / f"{number}.png")
    assert torch.equal(read(tmp_path, folder=str(tmp_path)), torch.from_numpy(LEVELS).float()[:, None] / 127.5 - 1)
    Image.new("RGB", (8, 8), "red").save(tmp_path / "1.png")
    with pytest.raises(DataError, match=r"samples theirs: pictures of this dataset are grey; .*1\.png has colours"):
        read(tmp_path, folder=str(tmp_path))


def test_declared_black_and_white_become_minus_one_and_one(tmp_path: Path) -> None:
    x = torch.rand(N, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert torch.equal(read(tmp_path, x=x.numpy(), value_range=[-1, 1]), x), "to the last bit"
    torch.testing.assert_close(read(tmp_path, x=((x + 1) / 2).numpy(), value_range=[0, 1]), x)
    torch.testing.assert_close(read(tmp_path, x=((x + 1) * 127.5).double().numpy(), value_range=[0, 255]), x)


def test_points_are_taken_as_they_are(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(N, 2)).astype(np.float32)
    assert torch.equal(read(tmp_path, dataset="moons", x=x), torch.from_numpy(x))


def test_what_networks_overshoot_is_kept_and_another_range_is_refused(tmp_path: Path) -> None:
    x = torch.rand(N, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 3 - 1.5
    assert torch.equal(read(tmp_path, x=x.numpy(), value_range=[-1, 1]), x)
    inside = x.clamp(-1, 1).numpy()
    with pytest.raises(DataError, match=r"levels of array 'x' of .* are -1 to 1, .* Set value_range: \[-1\.0, 1\.0\]"):
        read(tmp_path, x=inside, value_range=[0, 1])
    with pytest.raises(DataError, match=r"Set value_range: \[0\.0, 255\.0\]"):
        read(tmp_path, x=LEVELS.astype(np.float32), value_range=[-1, 1])
    light = np.full_like(inside, 0.9)
    assert torch.equal(read(tmp_path, x=light, value_range=[-1, 1]), torch.from_numpy(light)), "of a bad network, say"


@pytest.mark.parametrize(("written", "declared"), [((0, 1), [0, 255]), ((-1, 1), [0, 255]), ((0, 1), [-1, 1])], ids=str)
def test_levels_that_fill_a_smaller_range_are_not_what_is_declared(
    written: tuple[float, float], declared: list[float], tmp_path: Path
) -> None:
    black, white = written
    x = black + (white - black) * LEVELS.astype(np.float32) / 255
    with pytest.raises(DataError, match=rf"Set value_range: \[{black:.1f}, {white:.1f}\]"):
        read(tmp_path, x=x, value_range=declared)
    dark = x - black + declared[0]
    assert len(read(tmp_path, x=dark * 0.3, value_range=declared)) == N, "little contrast is no mistake"


def test_what_no_sample_can_be_is_refused(tmp_path: Path) -> None:
    x = np.zeros((N, 2), dtype=np.float64)
    for value in (np.nan, np.inf, 1e300):
        x[4, 1] = value
        with pytest.raises(
            DataError, match=r"suite\.yaml:\d+:\d+: samples theirs: .* 1 of the first 6 are not .*number 4"
        ):
            read(tmp_path, dataset="moons", x=x)
    with pytest.raises(DataError, match="labels of digits are 0 to 9; found 3 to 10"):
        read(tmp_path, x=LEVELS, y=np.arange(3, 3 + N) + 2 * (np.arange(N) == 5))


def test_samples_that_are_sorted_by_class_are_not_cut(tmp_path: Path) -> None:
    y = np.repeat(np.arange(4), 60)
    x = np.broadcast_to(LEVELS[:1], (240, 8, 8))
    with pytest.raises(DataError, match=r"first 120 samples .* none of class 2, of which there are 60 among 240"):
        read(tmp_path, 120, x=x, y=y)
    assert len(read(tmp_path, 240, x=x, y=y)) == 240
    assert len(read(tmp_path, 120, x=x, y=np.random.default_rng(0).permutation(y))) == 120
    assert len(read(tmp_path, 3, x=x, y=y)) == 3, "three have not all of four classes in any order"


def test_a_header_of_other_bytes_than_those_that_follow_is_refused_before_memory_is_asked_for(tmp_path: Path) -> None:
    for shape in ((10**9, 1, 8, 8), (-5, 1, 8, 8)):
        header = BytesIO()
        npy.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})
        np.savez(tmp_path / "x.npz", y=LEVELS)
        with ZipFile(tmp_path / "x.npz", "a") as archive:
            archive.writestr("samples.npy", header.getvalue() + bytes(640))
        (tmp_path / "x.npy").write_bytes(header.getvalue() + bytes(640))
        for file in ("x.npz", "x.npy"):
            with pytest.raises(
                SuiteError, match=re.escape(f"tells of an array {shape} of uint8, and 640 bytes follow")
            ):
                cell(tmp_path, file=str(tmp_path / file))


def test_what_is_wrong_with_a_place_is_said_in_full(tmp_path: Path) -> None:
    folder = tmp_path / "samples"
    for number in range(7):
        (folder / f"class {number}").mkdir(parents=True)
        Image.fromarray(LEVELS[0]).save(folder / f"class {number}" / "0.png")
    with pytest.raises(SuiteError, match=r"found 7: class 0, class 1, .*, class 4, 2 more\.$"):
        cell(tmp_path, folder=str(folder), labels="subfolders")
    (folder / "x.png").symlink_to("nowhere")
    with pytest.raises(SuiteError, match=r"x\.png is not a picture that can be read \(No such file or directory\)"):
        cell(tmp_path, folder=str(folder))
    with pytest.raises(
        SuiteError, match=r"holds 0 samples, .*: scores of another number are not comparable\. Add samples\.$"
    ):
        cell(tmp_path, x=LEVELS[:0])


def test_files_that_changed_since_they_were_planned_are_not_scored(tmp_path: Path) -> None:
    planned = cell(tmp_path, x=LEVELS)
    np.savez(tmp_path / "x.npz", x=LEVELS[::-1])
    with pytest.raises(DataError, match="is not what was planned: it has changed since"):
        read_samples(planned, N, context(tmp_path))
