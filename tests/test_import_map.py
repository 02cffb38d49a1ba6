"""Who imports whom: architecture.md's map held against the code, and what only one module may do."""

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

CORE = Path(__file__).parents[1] / "fmbench"
PLUGIN_FOLDER = CORE.parent / "plugins"

WORKING = {
    "assembly",
    "cells",
    "contracts",
    "global_random",
    "hardware",
    "process_state",
    "references",
    "registry",
    "store",
}
"""What the code that trains and evaluates stands on."""

ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "files": set(),
    "forms": set(),
    "texts": set(),
    "hookspecs": set(),
    "mixture": set(),
    "references": {"cells"},
    "contracts": {"mixture"},
    "grid_times": {"contracts"},
    "cells": set(),
    "pictures": set(),
    "hardware": {"repository"},
    "repository": set(),
    "optimizers": {"averages"},
    "suite": {"averages", "files"},
    "averages": set(),
    "intervals": set(),
    "source": {"contracts", "files", "foreign"},
    "parameters": {"source"},
    "plugin_files": {"files", "foreign", "mistakes", "source"},
    "plugins": {"contracts", "files", "foreign", "hookspecs", "plugin_files", "source"},
    "registry": {"cells", "contracts", "files", "foreign", "parameters", "plugin_files", "plugins", "source"},
    "plan": {"cells", "contracts", "grid_times", "references", "registry", "source", "suite", "times"},
    "records": {"cells", "references", "texts"},
    "store": {"cells", "files", "forms", "records", "stored_forms", "texts"},
    "stored_forms": {"cells", "forms"},
    "marks": {"files", "forms", "store"},
    "patches": set(),
    "process_state": {"patches"},
    "foreign": {"patches", "process_state"},
    "global_random": set(),
    "ahead": {"hardware"},
    "dataset_checks": {"contracts"},
    "assembly": WORKING - {"assembly"} | {"ahead", "dataset_checks", "untouched"},
    "examples": {"ahead", "assembly", "cells", "hardware"},
    "pairs": {"assembly", "cells", "examples"},
    "draws": {"assembly", "cells", "pairs"},
    "stacked_linear": set(),
    "traced": {"stacked_linear"},
    "fleet": {"assembly", "cells", "global_random", "probing", "stacked_linear", "traced"},
    "samples": {"assembly", "cells", "contracts", "draws", "fleet", "untouched"},
    "untouched": set(),
    "probing": {"assembly", "cells", "forms", "hardware", "store"},
    "program": {"assembly", "cells", "hardware", "probing"},
    "micro_batches": {"contracts", "samples"},
    "fleet_size": {"assembly", "cells", "fleet", "hardware", "optimizers", "probing"},
    "fleets": {"cells", "executors", "probing"},
    "shared_calls": {"assembly", "contracts", "global_random", "process_state"},
    "trained": {"assembly", "cells", "contracts", "global_random", "references", "shared_calls"},
    "teaching": {"assembly", "cells", "contracts", "global_random", "process_state", "store", "trained"},
    "portraits": {"assembly", "store", "trained"},
    "training_state": {
        "assembly",
        "cells",
        "contracts",
        "fleet",
        "global_random",
        "hardware",
        "optimizers",
        "program",
        "samples",
        "teaching",
    },
    "train": WORKING | {"calibration", "fleet", "micro_batches", "optimizers", "samples", "training_state"},
    "evaluation_batch": {"assembly", "cells", "hardware", "probing", "trained"},
    "solver_blocks": {"contracts", "global_random"},
    "evaluate": WORKING
    | {"evaluation_batch", "grid_times", "mistakes", "solver_blocks", "times", "trained", "untouched"},
    "together": WORKING | {"evaluate", "fleet", "probing", "solver_blocks", "trained"},
    "sampler_cost": {"assembly", "cells", "evaluate", "hardware", "process_state", "timings", "trained"},
    "floors": WORKING | {"dataset_checks", "evaluate"},
    "oracles": WORKING | {"evaluate", "floors", "mixture", "trained", "untouched"},
    "executors": WORKING
    | {
        "dataset_checks",
        "evaluate",
        "fleet_size",
        "floors",
        "mistakes",
        "optimizers",
        "oracles",
        "portraits",
        "probing",
        "records",
        "sampler_cost",
        "source",
        "timings",
        "together",
        "train",
        "trained",
    },
    "tracking": {"cells", "files", "forms", "pictures", "records", "texts"},
    "report": {
        "averages",
        "cells",
        "failures",
        "files",
        "intervals",
        "pictures",
        "records",
        "references",
        "texts",
        "timings",
    },
    "regression": {"cells", "files", "forms", "intervals", "records", "store"},
    "history": {"cells", "files", "forms", "intervals", "plan", "records", "regression", "report", "store"},
    "states": {"cells", "plan", "source", "store", "timings"},
    "survey": {"cells", "plan", "records", "references", "registry", "states", "store", "timings"},
    "forecast": {"states", "survey"},
    "kept_report": {"cells", "records", "report", "session", "store", "stored_forms"},
    "session": {
        "contracts",
        "executors",
        "hardware",
        "plan",
        "records",
        "registry",
        "source",
        "states",
        "store",
        "stored_forms",
        "suite",
        "survey",
        "tracking",
    },
    "timings": {"cells", "records"},
    "merging": {"files", "marks", "store", "timings"},
    "cleaning": {"marks", "plan", "registry", "states", "store", "timings"},
    "explain": {"cells", "session", "states", "store", "survey"},
    "computation": {
        "cells",
        "executors",
        "fleets",
        "marks",
        "probing",
        "session",
        "states",
        "survey",
        "telling",
        "timings",
        "tracking",
    },
    "testing": {"cells", "contracts", "dataset_checks", "grid_times", "mixture", "plugins", "registry", "times"},
    "mistakes": set(),
    "failures": {"cells", "records", "references"},
    "telling": {"failures"},
    "calibration": {"hardware"},
    "again": {
        "cells",
        "computation",
        "executors",
        "fleets",
        "records",
        "regression",
        "session",
        "states",
        "store",
        "telling",
        "timings",
    },
    "times": {"contracts"},
}
"""The part of fmbench -> the parts that it may import. `errors` is everyone's leaf."""

