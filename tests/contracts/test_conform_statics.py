"""What the registry reads from source agrees with the classes, and every built-in says where it comes from."""

import inspect

import pytest
from built_ins import REGISTRY, Case, names

from fmbench.components.contracts import CONTRACTS, KINDS, Component
from fmbench.plugins.discovery import load_plugins

NEEDS_PARAMETERS = {
    ("dataset", "arrays"),
    ("dataset", "arrays_with_conditions"),
    ("dataset", "image_folder"),
    ("dataset", "image_folder_flipped"),
    ("objective", "lpips_huber"),
    *(("model", name) for name in ("checkpoint", "diffusers", "python")),
    *(("guidance", name) for name in names("guidance")),
}
CASES = [Case(kind, name) for kind in KINDS for name in names(kind) if (kind, name) not in NEEDS_PARAMETERS]
GUIDANCE = [
    Case("guidance", name, {"weight": weight, **({"model": {"network": "mlp"}} if name == "autoguidance" else {})})
    for name in names("guidance")
    for weight in (0.0, 1.0, 3.0)
]
PRESETS = {key: registered.preset for key, registered in load_plugins().components.items()}


@pytest.mark.parametrize("case", [*CASES, *GUIDANCE], ids=lambda c: f"{c.kind}-{c}")
def test_class_attributes_are_read_as_they_are(case):
    spec, built = REGISTRY.spec(case.kind, case.name, case.parameters), case.build()
    cls = type(built)
    contract = {name for name in [*vars(Component), *vars(CONTRACTS[case.kind])] if not name.startswith("_")}
    values = {name: inspect.getattr_static(cls, name) for name in contract}
    values = {n: v for n, v in values.items() if not callable(v) and not isinstance(v, property | classmethod)}
    assert {"reference", "provides", "requires"} <= values.keys()
    tables = [table for each in cls.__mro__ for table in vars(each).get("by_parameter", {}).values()]
    dependent = {name for table in tables for of_value in table.values() for name in of_value}
    values |= {name: getattr(built, name) for name in dependent}
    assert {name: REGISTRY.attribute(spec, name) for name in values} == values
    assert built.registered_name == case.name


@pytest.mark.parametrize("kind", KINDS)
def test_every_built_in_names_its_source(kind):
    own = [entry for entry in REGISTRY.entries(kind) if entry.name in names(kind)]
    assert own
    assert not [entry.name for entry in own if entry.error]
    assert not [entry.name for entry in own if not entry.summary]
    if kind not in ("metric", "dataset"):
        assert not [entry.name for entry in own if not entry.reference]


def test_defaults_are_what_the_registry_builds():
    compared = 0
    for case in CASES:
        entry = REGISTRY.entry(case.kind, case.name)
        built = vars(case.build())
        written = inspect.signature(type(case.build())).parameters
        defaults = {name: p.default for name, p in written.items()} | PRESETS[case.kind, case.name]
        assert {p.name: p.default for p in entry.parameters} == defaults
        for parameter in entry.parameters:
            if parameter.name in built and isinstance(parameter.default, int | float | str):
                assert built[parameter.name] == parameter.default, (case, parameter)
                compared += 1
    assert compared >= 20
