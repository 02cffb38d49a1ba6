"""A plugin's mistake: said once, with its component and the user's own line; and what is suggested then works."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from fmbench.isolation.plugin_traceback import SourceLine, described, lines_of, own_line, to_blame
from fmbench.report.tables.standard_tables import of_failures
from fmbench.results.failures import Failed, grouped
from fmbench.runner.failure_messages import FailureMessages
from fmbench.runner.session import Options, Session, open_session
from fmbench.runner.why import explain_cell

BUGGY = '''\
import warnings

from fmbench import Coupling, Solver, hookimpl


class Buggy(Solver):
    """Raises in a helper, with numbers that differ."""

    nfe_per_step = 1

    def integrate(self, velocity, x_0, times):
        return pick(x_0, len(times))


def pick(x_0, times):
    raise IndexError(f"list index {times} out of range")


class Warns(Coupling):
    """Warns at each batch."""

    def pair(self, x_0, x_1, y, generator):
        warnings.warn("numItermax reached before optimality.")
        return x_0, x_1, y


@hookimpl
def fmbench_solvers():
    return {"buggy": Buggy}


@hookimpl
def fmbench_couplings():
    return {"warns": Warns}
'''
WRONG = '''\
import torch
from fmbench import Network, hookimpl


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first = torch.nn.Linear(7, 2)

    def forward(self, x, t, y=None):
        return self.first(x)


class Wrong(Network):
    """Builds a network for other data."""

    def build(self, shape, classes):
        return Net()


@hookimpl
def fmbench_networks():
    return {"wrong": Wrong}
'''
SUITE = """\
name: mistaken
datasets: [{moons: {size: 400}}]
training:
  paths: [linear]
  couplings: [warns]
  networks: [{mlp: {width: 8, depth: 1}}, wrong]
  seeds: [0, 1]
  steps: 5
  batch_size: 16
  optimizer: {adam: {lr: 1e-3}}