ALLOWED["runner"] = set(ALLOWED) - {"testing"}
ALLOWED["cli"] = {*ALLOWED, "runner"}
ALLOWED["__main__"] = {"cli"}
ALLOWED["fmbench"] = {"contracts", "hookspecs"}

HEAVY = {"torch", "torchvision", "mlflow", "pandas", "matplotlib", "scipy", "sklearn", "numpy", "PIL", "ray"}
LIGHT = {"averages", "cells", "contracts", "errors", "fmbench", "foreign", "hookspecs", "intervals", "parameters"}
LIGHT |= {"patches", "plan", "plugin_files", "plugins", "process_state", "records", "registry", "source", "suite"}
"""The parts that plan and list: they import nothing of HEAVY at the top of a module."""

ONLY_IN = {"mlflow": ("tracking",), "ray": ("executors.ray",), "typer": ("cli",), "rich": ("cli",), "click": ("cli",)}
"""Library -> the modules, or packages, that alone may import it."""

SCRIPTS = {"fmbench_metrics/extractors/train.py"}
"""Files of plugin packages that somebody runs by hand and no component imports: they may use the registry."""

FILES = {
    ".".join(file.relative_to(CORE).with_suffix("").parts).removesuffix(".__init__"): file
    for file in sorted(CORE.rglob("*.py"))
}
FILES["fmbench"] = FILES.pop("__init__")
TREES = {module: ast.parse(file.read_bytes()) for module, file in FILES.items()}


def part(module: str) -> str:
    """Return the part of fmbench that a module belongs to: `suite` for `suite.models`."""
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


def test_every_part_of_fmbench_is_on_the_map() -> None:
    unknown = sorted({part(module) for module in FILES} - set(ALLOWED))
    assert not unknown, (
        f"new parts of fmbench: {', '.join(unknown)}. Add each to ALLOWED in tests/test_import_map.py with the parts "
        "that it may import, and to the layout of architecture.md."
    )


@pytest.mark.parametrize("module", sorted(FILES))
def test_a_module_imports_only_what_the_map_allows(module: str) -> None:
    allowed = ALLOWED.get(part(module), set()) | {"errors", part(module)}
    forbidden = sorted(each for each in IMPORTS[module] if part(each) not in allowed)
    assert not forbidden, f"fmbench.{module} imports {forbidden}; it may import {sorted(allowed)}"


def test_there_are_no_circles() -> None:
    parts: dict[str, set[str]] = {}
    for module, imported in IMPORTS.items():
        parts.setdefault(part(module), set()).update({part(each) for each in imported} - {part(module)})
    for graph in (IMPORTS, parts):
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
    assert not {module for module in printing if part(module) != "cli"}


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


@pytest.mark.parametrize("module", sorted(module for module in FILES if part(module) in LIGHT))
def test_planning_and_listing_import_nothing_heavy(module: str) -> None:
    heavy = [
        name
        for name in imported_names(TREES[module], typing_too=False, inside=False)
        if name.partition(".")[0] in HEAVY
    ]
    assert not heavy, f"fmbench.{module} imports {heavy} at its top; import it in the function that needs it"


def test_listing_every_component_imports_no_torch() -> None:
    script = (
        "import json, sys\n"
        "from fmbench.registry import load_registry\n"
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
