"""One class under several names: presets, attributes that depend on a parameter, and the name that is built."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fmbench.cli import plugins as verb
from fmbench.errors import PluginError
from fmbench.plugins.registry import Registry, load_registry

CLASSES = '''
from typing import Literal

from fmbench import Grid, Metric

class Base(Metric):
    """A distance."""
    requires = ("images",)
    by_parameter = {"size": {"large": {"requires": ("images", "large"), "minimum_samples": 3}}}

class Distance(Base):
    """A distance of some size."""
    minimum_samples = 10
    by_parameter = {"size": {"small": {"minimum_samples": 5}}}

    def __init__(self, *, size: Literal["small", "large", "huge"] = "huge", power: float = 1.0) -> None: ...

    def compute(self, evidence): ...

class Even(Grid):
    """Even steps."""
    distinct_steps = 100

    def __init__(self, *, by: float = 1.0) -> None: ...

    def times(self, steps): ...
'''
HOOKS = """
from fmbench import Preset, hookimpl

@hookimpl
def fmbench_metrics():
    distance = "preset_classes:Distance"
    return {
        "distance": distance,
        "distance_small": Preset(distance, {"size": "small", "power": 2}),
        "distance_large": Preset(distance, {"size": "large"}),
        "distance_smal": Preset(distance, {"size": "smal"}),
        "distance_sized": Preset(distance, {"sise": "small"}),
    }

@hookimpl
def fmbench_grids():
    return {"even": "preset_classes:Even", "even_twice": Preset("preset_classes:Even", {"by": 2.0})}
"""

Load = Callable[[str], Registry]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Load]:
    """Return a function that loads the classes above, as they are or edited."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def load(classes: str = CLASSES) -> Registry:
        (tmp_path / "preset_classes.py").write_text(classes)
        (tmp_path / "preset_hooks.py").write_text(HOOKS)
        return load_registry([str(tmp_path / "preset_hooks.py")])

    yield load
    sys.modules.pop("preset_classes", None)


@pytest.fixture
def registry(load: Load) -> Registry:
    return load(CLASSES)


def test_a_preset_gives_defaults_which_labels_hide(registry: Registry) -> None:
    spec = registry.spec("metric", "distance_small")
    assert spec.parameters == {"size": "small", "power": 2.0}
    assert spec.label == "distance_small"
    assert registry.spec("metric", "distance_small", {"size": "small"}).digest == spec.digest
    assert registry.spec("metric", "distance_small", {"power": 1}).label == "distance_small(power=1)"
    assert registry.spec("metric", "distance", {"size": "small"}).label == "distance(size=small)"
    assert registry.schema("metric", "distance_small")["properties"]["size"]["default"] == "small"
    assert "preset_classes" not in sys.modules


def test_a_preset_is_shown(registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    entry = registry.entry("metric", "distance_small")
    assert {each.name: each.default for each in entry.parameters} == {"size": "small", "power": 2.0}
    assert entry.summary == "A distance of some size. Preset: size=small, power=2."
    verb.show_plugin("metric", "distance_large", [str(tmp_path / "preset_hooks.py")])
    shown = capsys.readouterr().out
    assert "Preset: size=large." in shown
    (row,) = (line.split() for line in shown.splitlines() if line.split()[:1] == ["size"])
    assert "large" in row[-2:]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("distance_smal", 'parameter \'size\' of metric \'distance_smal\' must be "small" or "large" or "huge"'),
        ("distance_sized", "metric 'distance_sized' has no parameter 'sise'. Did you mean 'size'?"),
    ],
)
def test_a_preset_that_does_not_fit_is_a_plugin_error(name: str, words: str, registry: Registry) -> None:
    with pytest.raises(PluginError, match="registered with a preset that does not fit") as caught:
        registry.spec("metric", name)
    assert words in str(caught.value)
    (listed,) = (entry for entry in registry.entries("metric") if entry.name == name)
    assert words in listed.error


@pytest.mark.parametrize(
    ("name", "parameters", "requires", "least"),
    [
        ("distance", {}, ("images",), 10),
        ("distance", {"size": "small"}, ("images",), 5),
        ("distance", {"size": "large"}, ("images", "large"), 10),
        ("distance_small", {}, ("images",), 5),
        ("distance_large", {}, ("images", "large"), 10),
        ("distance_large", {"size": "small"}, ("images",), 5),
    ],
)
def test_attributes_follow_parameters_the_nearest_class_first(
    name: str, parameters: dict[str, Any], requires: tuple[str, ...], least: int, registry: Registry
) -> None:
    spec = registry.spec("metric", name, parameters)
    assert registry.attribute(spec, "requires") == requires
    assert registry.attribute(spec, "minimum_samples") == least
    assert "preset_classes" not in sys.modules
    built: Any = registry.build(spec)
    assert (built.requires, built.minimum_samples, built.registered_name) == (requires, least, name)


JOINED = """{
        "size": {"small": {"requires": ("points",), "minimum_samples": 2}, ...: {"requires": ("images",)}},
        "power": {1.0: {}, ...: {"requires": ["power"], "minimum_samples": 7}},
    }"""


@pytest.mark.parametrize(
    ("parameters", "requires", "least"),
    [
        ({"size": "small"}, ("points",), 2),
        ({"size": "small", "power": 2.0}, ("points", "power"), 7),
        ({"size": "large"}, ("images",), 10),
        ({"power": 3.0}, ("images", "power"), 7),
    ],
)
def test_what_several_parameters_say_of_a_tuple_is_joined_and_any_other_value_has_its_place(
    parameters: dict[str, Any], requires: tuple[str, ...], least: int, load: Load
) -> None:
    """The base's table, which says something of a large size, is not joined: the nearest class stands in its place."""
    registry = load(CLASSES.replace('{"size": {"small": {"minimum_samples": 5}}}', JOINED))
    spec = registry.spec("metric", "distance", parameters)
    assert registry.attribute(spec, "requires") == requires
    assert registry.attribute(spec, "minimum_samples") == least
    assert "preset_classes" not in sys.modules


def test_what_is_computed_is_asked_of_the_imported_class(load: Load) -> None:
    registry = load(CLASSES.replace('{"minimum_samples": 5}', "dict(minimum_samples=2 + 3)"))
    assert registry.attribute(registry.spec("metric", "distance_small"), "minimum_samples") == 5


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ('{"sise": {"small": {"minimum_samples": 5}}}', "by_parameter names 'sise', which is no parameter of it"),
        ('{"size": "small"}', "by_parameter must map parameters to their values, and these to attributes"),
        ('{"size": {"small": {"minimum_samples": "many"}}}', "'minimum_samples' must be of type int"),
    ],
)
def test_a_wrong_table_is_a_plugin_error(table: str, words: str, load: Load) -> None:
    registry = load(CLASSES.replace('{"size": {"small": {"minimum_samples": 5}}}', table))
    with pytest.raises(PluginError) as caught:
        registry.attribute(registry.spec("metric", "distance_small"), "minimum_samples")
    assert words in str(caught.value)


def test_a_presets_parameters_are_not_its_classs_defaults(registry: Registry) -> None:
    """What a class says of its defaults, such as a grid's `distinct_steps`, says nothing of a preset."""
    assert registry.has_defaults(registry.spec("grid", "even", {"by": 1.0}))
    assert not registry.has_defaults(registry.spec("grid", "even", {"by": 2.0}))
    assert not registry.has_defaults(registry.spec("grid", "even_twice"))
