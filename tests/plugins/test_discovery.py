"""Plugins are loaded one by one: what is broken is named, and what works goes on."""

from __future__ import annotations

import os
import pickle
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fmbench.errors import PluginError
from fmbench.plugins.discovery import HOOKS, Plugins, load_plugins
from fmbench.plugins.registry import load_registry

GRID = """
from fmbench import Grid, hookimpl

class Mine(Grid):
    def times(self, steps):
        return steps

@hookimpl
def fmbench_grids():
    return {"mine": Mine}
"""

Write = Callable[[str, str], Path]


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Leave no trace of a test's plugins in this process."""
    monkeypatch.delenv("FMBENCH_PLUGINS", raising=False)
    monkeypatch.setattr(sys, "path", list(sys.path))
    known = set(sys.modules)
    yield
    for name in set(sys.modules) - known:
        if name.startswith(("fmbench_plugin_", "mine", "helper", "broken")):
            del sys.modules[name]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(name: str, text: str) -> Path:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    return write


@pytest.fixture
def install(write: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Install a distribution with an entry point `name -> module` as pip would leave it."""

    def install(name: str, module: str, text: str | None, version: str = "1.0") -> None:
        info = f"{name}-{version}.dist-info"
        write(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        write(f"{info}/entry_points.txt", f"[fmbench]\n{name} = {module}\n")
        if text is not None:
            write(f"{module}.py", text)
        monkeypatch.syspath_prepend(str(tmp_path))

    return install


def message_of(*given: str | Path) -> str:
    with pytest.raises(PluginError) as caught:
        load_plugins([str(each) for each in given])
    assert "\n" not in str(caught.value)
    return str(caught.value)


def own(plugins: Plugins) -> dict[tuple[str, str], str]:
    return {key: value.owner for key, value in plugins.components.items() if key[1] in ("mine", "yours")}


def test_a_file_is_a_plugin(write: Write) -> None:
    file = write("my-plugin.py", GRID)
    plugins = load_plugins([str(file)])
    assert own(plugins) == {("grid", "mine"): str(file)}
    assert plugins.given == (str(file),)
    target = plugins.components["grid", "mine"].target
    assert isinstance(target, type)
    assert target.__module__ == "fmbench_plugin_my_plugin"
    assert pickle.loads(pickle.dumps(target)) is target


def test_loading_again_gives_the_same_class_until_the_file_changes(write: Write) -> None:
    file = write("mine.py", GRID)
    first, again = (load_plugins([str(file)]).components["grid", "mine"].target for _ in range(2))
    assert first is again
    file.write_text(GRID + "\nx = 1\n")
    assert load_plugins([str(file)]).components["grid", "mine"].target is not first


def test_two_files_of_one_name_do_not_meet(write: Write) -> None:
    one, other = write("one/mine.py", GRID), write("other/mine.py", GRID.replace('"mine"', '"yours"'))
    plugins = load_plugins([str(one), str(other)])
    assert own(plugins) == {("grid", "mine"): str(one), ("grid", "yours"): str(other)}


def test_a_file_cannot_hide_the_standard_library(write: Write) -> None:
    load_plugins([str(write("json.py", GRID))])
    assert "dumps" in dir(sys.modules["json"])
    done = subprocess.run([sys.executable, "-c", "import json; json.dumps"], check=False)
    assert done.returncode == 0


def test_a_file_imports_the_files_beside_it(write: Write) -> None:
    file = write("mine.py", "import helper_beside\n" + GRID.replace('"mine"', "helper_beside.NAME"))
    write("helper_beside.py", "NAME = 'mine'\n")
    registry = load_registry([str(file)])
    before = registry.spec("grid", "mine").fingerprint
    write("helper_beside.py", "NAME = 'mine'\nx = 1\n")
    assert load_registry([str(file)]).spec("grid", "mine").fingerprint != before


def test_a_folder_of_files_is_a_plugin(write: Write, tmp_path: Path) -> None:
    write("folder/mine.py", GRID)
    write("folder/yours.py", GRID.replace('"mine"', '"yours"'))
    write("folder/tools.py", "x = 1\n")
    write("folder/_broken.py", "1 / 0\n")
    assert set(own(load_plugins([str(tmp_path / "folder")]))) == {("grid", "mine"), ("grid", "yours")}


def test_a_package_folder_is_a_plugin_under_its_own_name(write: Write, tmp_path: Path) -> None:
    hook = (
        "from fmbench import hookimpl\n@hookimpl\ndef fmbench_grids():\n    return {'mine': 'mine_package.grid:Mine'}\n"
    )
    write("mine_package/__init__.py", hook)
    write("mine_package/grid.py", GRID.partition("@")[0])
    registry = load_registry([str(tmp_path / "mine_package")])
    assert "mine_package.grid" not in sys.modules
    assert type(registry.build(registry.spec("grid", "mine"))).__name__ == "Mine"


def test_a_package_folder_may_not_hide_another_module(write: Write, tmp_path: Path) -> None:
    write("json/__init__.py", GRID)
    assert "same name; rename the folder" in message_of(tmp_path / "json")


def test_a_module_is_a_plugin(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write("mine_module.py", GRID)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert ("grid", "mine") in load_plugins(["mine_module"]).components


@pytest.mark.parametrize("separator", [os.pathsep, ",", " , "])
def test_the_environment_names_plugins(separator: str, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    files = write("mine.py", GRID), write("more.py", GRID.replace('"mine"', '"yours"'))
    monkeypatch.setenv("FMBENCH_PLUGINS", separator.join(map(str, files)))
    assert len(own(load_plugins())) == 2
    assert len(own(load_plugins([str(files[0])]))) == 2, "a plugin named twice is one plugin"


def test_a_built_in_given_by_name_is_not_registered_twice() -> None:
    module = next(str(each.target) for each in load_plugins().components.values()).partition(".")[0]
    assert load_plugins([module]).components.keys() == load_plugins().components.keys()


BROKEN = {
    "x = 1\nraise RuntimeError('no luck')\n": r"RuntimeError: no luck \(.*broken\.py, line 2\)",
    "import no_such_library\n": r"ModuleNotFoundError: No module named 'no_such_library' \(.*broken\.py, line 1\)",
    "x = 1\ndef f(:\n": r"SyntaxError: .* \(.*broken\.py, line 2\)",
    "raise SystemExit(3)\n": r"SystemExit: 3 \(.*broken\.py, line 1\)",
    "x = 1\n": "registers no component",
    GRID.replace("@hookimpl", ""): "'fmbench_grids' lacks the decorator @fmbench.hookimpl",
    GRID.replace("fmbench_grids", "fmbench_gridz"): "no hook 'fmbench_gridz'. Did you mean 'fmbench_grids'?",
    GRID.replace("fmbench_grids()", "fmbench_grids(nonsense)"): "nonsense",
    GRID.replace(
        "return {", "1 / 0; return {"
    ): r"fmbench_grids raised ZeroDivisionError: .* \(.*broken\.py, line 10\)",
    GRID.replace('{"mine": Mine}', "[Mine]"): "instead of a mapping",
    GRID.replace('{"mine": Mine}', "None"): "fmbench_grids returned None of type NoneType instead of a mapping",
    GRID.replace('"mine": Mine', '"mine": 3'): "3 of type int for 'mine' instead of a class, 'module:Class'",
    GRID.replace('"mine": Mine', '"mine": "Mine"'): "instead of a class, 'module:Class' or fmbench.Preset",
    GRID.replace(
        '"mine": Mine', '"mine": __import__("fmbench").Preset(Mine, 3)'
    ): "a Preset for 'mine' with 3 of type int",
    GRID.replace('"mine": Mine', '"Mine": Mine'): "the name 'Mine'; names are lower-case",
    GRID.replace('"mine": Mine', "3: Mine"): "the name 3; names are",
}


@pytest.mark.parametrize(("text", "words"), BROKEN.items(), ids=[str(i) for i in range(len(BROKEN))])
def test_a_given_plugin_that_is_broken_is_an_error(text: str, words: str, write: Write) -> None:
    file = write("broken.py", text)
    message = message_of(file)
    assert re.search(words, message), message
    assert str(file) in message


@pytest.mark.parametrize(("text", "words"), BROKEN.items(), ids=[str(i) for i in range(len(BROKEN))])
def test_an_installed_plugin_that_is_broken_is_recorded(text: str, words: str, install: Callable[..., None]) -> None:
    install("broken-dist", "broken", text)
    install("good-dist", "mine_good", GRID)
    plugins = load_plugins()
    assert own(plugins) == {("grid", "mine"): "good-dist 1.0"}
    if "registers" not in words and "lacks" not in words:
        (failure,) = (each for each in plugins.failures if each.name == "broken-dist")
        assert failure.owner == "broken-dist 1.0"
        assert re.search(words, failure.error)
        assert "\n" not in failure.error


def test_one_broken_hook_leaves_the_others(install: Callable[..., None]) -> None:
    install("half", "mine_half", GRID + "\n@hookimpl\ndef fmbench_paths():\n    raise KeyError('x')\n")
    plugins = load_plugins()
    assert ("grid", "mine") in plugins.components
    assert "half" in [failure.name for failure in plugins.failures]


def test_an_entry_point_whose_module_is_gone_is_recorded(install: Callable[..., None]) -> None:
    install("gone", "mine_gone", None)
    (failure,) = (each for each in load_plugins().failures if each.name == "gone")
    assert "ModuleNotFoundError" in failure.error


def test_a_name_taken_twice_names_both_owners(write: Write, install: Callable[..., None]) -> None:
    install("good-dist", "mine_good", GRID)
    file = write("late.py", GRID)
    message = message_of(file)
    assert "grid 'mine' is registered twice" in message
    assert "good-dist 1.0" in message
    assert str(file) in message


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("no/such/file.py", "does not exist"),
        ("no_such_file.py", "does not exist"),
        ("./nowhere", "does not exist"),
        ("no_such_module", "no file, folder or importable module"),
        ("json.no_such", "no file, folder or importable module"),
        ("README", "not a Python file"),
        ("empty", "holds no .py file"),
        ("json", "registers no component"),
    ],
)
def test_what_is_not_a_plugin_is_an_error(
    value: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("README").write_text("text")
    Path("empty").mkdir()
    assert words in message_of(value)


def test_there_is_a_hook_for_every_kind() -> None:
    from fmbench.components import hookspecs

    assert set(HOOKS) == {name for name in vars(hookspecs) if name.startswith("fmbench_")}


def test_loading_does_not_depend_on_order(install: Callable[..., None]) -> None:
    for name in ("zeta", "alpha"):
        install(name, f"mine_{name}", GRID.replace('"mine"', f'"mine_{name}"'))
    names = [name for kind, name in load_plugins().components if kind == "grid"]
    assert names.index("mine_alpha") < names.index("mine_zeta")


def test_twenty_lines_are_enough(write: Write) -> None:
    text = textwrap.dedent(GRID).strip()
    assert len(text.splitlines()) < 20
    registry = load_registry([str(write("mine.py", text))])
    assert registry.entry("grid", "mine").owner.endswith("mine.py")
