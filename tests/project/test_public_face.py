"""The names that `import fmbench` promises, and what importing it costs."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from pathlib import Path

import fmbench

FACE = {
    "AffinePath",
    "Coupling",
    "DataError",
    "Dataset",
    "Evidence",
    "FmbenchError",
    "Grid",
    "Guidance",
    "Metric",
    "Mixture",
    "Model",
    "Network",
    "NetworkCalls",
    "Objective",
    "Options",
    "Path",
    "PathSample",
    "Preset",
    "ProbabilityPath",
    "Results",
    "RunResult",
    "Solver",
    "StoredArray",
    "TDistribution",
    "TrainingFacts",
    "UserError",
    "Velocity",
    "expand",
    "find_array",
    "hookimpl",
    "load_results",
    "load_suite",
    "make_plan",
    "run",
}


def test_the_face_is_pinned() -> None:
    assert set(fmbench.__all__) == FACE
    assert fmbench.__all__ == sorted(fmbench.__all__)


def test_every_name_is_there_and_documented() -> None:
    undocumented = [name for name in FACE - {"hookimpl"} if not getattr(fmbench, name).__doc__]
    assert not undocumented


def test_importing_fmbench_imports_nothing_heavy() -> None:
    script = "import json, sys, fmbench; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    heavy = {"torch", "mlflow", "numpy", "pandas", "matplotlib", "pydantic", "yaml", "typer", "rich"}
    assert not heavy & set(json.loads(done.stdout))


def test_types_are_promised_and_checked_from_a_users_side() -> None:
    """`mypy` takes too long for a test: .ci/run calls it on a script as users write it, beside the core."""
    root = Path(fmbench.__file__).parent
    assert (root / "py.typed").is_file()
    assert "mypy fmbench tests/project/typed_script.py" in (root.parent / ".ci" / "run").read_text()
    for call in (fmbench.run, fmbench.load_results, fmbench.Results.select, fmbench.Results.figure):
        untyped = [name for name, each in inspect.signature(call).parameters.items() if each.annotation is each.empty]
        assert untyped in ([], ["self"]), call
        assert inspect.signature(call).return_annotation not in (inspect.Signature.empty, "Any")
