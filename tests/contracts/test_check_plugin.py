"""`fmbench check-plugin` runs conformance tests without pytest, and explains what is broken in words and formulas."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from command_line import fmbench

from fmbench import testing
from fmbench.components.contracts import KINDS
from fmbench.testing.base import ComponentConformance
from fmbench.testing.check_component import CONFORMANCE

WRONG = Path(__file__).with_name("wrong_components.py")


def line_of(code: str) -> str:
    """Return where some code stands, as it is said."""
    return f"wrong_components.py, line {WRONG.read_text().partition(code)[0].count(chr(10)) + 1}"


EXPLAINED = {
    "solver halfway": (
        "converges at its order",
        "halving every step divides the error by 2^p",
        "is 2, .* measured 1.00",
    ),
    "solver one_more": ("costs what it declares", "nfe_per_step * N + nfe_offset times", "= 2 times; counted 3"),
    "solver raising": ("repeats", "", f"it raised IndexError: .*.{line_of('x_0[:, 99]')}"),
    "solver refusing": ("repeats", "", "it raised ComponentError: refusing takes nothing"),
    "solver leaving": ("repeats", "", f"it raised SystemExit: 0 .{line_of('SystemExit')}"),
    "path short_path": ("coefficients at the ends", "alpha(1) = 1 and sigma(1) = 0", r"alpha\(1\) is 1 .* found 0.98"),
    "path wrong_slope": ("coefficient derivatives", "d_alpha_t = d alpha_t / dt", "they differ by 0.3"),
    "coupling labels_stay": ("labels travel with the data", "y[i] is still the label of x_1[i]", "had 2, has 0"),
    "t_distribution ramp": ("quantile is the inverse cdf", "density(quantile(u)) * quantile'(u) = 1", "off by 1.89"),
    "objective summed": ("loss is a mean over dimensions", "a mean over an example's dimensions", "512 in 512"),
    "objective predicts_data": ("perfect output becomes the velocity", "= dx_t", r"the velocity \(predicts\)"),
    "network timeless": ("depends on state and time", "v(x, t) changes with x and with t", "depends on t"),
    "grid short_grid": ("times", "0 = t_0 < t_1 < ... < t_N = 1", "1 steps go 0.0 to 0.999"),
    "dataset overlapping": ("splits are disjoint", "No example is in two splits", "100 of 100 test examples"),
    "metric upside_down": ("real data is better than noise", "Real data score better than noise", "higher is better"),
}
"""Of each wrong component a rule that it breaks, words of the rule, and what is found."""


def check(*arguments: str, cwd: Path) -> tuple[int, dict[str, Any]]:
    done = fmbench("check-plugin", *arguments, "--json", cwd=cwd)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


@pytest.fixture(scope="module")
def wrong(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What is said of all wrong components, by kind and name."""
    code, found = check(str(WRONG), cwd=tmp_path_factory.mktemp("wrong"))
    assert (code, found["ok"]) == (1, False)
    return {each["component"]: each for each in found["components"]}


@pytest.mark.parametrize("component", EXPLAINED)
def test_a_broken_rule_is_explained_with_its_formula_and_what_was_found(wrong: Any, component: str) -> None:
    name, rule, found = EXPLAINED[component]
    said = wrong[component]
    assert not said["ok"]
    assert said["place"].startswith(f"{WRONG}:")
    (broken,) = (each for each in said["checks"] if each["name"] == name)
    assert broken["status"] == "failed"
    assert rule in broken["rule"]
    assert re.search(found, broken["found"]), broken["found"]


def test_every_wrong_component_is_checked_and_one_that_needs_parameters_says_how(wrong: Any) -> None:
    assert set(wrong) == {*EXPLAINED, "guidance one_call"}
    (skipped,) = wrong["guidance one_call"]["checks"]
    assert skipped["status"] == "skipped"
    assert "fmbench check-plugin guidance '{one_call: {weight: ...}}'" in skipped["found"]


def test_parameters_are_written_as_in_a_suite(tmp_path: Path) -> None:
    code, found = check("guidance", "{one_call: {weight: 2}}", "--plugins", str(WRONG), cwd=tmp_path)
    assert code == 1
    broken = [each["name"] for each in found["components"][0]["checks"] if each["status"] == "failed"]
    assert broken == ["makes as many calls as it says"]


def test_a_fact_about_the_method_widens_its_rule(tmp_path: Path) -> None:
    told = ("short_path", "--plugins", str(WRONG), "--set", "endpoint_tolerance=0.1")
    assert check(*told, cwd=tmp_path)[0] == 0
    assert check("predicts_data", "--plugins", str(WRONG), "--set", "predicts=x_1", cwd=tmp_path)[0] == 0


