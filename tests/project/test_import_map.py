"""Who imports whom: the map of the rooms, held against the code, and what only one module may do."""

from __future__ import annotations

import ast
import graphlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

CORE = Path(__file__).parents[2] / "fmbench"
PLUGIN_FOLDER = CORE.parent / "plugins"

LEVELS: tuple[tuple[str, ...], ...] = (
    ("errors",),
    ("io", "isolation", "stats"),
    ("cells",),
    ("components",),
    ("plugins", "suite", "store"),
    ("plan", "plugin_template", "runtime"),
    ("model", "results"),
    ("training", "evaluation", "tracking", "regression", "report"),
    ("history", "executors", "compare", "export"),
    ("runner", "testing", "publish"),
    ("cli", "fmbench"),
)
"""The rooms from the ground up: none imports one of its own level or above."""

ALLOWED: dict[str, tuple[set[str], str]] = {
    "errors": (set(), "what is raised is known to everybody, and knows nobody"),
    "io": (set(), "bytes, JSON and text, whosever they are"),
    "isolation": (set(), "watches the process, whatever runs in it"),
    "stats": (set(), "numbers in, numbers out"),
    "cells": (set(), "plain data"),
    "components": (set(), "contracts: what a plugin's author reads"),
    "plugins": ({"cells", "components", "io", "isolation"}, "builds components of a contract from a cell's specs"),
    "suite": ({"cells", "io"}, "a file becomes typed data; no registry is needed to read it"),
    "store": ({"cells", "io"}, "keeps cells by key, and knows no component"),
    "plan": ({"cells", "components", "io", "plugins", "suite"}, "from suite and registry to cells; reads no store"),
    "plugin_template": ({"components", "io", "plugins"}, "a name that is free, a kind that there is, and files"),
    "runtime": ({"io", "isolation", "store"}, "measures what computes, and keeps what it found"),
    "model": ({"cells", "components", "isolation", "plugins", "runtime", "store"}, "from a cell to what computes it"),
    "results": ({"cells", "io", "plan", "plugins", "store"}, "what the store holds of a plan"),
    "training": (
        {"cells", "components", "isolation", "model", "runtime", "store"},
        "writes weights; evaluates nothing",
    ),
    "evaluation": (
        {"cells", "components", "io", "isolation", "model", "runtime", "store"},
        "reads weights, and samples that people bring; trains nothing",
    ),
    "tracking": ({"cells", "io", "results", "stats"}, "MLflow is made from records; means over seeds have intervals"),
    "regression": ({"cells", "io", "results", "stats", "store"}, "verdicts are made from records"),
    "report": (
        {"cells", "io", "results", "stats", "store"},
        "pages are made from records; of the store, names of times",
    ),
    "history": (
        {"cells", "io", "plan", "regression", "report", "results", "stats", "store"},
        "nights are snapshots of the check, drawn as reports are",
    ),
    "compare": (
        {"cells", "io", "report", "results", "runtime", "stats"},
        "snapshots side by side, said as reports say it; asks git for those of a commit",
    ),
    "export": (
        {
            *("cells", "components", "evaluation", "io", "isolation", "model", "plugins", "results", "stats", "store"),
        },
        "weights and samples of one cell as files, with what the store knows of it; trains and plans nothing",
    ),
    "executors": (
        {
            *("cells", "components", "evaluation", "io", "isolation", "model", "plugins", "runtime", "store"),
            "training",
        },
        "compute tasks somewhere",
    ),
    "publish": (
        {"cells", "compare", "history", "io", "report", "results", "stats"},
        "a site of reports that are there; computes nothing, and opens no store",
    ),
    "testing": (
        {"cells", "components", "executors", "isolation", "plugins", "store"},
        "conformance, for authors of plugins and executors",
    ),
    "runner": (
        {
            *("cells", "components", "executors", "io", "model", "plan", "plugins", "regression", "report", "results"),
            *("runtime", "store", "suite", "tracking"),
        },
        "the one place where planning, computing, logging and reporting meet",
    ),
    "cli": (
        {
            *(
                "compare",
                "components",
                "export",
                "history",
                "io",
                "plan",
                "plugin_template",
                "plugins",
                "publish",
                "regression",
            ),
            *("report", "results", "runner", "runtime", "store", "suite", "testing", "tracking"),
        },
        "verbs over the library; it computes nothing itself",
    ),
    "fmbench": (set(), "the public face; what it offers is imported when it is asked for"),
}
"""The room -> the rooms that it imports, `errors` aside, and why."""

