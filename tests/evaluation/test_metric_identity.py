"""Every registered metric's identity: it is there, changes with all that decides comparability, and with nothing else.

The identities are those that the core stores. What the metrics compute has tests of its own; here it is left out.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from helpers import built_ins, context, training_cell
from picture_sets import Pictures

from fmbench.cells.component_spec import ComponentSpec
from fmbench.evaluation.metrics import compute_metric
from fmbench.report.analysis.comparability import split_by_identity
from fmbench.report.result_table import Values
from fmbench.testing import make_evidence
from fmbench.testing.dummy_components import TinyNetwork
from fmbench_metrics.extractor import Extractor, small_extractor

REGISTRY = built_ins()
NAMES = [entry.name for entry in REGISTRY.entries("metric")]
CELL = training_cell(REGISTRY)

SCOPES = {name: REGISTRY.attribute(REGISTRY.spec("metric", name), "scope") for name in NAMES}
COSTS = {"nfe", "parameters", "peak_memory", "sample_ms", "train_seconds"}
WITHOUT_DATA = COSTS | {"solver_error", "straightness", "inception_score"}
"""Metrics whose value no data enter but those that the network was trained on."""
OF_SAMPLES = [name for name in NAMES if SCOPES[name] == "evaluation" and name not in {"nfe", "round_trip_error"}]
FEATURED = {"fid", "fd", "sfid", "kid", "mind", "cmmd", "inception", "precision", "recall", "density", "coverage"}
OF_FEATURES = [name for name in NAMES if name.split("_")[0] in FEATURED or name in {"c2st_digits", "c2st_mnist"}]
OF_SAMPLES_ALONE = {"inception_score"}
"""Metrics that compare samples with nothing."""
OF_MIXTURES = {"excess_loss", "missed_modes", "mode_shares"}
GIVEN_LABELS = [
    "loss_by_t",
    "nll",
    "normalized_path_energy",
    "round_trip_error",
    "solver_error",
    "straightness",
    "validation_loss",
    "x1_error",
]
OTHER = {"degree": 1, "low": -3.0000001, "cuts": 3, "least": 0.5}
"""Values of parameters that are neither numbers to add to nor files."""


class Statistics(Extractor):
    """Stands for Inception, whose weights do not ship: mean and deviation of a picture."""

    name, weights_hash, dimensions = "inception-v3-compat", "one", 2

    def check(self, shape):
        pass

    def batch_features(self, levels):
        x = levels.flatten(1).float()
        return torch.stack([x.mean(1), x.std(1)], dim=1)


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return context(tmp_path_factory.mktemp("identities"), REGISTRY)


@pytest.fixture(autouse=True)
def inception(monkeypatch):
    """The extractor in Inception's place."""
    extractor = Statistics()
    monkeypatch.setattr("fmbench_metrics.inception.inception", lambda weights, device, layer: extractor)
    for name in ("dinov2", "clip"):
        monkeypatch.setattr(f"fmbench_metrics.{name}.{name}", lambda weights, device: extractor)
    return extractor


def dataset(name: str, seed: int = 0) -> Any:
    """Return a dataset that a metric serves; other seeds have other data."""
    if name in OF_MIXTURES:
        return REGISTRY.build(REGISTRY.spec("dataset", "eight_gaussians" if seed else "gaussian_mixture"))
    side = 28 if "mnist" in name else 8
    shape = (1, side, side) if name in OF_FEATURES or name == "c2st" else (2,)
    return Pictures(torch.rand(60, *shape, generator=torch.Generator().manual_seed(seed)))


@pytest.fixture
def identity(shop, monkeypatch, tmp_path):
    """Return a function of a metric's name to the identity that the core stores with its values."""

    def find(name: str, data: Any = None, n: int = 40, cell=CELL, parameters=None, **changes: Any) -> dict[str, Any]:
        spec: ComponentSpec = REGISTRY.spec("metric", name, parameters)
        data = dataset(name) if data is None else data
        module = changes.pop("module", None)
        evidence = make_evidence(data, data.load("train")[0][:n], module=module, cache=tmp_path)
        evidence = dataclasses.replace(evidence, **changes)
        monkeypatch.setattr(type(shop.build(spec)), "compute", lambda self, evidence: {name: 1.0})
        return compute_metric(spec, cell, evidence, shop)["identity"]

    return find


@pytest.mark.parametrize("name", NAMES)
def test_it_says_which_metric_and_version_on_which_device(name, identity):
    found = identity(name)
    assert found["metric"] == name
    assert found["version"] == REGISTRY.attribute(REGISTRY.spec("metric", name), "version")
    assert {"device", "precision"} <= set(found)


@pytest.mark.parametrize("name", NAMES)
def test_other_weights_of_the_network_leave_it_as_it_is(name, identity):
    data = dataset(name)
    network = TinyNetwork(data.shape)
    with torch.no_grad():
        network.linear.weight.add_(1.0)
    samples = data.load("train")[0][:40].flip(0)
    assert identity(name) == identity(name, module=network, samples=samples)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in WITHOUT_DATA])
