"""Nothing in the tree reads a file in a way that can run what is in it: pickles, YAML with tags, templates, shells."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted(
    file for place in ("fmbench", "plugins") for file in (ROOT / place).rglob("*.py") if "__pycache__" not in file.parts
)
ALL = sorted({*FILES, *(ROOT / "tests").rglob("*.py")})
THIS = Path(__file__)

PICKLING = {"pickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
MAY_PICKLE = {
    "fmbench/testing/base.py": "conformance: what it loads, it has dumped itself",
    "fmbench/testing/datasets.py": "conformance: what it loads, it has dumped itself",
    "plugins/fmbench_models/checkpoint.py": "names the error by which torch refuses a pickle",
}
MAY_EVALUATE = {
    "fmbench/plugins/source/name_resolution.py": "an annotation of a plugin, without builtins; plugins are code",
}
FORBIDDEN = {
    *("yaml.load", "yaml.load_all", "yaml.full_load", "yaml.unsafe_load", "yaml.Loader", "yaml.UnsafeLoader"),
    *("yaml.FullLoader", "yaml.CLoader", "pd.read_pickle", "pandas.read_pickle", "os.system", "os.popen"),
    *("pickle.Unpickler", "jinja2.Template", "numpy.core", "multiprocessing.managers"),
}
MUST_SAY = {
    "torch.load": ("weights_only", True),
    "np.load": ("allow_pickle", False),
    "numpy.load": ("allow_pickle", False),
}


def name_of(node: ast.expr) -> str:
    """Return a dotted name as it is written, "" where it is none."""
    return ast.unparse(node) if isinstance(node, ast.Name | ast.Attribute) else ""


@cache
def tree_of(file: Path) -> ast.Module:
    """Return a file's syntax tree."""
    return ast.parse(file.read_bytes())


def imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]


def faults(file: Path) -> Iterator[str]:
    """Yield what a file of the package does that it must not."""
    place = file.relative_to(ROOT).as_posix()
    tree = tree_of(file)
    for module in set(imports(tree)) & PICKLING - ({"pickle"} if place in MAY_PICKLE else set()):
        yield f"{place} imports {module}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and name_of(node) in FORBIDDEN:
            yield f"{place}:{node.lineno} uses {name_of(node)}"
        if not isinstance(node, ast.Call):
            continue
        name = name_of(node.func)
        said = {each.arg: each.value.value for each in node.keywords if isinstance(each.value, ast.Constant)}
        if name in MUST_SAY and said.get(MUST_SAY[name][0]) is not MUST_SAY[name][1]:
            yield f"{place}:{node.lineno} calls {name} without {MUST_SAY[name][0]}={MUST_SAY[name][1]}"
        if name in {"eval", "exec", "compile"} and place not in MAY_EVALUATE:
            yield f"{place}:{node.lineno} calls {name}"
        if said.get("shell") or said.get("trust_remote_code") or said.get("autoescape") is False:
            yield f"{place}:{node.lineno} calls {name} with a shell, with code from afar, or without escapes"
        if said.get("host") in {"", "0.0.0.0", "::"}:
            yield f"{place}:{node.lineno} listens to other machines"


def test_no_file_of_the_package_reads_what_can_run_code() -> None:
    assert [fault for file in FILES for fault in faults(file)] == []


def test_what_may_pickle_and_evaluate_does() -> None:
    for place in (*MAY_PICKLE, *MAY_EVALUATE):
        assert re.search(r"\bpickle\b|\beval\(", (ROOT / place).read_text())


def test_yaml_is_read_by_safe_loaders_in_the_whole_tree() -> None:
    for file in (file for file in ALL if file != THIS):
        for node in ast.walk(tree_of(file)):
            used = name_of(node) if isinstance(node, ast.Attribute) else ""
            assert not used.startswith("yaml.") or used not in FORBIDDEN, f"{file}:{node.lineno} uses {used}"


MAY_STAND_AS_IT_IS = {
    "style|safe", "scripts|safe", "script|safe",  # files of the package
    "payload|safe", "samples|safe",  # JSON without < and >, see fmbench.report.page_data.json_text
    "each.svg|safe",  # which escapes its own texts, see fmbench.report.html.static_chart
    "term|replace('_', '_<wbr>'|safe)",
}  # fmt: skip


def test_pages_escape_all_but_what_is_safe() -> None:
    for page in (ROOT / "fmbench").rglob("*.html"):
        unescaped = re.findall(r"[^{}]*\|\s*safe[^{}]*", page.read_text())
        assert {re.sub(r"\s*\|\s*", "|", each.strip()) for each in unescaped} <= MAY_STAND_AS_IT_IS
    (maker,) = (file for file in (ROOT / "fmbench").rglob("*.py") if "FileSystemLoader(" in file.read_text())
    assert maker == ROOT / "fmbench/report/html/templates.py", "the one that makes environments, for all pages"
    assert maker.read_text().count("autoescape=True") == 1


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from joblib import load",
        "import torch\ntorch.load('x')",
        "import torch\ntorch.load('x', weights_only=False)",
        "import numpy as np\nnp.load('x', allow_pickle=True)",
        "import yaml\nyaml.load('x', yaml.Loader)",
        "eval('1')",
        "import subprocess\nsubprocess.run('x', shell=True)",
        "make(host='0.0.0.0')",
        "import jinja2\njinja2.Environment(autoescape=False)",
    ],
)
def test_the_check_finds_what_it_looks_for(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("test_reading_runs_no_code.ROOT", tmp_path)
    (tmp_path / "x.py").write_text(code)
    assert list(faults(tmp_path / "x.py"))
