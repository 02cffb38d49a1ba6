"""One word, one meaning, and the field's own: names that said less than these are gone, and stay so."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[2]

FORMER = {
    "Workshop": "WorkerContext",
    "Parts": "Components",
    "Lesson": "JointBatch",
    "Samples": "PathBatchSampler",
    "Draws": "BatchSampler",
    "Pairs": "PairedBatches",
    "Examples": "DataLoader",
    "ahead": "prefetch",
    "SideThreads": "PrefetchPool",
    "untouched": "in-place guard",
    "drop_spoilt": "reload_modified",
    "together": "batched sampling",
    "shared_calls": "velocity cache",
    "program": "compilation",
    "traced": "tracing",
    "why_alone": "batching_obstacle",
    "probing": "autotune",
    "found": "cached_or_measured",
    "on_record": "read_cached",
    "learn": "optimizer_step",
    "lost": "joint_loss_ok",
    "sampled": "joint_sample_ok",
    "teaching": "teacher",
    "study": "fit",
    "remember": "with_fit",
    "Survey": "ResultsIndex",
    "states": "cell_state",
    "Computation": "Scheduler",
    "kept_report": "report_cache",
    "forgive": "clear_failures",
    "cleaning": "unused_cells",
    "Portrait": "FlowSnapshot",
    "portrait": "flow snapshot",
    "motion": "animation",
    "plane": "2-D figures",
    "Board": "ResultTable",
    "leaders": "ranking",
    "Place": "Position, RankingAtNFE or another word that says of what",
    "lacking": "missing values",
    "looking": "compare",
    "joining": "merge",
    "inspecting": "one file a verb",
    "keeping": "one file a verb",
    "remembering": "history",
}
"""A name that is no longer used, and the field's word for it."""

ALIAS = re.compile(r"[A-Z]\w*[a-z]\w*")
"""How a module's alias of a type is called, and a constant is not."""

KEPT = {("fmbench/report/figures/plane", "plane")}
"""The folder of figures of data in the plane."""


def _python_files() -> list[Path]:
    return sorted(file for folder in ("fmbench", "plugins") for file in (ROOT / folder).rglob("*.py"))


def test_no_module_class_or_function_has_a_former_name() -> None:
    faults = []
    for file in _python_files():
        place = file.relative_to(ROOT)
        names = [
            (part, str(Path(*place.parts[: number + 1]))) for number, part in enumerate(place.with_suffix("").parts)
        ]
        definitions = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        defined = [node.name for node in ast.walk(ast.parse(file.read_bytes())) if isinstance(node, definitions)]
        names += [(name, str(place)) for name in defined]
        faults += [
            f"{where}: {name}; the field's word is {FORMER[name]}"
            for name, where in names
            if name in FORMER and (where, name) not in KEPT
        ]
    assert not faults, "\n".join(dict.fromkeys(faults))


def test_public_classes_of_one_name_are_one_thing() -> None:
    """A name that two rooms give to different classes says too little in one of them."""
    homes: dict[str, set[str]] = defaultdict(set)
    for file in sorted((ROOT / "fmbench").rglob("*.py")):
        for node in ast.parse(file.read_bytes()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].add(str(file.relative_to(ROOT)))
    twice = {name: sorted(files) for name, files in homes.items() if len(files) > 1}
    assert not twice, twice


def test_a_name_of_a_room_is_one_class_or_one_alias() -> None:
    """Aliases of types count, too: `Line = tuple[str, float]` in one file is no class `Line` of another."""
    homes: dict[tuple[str, str], set[str]] = defaultdict(set)
    for file in sorted((ROOT / "fmbench").rglob("*.py")):
        place = file.relative_to(ROOT / "fmbench")
        for node in ast.parse(file.read_bytes()).body:
            for name in _names_of_types(node):
                homes[place.parts[0], name].add(str(place))
    twice = {name: sorted(files) for name, files in homes.items() if len(files) > 1}
    assert not twice, twice


def _names_of_types(node: ast.stmt) -> list[str]:
    """Return the class or the aliases of types that a statement of a module defines, without private ones."""
    if isinstance(node, ast.ClassDef):
        return [] if node.name.startswith("_") else [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return [each.id for each in targets if isinstance(each, ast.Name) and ALIAS.fullmatch(each.id)]
