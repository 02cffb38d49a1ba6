"""Which code counts in a component's key, wherever it lies, and what is said of the rest."""

from __future__ import annotations

import importlib
import json
import site
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from helpers import evaluation_cell, training_cell
from typer.testing import CliRunner

from fmbench.cli.app import app
from fmbench.plugins.registry import Registry, load_registry
from fmbench.plugins.source import ClassSource, find_module, module_imports
from fmbench.plugins.source.module_imports import closure
from fmbench.plugins.source.untracked_inputs import unseen
from fmbench.runner.why import nearest_cell
from fmbench.store.store import Store

Write = Callable[[str, str], Path]
SOLVER = """
from fmbench import Solver, hookimpl
{imports}

class Mine(Solver):
    def integrate(self, velocity, x_0, times):
        return x_0

@hookimpl
def fmbench_solvers():
    return {{"mine": Mine}}
"""


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Leave no trace of a test's modules in this process."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(module_imports, "_not_found", set())
    known = set(sys.modules)
    yield
    for name in set(sys.modules) - known:
        if name.startswith(("fmbench_plugin_", "far_")):
            del sys.modules[name]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(name: str, text: str) -> Path:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        importlib.invalidate_caches()
        return file

    return write


def solver(write: Write, imports: str) -> Callable[[], str]:
    """Write a plugin; return what tells its fingerprint."""
    file = write("plugin/my_solver.py", SOLVER.format(imports=imports))
    return lambda: load_registry([str(file)]).spec("solver", "mine").fingerprint


def on_path(folder: Path) -> None:
    sys.path.append(str(folder))


IMPORTS = (
    "from far_helper import help",
    "import far_helper as helper",
    "def later():\n    import far_helper",
    "import importlib\nhelper = importlib.import_module('far_helper')",
    "from importlib import import_module as load\nhelper = load(name='far_helper')",
    "helper = __import__('far_helper')",
    "from far_package import middle",
    "import far_package.middle",
)


def test_code_in_another_folder_on_the_path_counts_and_comments_do_not(write: Write, tmp_path: Path) -> None:
    write("lib/far_helper.py", "def help(): return 1\n")
    write("lib/far_package/__init__.py", "LIMIT = 1\n")
    write("lib/far_package/middle.py", "from .last import x\nfrom far_helper import help\n")
    write("lib/far_package/last.py", "x = 1\n")
    on_path(tmp_path / "lib")
    names = [f"mine_{number}" for number in range(len(IMPORTS))]
    for name, imports in zip(names, IMPORTS, strict=True):
        write(f"far_solvers/{name}.py", SOLVER.partition("@hookimpl")[0].format(imports=imports))
    listed = ", ".join(f"'{name}': {name}.Mine" for name in names)
    write(
        "far_solvers/__init__.py",
        f"from fmbench import hookimpl\nfrom . import {', '.join(names)}\n\n"
        f"@hookimpl\ndef fmbench_solvers():\n    return {{{listed}}}\n",
    )

    def fingerprints() -> dict[str, str]:
        registry = load_registry([str(tmp_path / "far_solvers")])
        return {text: registry.spec("solver", name).fingerprint for name, text in zip(names, IMPORTS, strict=True)}

    first = fingerprints()
    write("lib/far_helper.py", "def help():\n    '''Help.'''\n    return 1  # a comment\n")
    assert fingerprints() == first
    write("lib/far_helper.py", "def help(): return 2\n")
    second = fingerprints()
    assert {imports for imports in IMPORTS if second[imports] == first[imports]} == set(), "code of the helper"
    for name in ("__init__", "last"):
        write(f"lib/far_package/{name}.py", "LIMIT = x = 22\n")
        third = fingerprints()
        counted = {imports for imports in IMPORTS if third[imports] != second[imports]}
        assert counted == {imports for imports in IMPORTS if "far_package" in imports}, name
        second = third


def test_relative_names_in_calls_are_followed_and_computed_ones_said(write: Write, tmp_path: Path) -> None:
    write("lib/far_package/__init__.py", "")
    write("lib/far_package/deep.py", "x = 1\n")
    text = (
        "from importlib import import_module\nimport_module('.deep', __package__)\nimport_module('.de' + 'ep', 'far')\n"
    )
    write("lib/far_package/middle.py", text)
    on_path(tmp_path / "lib")
    module = find_module("far_package.middle")
    assert module is not None
    assert [each.name for each in closure(module)] == ["far_package.deep", "far_package.middle"]
    assert [(each.line, each.code) for each in unseen(module)] == [(3, "import_module('.de' + 'ep', 'far')")]