HEAVY = {"torch", "torchvision", "mlflow", "pandas", "matplotlib", "scipy", "sklearn", "numpy", "PIL", "ray"}
LIGHT = ("cells", "components.contracts", "components.hookspecs", "errors", "fmbench", "io", "plan", "plugins", "suite")
LIGHT += ("isolation.monkeypatches", "isolation.plugin_code", "isolation.process_state", "results.records")
LIGHT += ("stats.student_t",)
"""The rooms and modules that plan and list: they import nothing of HEAVY at the top of a module."""

ONLY_IN = {
    "mlflow": ("tracking",),
    "ray": ("executors.ray",),
    "submitit": ("executors.slurm",),
    "typer": ("cli",),
    "rich": ("cli",),
    "click": ("cli",),
}
"""Library -> the modules, or packages, that alone may import it."""

SCRIPTS = {"fmbench_metrics/extractors/train.py"}
"""Files of plugin packages that somebody runs by hand and no component imports: they may use the registry."""

FILES = {
    ".".join(file.relative_to(CORE).with_suffix("").parts).removesuffix(".__init__"): file
    for file in sorted(CORE.rglob("*.py"))
}
FILES["fmbench"] = FILES.pop("__init__")
TREES = {module: ast.parse(file.read_bytes()) for module, file in FILES.items()}


def room(module: str) -> str:
    """Return the room that a module belongs to: `suite` for `suite.models`."""
    return module.partition(".")[0]


