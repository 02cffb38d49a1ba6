"""300 damaged or hostile inputs, drawn from seeds: no traceback, no code run, no file outside, nothing lost."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from command_line import fmbench
from helpers import SMOKE
from hostile import TEXTS, damaged, suite

from fmbench.plugins.registry import Registry, load_registry
from fmbench.runner import report_cache

pytestmark = pytest.mark.slow

SUITES, FILES, NAMES = 140, 110, len(TEXTS)
VERBS = (("plan",), ("plan", "--json"), ("why",), ("report",), ("check", "--no-run"))
BATCH = 10
"""Inputs a test: one alone would take longer to collect than to try."""

SUITE = SMOKE.replace("steps: 20", "steps: 5").replace("nfe: [1, 2]", "nfe: [2]")


@pytest.fixture(autouse=True)
def read_once(monkeypatch: pytest.MonkeyPatch, registry: Registry) -> None:
    """The built-in components and the code that draws reports are not read anew for each command."""

    def loaded(plugins: Sequence[str] = (), contents: object = None) -> Registry:
        return load_registry(plugins) if plugins or os.environ.get("FMBENCH_PLUGINS") else registry

    digest = report_cache.code()
    monkeypatch.setattr(report_cache, "code", lambda: digest)
    for module in ("fmbench.plugins.registry", "fmbench.runner.session"):
        monkeypatch.setattr(f"{module}.load_registry", loaded)
    for name in ("FMBENCH_HOME", "FMBENCH_PLUGINS", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)


def state(folder: Path) -> dict[str, str]:
    """Return all files below a folder, and what is in each."""
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in folder.rglob("*")
        if file.is_file() and not file.name.startswith((".lock", ".lease")) and file.parent.name != "holders"
    }


def check(done: CompletedProcess[str], *codes: int) -> None:
    """One clear message, and no traceback."""
    said = done.stdout + done.stderr
    assert "Traceback" not in said, said[-3000:]
    assert done.returncode in codes, said[-3000:]
    assert done.returncode == 0 or done.stderr.strip() or done.stdout.strip()
    assert not set(said) & {"\x1b", "\0", "\u202e", "\x07"}


@pytest.fixture
def around(tmp_path: Path) -> Iterator[Path]:
    """A folder with a project in it, beside which nothing may come to be."""
    (tmp_path / "project").mkdir()
    yield tmp_path
    assert [entry.name for entry in tmp_path.iterdir()] == ["project"]


@pytest.mark.parametrize("first", range(0, SUITES, BATCH))
def test_a_suite_that_a_grammar_made(first: int, around: Path) -> None:
    project = around / "project"
    for seed in range(first, first + BATCH):
        content = suite(random.Random(seed), around / "code-was-run")
        (project / "suite.yaml").write_bytes(content)
        verb = random.Random(seed).choice(
            [("plan",), ("plan", "--json"), ("why", "0"), ("report",), ("check", "--no-run")]
        )
        words = (verb[0], "0", "suite.yaml") if verb[0] == "why" else (verb[0], "suite.yaml", *verb[1:])
        check(fmbench(*words, cwd=project), 0, 1, 2)
        assert (project / "suite.yaml").read_bytes() == content


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a finished suite, its report, its MLflow ledger, a baseline and a history."""
    project = tmp_path_factory.mktemp("finished") / "project"
    project.mkdir()
    (project / "tiny.yaml").write_text(SUITE)
    for words in (("run",), ("check", "--accept", "--no-run")):
        done = fmbench(
            words[0], "tiny.yaml", *words[1:], "--no-tracking" if words[0] == "run" else "--no-run", cwd=project
        )
        assert done.returncode == 0, done.stdout + done.stderr
    return project


@pytest.mark.parametrize("first", range(0, FILES, BATCH))
def test_a_file_of_a_store_that_is_cut_flipped_or_exchanged(
    first: int, finished: Path, undrawn: None, tmp_path: Path
) -> None:
    before = state(finished)
    files = sorted(name for name in before if name.startswith((".fmbench", "reports")) and not name.endswith(".lock"))
    plan = fmbench("plan", "tiny.yaml", "--json", cwd=finished).stdout
    for seed in range(first, first + BATCH):
        draw = random.Random(seed)
        file = finished / files[seed * 7 % len(files)]
        kept = file.read_bytes()
        file.write_bytes(damaged(kept, draw, tmp_path / "code-was-run"))
        try:
            for words in (("plan", "tiny.yaml"), ("report", "tiny.yaml"), ("check", "tiny.yaml", "--no-run")):
                check(fmbench(*words, cwd=finished), 0, 1, 2)
        finally:
            file.write_bytes(kept)
        assert not (tmp_path / "code-was-run").exists()
        now = state(finished)
        made_again = (".fmbench/reports", ".fmbench/cache", "reports/tiny")
        assert not {name for name in before if now.get(name) != before[name] and not name.startswith(made_again)}
    assert fmbench("plan", "tiny.yaml", "--json", cwd=finished).stdout == plan


