"""What counts in keys is what training and evaluation import, less what is left out with a reason."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import fmbench
from fmbench.plan.result_code import NO_RESULT, NOT_OF, ROOTS, Stage, result_code
from fmbench.plugins.source import code_fingerprint
from fmbench.plugins.source.import_closure import core_modules, is_within

CORE = Path(fmbench.__file__).parent
EVERYTHING: set[Stage] = set(ROOTS)
TRAINED: set[Stage] = {"training", "taught training"}
SAMPLED: set[Stage] = {"evaluation", "sampler cost", "oracle"}
NETWORKS: set[Stage] = EVERYTHING - {"noise floor", "given samples"}

CHANGED: dict[str, set[Stage]] = {
    "errors.py": set(),
    "io/regular_files.py": set(),
    "isolation/global_random.py": EVERYTHING,
    "isolation/process_state.py": set(),
    "stats/student_t.py": set(),
    "cells/seeds.py": EVERYTHING,
    "components/contracts.py": EVERYTHING,
    "components/gaussian_mixture.py": EVERYTHING,
    "components/solver_times.py": SAMPLED,
    "plugins/registry.py": set(),
    "suite/models.py": set(),
    "plugin_template/create.py": set(),
    "store/cell_folder.py": set(),
    "store/merge/copy_cells.py": set(),
    "plan/build.py": set(),
    "runtime/precision.py": NETWORKS,
    "runtime/calibration.py": TRAINED,
    "runtime/memory.py": set(),
    "model/build.py": NETWORKS,
    "model/trained_model.py": NETWORKS - {"training"},
    "model/batched/networks.py": {*TRAINED, "evaluation"},
    "results/records.py": set(),
    "training/loop.py": TRAINED,
    "training/teacher.py": {"taught training"},
    "training/compilation.py": set(),
    "evaluation/metrics.py": {"measurement", "noise floor", "given samples", *SAMPLED},
    "evaluation/sampling.py": SAMPLED,
    "evaluation/flow_snapshots.py": {"flow snapshot"},
    "evaluation/oracle.py": {"oracle"},
    "evaluation/given_samples.py": {"given samples"},
    "evaluation/sampler_timing.py": {"sampler cost"},
    "tracking/tracker.py": set(),
    "regression/check.py": set(),
    "report/build.py": set(),
    "history/night.py": set(),
    "compare/comparison.py": set(),
    "export/winner.py": set(),
    "publish/site.py": set(),
    "executors/run_task.py": set(),
    "executors/train_fleet.py": set(),
    "testing/solvers.py": set(),
    "runner/scheduler.py": set(),
    "cli/run.py": set(),
}
"""A file, and the kinds of cell whose keys change with its code."""

SCRIPT = """
import json, sys
from pathlib import Path
from fmbench.plan.result_code import ROOTS, result_code, result_code_fingerprint

core = Path(sys.argv[1])
before = {stage: result_code_fingerprint(stage) for stage in ROOTS}
changed = {}
for name in json.loads(sys.argv[2]):
    file = core / name
    text = file.read_text()
    file.write_text(text + "\\nCHANGED = 1\\n")
    result_code_fingerprint.cache_clear()
    changed[name] = sorted(stage for stage in ROOTS if result_code_fingerprint(stage) != before[stage])
    file.write_text(text)
print(json.dumps(changed))
"""


def test_one_changed_line_changes_the_keys_of_what_it_decides_and_no_others(tmp_path: Path) -> None:
    rooms = {path.stem for path in CORE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert {name.partition("/")[0].removesuffix(".py") for name in CHANGED} == rooms - {"__init__"}
    core = shutil.copytree(CORE, tmp_path / "fmbench", ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-c", SCRIPT, str(core), json.dumps([*CHANGED])]
    paths = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=paths, cwd=tmp_path)
    assert json.loads(done.stdout) == {name: sorted(stages) for name, stages in CHANGED.items()}


@pytest.mark.parametrize("stage", ROOTS)
def test_what_does_not_count_is_left_out_by_name_or_imported_only_by_what_is(stage: Stage) -> None:
    everything, counted = set(core_modules(*ROOTS[stage])), set(result_code(stage))
    assert counted <= everything
    left_out = {*NO_RESULT, *NOT_OF.get(stage, ())}
    for name in everything:
        importers = {each for each in counted if name in core_modules(each, without=everything - {each, name})}
        if name in counted:
            assert not is_within(name, left_out)
            assert name in ROOTS[stage] or importers - {name}, f"nothing that counts imports {name}"
        else:
            assert is_within(name, left_out) or not importers, f"{name} is left out without a reason"


def test_nothing_is_left_out_that_is_not_there_and_each_has_its_reason() -> None:
    everything = {name for roots in ROOTS.values() for name in core_modules(*roots)}
    exceptions = {name: reason for names in NOT_OF.values() for name, reason in names.items()}
    for left_out, reason in {**NO_RESULT, **exceptions}.items():
        assert any(is_within(name, [left_out]) for name in everything), f"nothing imports {left_out}"
        assert reason


def test_code_that_moves_is_the_same_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body = "x = (seed_for, canonical)\n"
    texts = {
        "one": "from fmbench.cells.keys import canonical\nfrom fmbench.cells.seeds import seed_for\n",
        "moved": "from fmbench.a.seeds import seed_for\nfrom fmbench.cells.keys import canonical\n",
        "renamed": "from fmbench.cells.keys import digest as canonical\nfrom fmbench.cells.seeds import seed_for\n",
    }
    for name, text in texts.items():
        (tmp_path / f"{name}.py").write_text(text + body)
    monkeypatch.syspath_prepend(tmp_path)
    assert code_fingerprint("one") == code_fingerprint("moved")
    assert code_fingerprint("one") != code_fingerprint("renamed"), "what is imported is code"


def test_of_two_functions_of_one_name_the_one_that_is_imported_counts() -> None:
    """`in_order` orders trainings in one module of the core and evaluations in another."""
    both = ("fmbench.training.path_batches", "fmbench.evaluation.batched_sampling")
    assert code_fingerprint("fmbench.training.loop", both[0]) != code_fingerprint("fmbench.training.loop", both[1])
