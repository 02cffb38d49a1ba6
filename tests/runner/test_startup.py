"""What is imported and started before it is needed, and by a suite that is done: nothing heavy, and no process."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from helpers import SMOKE

import fmbench
from fmbench.plugins.source.import_closure import core_modules, is_within
from fmbench.results.records import Records
from fmbench.runner import report_cache
from fmbench.runner.session import Options, Session, open_session
from fmbench.store.atomic_files import read_sealed

HEAVY = (
    "torch",
    "mlflow",
    "pandas",
    "numpy",
    "matplotlib",
    "scipy",
    "sklearn",
    "PIL",
    "multiprocessing.popen_spawn_posix",
)
SCRIPT = f"""
import json, sys
from fmbench.cli import main
code = 0
try:
    main()
except SystemExit as ended:
    code = ended.code or 0
more = ("fmbench.report", "fmbench.tracking", "rich.table", "pydantic")
print(json.dumps([code, [name for name in (*{HEAVY!r}, *more) if name in sys.modules]]))
"""


def imported(*arguments: str, cwd: Path, **environment: str) -> tuple[str, list[str]]:
    """What a verb printed, and which of the libraries and parts that take long it imported."""
    command = [sys.executable, "-c", SCRIPT, *arguments]
    variables = {**os.environ, "FMBENCH_PLUGINS": "", **environment}
    done = subprocess.run(command, cwd=cwd, env=variables, capture_output=True, text=True, check=True, timeout=300)
    *lines, last = done.stdout.splitlines()
    code, names = json.loads(last)
    assert code == 0, done.stderr
    return "\n".join(lines), names


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a tiny suite was run and logged."""
    folder = tmp_path_factory.mktemp("startup")
    (folder / "tiny.yaml").write_text(SMOKE)
    text, _ = imported("run", "tiny.yaml", cwd=folder)
    assert "Computed 1 training, " in text
    return folder


def test_help_imports_nothing_heavy_and_no_models_of_suites(tmp_path: Path) -> None:
    text, names = imported("--help", cwd=tmp_path)
    assert " plan " in text
    assert not names
    assert "so a run goes on." in " ".join(text.split()), "what a verb does is not cut off"


def test_listing_components_imports_no_library_that_draws_or_computes(tmp_path: Path) -> None:
    text, names = imported("plugins", cwd=tmp_path)
    assert "dopri5" in text
    assert not names
    assert imported("plugins", "--plugins", "", cwd=tmp_path)[0] == text, "with options it is the same list"


def test_planning_imports_nothing_heavy(done: Path) -> None:
    for flags in ([], ["--json"]):
        _, names = imported("plan", "tiny.yaml", *flags, cwd=done)
        assert set(names) == {"pydantic"}


def test_a_suite_that_is_done_imports_nothing_heavy_and_starts_no_process(done: Path) -> None:
    before = {file: file.read_bytes() for file in (done / "reports").rglob("*") if file.is_file()}
    told = {file: file.stat().st_mtime_ns for file in before}
    text, names = imported("run", "tiny.yaml", cwd=done)
    assert "Everything was computed before; nothing to do." in text
    assert "index.html (unchanged)" in text
    assert set(names) - {"rich.table"} == {"pydantic", "fmbench.tracking"}
    assert {file: file.stat().st_mtime_ns for file in before} == told
    said = json.loads(imported("run", "tiny.yaml", "--json", cwd=done)[0])
    assert said["computed"] == {}
    assert said["cells"]["evaluations"]["done"] == 3


def test_a_report_that_is_not_as_it_was_written_is_written_again(done: Path) -> None:
    file = done / "reports" / "tiny" / "table.md"
    before = file.read_text()
    file.write_text(before.replace("euler", "heun"))
    text, names = imported("run", "tiny.yaml", "--no-tracking", cwd=done)
    assert "(unchanged)" not in text
    assert "fmbench.report" in names
    assert not {"torch", "matplotlib"} & set(names), "only figures need it"
    assert file.read_text() == before
    assert "(unchanged)" in imported("run", "tiny.yaml", "--no-tracking", cwd=done)[0]