def test_a_store_with_many_damaged_files_ends_in_the_same_table(finished: Path, undrawn: None, tmp_path: Path) -> None:
    project = tmp_path / "project"
    shutil.copytree(finished, project)
    table = values(project)
    for seed in range(3):
        draw = random.Random(seed)
        cells = [file for file in project.glob(".fmbench/*/*/*") if file.suffix in {".json", ".safetensors"}]
        for file in draw.sample(sorted(cells), 4):
            file.write_bytes(damaged(file.read_bytes(), draw, tmp_path / "code-was-run"))
        check(fmbench("run", "tiny.yaml", "--no-tracking", cwd=project), 0)
        assert values(project) == table
    assert not (tmp_path / "code-was-run").exists()


STRANGER = "node7-0123456789-4242-77"
HEARTBEATS = (
    *(b"", b"{", b"[]", b"null", b"[" * 5000, b"\xff" * 50, b'{"counter": 1e999, "seconds": 1}', b'{"units": {}}'),
    *(b'{"counter": {}, "seconds": []}', b'{"counter": 1, "seconds": 1e999, "host": [], "units": [[]]}'),
    b'{"counter": 1, "seconds": 60, "host": "<b>\\u001b[2J", "pid": 1e999, "job": "x", "units": [["PLACE", 1, 2]]}',
    b'{"counter": 1, "seconds": 60, "host": "<b>\\u001b[2J", "pid": 1, "job": "x", "units": [["PLACE", 1e999, 2]]}',
    b'{"counter": 1, "seconds": 60, "host": "<b>\\u001b[2J", "pid": 1, "job": "x", "units": [["PLACE", 1, 1e999]]}',
    b'{"counter": 1, "seconds": 60, "host": "<b>\\u001b[2J", "pid": -1, "job": {}, "units": [["PLACE", 1, 2]]}',
    b'{"counter": 1, "seconds": 60, "host": "h", "pid": 1, "job": "x", "units": [["../../..", 1, 2], [[], {}, ""]]}',
)


def test_leases_and_heartbeats_of_strangers(
    finished: Path, undrawn: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FMBENCH_LEASE_SECONDS", "1")
    project = tmp_path / "project"
    shutil.copytree(finished, project)
    store, place = project / ".fmbench", next((project / ".fmbench").glob("evaluation/*"))
    (place / "result.json").unlink()
    (store / "holders").mkdir(exist_ok=True)
    for text in (text for text in TEXTS if text != ".." and not set(text) & set("/\0") and len(text) < 200):
        (store / "holders" / text).write_bytes(b"x")
        (place / f".lease-{text}").write_bytes(b"x")
    os.mkfifo(store / "holders" / "a pipe")
    (store / "holders" / "a folder").mkdir()
    (place / ".lease-a folder").mkdir()
    (place / f".lease-{STRANGER}-1").write_bytes(b"")
    for number, heartbeat in enumerate(HEARTBEATS):
        content = heartbeat.replace(b"PLACE", f"{place.parent.name}/{place.name}".encode())
        (store / "holders" / STRANGER).write_bytes(content)
        check(fmbench("status", "tiny.yaml", *["--json"] * (number % 2), cwd=project), 0)
    done = fmbench("run", "tiny.yaml", "--no-tracking", cwd=project)  # the stranger is silent, so its lease lapses
    check(done, 0)
    assert values(project) == values(finished)


def values(project: Path) -> dict[tuple[str, str], str]:
    """Return the scores of a finished suite, which do not depend on times, by solver and NFE."""
    from fmbench.runner.session import Options, open_session

    session = open_session(project / "tiny.yaml", Options(home=project / ".fmbench", device="cpu"))
    rows = session.records(session.results_index()).frame().itertuples()
    return {(row.solver, str(row.nfe_budget)): repr(row.sliced_wasserstein) for row in rows}


OPTIONS = (
    ("plan", "{}"),
    ("plan", "tiny.yaml", "--set", "name={}"),
    ("plan", "tiny.yaml", "--set", "datasets=[{}]"),
    ("plan", "tiny.yaml", "--filter", "solver={}"),
    ("plan", "tiny.yaml", "--plugins", "{}"),
    ("why", "{}", "tiny.yaml"),
    ("history", "tiny.yaml", "{}"),
    ("plugins", "show", "solver", "{}"),
    ("run", "tiny.yaml", "--tracking-uri", "{}"),
    ("run", "tiny.yaml", "--no-tracking", "--device", "{}"),
)


@pytest.mark.parametrize("number", range(len(OPTIONS)))
def test_a_name_on_the_command_line(number: int, around: Path) -> None:
    project = around / "project"
    (project / "tiny.yaml").write_text(SUITE)
    before = state(project)
    for text in TEXTS[number % 2 :: 2] if number else TEXTS:
        words = [word.replace("{}", text) for word in OPTIONS[number]]
        check(fmbench(*words, cwd=project), 0, 1, 2)
    assert state(project) == before
