"""A file of statistics as the reference: the same values as with the split, its content in key and identity, faults."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest
import torch
from helpers import context
from inception_weights import random_inception
from numpy.lib import format as npy
from picture_sets import BLURRED, DIGITS, NOISE, REAL, Pictures, by_name, registry

from fmbench import DataError
from fmbench.cells.component_spec import Settings
from fmbench.cells.reference_cell import ReferenceCell
from fmbench.errors import SuiteError
from fmbench.evaluation.metrics import identified
from fmbench.evaluation.noise_floor import measure_floor
from fmbench.plan import make_plan
from fmbench.suite import read_suite
from fmbench.testing.evidence import make_evidence
from fmbench_metrics import inception
from fmbench_metrics.quantiser import quantise


def statistics(metric: Any, x: torch.Tensor) -> dict[str, np.ndarray]:
    """Return mean and covariance of the features of pictures, by NumPy, as others publish them."""
    features = metric.extractor("cpu").features(quantise(x)).double().numpy()
    return {"mu": features.mean(axis=0), "sigma": np.cov(features, rowvar=False)}


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The statistics of the digits' training split."""
    path = tmp_path_factory.mktemp("published") / "digits.npz"
    np.savez(path, **statistics(by_name("fid_digits"), REAL))
    return path


@pytest.mark.parametrize("name", ["fid_digits", "fid_digits_infinity"])
def test_values_are_those_with_the_split_that_it_was_made_of(name: str, published: Path) -> None:
    for samples in (BLURRED, NOISE):
        evidence = make_evidence(DIGITS, samples)
        by_split, by_file = (by_name(name, **given).compute(evidence) for given in ({}, {"reference": str(published)}))
        assert by_file == pytest.approx(by_split, rel=1e-6)


def test_a_covariance_that_lacks_a_direction_is_one_as_well(tmp_path: Path) -> None:
    """Of 20 pictures and 32 features."""
    np.savez(tmp_path / "few.npz", **statistics(by_name("fid_digits"), REAL[:20]))
    evidence = make_evidence(Pictures(REAL[:20]), BLURRED)
    expected = by_name("fid_digits").compute(evidence)["fid_digits"]
    found = by_name("fid_digits", reference=str(tmp_path / "few.npz")).compute(evidence)["fid_digits"]
    assert found == pytest.approx(expected, rel=1e-5)


def test_sfid_reads_the_spatial_statistics_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    monkeypatch.setattr(FeatureExtractorInceptionV3, "INPUT_IMAGE_SIZE", 75)  # Inception's least: one place
    weights = str(tmp_path / "weights.pth")
    random_inception(Path(weights))
    of_split = by_name("sfid", weights=weights)
    pictures = REAL[:12]
    found = statistics(of_split, pictures)
    monkeypatch.setitem(inception.DIMENSIONS, "spatial", len(found["mu"]))
    of_split.extractor("cpu").dimensions = len(found["mu"])
    np.savez(tmp_path / "adm.npz", mu=np.zeros(3), sigma=np.eye(3), mu_s=found["mu"], sigma_s=found["sigma"])
    evidence = make_evidence(Pictures(pictures), BLURRED[:14])
    by_file = by_name("sfid", weights=weights, reference=str(tmp_path / "adm.npz"))
    by_file.prepare()
    assert by_file.compute(evidence)["sfid"] == pytest.approx(of_split.compute(evidence)["sfid"], rel=1e-4)


def test_its_content_counts_in_identity_and_key(published: Path, tmp_path: Path) -> None:
    copy, other = tmp_path / "copy.npz", tmp_path / "other.npz"
    copy.write_bytes(published.read_bytes())
    np.savez(other, **statistics(by_name("fid_digits"), REAL[:700]))
    evidence = make_evidence(DIGITS, BLURRED)
    first, same, different = (
        by_name("fid_digits", reference=str(path)).identity(evidence) for path in (published, copy, other)
    )
    assert first == same
    assert {name for name in first if first[name] != different[name]} == {"reference"}
    assert "reference_split" not in first
    before = registry().spec("metric", "fid_digits", {"reference": str(copy)})
    there = registry().spec("metric", "fid_digits", {"reference": str(published)})
    assert (before.digest, identified(before)) == (there.digest, identified(there)), "not where it lies"
    assert str(before) != str(there)
    copy.write_bytes(other.read_bytes())
    assert registry().spec("metric", "fid_digits", {"reference": str(copy)}).digest != before.digest
    plain = registry().spec("metric", "fid_digits")
    assert registry().spec("metric", "fid_digits", {"reference": "train"}).digest == plain.digest
    assert (plain.unkeyed, identified(plain)) == ((), "fid_digits"), "as before there were files"
    assert registry().attribute(plain, "provides") == ("samples_only", "bias_over_n")
    assert registry().attribute(before, "provides") == ("samples_only", "bias_over_n", "own_reference")


FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "another key": ({"mean": np.zeros(32)}, "must hold mu and sigma; it lacks mu, sigma and holds mean"),
    "other features": (
        {"mu": np.zeros(2048), "sigma": np.eye(2048)},
        "statistics of 2048 features; the extractor digits of fid_digits has 32. Give statistics",
    ),
    "shapes": (
        {"mu": np.zeros(32), "sigma": np.zeros(32)},
        r"covariance \(d, d\) as sigma; found shapes \(32,\) and \(32,\)",
    ),
    "not finite": ({"mu": np.full(32, np.nan), "sigma": np.eye(32)}, "not finite"),
    "not symmetric": ({"mu": np.zeros(32), "sigma": np.triu(np.ones((32, 32)))}, "symmetric; this one is not"),
    "no features": ({"mu": np.zeros(0), "sigma": np.zeros((0, 0))}, r"found shapes \(0,\) and \(0, 0\)"),
    "a negative eigenvalue": (
        {"mu": np.zeros(32), "sigma": np.diag([-1.0, *np.ones(31)])},
        "no negative eigenvalue; the least of this one is -1, the largest 1",
    ),
    "all negative": ({"mu": np.zeros(32), "sigma": -np.eye(32)}, "no negative eigenvalue"),
    "complex": ({"mu": np.zeros(32), "sigma": np.eye(32) + 0j}, "its arrays are of float64 and complex128"),
    "objects": ({"mu": np.array([{}]), "sigma": np.eye(32)}, "is not an .npz that can be read"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_file_of_something_else_is_refused_before_anything_is_trained(fault: str, tmp_path: Path) -> None:
    content, message = FAULTS[fault]
    path = tmp_path / "statistics.npz"
    np.savez(path, **content)
    with pytest.raises(DataError, match=message):
        by_name("fid_digits", reference=str(path)).prepare()


def test_files_that_are_no_npz_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "statistics.npz"
    path.write_bytes(b"something else")
    with pytest.raises(DataError, match="that can be read"):
        by_name("fid_digits", reference=str(path)).prepare()
    with path.open("wb") as stream:
        np.save(stream, np.zeros(3))
    with pytest.raises(DataError, match="found a single array"):
        by_name("fid_digits", reference=str(path)).prepare()


def test_a_header_that_tells_of_more_than_memory_holds_is_refused(tmp_path: Path) -> None:
    header = BytesIO()
    npy.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (10**7, 10**7)})
    with ZipFile(tmp_path / "statistics.npz", "w") as archive:
        for key in ("mu", "sigma"):
            archive.writestr(f"{key}.npy", header.getvalue())
    with pytest.raises(DataError, match="that can be read"):
        by_name("fid_digits", reference=str(tmp_path / "statistics.npz")).prepare()


def test_the_rounding_of_float32_makes_no_negative_eigenvalue(tmp_path: Path) -> None:
    found = statistics(by_name("fid_digits"), REAL[:20])
    np.savez(tmp_path / "single.npz", **{key: value.astype(np.float32) for key, value in found.items()})
    by_name("fid_digits", reference=str(tmp_path / "single.npz")).prepare()


SUITE = """
name: published
datasets: [digits]
training: {paths: [linear], networks: [small_unet], steps: 1, batch_size: 2}
evaluation: {solvers: [euler], nfe: [1], samples: 100, metrics: [{fid_digits: {reference: FILE}}]}
"""


def test_a_missing_file_is_said_at_its_place_in_the_suite(tmp_path: Path) -> None:
    path = tmp_path / "nowhere.npz"
    match = rf"suite\.yaml:5:.*names '{path}', which cannot be read.*Give \"train\" or \"test\", or a file or folder"
    with pytest.raises(SuiteError, match=match):
        make_plan(read_suite(SUITE.replace("FILE", str(path)), "suite.yaml"), registry())


def test_its_floor_is_the_test_split_as_it_stands(published: Path, tmp_path: Path) -> None:
    shop = context(tmp_path, registry())
    spec = registry().spec("metric", "fid_digits", {"reference": str(published)})
    cell = ReferenceCell("floor", registry().spec("dataset", "digits"), 0, Settings({"samples": 360}))
    measure_floor(cell, [spec], shop)
    found = shop.store.folder("floor", cell.key).metrics()[spec.digest]
    expected = by_name("fid_digits").compute(make_evidence(DIGITS, DIGITS.load("test")[0]))["fid_digits"]
    assert found["values"]["fid_digits"] == pytest.approx(expected, rel=1e-6)
    assert (
        found["identity"]["reference"]
        == by_name("fid_digits", reference=str(published)).identity(make_evidence(DIGITS, BLURRED))["reference"]
    )


def test_the_floor_of_the_inception_score_is_that_of_test_data(tmp_path: Path) -> None:
    shop = context(tmp_path, registry())
    spec = registry().spec("metric", "inception_score", {"extractor": "digits", "splits": 1})
    cell = ReferenceCell("floor", registry().spec("dataset", "digits"), 0, Settings({"samples": 2000}))
    measure_floor(cell, [spec], shop)
    found = shop.store.folder("floor", cell.key).metrics()[spec.digest]
    assert (found["n"], found["extrapolated"]) == (360, False)
    assert 5 < found["values"]["inception_score"] < 10  # ten digits, most of them surely seen