def statements(tree: ast.AST, typing_too: bool = True, inside: bool = True) -> Iterator[ast.Import | ast.ImportFrom]:
    """Yield imports: those under TYPE_CHECKING if `typing_too`, those in functions if `inside`."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING") and not typing_too:
            yield from statements(ast.Module(node.orelse, []), typing_too, inside)
        elif inside or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from statements(node, typing_too, inside)


def imported_names(tree: ast.AST, typing_too: bool = True, inside: bool = True) -> Iterator[str]:
    """Yield full dotted names; `from a import b` gives `a.b`."""
    for node in statements(tree, typing_too, inside):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        else:
            assert node.level == 0, f"relative import: {ast.unparse(node)}; write it from fmbench on"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own_imports(module: str) -> set[str]:
    """Return the modules of fmbench that a module imports, the most precise ones: `suite.models`, not `suite`."""
    found = set()
    # A package's face may name for type checkers what it imports only when it is asked for.
    face = FILES[module].name == "__init__.py"
    for name in imported_names(TREES[module], typing_too=not face):
        parts = name.split(".")
        if parts[0] != "fmbench":
            continue
        candidates = [".".join(parts[1:end]) for end in range(len(parts), 1, -1)]
        unwritten = parts[1] if parts[1:] and parts[1] in ALLOWED else "fmbench"
        found.add(next((candidate for candidate in candidates if candidate in FILES), unwritten))
    return found - {module}


IMPORTS = {module: own_imports(module) for module in FILES}


def test_every_room_is_on_the_map_and_on_one_level() -> None:
    rooms = {room(module) for module in FILES}
    assert rooms == set(ALLOWED), "add a room to ALLOWED and LEVELS with its reason, and to docs/architecture.md"
    assert sorted(rooms) == sorted(room for level in LEVELS for room in level)


def test_a_room_imports_only_what_the_map_allows() -> None:
    faults = [
        f"fmbench.{module} imports fmbench.{imported}; {room(module)} may import {sorted(ALLOWED[room(module)][0])}"
        for module in FILES
        for imported in sorted(IMPORTS[module])
        if room(imported) not in {*ALLOWED[room(module)][0], "errors", room(module)}
    ]
    assert not faults, "\n".join(faults)


def test_no_room_may_import_one_of_its_own_level_or_above_and_the_map_has_no_more_than_is_used() -> None:
    level = {name: number for number, names in enumerate(LEVELS) for name in names}
    for name, (imported, reason) in ALLOWED.items():
        upwards = sorted(other for other in imported if level[other] >= level[name])
        assert not upwards, f"{name} may import {upwards}"
        used = {room(other) for module in FILES if room(module) == name for other in IMPORTS[module]}
        assert not imported - used, f"{name} imports nothing of {sorted(imported - used)}"
        assert reason


def test_there_are_no_circles() -> None:
    rooms: dict[str, set[str]] = {}
    for module, imported in IMPORTS.items():
        rooms.setdefault(room(module), set()).update({room(each) for each in imported} - {room(module)})
    for graph in (IMPORTS, rooms):
        try:
            graphlib.TopologicalSorter(graph).prepare()
        except graphlib.CycleError as error:
            pytest.fail(f"modules import each other in a circle: {' <- '.join(error.args[1])}")


@pytest.mark.parametrize("library", sorted(ONLY_IN))
def test_a_library_is_imported_only_where_it_belongs(library: str) -> None:
    places = {module for module in FILES for name in imported_names(TREES[module]) if name.partition(".")[0] == library}
    strangers = [each for each in places if not any(f"{each}.".startswith(f"{home}.") for home in ONLY_IN[library])]
    assert not strangers, f"{library} is imported by {strangers}; only {ONLY_IN[library]} may"


def test_only_the_cli_prints() -> None:
    printing = {
        module
        for module, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("print", "sys.stdout.write", "sys.stderr.write")
    }
    assert not {module for module in printing if room(module) != "cli"}


def test_the_core_never_names_a_plugin_package() -> None:
    packages = [folder.name for folder in PLUGIN_FOLDER.iterdir() if folder.name.startswith("fmbench_")]
    assert packages
    named = re.compile(rf"({'|'.join(packages)})(\.|:|$)")
    for module, tree in TREES.items():
        imported = [name for name in imported_names(tree) if named.match(name)]
        assert not imported, f"fmbench.{module} imports {imported}"
        targets = [
            node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and re.match(r"fmbench_\w+[.:]\w", node.value)
        ]
        assert not targets, f"fmbench.{module} names {targets}"


@pytest.mark.parametrize("package", sorted(each.name for each in PLUGIN_FOLDER.glob("fmbench_*")))
def test_plugin_packages_import_only_public_names_and_never_each_other(package: str) -> None:
    public = ("fmbench", "fmbench.errors", "fmbench.testing")
    found = set()
    for file in (PLUGIN_FOLDER / package).rglob("*.py"):
        if file.relative_to(PLUGIN_FOLDER).as_posix() in SCRIPTS:
            continue
        for node in statements(ast.parse(file.read_bytes())):
            homes = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            for home in homes:
                if home.partition(".")[0].startswith("fmbench"):
                    found.add(home)
                    assert home.partition(".")[0] == package or home in public, f"{file} imports {home}"
    assert "fmbench" in found


def test_planning_and_listing_import_nothing_heavy() -> None:
    faults = [
        f"fmbench.{module} imports {name} at its top; import it in the function that needs it"
        for module in FILES
        if any(f"{module}.".startswith(f"{light}.") for light in LIGHT)
        for name in imported_names(TREES[module], typing_too=False, inside=False)
        if name.partition(".")[0] in HEAVY
    ]
    assert not faults, "\n".join(faults)


def test_listing_every_component_imports_no_torch() -> None:
    script = (
        "import json, sys\n"
        "from fmbench.plugins.registry import load_registry\n"
        "registry = load_registry()\n"
        "entries = registry.entries()\n"
        "registry.fingerprints()\n"
        f"heavy = sorted(set(sys.modules) & {HEAVY!r})\n"
        "errors = [entry.error for entry in entries if entry.error]\n"
        "print(json.dumps([len(entries), heavy, errors, list(map(str, registry.failures))]))\n"
    )
    environment = {**os.environ, "FMBENCH_PLUGINS": ""}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    count, heavy, errors, failures = json.loads(done.stdout)
    assert count >= 20
    assert not heavy
    assert not errors
    assert not failures