def test_figures_are_kept_while_they_are_current_and_go_with_what_they_show(done: Path) -> None:
    report = done / "reports" / "tiny"
    options = Options(home=done / ".fmbench", reports=done / "reports", tracking=False)

    def figures() -> set[str]:
        return {path.name for path in report.glob("*.png")}

    assert not figures()
    drawn = open_session(done / "tiny.yaml", replace(options, figures=True))
    records = drawn.records(drawn.results_index())
    assert report_cache.write_report_if_changed(drawn, records)[1], "a report without figures is none that has them"
    assert "score_by_nfe.png" in figures()
    plain = open_session(done / "tiny.yaml", options)
    assert not report_cache.write_report_if_changed(plain, records)[1]
    assert figures()
    assert report_cache.write_report_if_changed(plain, replace(records, description="another"))[1]
    assert not figures()
    report_cache.write_report_anew(drawn, records)
    assert figures()
    assert not report_cache.write_report_if_changed(plain, records)[1], "what `fmbench report` wrote is known, too"
    report_cache.write_report_anew(plain, records)


def test_a_report_is_whole_when_every_file_is_there_as_it_was_written(done: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(done / "reports" / "tiny", tmp_path / "tiny")
    noted = read_sealed(done / ".fmbench" / "reports" / "tiny.json")
    assert noted is not None
    names = set(noted["files"])
    assert {"index.html", "records.csv", "references.csv", "table.md", "table.tex"} < names
    assert report_cache.is_whole(folder, noted["files"])
    (folder / "of_somebody_else.txt").write_text("kept")
    assert report_cache.is_whole(folder, noted["files"])
    for name in names:
        content = (folder / name).read_bytes()
        (folder / name).unlink()
        assert not report_cache.is_whole(folder, noted["files"])
        (folder / name).write_bytes(content)


@pytest.fixture(scope="module")
def session(done: Path) -> Session:
    options = Options(home=done / ".fmbench", reports=done / "reports", tracking=False)
    return open_session(done / "tiny.yaml", options)


CHANGES: dict[str, Callable[[Records], Records]] = {
    "nothing": lambda records: records,
    "a value": lambda records: replace(
        records, evaluations=[replace(records.evaluations[0], metrics={"wasserstein": 1.0}), *records.evaluations[1:]]
    ),
    "when it was computed": lambda records: replace(
        records, evaluations=[*records.evaluations[:-1], replace(records.evaluations[-1], facts={"finished": "now"})]
    ),
    "a loss curve": lambda records: replace(
        records, trainings=[replace(records.trainings[0], history=[(1, 2.0)]), *records.trainings[1:]]
    ),
    "a floor": lambda records: replace(records, references=[replace(records.references[0], metrics={"x": 1.0})]),
    "a density": lambda records: replace(records, t_densities={"uniform": [0.5]}),
    "a library": lambda records: replace(records, environment={**records.environment, "torch": "0.1"}),
    "the command": lambda records: replace(records, command="fmbench run other.yaml"),
    "what is left out": lambda records: replace(records, left_out=[("a", "b")]),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_report_counts_as_another_where_anything_that_it_shows_differs(session: Session, what: str) -> None:
    records = session.records(session.results_index())
    changed = CHANGES[what](records)
    same = report_cache.fingerprint(changed, Path("r")) == report_cache.fingerprint(records, Path("r"))
    assert same == (what == "nothing")
    assert report_cache.fingerprint(records, Path("s")) != report_cache.fingerprint(records, Path("r"))


def test_the_code_of_a_report_is_all_that_it_imports() -> None:
    named = [f"fmbench.{name.removesuffix('.py').replace('/', '.')}" for name in report_cache.CODE]
    beyond = [module for module in core_modules("fmbench.report") if not is_within(module, named)]
    assert not beyond


def test_a_report_counts_as_another_where_its_code_differs(tmp_path: Path) -> None:
    core = tmp_path / "fmbench"
    shutil.copytree(Path(fmbench.__file__).parent, core, ignore=shutil.ignore_patterns("__pycache__"))
    script = "from fmbench.runner import report_cache; print(report_cache.code())"

    def code() -> str:
        paths = {**os.environ, "PYTHONPATH": str(tmp_path)}
        command = [sys.executable, "-c", script]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=paths, cwd=tmp_path)
        return done.stdout

    before = report_cache.code()
    assert code().strip() == before, "wherever it lies"
    (core / "training" / "loop.py").write_text("")
    assert code().strip() == before, "what draws nothing does not count"
    numbers = core / "report" / "number_format.py"
    numbers.write_text(f"{numbers.read_text()}\nMORE = 1\n")
    assert code().strip() != before
    shutil.copy2(Path(fmbench.__file__).parent / "report" / "number_format.py", numbers)
    style = core / "report" / "html" / "style.css"
    style.write_text(f"{style.read_text()}\n")
    assert code().strip() != before
