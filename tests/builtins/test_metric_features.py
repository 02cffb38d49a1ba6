"""Features of pictures: computed once, kept, and from extractors that know digits."""

import hashlib
import json
import logging
import weakref
from pathlib import Path

import pytest
import torch
from picture_sets import BLURRED, DIGITS, NOISE, REAL, Pictures, by_name

from fmbench import DataError
from fmbench.testing.evidence import make_evidence
from fmbench_datasets.mnist_5k import Mnist5k
from fmbench_metrics import extractors, features, gaussians, kid, manifold, memory
from fmbench_metrics.extractor import small_extractor
from fmbench_metrics.kept import _read as read_kept
from fmbench_metrics.quantiser import quantise


def every_kind():
    """Return one metric of each kind, on digits."""
    plain = [by_name(f"{kind}_digits") for kind in ("fid", "precision", "recall")]
    return [*plain, by_name("kid_digits", subsets=3), by_name("fid_digits_infinity", cuts=2)]


def test_extractor_runs_once_for_all_metrics(monkeypatch):
    evidence = make_evidence(DIGITS, NOISE.clone())
    calls = []
    extractor = small_extractor("digits", "cpu")
    whole = type(extractor).features
    monkeypatch.setattr(type(extractor), "features", lambda self, x: calls.append(len(x)) or whole(self, x))
    for metric in (*every_kind(), by_name("fid_digits"), by_name("kid_digits")):
        metric.compute(evidence)
        metric.identity(evidence)
    assert sorted(calls) == [1200, 1437]


def test_features_follow_samples_that_change():
    samples = NOISE.clone()
    evidence = make_evidence(DIGITS, samples)
    before = by_name("fid_digits").compute(evidence)
    samples.copy_(BLURRED[: len(samples)])
    assert by_name("fid_digits").compute(evidence) != before


def test_features_of_one_set_are_shared_by_identity():
    evidence = make_evidence(DIGITS, NOISE)
    extractor = small_extractor("digits", "cpu")
    assert features.sample_features(evidence, extractor) is features.sample_features(evidence, extractor)
    assert features.reference_features(evidence, extractor, "train").features.shape == (1437, 32)


def test_memory_goes_with_its_tensor():
    tensor, made = torch.zeros(3), []
    value = memory.cached_on(tensor, "sum", lambda: made.append(1) or torch.ones(2))
    assert memory.cached_on(tensor, "sum", lambda: made.append(1)) is value
    assert len(made) == 1
    gone = weakref.ref(value)
    del tensor, value
    assert gone() is None


def test_reference_features_are_kept_and_a_damaged_file_is_not_used(tmp_path, caplog):
    def score():
        return by_name("fid_digits").compute(make_evidence(DIGITS, NOISE, cache=tmp_path))["fid_digits"]

    first = score()
    (kept,) = tmp_path.iterdir()
    stamp, payload = kept.stat().st_mtime_ns, kept.read_bytes()
    assert score() == first
    assert kept.stat().st_mtime_ns == stamp, "a good file is not written again"
    for damaged in (
        payload[:-1] + bytes([payload[-1] ^ 1]),
        payload[:100],
        b"",
        hashlib.sha256(kept.name.encode() + b"\nx").hexdigest().encode() + b"x",
    ):
        kept.write_bytes(damaged)
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            assert score() == first
        assert "computed again" in caplog.text
        assert kept.read_bytes() == payload
    other = kept.with_name("0" * 64)
    other.write_bytes(payload)
    assert read_kept(other) is None, "another file's content is not this one's"


def test_what_is_made_of_a_reference_is_kept_for_other_processes(tmp_path, monkeypatch):
    def scores():
        evidence = make_evidence(DIGITS, NOISE.clone(), cache=tmp_path)
        return [metric.compute(evidence) for metric in every_kind()]

    apart = scores()
    monkeypatch.setattr(features, "WORTH_KEEPING", 0)
    assert scores() == apart
    assert len(list(tmp_path.glob("*.statistic"))) == 3

    computed = []
    monkeypatch.setattr(gaussians.Target, "of", lambda x: pytest.fail("the Gaussian of the reference is on the disk"))
    for module, name in ((kid, "subset_means"), (manifold, "_radii")):
        whole = getattr(module, name)
        monkeypatch.setattr(module, name, lambda x, *rest, f=whole: computed.append(len(x)) or f(x, *rest))
    assert scores() == apart
    assert set(computed) == {len(NOISE)}


def test_reference_files_are_told_apart_by_what_they_hold(tmp_path):
    for dataset, metric in (
        (DIGITS, by_name("fid_digits")),
        (DIGITS, by_name("fid_digits", reference="test")),
        (Pictures(REAL + 0.1), by_name("fid_digits")),
    ):
        metric.compute(make_evidence(dataset, NOISE, cache=tmp_path))
    assert len(list(tmp_path.iterdir())) == 3


def test_cache_that_cannot_be_written_is_reported(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError, match="cannot be kept"):
        by_name("fid_digits").compute(make_evidence(DIGITS, NOISE, cache=tmp_path / "file"))


@pytest.mark.parametrize(("name", "dataset", "least"), [("digits", DIGITS, 0.97), ("mnist", Mnist5k(), 0.97)])
def test_extractors_recognise_held_out_digits(name, dataset, least):
    folder = Path(extractors.__file__).parent
    facts = json.loads((folder / f"{name}.json").read_text())
    assert hashlib.sha256((folder / f"{name}.safetensors").read_bytes()).hexdigest() == facts["sha256"]
    x, y = dataset.load("test")
    network = small_extractor(name, "cpu")._network
    accuracy = (network(quantise(x)).argmax(1) == y).float().mean().item()
    assert accuracy == pytest.approx(facts["test_accuracy"], abs=2e-3)
    assert accuracy >= least
    assert facts["test_examples"] == len(x)


def test_extractor_training_is_reproducible_and_learns(tmp_path, monkeypatch, capsys):
    from fmbench_metrics.extractors import train

    monkeypatch.setitem(train.DATASETS, "digits", ("digits", 3))
    monkeypatch.setattr("sys.argv", ["train", "digits", "--folder", str(tmp_path)])
    hashes = set()
    for _ in range(2):
        train.main()
        facts = json.loads(capsys.readouterr().out)
        hashes.add(facts["sha256"])
        assert facts == json.loads((tmp_path / "digits.json").read_text())
    assert len(hashes) == 1
    assert facts["test_accuracy"] > 0.6