def test_another_reference_changes_it(name, identity):
    assert identity(name) != identity(name, dataset(name, seed=1))


@pytest.mark.parametrize("name", OF_SAMPLES)
def test_another_number_of_samples_changes_it(name, identity):
    before, after = identity(name), identity(name, n=39)
    assert {key for key in before if before[key] != after[key]} == {"samples_n"}


@pytest.mark.parametrize("name", OF_FEATURES)
def test_another_extractor_changes_it(name, identity, inception, monkeypatch):
    before = identity(name)
    small = next((each for each in ("digits", "mnist") if each in name.split("_")), None)
    extractor = small_extractor(small, "cpu") if small else inception
    monkeypatch.setattr(extractor, "weights_hash", "another")
    after = identity(name)
    assert {key for key in before if before[key] != after[key]} == {"weights"}
    assert {"extractor", "features", "quantiser", "torch_fidelity"} <= set(before)
    assert ({"reference_split", "reference_n"} <= set(before)) == (name not in OF_SAMPLES_ALONE)


def each_parameter() -> list[tuple[str, str]]:
    """Return the parameters of all metrics; weights are Inception's alone, which c2st does not take unless told."""
    pairs = [(entry.name, parameter.name) for entry in REGISTRY.entries("metric") for parameter in entry.parameters]
    pairs.remove(("sfid", "extractor"))  # it takes one value
    without = {name for name, _ in pairs if of_small_extractor(name)} | {"c2st"}
    return [(name, parameter) for name, parameter in pairs if parameter != "weights" or name not in without]


def of_small_extractor(name: str) -> bool:
    return not {"digits", "mnist"}.isdisjoint(name.split("_"))


@pytest.mark.parametrize(("name", "parameter"), each_parameter())
def test_another_parameter_changes_it(name, parameter, identity, tmp_path):
    default = REGISTRY.spec("metric", name).parameters[parameter]
    if parameter == "weights":
        value: Any = str(tmp_path / "weights.pth")
        (tmp_path / "weights.pth").write_bytes(b"weights")
    elif parameter == "extractor":
        value = "inception" if of_small_extractor(name) else "digits"
    elif parameter == "reference":
        value = "train" if default == "test" else "test"
    else:
        value = OTHER[parameter] if parameter in OTHER else default + 2
    assert identity(name) != identity(name, parameters={parameter: value})


@pytest.mark.parametrize("name", GIVEN_LABELS)
def test_a_network_that_is_told_the_class_has_another(name, identity):
    assert identity(name) != identity(name, classes=2)


@pytest.mark.parametrize("name", ["fid_digits_infinity", "fid_infinity", "fid_mnist_infinity"])
def test_samples_that_are_cut_by_class_have_another(name, identity):
    assert identity(name) != identity(name, labels=torch.arange(40) % 2)
    assert identity(name) == identity(name, labels=torch.rand(40, 2)), "condition vectors are no classes"


@pytest.mark.parametrize("name", NAMES)
def test_it_is_as_narrow_as_the_metric_declares(name, identity):
    within = REGISTRY.attribute(REGISTRY.spec("metric", name), "within")
    for kind, other in {"path": "cosine", "coupling": "minibatch_ot", "objective": "x1_prediction"}.items():
        cell = dataclasses.replace(CELL, **{kind: REGISTRY.spec(kind, other)})
        assert (identity(name) != identity(name, cell=cell)) == (kind in within)


@pytest.mark.parametrize("name", sorted(COSTS - {"nfe", "parameters"}))
@pytest.mark.parametrize("fact", ["hardware", "torch", "precision"])
def test_costs_on_other_machines_have_another(name, fact, identity, monkeypatch):
    before = identity(name)
    training = dataclasses.replace(make_evidence(dataset(name)).training, **{fact: "another"})
    measured = {"hardware": "here", "torch": "0", fact: "another"}
    monkeypatch.setattr("fmbench.runtime.environment.measured_on", lambda device: measured)
    after = identity(name, training=training)
    assert after[fact] == "another"
    assert after != before


def test_a_column_of_two_sample_counts_is_refused_and_says_so(identity):
    """From what metrics say of themselves to what a table says of its column."""
    rows = {("digits", "linear", solver): identity("fid_digits", n=n) for solver, n in (("euler", 40), ("heun", 39))}
    values = {(*row, seed): Values({0: 1.0}, {}, (found,)) for row, found in rows.items() for seed in ("a",)}
    mixed = {("digits",): Values({0: 1.0, 1: 2.0}, {}, tuple(rows.values()))}
    assert split_by_identity(mixed) == (
        [],
        "left out, because its values are not comparable with each other: samples_n is 40 (1 values), 39 (1 values)",
    )
    same = {row: dataclasses.replace(each, identities=(identity("fid_digits"),)) for row, each in values.items()}
    assert split_by_identity(same) == ([("", same)], "")
