"""Samples that were made elsewhere: read as the dataset's own examples are, and scored like those of a network."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from fmbench.cells.cells import EvaluationCell, TrainingCell
from fmbench.cells.component_spec import ComponentSpec
from fmbench.cells.given_samples import SampleFiles
from fmbench.components.contracts import Dataset, Metric
from fmbench.errors import DataError
from fmbench.evaluation.kept_samples import preview
from fmbench.evaluation.metrics import check_values, intact, recorded
from fmbench.evaluation.noise_floor import evidence_without_network, identity_of
from fmbench.io.array_files import find_array
from fmbench.io.picture_files import content_of, list_pictures
from fmbench.io.printable_text import visible
from fmbench.io.regular_files import expanded, size_and_sum
from fmbench.isolation.inplace_guard import guarding_inplace
from fmbench.model.context import WorkerContext
from fmbench.runtime.device import device_type

if TYPE_CHECKING:
    import numpy as np

OVERSHOOT = 0.1
"""How far beyond black and white a level may lie and count as inside, as a part of their distance."""
MOST_OUTSIDE = 1 / 3
"""The share of levels outside above which black and white are not what is declared: networks do overshoot."""
BY_CHANCE = 1e-6
"""Below this probability of its absence, a class is absent since samples are sorted."""
USUAL_RANGES = ((0.0, 1.0), (-1.0, 1.0), (0.0, 255.0))


@torch.no_grad()
def score_samples(cell: EvaluationCell, metrics: Sequence[ComponentSpec], context: WorkerContext) -> None:
    """Compute the metrics of samples that were made elsewhere, and leave them in the store, with the first samples.

    The draws of a metric are those of the cells of the same seed and dataset, so that the samples of such a cell have
    its score here, too. Raises DataError where the files are not what was planned, or hold what no sample can be.
    """
    training, folder = cell.training, context.store.folder("evaluation", cell.key)
    started = time.perf_counter()
    x, y = read_samples(training, int(cell.settings["samples"]), context)
    samples, labels = x.to(context.device), None if y is None else y.to(context.device)
    seconds = time.perf_counter() - started

    def score(spec: ComponentSpec) -> dict[str, Any]:
        metric: Metric = context.build(spec)
        evidence = evidence_without_network(training, context)
        evidence.samples, evidence.labels = samples, labels
        within = {kind: getattr(training, kind).text for kind in metric.within}
        with intact(evidence, context):
            values = check_values(spec, metric.compute(evidence))
            identity = identity_of(spec, metric, evidence)
        return {"values": values, "identity": {**within, **identity}}

    folder.add_metrics(recorded(metrics, training, context, guarding_inplace((samples, labels), score)))
    folder.write("samples.safetensors", preview(context, samples, labels))
    facts = {"seconds": seconds, "device": device_type(context.device)}
    folder.finish({"facts": facts}, ("samples.safetensors",))


def read_samples(cell: TrainingCell, n: int, context: WorkerContext) -> tuple[Tensor, Tensor | None]:
    """Return the first n samples, float32 `(n, *shape)`, pictures in [-1, 1], and their labels, int64 `(n,)`, or None.

    Raises DataError, which says where the suite names them.
    """
    assert cell.samples is not None
    dataset: Dataset = context.build(cell.dataset)
    try:
        read = _read_pictures if cell.samples.is_folder else _read_array
        x, y = read(cell.samples, dataset, n)
        if y is not None and not 0 <= int(y.min()) <= int(y.max()) < dataset.classes:
            found = f"{int(y.min())} to {int(y.max())}"
            raise DataError(f"labels of {cell.dataset} are 0 to {dataset.classes - 1}; found {found}")
    except OSError as error:
        raise DataError(
            f"{cell.samples.said_at}: samples {cell.network}: {error.strerror}: {error.filename}"
        ) from error
    except DataError as error:
        raise DataError(f"{cell.samples.said_at}: samples {cell.network}: {str(error).rstrip('.')}.") from error
    return x, y


def _read_pictures(files: SampleFiles, dataset: Dataset, n: int) -> tuple[Tensor, Tensor | None]:
    folder = expanded(files.place)
    pictures, labels = list_pictures(folder, dataset.classes if files.subfolders else 0)
    _check_content(files, content_of(pictures, labels))
    read = partial(_read_picture, channels=dataset.shape[0])
    with ThreadPoolExecutor() as pool:
        levels = list(pool.map(read, (folder / picture.name for picture in pictures[:n])))
    x = torch.stack([torch.from_numpy(each) for each in levels])  # (n, height, width, channels), uint8
    return _of_bytes(x.permute(0, 3, 1, 2).contiguous()), torch.tensor(labels[:n]) if labels else None


def _read_picture(path: Path, *, channels: int) -> np.ndarray:
    """Return the levels of a picture, uint8 `(height, width, channels)`; of a grey one in RGB, those of one channel."""
    import numpy as np
    from PIL import Image

    try:
        with Image.open(path) as opened:
            levels = np.array(opened.convert("L" if opened.mode in ("1", "L") and channels == 1 else "RGB"))
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        text = f"{visible(str(path))} is not a picture that can be read ({visible(str(error))}). Replace or remove it"
        raise DataError(text) from error
    if levels.ndim == 2:
        return levels[:, :, None]
    if channels == 1:
        if not (levels[..., :1] == levels).all():
            raise DataError(f"pictures of this dataset are grey; {visible(str(path))} has colours. Save it as L")
        return levels[..., :1]
    return levels


def _read_array(files: SampleFiles, dataset: Dataset, n: int) -> tuple[Tensor, Tensor | None]:
    import numpy as np

    array = find_array(files.place, files.array or None, "samples")
    _check_content(files, size_and_sum(array.path)[1])
    numbers = array.read()[:n]
    if numbers.dtype == np.uint8 and files.value_range is None and "images" in dataset.provides:
        x = torch.from_numpy(np.ascontiguousarray(numbers))
    else:
        with np.errstate(over="ignore"):  # too large for float32: not finite, which is looked for below
            x = torch.from_numpy(numbers.astype(np.float32, order="C"))
        _check_finite(x, str(array))
        if files.value_range is not None:
            _check_range(x, files.value_range, str(array))
    x = x.movedim(-1, 1).contiguous() if files.channels_last else x.reshape(-1, *dataset.shape)
    x = _of_bytes(x) if x.dtype == torch.uint8 else _in_range(x, files.value_range)
    if not files.labels:
        return x, None
    y = torch.from_numpy(find_array(files.place, files.labels, "labels").read().astype(np.int64))
    _check_not_sorted(y, n, str(array))
    return x, y[:n]


def _check_content(files: SampleFiles, now: str) -> None:
    if now != files.content:
        raise DataError(f"{visible(files.place)} is not what was planned: it has changed since. Run again")


def _check_finite(x: Tensor, named: str) -> None:
    bad = ~x.flatten(1).isfinite().all(1)
    if bool(bad.any()):
        first = int(bad.nonzero()[0])
        raise DataError(
            f"samples are finite, in float32 too; of {named} {int(bad.sum())} of the first {len(x)} are not (the first "
            f"is number {first}, counted from 0). Scores of the others alone would flatter their method"
        )


def _check_not_sorted(y: Tensor, n: int, named: str) -> None:
    """Raise DataError where a class of the labels `(m,)` is not among the first n, which in any order is no chance."""
    for label, count in Counter(y.tolist()).items():
        if not bool((y[:n] == label).any()) and (1 - count / len(y)) ** n < BY_CHANCE:
            raise DataError(
                f"the first {n:,} samples are scored, and of {named} they hold none of class {label}, of which there "
                f"are {count:,} among {len(y):,}: it is sorted. Shuffle it, or set samples: {len(y)} for the suite"
            )


def _check_range(x: Tensor, value_range: tuple[float, float], named: str) -> None:
    """Raise DataError where the levels `(n, ...)` show that black and white are not what is declared.

    A few may lie outside, for networks overshoot. Not so many, and not so far that they fill another usual range. Nor
    do they fill a smaller one from end to end: levels of 0 to 1 in [0, 255] are all black.
    """
    (black, white), low, high = value_range, float(x.min()), float(x.max())
    slack = OVERSHOOT * (white - black)
    outside = float(((x < black - slack) | (x > white + slack)).double().mean())
    beyond = low < black - 5 * slack or high > white + 5 * slack
    fitting = [list(each) for each in USUAL_RANGES if each[0] <= low and high <= each[1] and beyond]
    smaller = [list(each) for each in USUAL_RANGES if _fill_less(low, high, each, value_range)]
    fitting += smaller
    if outside > MOST_OUTSIDE or fitting:
        step = f"Set value_range: {fitting[0]}" if fitting else "Set value_range, or scale them"
        found = "which fill another range" if smaller else f"{outside:.0%} of them outside"
        raise DataError(
            f"value_range is {[black, white]}, and the levels of {named} are {low:g} to {high:g}, {found}. {step}"
        )


def _fill_less(low: float, high: float, usual: tuple[float, float], value_range: tuple[float, float]) -> bool:
    """Whether levels from `low` to `high` fill a usual range that is at most half as wide as the declared one."""
    (black, white), (declared_black, declared_white) = usual, value_range
    slack = OVERSHOOT * (white - black)
    filled = abs(low - black) <= slack and abs(high - white) <= slack
    return filled and 2 * (white - black) <= declared_white - declared_black


def _of_bytes(levels: Tensor) -> Tensor:
    """Return bytes as levels in [-1, 1], as datasets of pictures do."""
    return levels.float() / 127.5 - 1


def _in_range(x: Tensor, value_range: tuple[float, float] | None) -> Tensor:
    """Return levels of which black and white are declared as those of which they are -1 and 1."""
    if value_range in (None, (-1.0, 1.0)):
        return x
    black, white = value_range
    return x.sub(black).mul(2 / (white - black)).sub(1)
