"""From (kind, name) and parameters to a checked spec, and to the component itself."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fmbench.components.contracts import KINDS
from fmbench.errors import ComponentError, DataError, PluginError
from fmbench.plugins.registry import Registry, load_registry

PLUGIN = '''
from pathlib import Path as FilePath
from typing import Annotated, Literal, Optional
from annotated_types import Ge, Gt, Le, Lt, Len, MinLen
from pydantic import Field, PositiveInt
from fmbench import DataError, Dataset, Grid, Solver, hookimpl

class Many(Grid):
    """Many parameters.

    Args:
        number: any number at all.
    """
    reference = "nowhere"

    def __init__(
        self,
        *,
        needed: int,
        number: float = 1.0,
        positive: Annotated[float, Gt(0), Le(1)] = 0.5,
        count: PositiveInt = 3,
        mode: Literal["a", "b"] = "a",
        flag: bool = False,
        maybe: float | None = None,
        old: Optional[int] = None,
        text: Annotated[str, MinLen(1)] = "x",
        items: list[float] = [],
        pair: tuple[int, int] = (28, 28),
        table: dict[str, float] = {},
        folder: FilePath = ".",
        field: Annotated[int, Field(ge=2, description="a field")] = 2,
        anything = None,
        model_channels: int = 1,
        copy: int = 1,
    ) -> None:
        self.__dict__.update(locals())

    def times(self, steps): ...

class Plain(Solver):
    """Plain."""
    order = 2
    provides = "oops"

    def integrate(self, velocity, x_0, times): ...

class Picky(Grid):
    def __init__(self, *, what: str = "value") -> None:
        raise {"value": ValueError("not that"), "type": TypeError("nor that"), "data": DataError("gone"),
               "import": ImportError("no such library")}[what]

    def times(self, steps): ...

class Folder(Dataset):
    content = ("folder",)

    def __init__(self, *, folder: str, extra: str | None = None) -> None: ...

    def load(self, split): ...

class WrongDefault(Grid):
    def __init__(self, *, a: int = "three") -> None: ...
    def times(self, steps): ...

class Open(Grid): ...

@hookimpl
def fmbench_grids():
    return {"many": Many, "picky": Picky, "wrong_default": WrongDefault, "open": Open, "stranger": Plain,
            "gone": "no_such_module:Gone"}

@hookimpl
def fmbench_solvers():
    return {"plain": Plain}

@hookimpl
def fmbench_datasets():
    return {"folder": Folder}
'''

Edit = Callable[[str], Registry]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("registry") / "registry_plugin.py"
    file.write_text(PLUGIN)
    return file


@pytest.fixture(scope="module")
def registry(file: Path) -> Registry:
    return load_registry([str(file)])


@pytest.fixture
def static(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    """The same components, registered by text and so read without being imported."""
    monkeypatch.syspath_prepend(str(tmp_path))
    head, _, _ = PLUGIN.partition("@hookimpl")
    (tmp_path / "registry_static.py").write_text(head)
    hook = (
        "from fmbench import hookimpl\n@hookimpl\ndef fmbench_grids():\n    return {'many': 'registry_static:Many'}\n"
    )
    (tmp_path / "hooks_static.py").write_text(hook)
    yield load_registry([str(tmp_path / "hooks_static.py")])
    sys.modules.pop("registry_static", None)


def error_of(call: Callable[[], Any], kind: type[Exception] = ComponentError) -> Any:
    with pytest.raises(kind) as caught:
        call()
    assert "\n" not in str(caught.value)
    assert "pydantic" not in str(caught.value)
    return caught.value


def test_defaults_are_filled_in_as_json(registry: Registry) -> None:
    parameters = registry.spec("grid", "many", {"needed": 1}).parameters
    assert json.loads(json.dumps(parameters)) == parameters
    assert parameters["pair"] == [28, 28]
    assert parameters["folder"] == "."
    assert list(parameters)[:3] == ["needed", "number", "positive"]


def test_reading_statically_and_importing_agree(registry: Registry, static: Registry) -> None:
    assert registry.entry("grid", "many").parameters == static.entry("grid", "many").parameters
    assert registry.schema("grid", "many") == static.schema("grid", "many")
    assert registry.spec("grid", "many", {"needed": 1}).text == static.spec("grid", "many", {"needed": 1}).text
    assert "registry_static" not in sys.modules


@pytest.mark.parametrize(
    ("given", "value"),
    [
        ({"number": 3}, 3.0),
        ({"number": -1.5e-3}, -1.5e-3),
        ({"maybe": 2}, 2.0),
        ({"maybe": None}, None),
        ({"pair": [1, 2]}, [1, 2]),
        ({"pair": (1, 2)}, [1, 2]),
        ({"table": {"a": 1}}, {"a": 1.0}),
        ({"items": [1, 2.5]}, [1.0, 2.5]),
        ({"anything": {"deep": [1, "x", None]}}, {"deep": [1, "x", None]}),
        ({"flag": True}, True),
        ({"model_channels": 4}, 4),
    ],
)
def test_right_values_are_taken(given: dict[str, Any], value: Any, registry: Registry) -> None:
    (name,) = given
    found = registry.spec("grid", "many", {"needed": 1, **given}).parameters[name]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"number": "3"}, 'must be number; found "3": it is text; write a number without quotes'),
        ({"number": "abc"}, 'must be number; found "abc"'),
        ({"number": True}, "must be number; found true"),
        ({"number": float("nan")}, "must be number; found NaN"),
        ({"needed": 1.5}, "must be integer; found 1.5"),
        ({"needed": True}, "must be integer; found true"),
        ({"needed": "3"}, 'must be integer; found "3"'),
        ({"needed": None}, "must be integer; found null"),
        ({"positive": 0}, "must be number > 0 and <= 1; found 0"),
        ({"positive": 1.5}, "must be number > 0 and <= 1; found 1.5"),
        ({"count": 0}, "must be integer > 0; found 0"),
        ({"mode": "c"}, 'must be "a" or "b"; found "c"'),
        ({"flag": 1}, "must be true or false; found 1"),
        ({"maybe": "x"}, 'must be number or null; found "x"'),
        ({"text": ""}, 'must be text at least 1 long; found ""'),
        ({"items": [1, "x"]}, 'must be list of number; found [1, "x"] (item 2 is wrong)'),
        ({"items": 3}, "must be list of number; found 3"),
        ({"pair": [1]}, "must be list [integer, integer]; found [1]"),
        ({"table": {"a": "b"}}, "must be mapping of text to number"),
        ({"field": 1}, "must be integer >= 2; found 1"),
        ({"anything": object}, "of type type"),
    ],
)
def test_wrong_values_are_refused_in_plain_words(given: dict[str, Any], words: str, registry: Registry) -> None:
    error = error_of(lambda: registry.spec("grid", "many", {"needed": 1, **given}))
    assert words in str(error)
    assert error.parameter == next(iter(given))
    assert "grid 'many'" in str(error)


def test_unknown_and_missing_parameters_are_named(registry: Registry) -> None:
    error = error_of(lambda: registry.spec("grid", "many", {"needed": 1, "numbr": 2}))
    assert "no parameter 'numbr'. Did you mean 'number'? It takes: needed, number" in str(error)
    assert error.parameter == "numbr"
    error = error_of(lambda: registry.spec("grid", "many"))
    assert "needs the parameter 'needed' (integer)" in str(error)
    assert error.parameter == "needed"
    assert "it takes none" in str(error_of(lambda: registry.spec("solver", "plain", {"x": 1})))


def test_unknown_components_and_kinds_are_named(registry: Registry) -> None:
    message = str(error_of(lambda: registry.entry("solver", "plan")))
    assert "there is no solver 'plan'. Did you mean 'plain'? Registered: " in message
    assert "plain" in message
    assert "Did you mean 'solver'?" in str(error_of(lambda: registry.names("solvr")))


def test_an_unknown_component_points_at_the_plugin_that_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bad-1.0.dist-info").mkdir()
    (tmp_path / "bad-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: bad\nVersion: 1.0\n")
    (tmp_path / "bad-1.0.dist-info" / "entry_points.txt").write_text("[fmbench]\nbad = no_such_module_at_all\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    message = str(error_of(lambda: load_registry().spec("solver", "from_bad")))
    assert "may be missing because plugin 'bad' of bad 1.0 failed: ModuleNotFoundError" in message


@pytest.mark.parametrize(
    ("given", "label"),
    [
        ({"needed": 1}, "many(needed=1)"),
        ({"needed": 1, "number": 1}, "many(needed=1)"),
        ({"needed": 1, "number": 1e-05}, "many(needed=1, number=1e-05)"),
        ({"needed": 1, "number": 1.23456789}, "many(needed=1, number=1.23456789)"),
        ({"needed": 1, "flag": True, "mode": "b"}, "many(needed=1, mode=b, flag=true)"),
        ({"needed": 1, "pair": [1, 2], "table": {"a": 2}}, "many(needed=1, pair=[1, 2], table={a: 2})"),
    ],
)
def test_labels_show_what_differs_from_the_defaults(given: dict[str, Any], label: str, registry: Registry) -> None:
    assert registry.spec("grid", "many", given).label == label
    assert registry.spec("solver", "plain").label == "plain"


def test_a_default_written_out_is_the_same_component(registry: Registry) -> None:
    spelled = registry.spec("grid", "many", {"needed": 1, "number": 1, "pair": (28, 28)})
    assert spelled.digest == registry.spec("grid", "many", {"needed": 1}).digest


def test_building_gives_values_as_annotated(registry: Registry) -> None:
    built: Any = registry.build(registry.spec("grid", "many", {"needed": 1}))
    assert built.pair == (28, 28)
    assert built.folder == Path()


@pytest.mark.parametrize(
    ("what", "kind", "words"),
    [
        ("value", ComponentError, "grid picky: not that"),
        ("type", ComponentError, "nor that"),
        ("data", DataError, "gone"),
        ("import", PluginError, "cannot be built: no such library"),
    ],
)
def test_what_a_constructor_raises(what: str, kind: type[Exception], words: str, registry: Registry) -> None:
    assert words in str(error_of(lambda: registry.build(registry.spec("grid", "picky", {"what": what})), kind))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("stranger", "must be a subclass of fmbench.Grid; its bases are Solver"),
        ("open", "lacks what fmbench.Grid asks for: times"),
        ("gone", "no_such_module:Gone cannot be imported: ModuleNotFoundError"),
        ("wrong_default", "the default of 'a' does not fit its annotation"),
    ],
)
def test_what_a_plugin_did_wrong_is_a_plugin_error(name: str, words: str, registry: Registry) -> None:
    assert words in str(error_of(lambda: registry.build(registry.spec("grid", name)), PluginError))


def test_a_broken_component_is_listed_with_its_error(registry: Registry) -> None:
    errors = {entry.name: entry.error for entry in registry.entries("grid") if entry.error}
    assert set(errors) == {"stranger", "open", "gone"}
    assert registry.fingerprints()


def test_attributes_come_from_the_class_or_its_contract(registry: Registry) -> None:
    plain = registry.spec("solver", "plain")
    assert registry.attribute(plain, "order") == 2
    assert registry.attribute(plain, "nfe_per_step") == 1
    assert "must be of type tuple, such as ()" in str(
        error_of(lambda: registry.attribute(plain, "provides"), PluginError)
    )
    with pytest.raises(AttributeError):
        registry.attribute(plain, "no_such")


def test_entries_are_complete(registry: Registry) -> None:
    entry = registry.entry("grid", "many")
    assert (entry.summary, entry.reference) == ("Many parameters.", "nowhere")
    assert entry.target == "fmbench_plugin_registry_plugin:Many"
    shown = {each.name: each for each in entry.parameters}
    assert shown["number"].description == "any number at all."
    assert (shown["positive"].type, shown["positive"].default) == ("number > 0 and <= 1", 0.5)
    assert shown["needed"].required
    assert [each.kind for each in registry.entries()] == sorted(
        (each.kind for each in registry.entries()), key=KINDS.index
    )
    assert registry.names("grid") == sorted(registry.names("grid"))


def test_the_schema_is_json_schema(registry: Registry) -> None:
    schema = registry.schema("grid", "many")
    assert schema["additionalProperties"] is False
    assert schema["required"] == ["needed"]
    assert schema["properties"]["mode"]["enum"] == ["a", "b"]
    assert schema["properties"]["positive"] == {
        "type": "number", "exclusiveMinimum": 0, "maximum": 1, "default": 0.5
    }  # fmt: skip
    json.dumps(schema)


def test_the_content_of_a_folder_counts(registry: Registry, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    error = error_of(lambda: registry.spec("dataset", "folder", {"folder": str(folder)}))
    assert error.parameter == "folder"
    assert str(folder) in str(error)
    folder.mkdir()
    empty = registry.spec("dataset", "folder", {"folder": str(folder)})
    (folder / "1.png").write_bytes(b"x")
    full = registry.spec("dataset", "folder", {"folder": str(folder)})
    assert empty.text == full.text
    assert empty.digest != full.digest


def test_editing_code_changes_the_digest_and_a_comment_does_not(tmp_path: Path) -> None:
    file = tmp_path / "edited.py"
    texts = [PLUGIN, PLUGIN + "\n# a comment\n", PLUGIN + "\nx = 1\n"]
    registries = []
    for text in texts:
        file.write_text(text)
        registry = load_registry([str(file)])
        registries.append((registry.spec("solver", "plain").digest, registry.fingerprints()))
    assert registries[0] == registries[1]
    assert registries[1][0] != registries[2][0]
    assert registries[1][1] != registries[2][1]


def test_code_that_changed_under_a_running_process_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    text = "from fmbench import Grid\nclass Mine(Grid):\n    def times(self, steps): ...\n"
    (tmp_path / "changing_code.py").write_text(text)
    hook = "from fmbench import hookimpl\n@hookimpl\ndef fmbench_grids():\n    return {'mine': 'changing_code:Mine'}\n"
    (tmp_path / "changing_hooks.py").write_text(hook)
    registry = load_registry([str(tmp_path / "changing_hooks.py")])
    spec = registry.spec("grid", "mine")
    registry.build(spec)
    (tmp_path / "changing_code.py").write_text(text + "x = 1\n")
    again = load_registry([str(tmp_path / "changing_hooks.py")])
    assert "has changed while this process" in str(
        error_of(lambda: again.build(again.spec("grid", "mine")), PluginError)
    )


@pytest.mark.parametrize(
    ("attribute", "words"),
    [
        ("content = ('foldr',)", "names 'foldr', which is no parameter of it"),
        ("content = 'folder'", "must be of type tuple, such as ()"),
        ("provides = property(lambda self: ())", "must be of type tuple, such as ()"),
        ("classes = None", "must be of type int, such as 0"),
    ],
)
def test_attributes_of_the_wrong_type_are_refused(attribute: str, words: str, tmp_path: Path) -> None:
    file = tmp_path / "wrong_attributes.py"
    file.write_text(PLUGIN.replace("content = ('folder',)".replace("'", '"'), attribute))
    assert attribute in file.read_text()

    def use() -> None:
        registry = load_registry([str(file)])
        spec = registry.spec("dataset", "folder", {"folder": str(tmp_path)})
        registry.attribute(spec, attribute.partition(" ")[0])

    assert words in str(error_of(use, PluginError))