def test_an_editable_installation_counts_and_an_installed_distribution_does_not(write: Write, tmp_path: Path) -> None:
    write("project/src/far_edited.py", "x = 1\n")
    write("env/site-packages/far_edited.pth", f"{tmp_path / 'project' / 'src'}\n")
    info = "env/site-packages/far_edited-1.dist-info"
    write(f"{info}/direct_url.json", json.dumps({"url": "file:///project", "dir_info": {"editable": True}}))
    write(f"{info}/RECORD", "far_edited.pth,,\n")
    write("env/site-packages/far_installed.py", "x = 1\n")
    write("env/site-packages/far_package/__init__.py", "x = 1\n")
    write("target/far_placed/__init__.py", "x = 1\n")
    write("target/far_by_hand.py", "x = 1\n")
    write(
        "target/far_placed-1.dist-info/RECORD", "far_placed/__init__.py,sha256=x,6\nfar_placed-1.dist-info/RECORD,,\n"
    )
    write("linked/far_link/__init__.py", "x = 1\n")
    (tmp_path / "env" / "site-packages" / "far_link").symlink_to(tmp_path / "linked" / "far_link")
    write("env/site-packages/fmbench_far_parts/helper.py", "x = 1\n")
    write("env/site-packages/fmbench_far_parts/__init__.py", "x = 1\n")
    site.addsitedir(str(tmp_path / "env" / "site-packages"))
    on_path(tmp_path / "target")
    names = ("edited", "installed", "package", "placed", "by_hand", "link")
    imports = "".join(f"import far_{name}\n" for name in names)
    fingerprint = solver(write, f"{imports}import fmbench_far_parts.helper, torch, json, mlflow.entities")
    seen, before = {}, fingerprint()
    for place in (
        "project/src/far_edited.py",
        "env/site-packages/far_installed.py",
        "env/site-packages/far_package/__init__.py",
        "target/far_placed/__init__.py",
        "target/far_by_hand.py",
        "linked/far_link/__init__.py",
        "env/site-packages/fmbench_far_parts/helper.py",
        "env/site-packages/fmbench_far_parts/__init__.py",
    ):
        write(place, "x = 22\n")
        after = fingerprint()
        seen[place.removeprefix("env/")], before = after != before, after
    assert seen == {
        "project/src/far_edited.py": True,
        "site-packages/far_installed.py": False,
        "site-packages/far_package/__init__.py": False,
        "target/far_placed/__init__.py": False,
        "target/far_by_hand.py": True,
        "linked/far_link/__init__.py": True,
        "site-packages/fmbench_far_parts/helper.py": True,
        "site-packages/fmbench_far_parts/__init__.py": False,
    }


def test_the_fingerprint_does_not_depend_on_where_helpers_lie(write: Write, tmp_path: Path) -> None:
    fingerprints = set()
    path = list(sys.path)
    for folder in ("one", "plugin", "two/deep"):
        write(f"{folder}/far_helper.py", "x = 1\n")
        sys.path[:] = [*path, str(tmp_path / folder)]
        importlib.invalidate_caches()
        fingerprints.add(solver(write, "import far_helper")())
        sys.modules.pop("far_helper", None)
        (tmp_path / folder / "far_helper.py").unlink()
    assert len(fingerprints) == 1


def test_a_class_that_changes_the_path_when_it_is_imported_keeps_its_fingerprint(write: Write, tmp_path: Path) -> None:
    write("hidden/far_hidden.py", "x = 1\n")
    text = f"import sys\nsys.path.append({str(tmp_path / 'hidden')!r})\nimport far_hidden\n{SOLVER.format(imports='')}"
    write("lazy/far_lazy.py", text)
    hook = "from fmbench import hookimpl\n@hookimpl\ndef fmbench_solvers():\n    return {'mine': 'far_lazy:Mine'}\n"
    file = write("lazy/my_hook.py", hook)
    registry = load_registry([str(file)])
    spec = registry.spec("solver", "mine")
    registry.build(spec)
    assert "far_hidden" in sys.modules
    assert load_registry([str(file)]).spec("solver", "mine") == spec
    assert [each.code for each in registry.code("solver", "mine").unseen] == [
        f"sys.path.append({str(tmp_path / 'hidden')!r})"[:57] + "..."
    ]


