"""The command line: exit codes, one clear message for a mistake, JSON where something is listed."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command_line import fmbench
from helpers import SMOKE

VERBS = (
    *("run", "init", "check", "plan", "report", "plugins", "schema", "env", "ui", "why", "sync", "retry", "clean"),
    *("merge", "suites"),
)


COMMAND = [sys.executable, "-c", "from fmbench.cli import main; main()"]


def process(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=cwd,
        env={**os.environ, "COLUMNS": "160", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a tiny suite was run."""
    folder = tmp_path_factory.mktemp("cli")
    (folder / "tiny.yaml").write_text(SMOKE)
    result = process("run", "tiny.yaml", "--no-tracking", cwd=folder)
    assert result.returncode == 0, result.stderr
    assert "reports/tiny/index.html" in result.stdout
    return folder


def test_help_names_every_verb(tmp_path: Path) -> None:
    result = process("--help", cwd=tmp_path)
    assert result.returncode == 0
    for verb in VERBS:
        assert f" {verb} " in result.stdout


def test_without_a_verb_the_first_steps_are_shown_within_80_columns(tmp_path: Path) -> None:
    result = fmbench(cwd=tmp_path)
    assert result.returncode == 0
    assert "fmbench run smoke" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80
    suggested = set(re.findall(r"^  fmbench (\w+)", result.stdout, re.M))
    assert suggested <= set(VERBS)


@pytest.mark.parametrize("option", ["--version", "-V"])
def test_the_version_is_told(tmp_path: Path, option: str) -> None:
    assert fmbench(option, cwd=tmp_path).stdout == f"fmbench {importlib.metadata.version('fmbench')}\n"


@pytest.mark.parametrize("verb", [[], ["run"], ["plugins"], ["plugins", "show"]], ids=" ".join)
def test_h_is_help_everywhere(tmp_path: Path, verb: list[str]) -> None:
    short = fmbench(*verb, "-h", cwd=tmp_path)
    assert short.returncode == 0
    assert short.stdout.startswith("Usage: fmbench")
    assert short.stdout == fmbench(*verb, "--help", cwd=tmp_path).stdout


def test_plugins_of_one_kind_are_listed(tmp_path: Path) -> None:
    listed = json.loads(fmbench("plugins", "grid", "--json", cwd=tmp_path).stdout)["components"]
    assert {component["kind"] for component in listed} == {"grid"}
    assert "uniform" in {component["name"] for component in listed}
    assert fmbench("plugins", "gird", cwd=tmp_path).returncode == 2