evaluation: {solvers: [euler, buggy], nfe: [1, 2], samples: 50, metrics: [sliced_wasserstein]}
"""
MINE = ("--set", "training.steps=4", "--filter", "path=linear", "--plugins", "my plugins/buggy.py")
MINE += ("--plugins", "wrong.py", "--home", "my store")


def fmbench(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from fmbench.cli import main; main()", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=300)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mistakes")
    (folder / "my plugins").mkdir()
    (folder / "my plugins" / "buggy.py").write_text(BUGGY)
    (folder / "wrong.py").write_text(WRONG)
    (folder / "suite.yaml").write_text(SUITE)
    return folder


@pytest.fixture(scope="module")
def ran(folder: Path) -> subprocess.CompletedProcess[str]:
    return fmbench(folder, "run", "suite.yaml", *MINE, "--no-tracking", "--jobs", "1")


@pytest.fixture(scope="module")
def session(folder: Path, ran: subprocess.CompletedProcess[str]) -> Session:
    return opened(folder)


def opened(folder: Path, **changed: object) -> Session:
    options = {
        "overrides": ("training.steps=4",),
        "filters": ("path=linear",),
        "plugins": (str(folder / "my plugins" / "buggy.py"), str(folder / "wrong.py")),
        "home": folder / "my store",
        "tracking": False,
    }
    return open_session(folder / "suite.yaml", Options(**{**options, **changed}))  # type: ignore[arg-type]


INDEX = r"solver buggy: IndexError: list index \d out of range \(buggy\.py, line 16\)"
SHAPES = r"network wrong: RuntimeError: mat1 and mat2 .* \(wrong\.py, line 11\)"


def test_each_mistake_is_said_once_while_it_runs(ran: subprocess.CompletedProcess[str]) -> None:
    assert ran.returncode == 1
    assert "Traceback" not in ran.stderr
    for said in (f"evaluation [0-9a-f]+: error: {INDEX}", f"training [0-9a-f]+: error: {SHAPES}"):
        assert len(re.findall(said, ran.stderr)) == 1, ran.stderr
    warned = r"coupling warns: UserWarning: numItermax .*optimality\. \(buggy\.py, line 23\)"
    assert len(re.findall(f"warning, training [0-9a-f]+: {warned}", ran.stderr)) == 1, ran.stderr
    assert ran.stderr.count("IndexError") == ran.stderr.count("RuntimeError") == 1
    assert "train one by one" not in ran.stderr  # the mistake explains that


def test_the_end_counts_the_cells_of_each_mistake(ran: subprocess.CompletedProcess[str]) -> None:
    buggy = r"4 evaluations, solver buggy: buggy\.py:16 IndexError: list index \d out of range"
    wrong = r"2 trainings, network wrong: wrong\.py:11 RuntimeError: mat1 and mat2 .*"
    for said in (buggy, wrong):
        assert re.search(rf"^Failed: {said}\n  for example \w+ [0-9a-f]{{20}}$", ran.stdout, re.M), ran.stdout


def test_the_report_shows_each_mistake_once(session: Session) -> None:
    table = of_failures(session.records(session.results_index(anywhere=True)))
    assert table is not None
    found = [(line.labels[0], *(entry.value for entry in line.entries)) for line in table.lines]
    assert [row[:4] for row in found] == [
        ("network wrong", "2 trainings", "error", "wrong.py:11"),
        ("solver buggy", "4 evaluations", "error", "buggy.py:16"),
    ]
    assert re.fullmatch(r"RuntimeError: mat1 and mat2 .* \(8 evaluations lost with them\)", found[0][4])
    assert re.fullmatch(r"IndexError: list index \d out of range", found[1][4])


def test_why_shows_the_traceback_and_how_to_try_again(ran: subprocess.CompletedProcess[str], folder: Path) -> None:
    suggested = re.findall(r"`(fmbench [^`]+)`", ran.stdout)
    why, retry = map(shlex.split, suggested)
    assert why[:2] == ["fmbench", "why"]
    assert why[3:] == ["suite.yaml", *MINE]
    assert retry == ["fmbench", "retry", "suite.yaml", *MINE, "--no-tracking"]

    told = fmbench(folder, *why[1:])
    assert told.returncode == 0, told.stderr
    assert "Traceback (most recent call last):" in told.stdout
    assert re.search(r'wrong\.py", line 11, in forward', told.stdout)
    assert "nearest stored cell" not in told.stdout  # a table with nothing in it


def test_why_says_as_data_what_failed(session: Session) -> None:
    failed = next(cell for cell in session.plan.evaluations if cell.solver.name == "buggy")
    data = explain_cell(session, failed.key)
    assert data["status"] == "error"
    assert [failure["section"] for failure in data["failures"]] == ["evaluation"]
    assert "in pick" in data["failures"][0]["traceback"]
    assert "`fmbench retry " in data["verdict"]


def test_an_evaluation_that_its_training_took_along_says_so(session: Session) -> None:
    lost = next(cell for cell in session.plan.evaluations if cell.training.network.name == "wrong")
    told = explain_cell(session, lost.key)
    assert (told["status"], told["failures"][0]["section"]) == ("error", "training")
    assert "in forward" in told["failures"][0]["traceback"]


def test_suggested_commands_repeat_what_says_which_cells_and_where(folder: Path) -> None:
    changed = opened(folder, tracking=True, tracking_uri="http://me:secret@host:5000", reports=Path("my reports"))
    sync = shlex.split(changed.again("sync"))
    assert sync[-4:] == ["--reports", "my reports", "--tracking-uri", "http://me:***@host:5000"]
    assert sync[:2] == ["fmbench", "sync"]
    assert shlex.split(changed.again("plan"))[-2:] == ["--home", str(folder / "my store")]
    assert "--device cpu" in opened(folder, device="cpu").again("retry")


def test_the_users_own_line_is_the_last_outside_of_fmbench_torch_and_python() -> None:
    import fmbench.errors

    core, library = fmbench.errors.__file__, os.__file__
    inside = "/env/lib/python3.11/site-packages"
    torch_line, installed = (
        SourceLine(f"{inside}/torch/nn/module.py", 7),
        SourceLine(f"{inside}/their_plugin/solver.py", 5),
    )
    mine = SourceLine("/somewhere/plugin.py", 3)
    assert own_line([SourceLine(core, 1), mine, torch_line, SourceLine(library, 2), SourceLine("<string>", 1)]) == mine
    assert own_line([SourceLine(core, 1), installed, torch_line]) == installed
    assert own_line([SourceLine(core, 1), torch_line]) == torch_line
    assert own_line([]) is None
    shipped = SourceLine("/clone/plugins/fmbench_networks/mlp.py", 69)
    assert own_line([SourceLine(core, 1), mine, shipped, torch_line]) == mine, "it calls fmbench's network wrongly"
    in_wheel = SourceLine(f"{inside}/fmbench_networks/mlp.py", 69)
    assert own_line([SourceLine(core, 1), installed, in_wheel]) == installed
    assert own_line([SourceLine(core, 1), in_wheel, torch_line]) == in_wheel


def test_an_error_from_inside_torch_is_told_with_the_line_that_called_it() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.zeros(2) @ torch.zeros(3)
    line = lines_of(caught.value)[-1].number
    assert described(caught.value).endswith(f"({Path(__file__).name}, line {line})")

    class Unprintable(Exception):
        def __str__(self) -> str:
            raise ValueError

    assert described(Unprintable()) == "Unprintable: (it cannot be printed)"
    assert len(described(ValueError("x" * 10_000))) < 400


def test_a_component_is_blamed_only_where_that_is_sure() -> None:
    class Here:
        pass

    one, two = Here(), Here()
    at = SourceLine(__file__, 1)
    assert to_blame([at], [("solver one", one)]) == "solver one"
    assert to_blame([at], [("solver one", one), ("path two", two)]) == ""
    mine = SourceLine(__file__, 1, two)
    assert to_blame([mine, at], [("solver one", one), ("path two", two)]) == "path two"
    # one that only passed on what another raised is not to blame
    assert to_blame([mine, SourceLine("/elsewhere/net.py", 9)], [("path two", two)]) == ""


def test_failures_are_alike_but_for_their_numbers_and_never_but_for_their_lines() -> None:
    def failed(text: str, section: str = "evaluation") -> Failed[str]:
        return Failed(section, text, "error", text)

    texts = ["3 of 10 are bad (a.py, line 3)", "4 of 1e-3 are bad (a.py, line 3)", "4 of 10 are bad (a.py, line 4)"]
    found = grouped([*map(failed, texts), failed(texts[0], "oracle")])
    assert [group.units for group in found] == [{"evaluation": 2, "oracle": 1}, {"evaluation": 1}]
    assert found[0].said == "2 evaluations and 1 oracle: a.py:3 3 of 10 are bad"


@pytest.mark.parametrize(
    ("error", "component", "place", "mistake"),
    [
        ("solver a: IndexError: out: of (b.py, line 3)", "solver a", "b.py:3", "IndexError: out: of"),
        ("metric m(k=2): metric m(k=2): ValueError: no", "metric m(k=2)", "", "ValueError: no"),
        ("diverged: the loss is not finite", "", "", "diverged: the loss is not finite"),
        ("it stopped (see line 3)", "", "", "it stopped (see line 3)"),
        ("", "", "", ""),
    ],
)
def test_an_error_on_record_is_read_in_its_parts(error: str, component: str, place: str, mistake: str) -> None:
    (group,) = grouped([Failed("training", "cell", "error", error)])
    assert (group.component, group.place, group.mistake) == (component, place, mistake)
    assert set(group.as_data()) == {"cells", "units", "status", "component", "place", "mistake", "said"}


def test_what_no_failure_explains_is_said_at_the_end() -> None:
    said: list[str] = []
    failure_messages = FailureMessages(said.append)
    failure_messages.slowed("a fleet of 2 failed (solver x: broken), so its cells train one by one")
    failure_messages.slowed("a fleet of 3 failed (out of memory), so its cells train one by one")
    assert said == []
    failure_messages.failed("training", "a", "error", "solver x: broken")
    failure_messages.failed("training", "b", "error", "solver x: broken")
    failure_messages.end()
    assert said == [
        "training a: error: solver x: broken",
        "a fleet of 3 failed (out of memory), so its cells train one by one",
    ]