UNSEEN = """
import os, importlib, subprocess, urllib.request
import numpy as np
from importlib import import_module as load
from pathlib import Path
from PIL import Image

SCALE = os.environ.get("SCALE", "1") + os.getenv("MORE", "")
def f(name, path):
    open(name); open(name, "w"); open(name, mode="ab"); path.open(); path.open("wb")
    Path(name).read_text(); path.read_bytes(); np.load(name); Image.open(name)
    load(name); importlib.import_module("json"); exec(name); eval(name)
    subprocess.run([name]); urllib.request.urlopen(name)
    name.eval(); f.load(name); path.write_text(name)
    open(name)  # key: not worth a word
    # key: the next line is no matter
    open(name)
    open(name)
"""


def test_what_no_key_sees_is_found_by_line(write: Write) -> None:
    write("far_unseen.py", UNSEEN)
    on_path(write("far_unseen.py", UNSEEN).parent)
    module = find_module("far_unseen")
    assert module is not None
    found: dict[int, set[str]] = {}
    for each in unseen(module):
        found.setdefault(each.line, set()).add(each.code)
    assert found == {
        8: {"os.environ", "os.getenv('MORE', '')"},
        10: {"open(name)", "path.open()"},
        11: {"Path(name).read_text()", "path.read_bytes()", "np.load(name)", "Image.open(name)"},
        12: {"load(name)", "exec(name)", "eval(name)"},
        13: {"subprocess.run([name])", "urllib.request.urlopen(name)"},
        18: {"open(name)"},
    }
    remedies = {each.code: each.remedy for each in unseen(module)}
    assert "make it a parameter" in remedies["os.environ"]
    assert "`content`" in remedies["open(name)"]


def test_few_built_ins_do_what_no_key_sees(registry: Registry) -> None:
    entries = [(entry.kind, entry.name) for entry in registry.entries() if entry.owner.startswith("fmbench ")]
    assert len(entries) > 50
    lines = {line for entry in entries for line in registry.code(*entry).unseen}
    assert {Path(line.file).name for line in lines} == {"weights_file.py", "checkpoint.py", "diffusers.py"}, (
        "torch hub's weights, whose hash metrics record, and files that are parameters, whose content counts"
    )


def test_show_says_what_counts_and_what_does_not(write: Write, tmp_path: Path) -> None:
    write("lib/far_helper.py", "import os\nx = os.environ['FAR']\n")
    on_path(tmp_path / "lib")
    write("plugin/data.bin", "x")
    text = SOLVER.format(imports="def later():\n    import far_helper").replace(
        "    def i", "    files = ['data.bin']\n\n    def i"
    )
    file = write("plugin/my_solver.py", text)
    run = CliRunner().invoke(app, ["plugins", "show", "solver", "mine", "--plugins", str(file), "--json"])
    assert json.loads(run.output)["code"] == {
        "modules": {
            "fmbench_plugin_my_solver": str(file),
            "far_helper": str(tmp_path / "lib" / "far_helper.py"),
        },
        "files": [str(tmp_path / "plugin" / "data.bin")],
        "content": [],
        "unseen": [
            {
                "file": str(tmp_path / "lib" / "far_helper.py"),
                "line": 2,
                "code": "os.environ",
                "remedy": "make it a parameter",
            }
        ],
    }
    shown = (
        CliRunner(env={"COLUMNS": "1000"})
        .invoke(app, ["plugins", "show", "solver", "mine", "--plugins", str(file)])
        .output
    )
    shown = shown.replace("\n", "")
    assert f"In its key count: fmbench_plugin_my_solver, far_helper ({tmp_path / 'lib' / 'far_helper.py'})" in shown
    assert "changes no key" in shown
    assert "far_helper.py:2" in shown
    assert "changes no key" not in CliRunner().invoke(app, ["plugins", "show", "solver", "heun"]).output


def test_why_names_the_component_whose_helper_changed(write: Write, tmp_path: Path) -> None:
    write("lib/far_helper.py", "x = 1\n")
    on_path(tmp_path / "lib")
    file = write("plugin/my_solver.py", SOLVER.format(imports="import far_helper"))

    def cell():  # type: ignore[no-untyped-def]
        registry = load_registry([str(file)])
        return evaluation_cell(registry, training_cell(registry), "mine")

    before, store = cell(), Store(tmp_path / "store")
    store.folder("evaluation", before.key).begin(before.parts())
    write("lib/far_helper.py", "x = 22\n")
    now = cell()
    nearest, differences = nearest_cell(store, "evaluation", now.key, now.parts())
    assert nearest == before.key != now.key
    assert [part for part, *_ in differences] == ["solver.fingerprint"]


def test_fmbench_and_its_libraries_are_not_followed() -> None:
    source = ClassSource("fmbench_metrics.fid:FID")
    assert {each.top for each in source.code()} == {"fmbench_metrics"}