def test_help_imports_nothing_heavy(tmp_path: Path) -> None:
    script = (
        "import sys\nfrom fmbench.cli.app import app\n"
        "try:\n    app(['--help'])\nexcept SystemExit:\n    pass\n"
        "print([m for m in ('torch', 'mlflow', 'pandas', 'numpy', 'pydantic') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "nowhere.yaml"], "nowhere.yaml"),
        (["run", "bad.yaml"], "bad.yaml:2:1"),
        (["run", "tiny.yaml", "--set", "training.stesp=3"], "steps"),
        (["run", "tiny.yaml", "--set", "evaluation.solvers=[eulr]"], "Did you mean 'euler'?"),
        (["run", "tiny.yaml", "--filter", "path=cosine"], "path"),
        (["run", "tiny.yaml", "--device", "tpu"], "auto, cpu, cuda, mps"),
        (["run", "tiny.yaml", "--jobs", "many"], "'auto' or a number"),
        (["run", "tiny.yaml", "--home", "tiny.yaml/store", "--no-tracking"], "Not a directory; choose another store"),
        (["run", "tiny.yaml", "--plugins", "absent.py"], "absent.py"),
        (["run", "tiny.yaml", "--plugins", "broken.py"], "broken.py"),
        (["run", "tiny.yaml", "--tracking-uri", "ftp://nowhere", "--home", "other"], "ftp"),
        (["plugins", "show", "solver", "huen"], "Did you mean 'heun'?"),
        (["plugins", "show", "slover", "heun"], "Did you mean 'solver'?"),
        (["why", "zzz", "tiny.yaml"], "no cell of tiny.yaml"),
        (["plan"], "Missing argument"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_gets_one_message_and_exit_code_2(done: Path, arguments: list[str], message: str) -> None:
    (done / "bad.yaml").write_text("name: bad\ndatsets: [moons]\n")
    (done / "broken.py").write_text("raise RuntimeError('broken on purpose')\n")
    result = fmbench(*arguments, cwd=done)
    assert result.returncode == 2, result.stdout + result.stderr
    assert message in result.stderr
    assert "Traceback" not in result.stdout + result.stderr


def test_a_plan_is_printed_whatever_standard_output_is(done: Path) -> None:
    plain = process("plan", "tiny.yaml", cwd=done, PYTHONIOENCODING="latin-1")
    assert plain.returncode == 0, plain.stderr
    assert "evaluations" in plain.stdout
    listed = process("plan", "tiny.yaml", "--json", cwd=done, PYTHONIOENCODING="ascii")
    assert json.loads(listed.stdout) == json.loads(fmbench("plan", "tiny.yaml", "--json", cwd=done).stdout)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no device that is always full")
@pytest.mark.parametrize("arguments", [["plan", "tiny.yaml"], ["plugins"], ["--help"]])
def test_a_full_disk_is_said_in_one_line(done: Path, arguments: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [*COMMAND, *arguments], cwd=done, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1), ended.stderr
    assert "No space left on device" in ended.stderr


def test_a_plan_says_what_is_done_and_what_is_left_out(done: Path) -> None:
    text = fmbench("plan", "tiny.yaml", cwd=done).stdout
    assert "heun calls the network 2 times a step" in text
    assert "Average of the weights: 0.999, warmed up as (1+step)/(10+step): " in text
    plan = json.loads(fmbench("plan", "tiny.yaml", "--json", "--set", "evaluation.nfe=[1, 2, 4]", cwd=done).stdout)
    assert plan["counts"]["trainings"] == {"total": 1, "done": 1, "failed": 0, "todo": 0}
    assert plan["counts"]["evaluations"] == {"total": 5, "done": 3, "failed": 0, "todo": 2}
    assert plan["expected_seconds"] > 0
    assert {cell["status"] for cell in plan["cells"]} == {"ok", "missing"}


def test_plugins_are_listed_with_their_parameters(tmp_path: Path) -> None:
    listed = json.loads(fmbench("plugins", "--json", cwd=tmp_path).stdout)
    assert listed["failures"] == []
    dopri5 = next(c for c in listed["components"] if c["name"] == "dopri5")
    assert {p["name"] for p in dopri5["parameters"]} == {"rtol", "atol"}
    assert not [c["name"] for c in listed["components"] if not c["summary"]]
    assert not [
        c["name"] for c in listed["components"] if not c["reference"] and c["kind"] not in ("dataset", "metric")
    ]
    assert "rtol" in fmbench("plugins", "show", "solver", "dopri5", cwd=tmp_path).stdout


def test_the_schema_accepts_a_suite_and_knows_the_components(tmp_path: Path) -> None:
    schema = json.loads(fmbench("schema", cwd=tmp_path).stdout)
    text = json.dumps(schema)
    assert '"euler"' in text
    assert '"sigma_min"' in text


def test_env_names_versions_and_hardware(tmp_path: Path) -> None:
    facts = json.loads(process("env", "--json", cwd=tmp_path).stdout)
    assert facts["torch"] != "not installed"
    assert "cores" in facts["hardware"]


def test_why_explains_hits_and_misses(done: Path) -> None:
    cells = json.loads(fmbench("plan", "tiny.yaml", "--json", cwd=done).stdout)["cells"]
    hit = fmbench("why", cells[0]["key"][:8], "tiny.yaml", cwd=done).stdout
    assert re.search(r"computed in (float32|bf16) on (cpu|cuda|mps), and used as it is", hit), hit
    assert re.search(r"its last digits may depend on threads: \d+, fleet: 1, batch: 50", " ".join(hit.split())), hit
    changed = ["--set", "training.steps=21"]
    key = json.loads(fmbench("plan", "tiny.yaml", "--json", *changed, cwd=done).stdout)["cells"][0]["training"]
    miss = fmbench("why", key, "tiny.yaml", *changed, cwd=done).stdout
    assert "settings.steps" in miss
    assert "21" in miss


def test_clean_keeps_what_a_suite_uses(done: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(done, copy)
    (copy / "narrow.yaml").write_text(SMOKE.replace("nfe: [1, 2]", "nfe: [1]"))
    (copy / "other.yaml").write_text(SMOKE.replace("steps: 20", "steps: 5"))

    def unused(*suites: str) -> int:
        listed = json.loads(fmbench("clean", *suites, "--json", cwd=copy).stdout)
        assert not listed["removed"]
        return len(listed["cells"])

    assert [unused("tiny.yaml"), unused("narrow.yaml"), unused("other.yaml")] == [0, 2, 1 + 1 + 3]
    assert unused("narrow.yaml", "tiny.yaml") == 0
    assert "Removed 2 cells" in fmbench("clean", "narrow.yaml", "--yes", cwd=copy).stdout
    counts = json.loads(fmbench("plan", "tiny.yaml", "--json", cwd=copy).stdout)["counts"]
    assert counts["trainings"]["done"] == 1
    assert counts["evaluations"]["done"] == 1
    assert unused("narrow.yaml") == 0


def test_an_interrupted_run_keeps_what_finished(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(SMOKE.replace("steps: 20", "steps: 1000000"))
    # A shell that runs pytest in the background has it ignore Ctrl-C, and a child would inherit that.
    script = (
        "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\nfrom fmbench.cli import main\nmain()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, "run", "tiny.yaml", "--no-tracking"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            while not list(tmp_path.glob(".fmbench/training/*/cell.json")) and process.poll() is None:
                time.sleep(0.1)
            process.send_signal(signal.SIGINT)
            _, error = process.communicate(timeout=300)
        finally:
            process.kill()
    assert process.returncode == 130
    assert "what finished is kept" in error
    assert "Traceback" not in error
