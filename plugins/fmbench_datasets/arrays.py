"""Anybody's arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt, Lt, MinLen

from fmbench import DataError, Dataset, StoredArray, find_array
from fmbench_datasets.array_checks import (
    Levels,
    as_float32,
    check_labels,
    check_no_shared_rows,
    check_shape,
    check_size,
    check_source,
)

if TYPE_CHECKING:
    import numpy as np
    from torch import Generator, Tensor, device

    from fmbench_datasets.splits import Split

Named = Annotated[dict[Literal["key"], str], MinLen(1)]
"""An array by its name in the file that has the examples."""


class Arrays(Dataset):
    """Arrays of one's own, from .npy, .npz or .safetensors files: points `(n, dim)`, or pictures with `pictures`.

    Examples, labels and source become float32, int64 and float32; what would be lost by that, or has no meaning, is
    refused with a message, and pickled objects are never read. Relative paths begin in the folder where fmbench is
    started, and both a path and the content of its file count in a cell's key.

    A share of the rows of each class, drawn once for all with a fixed seed, is the test split; rows that are equal come
    into the same split. Or the test split is a file of its own, which shares no row with the training file. So it is
    with the validation split, where there is one; a share of it is of the training rows, which then are that fewer.

    Without `source` x_0 is standard normal. With it, x_0 is a row of that array, drawn at random with replacement and
    independently of labels; training and evaluation draw from the same rows.

    Args:
        file: the file with the examples.
        key: which array of the file the examples are; null where it holds only one.
        pictures: what black and white are in pictures `(n, channels, height, width)`, which become [-1, 1]; null for
            points, which are taken as they are.
        labels: the class of each example, 0 to classes - 1: a file of one array, or {key: NAME} for an array of `file`.
        test: the share of the rows that is the test split, or the file that is; its arrays are called as those of
            `file`.
        test_labels: the labels of a test file, where `labels` is a file.
        validation: the share of the training rows that is the validation split, or the file that is; 0 for none.
        validation_labels: the labels of a validation file, where `labels` is a file.
        source: what is drawn from at t=0, of the shape and levels of the examples: a file of one array, or {key: NAME}
            for an array of `file`.
        horizontal_flips: whether each training picture is flipped with probability 1/2: the training split, with which
            FID and its like compare by default, is then each picture and its mirror image.

    Raises:
        DataError: a file, an array or its numbers are not as they must be.
    """

    reference = "NumPy Enhancement Proposal 1, the .npy format; safetensors (the files)"
    content = ("file", "labels", "test", "test_labels", "source", "validation", "validation_labels")
    omitted_defaults = ("validation", "validation_labels")
    by_parameter: ClassVar[Mapping[str, Any]] = {
        "pictures": {None: {"provides": ("points",)}, ...: {"provides": ("images",)}},
        "labels": {None: {}, ...: {"provides": ("classes",)}},
        "source": {None: {"provides": ("normal_source",)}},
        "validation": {0.0: {}, ...: {"provides": ("validation",)}},
    }

    def __init__(
        self,
        *,
        file: str,
        key: str | None = None,
        pictures: Levels | None = None,
        labels: str | Named | None = None,
        test: Annotated[float, Gt(0), Lt(1)] | str = 0.2,
        test_labels: str | None = None,
        source: str | Named | None = None,
        horizontal_flips: bool = False,
        validation: Annotated[float, Ge(0), Lt(1)] | str = 0.0,
        validation_labels: str | None = None,
    ) -> None:
        if horizontal_flips and pictures is None:
            raise ValueError("horizontal_flips is for pictures, and these are points. Set pictures, or leave it out.")
        self.pictures = pictures
        self.test = test
        self.validation = validation
        self.horizontal_flips = horizontal_flips
        self._x = find_array(file, key, "examples")
        self.shape = check_shape(self._x, pictures)
        self._y = None if labels is None else self._beside(file, labels, "labels")
        self._source = None if source is None else self._beside(file, source, "the source's examples")
        self._files = {
            "test": self._find_split("test", test, key, labels, test_labels),
            "validation": self._find_split("validation", validation, key, labels, validation_labels),
        }
        if isinstance(test, float):
            check_size(self._x, test)
        if self._y is not None:
            self._learn_conditions(self._y)
        if self._source is not None:
            check_source(self._source, self.shape, pictures)
        self._source_rows: tuple[device, Tensor] | None = None

    def _learn_conditions(self, labels: StoredArray) -> None:
        """Set what a dataset says of its conditions. Raises DataError for what are no labels."""
        self.classes = int(check_labels(labels, self._x).max()) + 1

    def _read_conditions(self, labels: StoredArray, examples: StoredArray) -> np.ndarray:
        """Return the conditions of examples, which are those of the test split or a part of those known already."""
        return check_labels(labels, examples, self.classes)

    @staticmethod
    def _beside(file: str, place: str | Mapping[Literal["key"], str], what: str) -> StoredArray:
        """Return the only array of a file of its own, or one of `file` by its name."""
        return find_array(place, None, what) if isinstance(place, str) else find_array(file, place["key"], what)

    def _find_split(
        self,
        split: str,
        place: float | str,
        key: str | None,
        labels: str | Mapping[Literal["key"], str] | None,
        split_labels: str | None,
    ) -> tuple[StoredArray, StoredArray | None] | None:
        """Return examples and labels of a split's file, where it has one."""
        needed = isinstance(place, str) and isinstance(labels, str)
        if needed != (split_labels is not None):
            raise ValueError(
                f"{split}_labels is a file exactly where {split} and labels are files, and holds the labels of the "
                f"{split} file; found {split}: {place!r}, labels: {labels!r}, {split}_labels: {split_labels!r}."
            )
        if not isinstance(place, str):
            return None
        x = find_array(place, None if place.lower().endswith(".npy") else key, f"{split} examples")
        if check_shape(x, self.pictures) != self.shape:
            raise DataError(f"{split} examples have the shape of {self._x}, which is {self._x.form}; {x} is {x.form}.")
        known = split_labels if isinstance(labels, str) else labels
        return x, None if known is None else self._beside(place, known, f"{split} labels")

    def describe(self) -> str:
        """Say what is read, how it is split, and where the source comes from; headers and labels tell."""
        noun = f"points of dimension {self.shape[0]}" if self.pictures is None else f"pictures {self.shape}"
        classes = f", of {self.classes} {'class' if self.classes == 1 else 'classes'}" if self.classes else ""
        classes += f", with condition vectors of {self.condition_width} numbers" if self.condition_width else ""
        text = f"{self._x.shape[0]:,} {noun}{classes}, from {self._x}; "
        text += self._described("test", self.test, "of them")
        if self.validation:
            text += " " + self._described("validation", self.validation, "of those to train")
        if self.horizontal_flips:
            text += " Training pictures are there as they are and flipped."
        return text + (f" x_0 is one of {self._source.shape[0]:,} rows of {self._source}." if self._source else "")

    def _described(self, split: str, place: float | str, of: str) -> str:
        if (file := self._files[split]) is not None:
            return f"{file[0].shape[0]:,} {split} examples from {file[0]}."
        return f"{place:g} {of} are the {split} split."

    def load(self, split: Split) -> tuple[Tensor, Tensor | None]:
        """Return examples, float32 `(n, *shape)`, and labels, int64 `(n,)`, or condition vectors, or None.

        Examples of a class stand in the file's order, and the classes take turns. Raises DataError for numbers that no
        example can have.
        """
        from fmbench_datasets.flips import with_mirror_images
        from fmbench_datasets.splits import in_turn

        x, y = self._of_file(split) if self._files.get(split) else self._of_rows(split)
        if y is not None and self.classes:
            order = in_turn(y)
            x, y = x[order], y[order]
        return with_mirror_images(x, y) if self.horizontal_flips and split == "train" else (x, y)

    def _of_file(self, split: Split) -> tuple[Tensor, Tensor | None]:
        """Return a split that is a file of its own, and shares no row with the training file."""
        import torch

        found = self._files[split]
        assert found is not None
        file, labels = found
        x = as_float32(file, self.pictures)
        check_no_shared_rows(self._x, as_float32(self._x, self.pictures), file, x, split)
        if labels is None:
            return x, None
        return x, torch.from_numpy(self._read_conditions(labels, file))

    def _of_rows(self, split: Split) -> tuple[Tensor, Tensor | None]:
        """Return a split of the rows of `file`: shares of them are those splits that are no files."""
        import torch

        from fmbench_datasets.row_splits import VALIDATION_SEED, is_chosen_row

        x = as_float32(self._x, self.pictures)
        y = None if self._y is None else torch.from_numpy(self._read_conditions(self._y, self._x))
        if isinstance(self.test, float):
            kept = is_chosen_row(x, y if self.classes else None, self.test) == (split == "test")
            check_size(self._x, self.test, int(kept.sum()), split)
            x, y = x[kept], None if y is None else y[kept]
        if isinstance(self.validation, float) and self.validation and split != "test":
            labels = y if self.classes else None
            kept = is_chosen_row(x, labels, self.validation, VALIDATION_SEED) == (split == "validation")
            check_size(self._x, self.validation, int(kept.sum()), split, "validation")
            x, y = x[kept], None if y is None else y[kept]
        return x, y

    def source(self, n: int, generator: Generator) -> Tensor:
        """Draw `x_0`, float32 `(n, *shape)` on the generator's device: rows of the source, or standard normal."""
        import torch

        if self._source is None:
            return super().source(n, generator)
        if self._source_rows is None or self._source_rows[0] != generator.device:
            # Kept with the generator's device: that of rows on "cuda" has a number, as "cuda:0".
            self._source_rows = generator.device, as_float32(self._source, self.pictures).to(generator.device)
        rows = self._source_rows[1]
        return rows[torch.randint(len(rows), (n,), generator=generator, device=generator.device)]