def test_the_text_says_one_line_a_rule_and_of_one_that_raises_again_no_more(tmp_path: Path) -> None:
    done = fmbench("check-plugin", "raising", "--plugins", str(WRONG), cwd=tmp_path)
    assert done.returncode == 1
    assert done.stdout.count(line_of("x_0[:, 99]")) == 1
    assert "\n  ok       survives pickling\n" in done.stdout
    assert "it raised the same" in done.stdout
    assert "Facts:" not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no plugin is installed besides fmbench's own"),
        (["huen"], "Did you mean 'heun'?"),
        (["slover", "heun"], "Did you mean 'solver'?"),
        (["nowhere.py"], "does not exist"),
        (["a", "b", "c"], "a kind and a name"),
        (["heun", "--set", "order_tolerence=1"], "Did you mean 'order_tolerance'?"),
        (["heun", "--set", "order_tolerance=wide"], "order_tolerance is written as 0.15 is; found 'wide'"),
        (["heun", "--set", "order_tolerance"], "--set is FACT=VALUE"),
        (["{heun: [1]}"], "as in a suite"),
        (["guidance", "interval"], "fmbench check-plugin guidance '{interval: {weight: ...}}'"),
        (["cosine"], "Give the kind, too"),
    ],
    ids=" ".join,
)
def test_a_mistake_of_use_gets_one_message(tmp_path: Path, arguments: list[str], message: str) -> None:
    done = fmbench("check-plugin", *arguments, cwd=tmp_path, FMBENCH_PLUGINS="")
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


TESTS = """
from fmbench.testing import CouplingConformance, PathConformance
from wrong_here import LabelsStay, ShortPath


class TestShortPath(PathConformance):
    endpoint_tolerance = 0.1

    def component(self):
        return ShortPath()


class TestLabelsStay(CouplingConformance):
    def component(self):
        return LabelsStay()
"""


def test_a_file_of_tests_is_run_as_pytest_runs_it(tmp_path: Path) -> None:
    """In a process that cannot import pytest."""
    (tmp_path / "wrong_here.py").write_text(WRONG.read_text())
    (tmp_path / "test_them.py").write_text(TESTS)
    script = (
        "import sys; sys.modules['pytest'] = None; sys.path.insert(0, '.');"
        "sys.argv = ['fmbench', 'check-plugin', 'test_them.py', '--json'];"
        "from fmbench.cli import main; main()"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 1, done.stderr
    found = {each["component"]: each for each in json.loads(done.stdout)["components"]}
    assert {name: each["ok"] for name, each in found.items()} == {"TestShortPath": True, "TestLabelsStay": False}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "test_them.py"]
    plain = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    by_pytest = subprocess.run(command, cwd=tmp_path, env=plain, capture_output=True, text=True, check=False)
    cases = sum(each["cases"] for one in found.values() for each in one["checks"] if each["status"] != "skipped")
    failed = sum(each["failed"] for one in found.values() for each in one["checks"])
    assert f"{failed} failed, {cases - failed} passed" in by_pytest.stdout


def test_each_kind_has_a_conformance_class_and_each_test_states_its_rule() -> None:
    assert set(CONFORMANCE) == set(KINDS)
    classes = [getattr(testing, name) for name in testing.__all__ if name.endswith("Conformance")]
    checked = [cls for cls in classes if issubclass(cls, ComponentConformance)]
    assert len(checked) == 13
    bare = {
        f"{cls.__name__}.{name}"
        for cls in checked
        for name in dir(cls)
        if name.startswith("test_")
        and not (getattr(cls, name).__doc__ or "").partition("\n\n")[0].strip().endswith(".")
    }
    assert not bare


def test_all_modules_of_conformance_but_that_of_executors_do_without_pytest() -> None:
    folder = Path(testing.__file__).parent
    importing = {
        file.name
        for file in folder.glob("*.py")
        for node in ast.walk(ast.parse(file.read_bytes()))
        if isinstance(node, ast.Import) and any(alias.name == "pytest" for alias in node.names)
    }
    assert importing == {"executors.py"}


def test_what_a_component_prints_is_no_part_of_the_json(tmp_path: Path) -> None:
    fmbench("new-plugin", "loud", "--file", cwd=tmp_path)
    file = tmp_path / "loud.py"
    file.write_text(file.read_text().replace("        x = x_0\n", "        print('noise')\n        x = x_0\n"))
    done = fmbench("check-plugin", "loud.py", "--json", cwd=tmp_path)
    assert json.loads(done.stdout)["ok"]
    assert "noise" in done.stderr
