"""What is asked of every dataset before anything is trained: each mistake, and the sentence that names it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import context

import fmbench
from fmbench import DataError, Dataset, UserError
from fmbench.cells.component_spec import ComponentSpec
from fmbench.components.dataset_checks import check_split, check_together, form_fault, source_fault
from fmbench.executors.run_task import Computer
from fmbench.executors.tasks import PrepareTask
from fmbench.plugins.registry import load_registry
from fmbench.runner.session import Options

WRONG = '''
"""Two classes, labelled 1 and 2."""

import torch

from fmbench import Dataset, hookimpl


class OneBased(Dataset):
    """Class 1 about (4, 4), class 2 about (8, 8)."""

    shape = (2,)
    classes = 2
    provides = ("normal_source", "classes")

    def load(self, split):
        y = torch.arange(200) % 2 + 1
        noise = torch.randn(200, 2, generator=torch.Generator().manual_seed(int(split == "test")))
        return 0.1 * noise + 4 * y[:, None], y


class Gap(Dataset):
    """A normal distribution; one value of the test split is NaN."""

    shape = (2,)
    provides = ("normal_source",)

    def load(self, split):
        x = torch.randn(200, 2, generator=torch.Generator().manual_seed(int(split == "test")))
        if split == "test":
            x[7, 1] = float("nan")
        return x, None


@hookimpl
def fmbench_datasets():
    return {"one_based": OneBased, "gap": Gap}
'''

SUITE = """
name: one_based
datasets: [one_based]
training: {paths: [linear], networks: [{mlp: {width: 4, depth: 1}}], steps: 2, batch_size: 8}
evaluation: {solvers: [euler], nfe: [2], samples: 64, metrics: [sliced_wasserstein]}
"""


def test_a_run_ends_before_training(tmp_path: Path) -> None:
    (tmp_path / "wrong.py").write_text(WRONG)
    (tmp_path / "suite.yaml").write_text(SUITE)
    options = Options(plugins=(str(tmp_path / "wrong.py"),), home=tmp_path / "store", jobs="1", tracking=False)
    with pytest.raises(UserError, match="labels of one_based are 0 to 1; found 1 to 2"):
        fmbench.run(tmp_path / "suite.yaml", options)
    assert not (tmp_path / "store" / "training").exists(), "nothing was trained"


def test_preparing_looks_at_both_splits(tmp_path: Path) -> None:
    (tmp_path / "wrong.py").write_text(WRONG)
    registry = load_registry([str(tmp_path / "wrong.py")])
    computer = Computer(context(tmp_path, registry), lambda event: None)
    with pytest.raises(DataError, match="1 of 200 test examples of gap is not finite; the first is number 7"):
        computer(PrepareTask((registry.spec("dataset", "gap"),)))


def test_preparing_looks_whether_validation_data_are_enough_to_choose_by(tmp_path: Path) -> None:
    registry = load_registry()
    computer = Computer(context(tmp_path, registry), lambda event: None)
    digits = registry.spec("dataset", "digits", {"validation": 0.2})
    computer(PrepareTask((digits,), (), registry.spec("metric", "fid_digits")))
    with pytest.raises(DataError, match=r"by kid_digits, which needs 1000 validation examples, and digits.* has 283"):
        computer(PrepareTask((digits,), (), registry.spec("metric", "kid_digits")))


class Points(Dataset):
    """Points with labels, as they should be, or changed by `change`."""

    shape = (3,)
    classes = 2
    provides = ("classes", "points")

    def __init__(self, change: Any = lambda x, y: (x, y)) -> None:
        self.change = change

    def load(self, split):
        x = torch.randn(40, 3, generator=torch.Generator().manual_seed(int(split == "test")))
        return self.change(x, torch.arange(40) % 2)


def at(x, value):
    x[[3, 9]] = value
    return x


MISTAKES = {
    "float64": (lambda x, y: (x.double(), y), r"float32 .* is a float64 tensor \(40, 3\).*x\.float\(\)"),
    "uint8": (lambda x, y: (x.byte(), y), "is a uint8 tensor"),
    "NumPy": (lambda x, y: (x.numpy(), y), r"is of type numpy.ndarray \(float32 \(40, 3\)\).*from_numpy"),
    "another shape": (lambda x, y: (x[:, :2], y), r"\(n, 3\); the train split is a float32 tensor \(40, 2\)"),
    "no example": (lambda x, y: (x[:0], y[:0]), "the train split of points has no example"),
    "one example": (lambda x, y: (x[:1], y[:1]), "the train split of points has 1 example"),
    "infinite": (
        lambda x, y: (at(x, float("-inf")), y),
        "2 of 40 train examples of points are not finite; .* number 3",
    ),
    "NaN": (lambda x, y: (at(x, float("nan")), y), "2 of 40 train examples of points are not finite"),
    "with gradients": (lambda x, y: (x.requires_grad_(), y), "without gradients"),
    "no labels": (lambda x, y: (x, None), "those of the train split are None"),
    "int32 labels": (lambda x, y: (x, y.int()), r"int64 .* are a int32 tensor \(40,\)"),
    "too few labels": (lambda x, y: (x, y[1:]), r"\(40,\), one an example; .* int64 tensor \(39,\)"),
    "negative labels": (lambda x, y: (x, y - 1), "are 0 to 1; found -1 to 0"),
    "a gap in labels": (lambda x, y: (x, 0 * y), r"0 to 1, has training examples; 1 has none \(1 of 2\)"),
    "one value": (lambda x, y: x, "two values; the train split is a float32 tensor"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_each_mistake_is_named(mistake: str) -> None:
    change, said = MISTAKES[mistake]
    dataset = Points(change)
    with pytest.raises(DataError, match=said) as caught:
        check_split("points", dataset, "train", dataset.load("train"))
    assert len(str(caught.value)) < 300


def test_what_is_right_is_handed_on_as_it_is() -> None:
    dataset = Points()
    loaded = {split: dataset.load(split) for split in ("train", "test")}
    for split, (x, y) in loaded.items():
        found = check_split("points", dataset, split, (x, y))  # type: ignore[arg-type]
        assert found[0] is x
        assert found[1] is y
    check_together("points", dataset, loaded["train"], loaded["test"], "cpu")
    x, y = loaded["test"]
    check_split("points", dataset, "test", (x, 0 * y))  # a sample may lack a class


def test_labels_without_classes() -> None:
    dataset = Points()
    dataset.classes = 0
    with pytest.raises(DataError, match="has no classes"):
        check_split("points", dataset, "train", dataset.load("train"))


class Told(Points):
    """Points with a condition vector each."""

    classes = 0
    condition_width = 2
    provides = ("vectors", "points")

    def load(self, split):
        x, _ = super().load(split)
        return self.change(x, x[:, :2].clone())


VECTOR_MISTAKES: dict[str, tuple[Any, str]] = {
    "none": (lambda x, y: (x, None), r"float32 torch tensor \(40, 2\), a row an example; .* are None"),
    "float64": (lambda x, y: (x, y.double()), r"a float64 tensor \(40, 2\).*torch\.as_tensor\(y\)\.float\(\)"),
    "another width": (
        lambda x, y: (x, x),
        r"\(40, 2\), .* tensor \(40, 3\).*mend the attribute condition_width",
    ),
    "too few": (lambda x, y: (x, y[1:]), r"float32 tensor \(39, 2\)"),
    "NaN": (lambda x, y: (x, at(y, float("nan"))), "are finite; 2 of 40 in the train split are not; .* number 3"),
    "with gradients": (lambda x, y: (x, y.requires_grad_()), "without gradients"),
}


@pytest.mark.parametrize("mistake", VECTOR_MISTAKES)
def test_each_mistake_of_vectors_is_named(mistake: str) -> None:
    change, said = VECTOR_MISTAKES[mistake]
    dataset = Told()
    loaded = dataset.load("train")
    check_split("points", dataset, "train", loaded)
    with pytest.raises(DataError, match=said) as caught:
        check_split("points", dataset, "train", change(*loaded))
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("said_of_itself", "fault"),
    [
        ({"condition_width": -1}, "condition_width of points is a whole number"),
        ({"condition_width": 0}, "exactly where its attribute condition_width is not 0; found condition_width 0"),
        ({"provides": ("points",)}, "exactly where its attribute condition_width is not 0; found condition_width 2"),
        ({"classes": 2, "provides": ("vectors", "classes")}, "labels or condition vectors; found classes 2"),
    ],
)
def test_what_a_dataset_says_of_its_vectors_agrees(said_of_itself: dict[str, Any], fault: str) -> None:
    dataset = Told()
    assert form_fault("points", dataset) == ""
    vars(dataset).update(said_of_itself)
    assert fault in form_fault("points", dataset)


def test_images_lie_in_minus_one_to_one() -> None:
    dataset = Points(lambda x, y: (x.reshape(10, 3, 2, 2), None))
    dataset.shape, dataset.classes, dataset.provides = (3, 2, 2), 0, ("images",)
    for x, said in (
        (torch.rand(10, 3, 2, 2) * 255, r"10 of 10 train .* not in \[-1, 1\]"),
        (torch.zeros(10, 3, 2, 2), "all levels of the train split are 0"),
    ):
        with pytest.raises(DataError, match=said):
            check_split("pictures", dataset, "train", (x, None))
    with pytest.raises(DataError, match=r"uint8 .*x\.float\(\) / 127\.5 - 1"):
        check_split("pictures", dataset, "train", (torch.zeros(10, 3, 2, 2, dtype=torch.uint8), None))


def test_a_load_that_does_not_look_at_the_split() -> None:
    rows = Points().load("train")
    with pytest.raises(DataError, match="share no example; the first 20 of both are the same"):
        check_together("points", Points(), rows, (rows[0][:20], rows[1][:20]), "cpu")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (lambda n, g: torch.randn(n, 3), "from the given generator only"),
        (lambda n, g: torch.ones(n, 3), "another seed draws the same"),
        (lambda n, g: torch.randn(n, 3, generator=g, dtype=torch.float64), "is a float32 .* float64 tensor"),
        (lambda n, g: torch.randn(n, 2, generator=g), r"tensor \(16, 2\)"),
        (lambda n, g: torch.randn(n, 3, generator=g) / 0, "finite; 16 of 16"),
        (lambda n, g: np.zeros((n, 3)), "of type numpy.ndarray"),
    ],
)
def test_sources(source: Any, said: str) -> None:
    dataset = Points()
    assert source_fault("points", dataset) == ""
    dataset.source = source  # type: ignore[method-assign]
    assert re.search(said, source_fault("points", dataset))


def test_every_process_that_loads_data_asks(tmp_path: Path) -> None:
    shop = context(tmp_path)
    spec = ComponentSpec("dataset", "points", label="points")
    shop._built[spec.digest] = Points(lambda x, y: (x, y + 1))
    with pytest.raises(DataError, match=r"labels of points are 0 to 1; found 1 to 2 in the train split; .*Subtract 1"):
        shop.data(spec, "train")
