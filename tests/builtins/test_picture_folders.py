"""Folders of pictures as people have them: links, splits on disk, what archives bring along, and what is no file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from fmbench import DataError
from fmbench.cli.app import app
from fmbench.plugins.source import content_fingerprint
from fmbench_datasets.image_folder import ImageFolder


def pictures(folder: Path, n: int = 10, suffix: str = "png", level: int = 0) -> None:
    """Write n tiny pictures of one level."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(n):
        with (folder / f"{i:03d}.{suffix}").open("wb") as file:
            Image.new("RGB", (4, 4), (level,) * 3).save(file, "JPEG" if suffix.startswith("j") else "PNG")


def counts(folder: Path) -> tuple[int, int]:
    """Return how many pictures are read, both splits together, and of how many classes."""
    dataset = ImageFolder(folder=str(folder), size=4)
    return sum(len(dataset.load(split)[0]) for split in ("train", "test")), dataset.classes


def link(place: Path, target: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(target, target_is_directory=target.is_dir())


def test_folders_that_are_links_are_read(tmp_path: Path) -> None:
    pictures(tmp_path / "store" / "cats", 10)
    pictures(tmp_path / "store" / "dogs", 20)
    link(tmp_path / "linked" / "cats", tmp_path / "store" / "cats")
    link(tmp_path / "linked" / "dogs", tmp_path / "store" / "dogs")
    assert counts(tmp_path / "linked") == (30, 2)
    pictures(tmp_path / "below" / "cats", 10)
    link(tmp_path / "below" / "cats" / "more", tmp_path / "store" / "dogs")
    assert counts(tmp_path / "below") == (30, 1)


def test_loops_end_and_each_folder_is_read_once(tmp_path: Path) -> None:
    pictures(tmp_path / "a" / "cats", 20)
    link(tmp_path / "a" / "cats" / "loop", tmp_path / "a")
    link(tmp_path / "a" / "cats" / "same", tmp_path / "a" / "cats")
    assert counts(tmp_path / "a") == (20, 1)
    assert "a link to a folder that is read already" in ImageFolder(folder=str(tmp_path / "a")).describe()
    link(tmp_path / "a" / "dogs", tmp_path / "a" / "cats")
    with pytest.raises(DataError, match=r"'dogs' holds no picture \(1 a link to a folder that is read already, as cat"):
        ImageFolder(folder=str(tmp_path / "a"))


def test_a_link_to_nothing_is_named(tmp_path: Path) -> None:
    pictures(tmp_path / "a")
    link(tmp_path / "a" / "gone.png", tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"gone\.png is a link to nothing"):
        ImageFolder(folder=str(tmp_path / "a"))
    assert content_fingerprint(tmp_path / "a")


def split_on_disk(root: Path, test: str = "val") -> None:
    for name, level in (("cats", 0), ("dogs", 255)):
        pictures(root / "train" / name, 12, level=level)
        pictures(root / test / name, 3, level=level)


@pytest.mark.parametrize("test", ["val", "test", "Validation"])
def test_train_and_val_are_splits_and_no_classes(test: str, tmp_path: Path) -> None:
    split_on_disk(tmp_path, test)
    dataset = ImageFolder(folder=str(tmp_path), size=4)
    assert dataset.class_names == ("cats", "dogs")
    for split, n in (("train", 24), ("test", 6)):
        x, y = dataset.load(split)
        assert len(x) == n
        assert y is not None
        assert torch.equal(y, (x.mean((1, 2, 3)) > 0).long())


def test_as_imagenet_lies_on_disk(tmp_path: Path) -> None:
    split_on_disk(tmp_path)
    pictures(tmp_path / "test", 5)  # without labels
    dataset = ImageFolder(folder=str(tmp_path), size=4)
    assert [len(dataset.load(split)[0]) for split in ("train", "test")] == [24, 6]
    said = dataset.describe()
    assert "30 pictures of 2 classes: 24 train, 6 test" in said
    assert "5 of test/, since val/ is the test split" in said


def test_splits_without_classes(tmp_path: Path) -> None:
    pictures(tmp_path / "train", 9)
    pictures(tmp_path / "test", 4)
    dataset = ImageFolder(folder=str(tmp_path), size=4)
    assert [(len(x), y) for x, y in map(dataset.load, ("train", "test"))] == [(9, None), (4, None)]


def test_splits_that_are_not_clear_are_refused(tmp_path: Path) -> None:
    pictures(tmp_path / "alone" / "train" / "cats")
    split_on_disk(tmp_path / "beside")
    pictures(tmp_path / "beside" / "extra")
    split_on_disk(tmp_path / "strange")
    pictures(tmp_path / "strange" / "val" / "birds")
    split_on_disk(tmp_path / "flat")
    for name in ("cats", "dogs"):
        for file in (tmp_path / "flat" / "val" / name).iterdir():
            file.rename(tmp_path / "flat" / "val" / f"{name}{file.name}")
        (tmp_path / "flat" / "val" / name).rmdir()
    for name, said in (
        ("alone", r"one to test \(test/ or val/\).*folder: .*alone/train"),
        ("beside", "extra/, train/, val/: folders named like splits"),
        ("strange", "'birds' is none of them"),
        ("flat", "val/, which needs subfolders with pictures, as train/ has 2"),
    ):
        with pytest.raises(DataError, match=said):
            ImageFolder(folder=str(tmp_path / name))


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    for name in ("bus", "train"):
        pictures(tmp_path / name)
    assert counts(tmp_path) == (20, 2)


def test_what_archives_and_desktops_leave_is_said(tmp_path: Path) -> None:
    for name in ("cats", "dogs"):
        pictures(tmp_path / name, 10, "jfif")
        pictures(tmp_path / name, 5, "jpe")
        (tmp_path / name / "Thumbs.db").write_bytes(b"x")
    pictures(tmp_path / "__MACOSX" / "cats")
    (tmp_path / ".DS_Store").write_bytes(b"x")
    (tmp_path / "cats" / "1.avif").write_bytes(b"x")
    assert counts(tmp_path) == (30, 2)
    said = ImageFolder(folder=str(tmp_path)).describe()
    for part in (
        "30 pictures of 2 classes",
        ".DS_Store (hidden)",
        "__MACOSX (that archives of macOS bring along)",
        "cats/1.avif (with suffix .avif)",
        "2 with suffix .db (such as cats/Thumbs.db)",
    ):
        assert part in said


def test_an_empty_class_and_a_folder_named_like_a_picture(tmp_path: Path) -> None:
    pictures(tmp_path / "cats")
    (tmp_path / "cats" / "deep.png").mkdir()
    pictures(tmp_path / "dogs.png")
    assert counts(tmp_path) == (20, 2)
    (tmp_path / "x.jpg").mkdir()
    with pytest.raises(DataError, match=r"'x\.jpg', a folder though it is named like a picture, holds no picture"):
        ImageFolder(folder=str(tmp_path))
    (tmp_path / "x.jpg").rename(tmp_path / "ants")
    (tmp_path / "ants" / "1.avif").write_bytes(b"x")
    with pytest.raises(DataError, match=r"'ants' holds no picture \(1 with suffix \.avif\). Put .* or move it away"):
        ImageFolder(folder=str(tmp_path))


def test_what_is_no_file_is_never_opened(tmp_path: Path) -> None:
    pictures(tmp_path / "all" / "cats", 20)
    before = content_fingerprint(tmp_path / "all")
    os.mkfifo(tmp_path / "all" / "cats" / "pipe.png")
    link(tmp_path / "all" / "cats" / "zero.png", Path("/dev/zero"))
    link(tmp_path / "all" / "cats" / "self.png", Path("/proc/self/mem"))
    link(tmp_path / "all" / "cats" / "proc", Path("/proc"))
    assert counts(tmp_path / "all") == (20, 1)
    said = ImageFolder(folder=str(tmp_path / "all")).describe()
    assert "2 no file but a pipe, socket or device (such as cats/pipe.png)" in said
    assert "2 of the operating system (such as cats/proc)" in said
    after = content_fingerprint(tmp_path / "all")
    assert before != after == content_fingerprint(tmp_path / "all")
    for path in (tmp_path / "all" / "cats" / "pipe.png", Path("/dev/zero"), Path("/proc")):
        with pytest.raises(OSError, match="it is a"):
            content_fingerprint(path)
    link(tmp_path / "system", Path("/proc"))
    with pytest.raises(DataError, match="holds no picture"):
        ImageFolder(folder=str(tmp_path / "system"))


def test_the_fingerprint_follows_the_names_of_links(tmp_path: Path) -> None:
    pictures(tmp_path / "a" / ".store" / "x", 3)
    link(tmp_path / "a" / "cats", tmp_path / "a" / ".store" / "x")
    before = content_fingerprint(tmp_path / "a")
    (tmp_path / "a" / "cats").rename(tmp_path / "a" / "dogs")
    assert content_fingerprint(tmp_path / "a") != before


def test_names_that_are_no_text(tmp_path: Path) -> None:
    pictures(tmp_path / "a" / "cats", 20)
    odd = os.fsdecode(b"caf\xe9.png")
    (tmp_path / "a" / "cats" / "000.png").rename(tmp_path / "a" / "cats" / odd)
    (tmp_path / "a" / os.fsdecode(b"\xff.txt")).write_text("x")
    before = content_fingerprint(tmp_path / "a")
    assert counts(tmp_path / "a") == (20, 1)
    assert r"\udcff.txt (with suffix .txt)" in ImageFolder(folder=str(tmp_path / "a")).describe()
    for file in (tmp_path / "a" / "cats").iterdir():
        file.write_bytes(b"broken")
    assert content_fingerprint(tmp_path / "a") != before
    dataset = ImageFolder(folder=str(tmp_path / "a"))
    with pytest.raises(DataError, match="is not a picture") as caught:
        [dataset.load(split) for split in ("train", "test")]
    str(caught.value).encode()


@pytest.mark.parametrize("value", [0, 127, 128, 129, 256, 257, 385, 386, 32767, 65407, 65535])
def test_sixteen_bits_are_rounded_to_eight(value: int, tmp_path: Path) -> None:
    """The nearest level of 255 is that of value / 257; `value // 257` is half a level dark."""
    Image.fromarray(np.full((4, 4), value, dtype=np.uint16)).save(tmp_path / "1.png")
    dataset = ImageFolder(folder=str(tmp_path), size=4, grayscale=True)
    split = "train" if dataset._pictures.names["train"] else "test"
    found = (dataset.load(split)[0] + 1) * 127.5
    assert found.round().unique().tolist() == [round(value / 257)]


def test_the_plan_says_what_is_read_without_torch(tmp_path: Path) -> None:
    pictures(tmp_path / "all" / "cats", 20)
    (tmp_path / "all" / "cats" / os.fsdecode(b"caf\xe9.txt")).write_text("x")
    suite = tmp_path / "suite.yaml"
    suite.write_text(
        f"name: read\ndatasets: [{{image_folder: {{folder: {tmp_path / 'all'}, size: 4}}}}]\n"
        "training: {paths: [linear], networks: [mlp], steps: 2}\n"
        "evaluation: {solvers: [euler], nfe: [2], samples: 64, metrics: [sliced_wasserstein]}\n"
    )
    script = (
        "import json, sys, pathlib; from fmbench.runner.session import Options, open_session; "
        "session = open_session(sys.argv[1], Options(home=pathlib.Path(sys.argv[2]))); "
        "data = session.data; assert 'torch' not in sys.modules; print(json.dumps(data))"
    )
    command = [sys.executable, "-c", script, str(suite), str(tmp_path / "store")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    (said,) = json.loads(done.stdout).values()
    assert said.startswith("20 pictures of 1 class: ")
    assert r"Left out: cats/caf\udce9.txt (with suffix .txt)." in said
    for words in ([], ["--json"]):
        shown = CliRunner().invoke(app, ["plan", str(suite), "--home", str(tmp_path / "store"), *words])
        assert shown.exit_code == 0
        assert "20 pictures of 1 class: " in " ".join(shown.output.split())
