"""Samples that were made elsewhere, as cells: found, compared with the dataset by names and headers, and hashed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, replace
from typing import TYPE_CHECKING

from fmbench.cells.component_spec import ELSEWHERE, SAMPLES, ComponentSpec
from fmbench.cells.given_samples import SampleFiles
from fmbench.cells.keys import canonical, digest
from fmbench.errors import DataError
from fmbench.io.array_files import StoredArray, arrays_in, find_array
from fmbench.io.picture_files import PictureFile, content_of, list_pictures
from fmbench.io.printable_text import visible
from fmbench.io.regular_files import expanded, size_and_sum
from fmbench.suite import Problem, SamplesEntry, Suite

if TYPE_CHECKING:
    from fmbench.components.contracts import Dataset
    from fmbench.plugins.registry import Registry

MADE_ELSEWHERE = "made_elsewhere"
"""What such samples provide."""
LABELLED = "sample_labels"
"""What they provide where each has a class."""
USUAL_ARRAYS = ("samples", "arr_0")
"""What programs call the array of samples: the first of these that a file has, if it has several arrays."""
USUAL_LABELS = "labels"
MODES = ("1", "L", "P", "RGB")
"""The modes of pictures that become levels of grey or of three colours without a choice to make."""
KINDS_UNKNOWN = ("path", "coupling", "t_distribution", "objective")
"""What else a cell of samples is made of; nobody here knows it."""


@dataclass(frozen=True)
class GivenSamples:
    """One place of an entry of `samples`, ready to be a cell: `spec` stands where others have their network."""

    spec: ComponentSpec
    dataset: ComponentSpec
    files: SampleFiles
    seed: int
    nfe: int | None

    @property
    def provides(self) -> frozenset[str]:
        """The capabilities of the samples."""
        labelled = self.files.subfolders or bool(self.files.labels)
        return frozenset({MADE_ELSEWHERE, LABELLED} if labelled else {MADE_ELSEWHERE})


def unknown(kind: str) -> ComponentSpec:
    """Return what stands for a component by which samples were made elsewhere."""
    return ComponentSpec(kind, ELSEWHERE)


def given_samples(
    suite: Suite, registry: Registry, datasets: Sequence[ComponentSpec], taken: Collection[str]
) -> tuple[list[GivenSamples], list[Problem]]:
    """Return all places of all entries of `samples`, and what is wrong with the others.

    `datasets` are those of the suite, and `taken` names that networks and models have.
    """
    found: list[GivenSamples] = []
    problems: list[Problem] = []
    for number, entry in enumerate(suite.samples):
        if entry.name in (*taken, ELSEWHERE):
            text = f"samples: the name {entry.name!r} is taken, by a network of this suite or by fmbench. Take another."
            problems.append(Problem(suite.place("samples", number, "name"), text))
            continue
        try:
            spec, dataset = _dataset_of(entry, datasets, registry)
        except DataError as error:
            place = suite.place("samples", number, *(["dataset"] if entry.dataset else []))
            problems.append(Problem(place, f"samples {entry.name!r}: {error}."))
            continue
        for index, seed in enumerate(entry.seeds or range(len(entry.places))):
            place = suite.place("samples", number, *entry.location(index))
            try:
                files = _found(entry, index, dataset, spec, suite.evaluation.samples, registry)
            except DataError as error:
                problems.append(Problem(place, f"samples {entry.name!r}: {str(error).rstrip('.')}."))
                continue
            files = replace(files, said_at=str(place))
            code = digest(canonical(astuple(replace(files, place="", said_at=""))))
            samples = ComponentSpec(SAMPLES, entry.name, fingerprint=code, label=entry.name)
            found.append(GivenSamples(samples, spec, files, seed, entry.nfe))
    return found, problems + _repeated(suite, found)


def _repeated(suite: Suite, found: Sequence[GivenSamples]) -> list[Problem]:
    """Say where samples stand twice: under one name, dataset, NFE and seed, or the same files as repeats."""
    rows = Counter((each.spec.name, each.dataset.digest, each.nfe, each.seed) for each in found)
    twice = [name for (name, *_), count in rows.items() if count > 1]
    problems = [
        f"samples: {name!r} stands twice for one dataset, NFE and seed. Write repeats of one method as one entry, "
        "folders: [a, b, c], or give the seeds."
        for name in dict.fromkeys(twice)
    ]
    contents = Counter((each.spec.name, each.dataset.digest, each.nfe, each.spec.fingerprint) for each in found)
    problems += [
        f"samples: two places of {name!r} hold the very same samples, which are no repeats. Remove one of them."
        for (name, *_), count in contents.items()
        if count > 1 and name not in twice
    ]
    return [Problem(suite.place("samples"), text) for text in problems]


def _dataset_of(
    entry: SamplesEntry, datasets: Sequence[ComponentSpec], registry: Registry
) -> tuple[ComponentSpec, Dataset]:
    """Return the dataset that an entry means, as spec and built. Raises DataError where it means none or several."""
    ref = entry.dataset
    meant = [spec for spec in datasets if ref is None or (ref.name == spec.name and _has(spec, ref.parameters))]
    if len(meant) != 1:
        said = ", ".join(map(str, datasets))
        found = f"found {ref}" if ref is not None else "none is named"
        raise DataError(f"dataset must be one of the suite's, which are {said}; {found}")
    try:
        built: Dataset = registry.build(meant[0])  # type: ignore[assignment]
        _ = built.shape
    except Exception as error:  # whatever a plugin's code raises
        raise DataError(f"dataset {meant[0]} cannot be built ({type(error).__name__}: {error})") from error
    return meant[0], built


def _has(spec: ComponentSpec, parameters: Mapping[str, object]) -> bool:
    return all(name in spec.parameters and spec.parameters[name] == value for name, value in parameters.items())


def _found(
    entry: SamplesEntry, index: int, dataset: Dataset, spec: ComponentSpec, wanted: int, registry: Registry
) -> SampleFiles:
    """Return one place of samples as it was found, or as `registry.contents` remembers it where it is gone.

    What is found is added there. Raises DataError, which says what is wrong with the place.
    """
    place = entry.places[index]
    try:
        path = expanded(place)
        said = {name: getattr(entry, name) for name in ("is_folder", "value_range", "layout", "key", "labels")}
        known = canonical(["samples", str(path.absolute()), said, spec.digest])
        if known in registry.contents and not path.exists():
            registry.gone.append(str(path.absolute()))
            remembered, n = json.loads(registry.contents[known])
            remembered["value_range"] = remembered["value_range"] and tuple(remembered["value_range"])
            files = SampleFiles(**remembered)
        else:
            files, n = (_pictures if entry.is_folder else _array)(entry, str(path), dataset, spec)
            registry.contents[known] = json.dumps([asdict(files), n])
    except OSError as error:
        raise DataError(f"{visible(place)} cannot be read: {error.strerror}") from error
    if n < wanted:
        step = f"Add samples, or set samples: {n} for the whole suite" if n else "Add samples"
        raise DataError(
            f"{visible(place)} holds {n:,} samples, and evaluation.samples is {wanted:,}: scores of another number are "
            f"not comparable. {step}"
        )
    return files


def _pictures(entry: SamplesEntry, place: str, dataset: Dataset, spec: ComponentSpec) -> tuple[SampleFiles, int]:
    """Return a folder of pictures and their number."""
    if "images" not in dataset.provides or dataset.shape[0] not in (1, 3):
        raise DataError(f"pictures are of datasets of grey or RGB images; {spec} is of shape {dataset.shape}")
    subfolders = entry.labels == "subfolders"
    if subfolders and not dataset.classes:
        raise DataError(f"labels: subfolders is for datasets with classes; {spec} has none. Leave it out")
    pictures, labels = list_pictures(expanded(place), dataset.classes if subfolders else 0)
    for picture in pictures:
        _check_picture(picture, place, dataset, spec)
    files = SampleFiles(place, True, content_of(pictures, labels), subfolders=subfolders)
    return files, len(pictures)


def _check_picture(picture: PictureFile, place: str, dataset: Dataset, spec: ComponentSpec) -> None:
    channels, height, width = dataset.shape
    name = visible(f"{place}/{picture.name}")
    if (picture.height, picture.width) != (height, width):
        raise DataError(
            f"pictures of {spec} are {width} x {height}; {name} is {picture.width} x {picture.height}. Samples are "
            "scored as they were made: none is resized"
        )
    if picture.mode not in MODES:
        raise DataError(
            f"pictures of {spec} have {channels} channel{'s' * (channels > 1)} of 8 bits; {name} is of mode "
            f"{picture.mode}. Save it as {'L' if channels == 1 else 'RGB'}"
        )


def _array(entry: SamplesEntry, place: str, dataset: Dataset, spec: ComponentSpec) -> tuple[SampleFiles, int]:
    """Return a file of an array and its number of samples."""
    held = arrays_in(place)
    usual = [name for name in USUAL_ARRAYS if name in held]
    key = entry.key or (usual[0] if len(usual) == 1 else None)
    array = find_array(place, key, "samples")
    channels_last = _channels_last(entry, array, dataset, spec)
    value_range = _value_range(entry, array, dataset)
    labels = _labels(entry, array, held, dataset, spec)
    content = size_and_sum(array.path)[1]
    files = SampleFiles(place, False, content, array.key, labels, False, channels_last, value_range)
    return files, array.shape[0]


def _channels_last(entry: SamplesEntry, array: StoredArray, dataset: Dataset, spec: ComponentSpec) -> bool:
    """Tell whether an array has its channels last. Raises DataError where its shape is not the dataset's, or tells of
    two layouts.
    """
    shape, found = tuple(dataset.shape), array.shape[1:]
    if "images" not in dataset.provides:
        if found != shape or entry.layout is not None:
            layout = " and have no layout" if entry.layout else ""
            raise DataError(f"samples of {spec} are (n, {', '.join(map(str, shape))}){layout}; {array} is {array.form}")
        return False
    shapes = {"NCHW": shape, "NHWC": (*shape[1:], shape[0])}
    fitting = [layout for layout, each in shapes.items() if each == found]
    if shape[0] == 1 and found == shape[1:]:  # grey pictures without an axis for the channel
        fitting = ["NCHW"]
    if entry.layout is not None:
        fitting = [layout for layout in fitting if layout == entry.layout]
    if not fitting:
        said = " or ".join(f"(n, {', '.join(map(str, each))})" for each in dict.fromkeys(shapes.values()))
        declared = f", with layout: {entry.layout}" if entry.layout else ""
        raise DataError(f"samples of {spec} are {said}{declared}; {array} is {array.form}")
    if len(fitting) > 1 and shape[0] > 1:
        raise DataError(f"{array} is {array.form}, which may have its channels first or last. Say layout: NCHW or NHWC")
    return fitting[0] == "NHWC"


def _value_range(entry: SamplesEntry, array: StoredArray, dataset: Dataset) -> tuple[float, float] | None:
    """Return what black and white are; None for bytes and for what are no pictures."""
    if not array.dtype.startswith(("float", "int", "uint")):
        raise DataError(f"samples are numbers; {array} is {array.form}. Save x.astype(np.float32)")
    if "images" not in dataset.provides:
        if entry.value_range is not None:
            raise DataError("value_range is for pictures; other samples are taken as they are. Leave it out")
        return None
    if array.dtype == "uint8" and entry.value_range in (None, (0.0, 255.0)):
        return None
    if entry.value_range is None:
        raise DataError(
            f"{array} is {array.form}, and does not say what black and white are. Set value_range: [-1, 1], [0, 1] or "
            "[0, 255]"
        )
    return entry.value_range


def _labels(
    entry: SamplesEntry, array: StoredArray, held: Mapping[str, StoredArray], dataset: Dataset, spec: ComponentSpec
) -> str:
    """Return the name of the array of labels; "" where there is none."""
    if entry.labels is None and (not dataset.classes or USUAL_LABELS not in held or array.key == USUAL_LABELS):
        return ""
    if not dataset.classes:
        raise DataError(f"labels are for datasets with classes; {spec} has none. Leave them out")
    labels = find_array(str(array.path), entry.labels or USUAL_LABELS, "labels")
    if labels.shape != array.shape[:1] or not labels.dtype.startswith(("int", "uint")):
        raise DataError(f"labels are whole numbers, one a sample: ({array.shape[0]},); {labels} is {labels.form}")
    return labels.key
