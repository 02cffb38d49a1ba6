"""The planted faults are what they say: each line is there once, and the changed file is still Python."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest
from benchmarks import planted_faults
from benchmarks.planted_changes import FAULTS, REFORMULATIONS, Fault, Reformulation

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("change", [*FAULTS, *REFORMULATIONS], ids=planted_faults.title)
def test_a_change_is_of_one_line_that_is_there_once_and_leaves_python(change: Fault | Reformulation) -> None:
    text = (ROOT / change.file).read_text()
    assert text.count(change.old) == 1
    changed = text.replace(change.old, change.new)
    assert ast.dump(ast.parse(changed)) != ast.dump(ast.parse(text))
    assert sum(a != b for a, b in zip(text.splitlines(), changed.splitlines(), strict=True)) == 1


def test_there_are_thirty_faults_a_third_of_them_in_the_core_and_each_has_a_name_of_its_own() -> None:
    assert len(FAULTS) >= 30
    assert sum(fault.core for fault in FAULTS) * 3 >= len(FAULTS) - 2
    assert max(Counter(map(planted_faults.title, FAULTS)).values()) == 1
    packages = {fault.file.split("/")[1].removeprefix("fmbench_") for fault in FAULTS if not fault.core}
    assert packages == {"solvers", "grids", "couplings", "paths", "t_distributions", "objectives", "metrics"}


def test_the_code_that_changed_does_not_count_as_named_by_scores() -> None:
    def judged(where: str) -> dict[str, bool]:
        return planted_faults.judged(FAULTS[0], {"first_line": f"WORSE: fid of NFE 8: worse by 13.0% ({where})"})

    assert judged("all trainings came out differently; code has changed: solver heun")["named"]
    assert not judged("all trainings came out differently; code has changed: solver heun")["by_scores"]
    assert not judged("code has changed: the training code (fmbench.training.loop), solver heun")["by_scores"]
    assert judged("the samples of solver heun came out differently, and no others")["by_scores"]
    assert not planted_faults.judged(FAULTS[0], {"first_line": "Nothing got worse than solver heun."})["named"]
