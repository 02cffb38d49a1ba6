"""The history of a suite: nights that add up in a file, lines through them, and the steps that are found."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import subprocess
import sys
from datetime import datetime, timedelta
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from helpers import TINY
from typer.testing import CliRunner, Result

from fmbench.cells.setting_axes import SETTING_AXES
from fmbench.cli.app import app
from fmbench.errors import UserError
from fmbench.history import (
    Night,
    append,
    find_steps,
    history_file,
    make_lines,
    read,
    select,
    since,
    told_first,
)
from fmbench.history.night import NightFacts, NightValue
from fmbench.history.parquet_file import verify
from fmbench.results.records import MetricFacts

METRIC = "sliced_wasserstein"


def _simulations() -> ModuleType:
    path = Path(__file__).parents[1] / "benchmarks" / "simulate_history.py"
    spec = importlib.util.spec_from_file_location("simulate_history", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


simulated = _simulations()
FID: MetricFacts = simulated.FID


def labels(solver: str = "", nfe: str = "") -> tuple[str, ...]:
    """Return a group of the made-up suite: of a training, or of an evaluation with this solver and NFE."""
    training = ("moons", "linear", "independent", "uniform", "velocity", "mlp", *("",) * len(SETTING_AXES))
    return (*training, solver, "uniform", "ema", "1", nfe) if solver else training


@pytest.fixture
def night() -> Night:
    """A night of three seeds, two solvers and two NFE, with a score, a loss and a time."""
    rng = np.random.default_rng(7)
    values = [NightValue("training", labels(), seed, "loss", 2.0 + 0.1 * rng.normal(), "ok", "l") for seed in range(3)]
    for solver, nfe, seed in product(("euler", "mine"), ("2", "4"), range(3)):
        score, time = 1.5 + 0.1 * rng.normal(), 0.2 + 0.01 * rng.normal()
        values.append(NightValue("evaluation", labels(solver, nfe), seed, METRIC, score, "ok", "s"))
        values.append(NightValue("evaluation", labels(solver, nfe), seed, "sample_ms", time, "ok", "t"))
    facts = [("loss", "", "training"), (METRIC, "", "evaluation"), ("sample_ms", "ms/sample", "sampler")]
    settings = {"evaluation settings": {"samples": 200}}
    return Night(
        "tiny",
        NightFacts("2026-01-01T02:00:00+00:00", "2026-01-01", "0" * 12, False, "a machine", "v", "0", "code", "0"),
        tuple(values),
        {name: MetricFacts(name, "lower", unit, scope, name) for name, unit, scope in facts},
        {"solver": {"euler": {}, "mine": {}}},
        {name: {"metric": name, **settings} for name in "lst"},
    )


@pytest.fixture
def reports(night: Night, tmp_path: Path) -> Path:
    """A folder of reports with twelve nights, in the last five of which a solver is worse; the suite lies beside it."""
    (tmp_path / "tiny.yaml").write_text(TINY)
    for day in range(12):
        append(
            later(night, day, solver="mine", factor=1.2 if day > 6 else 1.0), history_file(tmp_path / "reports", "tiny")
        )
    return tmp_path / "reports"


def later(night: Night, days: int, *, solver: str = "", factor: float = 1.0, **facts: Any) -> Night:
    """Return the night again, days later, with the values of one solver times a factor."""
    time = (datetime.fromisoformat(night.facts.time) + timedelta(days=days)).isoformat()
    new = {"time": time, "commit": f"{days:02d}" * 6, "content": f"{days} {facts}", **facts}
    values = tuple(
        dataclasses.replace(v, value=v.value * factor) if v.metric == METRIC and solver in v.group else v
        for v in night.values
    )
    return dataclasses.replace(night, facts=dataclasses.replace(night.facts, **new), values=values)


def history(reports: Path, *arguments: str) -> Result:
    command = ["history", str(reports.parent / "tiny.yaml"), *arguments]
    command += [] if "--reports" in arguments else ["--reports", str(reports)]
    return CliRunner().invoke(app, command, env={"COLUMNS": "200"})


def test_a_night_comes_back_as_it_was_added(night: Night, tmp_path: Path) -> None:
    path = history_file(tmp_path, "tiny")
    failed = dataclasses.replace(night.values[0], value=float("nan"), status="diverged", identity="")
    assert append(night, path) == 1
    assert append(dataclasses.replace(later(night, 1), values=(failed, *night.values[1:])), path) == 2
    found = read(path, "tiny")
    assert found.nights[0] == night.facts
    assert found.metrics == night.metrics
    first = found.frame[found.frame["night"] == 0]
    assert sorted(first["value"]) == sorted(v.value for v in night.values)
    assert set(first["identity"]) <= set(found.texts)
    assert first["solver"].isin(["euler", "mine", ""]).all()
    lost = found.frame[found.frame["status"] == "diverged"]
    assert len(lost) == 1
    assert lost["value"].isna().all()


def test_a_history_from_before_settings_were_axes_is_read_and_continued(night: Night, tmp_path: Path) -> None:
    path = tmp_path / "tiny.parquet"
    append(night, path)
    table = pq.read_table(path)
    earlier = table.drop_columns(list(SETTING_AXES)).replace_schema_metadata(table.schema.metadata)
    pq.write_table(earlier, path, write_page_checksum=True)
    assert (read(path, "tiny").frame[list(SETTING_AXES)] == "").all(axis=None)
    assert append(later(night, 1), path) == 2
    lines = make_lines(read(path, "tiny"), night.metrics[METRIC])
    assert all(len(line.nights) == 2 for line in lines), "its cells are those of later nights"


def test_a_night_that_repeats_the_newest_one_is_not_added_twice(night: Night, tmp_path: Path) -> None:
    path = history_file(tmp_path, "tiny")
    assert append(night, path) == 1
    again = dataclasses.replace(night, facts=dataclasses.replace(night.facts, time="2026-01-02T02:00:00+00:00"))
    before = path.read_bytes()
    assert append(again, path) is None
    assert path.read_bytes() == before
    assert append(later(night, 3), path) == 2


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="the system does not list threads there")
def test_reading_a_history_leaves_no_thread_behind(night: Night, tmp_path: Path) -> None:
    """The library's own threads, when they are at it still while a process ends, abort it."""
    path = history_file(tmp_path, night.suite)
    append(night, path)
    script = "import os, sys\nfrom pathlib import Path\nimport pandas, pyarrow.parquet\n"
    script += "from fmbench.history import read\nbefore = len(os.listdir('/proc/self/task'))\n"
    script += "read(Path(sys.argv[1]), sys.argv[2])\nprint(len(os.listdir('/proc/self/task')) - before)"
    done = subprocess.run([sys.executable, "-c", script, path, night.suite], check=True, capture_output=True, text=True)
    assert done.stdout == "0\n"


def test_two_writers_lose_no_night(night: Night, tmp_path: Path) -> None:
    import pickle

    path = history_file(tmp_path, "tiny")
    script = "import pickle, sys; from pathlib import Path; from fmbench.history import append\n"
    script += "for night in pickle.loads(Path(sys.argv[1]).read_bytes()): append(night, Path(sys.argv[2]))"
    writers = []
    for writer in (0, 1):
        nights = tmp_path / f"{writer}.pickle"
        nights.write_bytes(pickle.dumps([later(night, 10 * writer + i) for i in range(5)]))
        writers.append(subprocess.Popen([sys.executable, "-c", script, str(nights), str(path)]))
    assert [writer.wait(timeout=60) for writer in writers] == [0, 0]
    assert len(read(path, "tiny").nights) == 10


def test_a_damaged_file_is_refused_and_left_as_it_is(night: Night, tmp_path: Path) -> None:
    path = history_file(tmp_path, "tiny")
    append(night, path)
    whole, frame = path.read_bytes(), read(path, "tiny").frame
    for place in range(4, len(whole), max(len(whole) // 40, 1)):
        hurt = whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :]
        path.write_bytes(hurt)
        try:
            found = read(path, "tiny").frame
        except UserError:
            with pytest.raises(UserError, match="history"):
                append(later(night, 1), path)
            assert path.read_bytes() == hurt
        else:
            assert found.equals(frame), "what is read is what was written"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="damaged, or no parquet file"):
        verify(path, "tiny")


def test_another_suite_a_newer_file_and_another_parquet_file_are_refused(night: Night, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from fmbench.history import parquet_file

    path = history_file(tmp_path, "tiny")
    append(night, path)
    with pytest.raises(UserError, match="is of the suite 'tiny', and this is 'other'"):
        append(dataclasses.replace(night, suite="other"), path)
    table, body = parquet_file._load(path, "tiny")
    parquet_file._write(path, table, None, {**body, "format": 2})
    with pytest.raises(UserError, match="has format 2, and this fmbench reads 1"):
        append(later(night, 1), path)
    for lacking in ("suite", "metrics", "texts"):
        parquet_file._write(path, table, None, {name: part for name, part in body.items() if name != lacking})
        with pytest.raises(UserError, match=f"damaged: its metadata lack {lacking}"):
            read(path, "tiny")
    parquet_file._write(path, table, None, {**body, "metrics": {"loss": {"name": "loss"}}})
    with pytest.raises(UserError, match=r"damaged: its metadata lack metrics\.loss"):
        read(path, "tiny")
    pq.write_table(pa.table({"a": [1]}), path)
    with pytest.raises(UserError, match="is not a history of fmbench"):
        read(path, "tiny")
    with pytest.raises(UserError, match="there is no history"):
        read(tmp_path / "nowhere.parquet", "tiny")


def test_nights_that_repeat_have_no_step_and_a_fault_that_repeats_has_one(night: Night, tmp_path: Path) -> None:
    path = history_file(tmp_path, "tiny")
    for day in range(6):
        append(later(night, day), path)
    facts = night.metrics[METRIC]
    assert not any(one.steps or one.outliers for one in find_steps(make_lines(read(path, "tiny"), facts), facts))
    for day in (6, 7):
        append(later(night, day, solver="mine", factor=1.2), path)
    ((one, step),) = told_first(find_steps(make_lines(read(path, "tiny"), facts), facts))
    assert one.line.name == "solver mine"
    assert (step.before, step.after, step.verdict) == (5, 6, "worse")
    assert step.change == pytest.approx(0.2)
    assert (step.is_new, step.nights) == (True, 2)
    append(later(night, 8), path)
    found = find_steps(make_lines(read(path, "tiny"), facts), facts)
    assert not any(one.steps for one in found), "two nights that are undone are no two steps"
    assert [6, 7] in [list(one.outliers) for one in found]


def test_no_step_is_looked_for_where_an_identity_changes(night: Night, tmp_path: Path) -> None:
    path = history_file(tmp_path, "tiny")
    facts = night.metrics[METRIC]
    for day in range(8):
        known = later(night, day, solver="mine", factor=1.0 + (day >= 4))
        if day >= 4:
            values = tuple(dataclasses.replace(v, identity=f"new {v.identity}") for v in known.values)
            texts = {
                f"new {name}": {**text, "evaluation settings": {"samples": 999}} for name, text in night.texts.items()
            }
            known = dataclasses.replace(known, values=values, texts=texts)
        append(known, path)
    found = find_steps(make_lines(read(path, "tiny"), facts), facts)
    assert not any(one.steps for one in found)
    assert all("evaluation.samples 200 -> 999" in one.line.breaks[4] for one in found)


def test_times_of_other_hardware_are_other_lines_and_scores_are_not(night: Night, tmp_path: Path) -> None:
    path = history_file(tmp_path, "tiny")
    for day in range(6):
        append(later(night, day, hardware=("one", "two")[day % 2]), path)
    known = read(path, "tiny")
    times = make_lines(known, night.metrics["sample_ms"])
    assert {line.hardware for line in times} == {"one", "two"}
    assert all(set(line.nights) <= {0, 2, 4} for line in times if line.hardware == "one")
    assert {line.hardware for line in make_lines(known, night.metrics[METRIC])} == {""}


def test_a_cell_that_fails_for_a_night_moves_no_line(night: Night, tmp_path: Path) -> None:
    path = history_file(tmp_path, "tiny")
    for day in range(5):
        known = later(night, day)
        lost = [v for v in known.values if day == 2 and "mine" in v.group]
        kept = tuple(dataclasses.replace(v, value=float("nan"), identity="") if v in lost else v for v in known.values)
        append(dataclasses.replace(known, values=kept), path)
    for line in make_lines(read(path, "tiny"), night.metrics[METRIC]):
        assert not line.level.any()
        assert len(line.nights) == (4 if "mine" in line.name else 5)


def test_values_that_may_be_negative_have_lines_too() -> None:
    rng = np.random.default_rng(0)
    values = {("a", "x", "4", seed): rng.normal(0, 0.01, 20) for seed in range(3)}
    values |= {("b", "x", "4", seed): -2.0 + 0.01 * rng.normal(size=20) for seed in range(3)}
    lines = make_lines(simulated.history(values), FID)
    assert [line.name for line in lines] == ["the whole suite", "path a", "path b"]
    assert all(np.isfinite(line.level).all() and not line.log for line in lines)


def test_a_part_of_a_history_can_be_chosen() -> None:
    known = simulated.suite(np.random.default_rng(0), 6, "nights")
    lines = make_lines(select(known, ["path=a", "nfe=8"]), FID)
    assert [line.name for line in lines[:2]] == ["the whole suite", "solver a"]
    assert len(since(known, "2026-01-03").nights) == len(since(known, f"{2:012x}").nights) == 4
    assert {line.name for line in make_lines(known, FID, ["solver"]) if line.kind == "component"} == {
        "solver a", "solver b", "solver c",
    }  # fmt: skip
    for wrong, message in (
        ("path=zz", "no path of what is left"),
        ("paht=a", "Did you mean 'path'"),
        ("path", "AXIS=VALUE"),
    ):
        with pytest.raises(UserError, match=message):
            select(known, [wrong])
    for wrong in ("yesterday", "2030-01-01"):
        with pytest.raises(UserError, match="--since"):
            since(known, wrong)


@pytest.mark.parametrize("nights", [30, 100])
def test_unchanged_lines_rarely_have_a_step_and_steps_are_found(nights: int) -> None:
    rng = np.random.default_rng(1)
    assert simulated.false_lines(rng, 300, nights) <= 0.05
    near, _ = simulated.found_lines(rng, 100, nights)
    assert near >= 0.9


def test_one_night_that_is_far_off_is_set_aside() -> None:
    rng = np.random.default_rng(2)
    found = [simulated.single(rng, 40, outlier=12.0) for _ in range(50)]
    assert sum(bool(one.steps) for one in found) <= 3
    assert sum(list(one.outliers) == [13] for one in found) >= 45


def test_a_step_of_the_newest_nights_is_called_new() -> None:
    found = [simulated.single(np.random.default_rng(seed), 40, size=12.0, start=38) for seed in range(20)]
    told = [one.steps[-1] for one in found if one.steps]
    assert len(told) >= 18
    assert all(step.is_new and step.nights <= 2 for step in told)


@pytest.mark.parametrize("kind", ["nights", "repeats"])
def test_a_fault_is_named_among_all_lines_and_an_unchanged_suite_is_quiet(kind: str) -> None:
    rng = np.random.default_rng(3)
    assert simulated.named_suites(rng, 8, 30, kind) >= 0.75
    assert simulated.false_suites(rng, 15, 30, kind) <= 0.2


def test_history_draws_names_the_step_and_gives_data(reports: Path) -> None:
    result = history(reports, METRIC)
    assert result.exit_code == 0, result.output
    assert "12 nights" in result.stdout
    (row,) = [text for text in result.stdout.splitlines() if text.strip().startswith("2026")]
    assert "solver mine" in row
    assert "+20.0%" in row
    assert "worse" in row
    assert (reports / "history" / f"tiny_{METRIC}.png").stat().st_size > 10_000
    assert (reports / "history" / f"tiny_{METRIC}.svg").exists()
    data = json.loads(history(reports, METRIC, "--json", "--where", "solver=mine", "--where", "nfe=2").stdout)
    (line,) = data["lines"]
    assert [step["verdict"] for step in line["steps"]] == ["worse"]
    assert len(line["points"]) == 12


def test_history_lists_what_there_is(reports: Path) -> None:
    result = history(reports)
    assert METRIC in result.stdout
    assert "euler, mine" in result.stdout
    metrics = json.loads(history(reports, "--json").stdout)["metrics"]
    assert {"metric": "sample_ms", "better": "lower", "unit": "ms/sample", "nights": 12} in metrics
    twice = history(reports, METRIC, "--over", "solver", "--over", "solver", "--json")
    assert twice.stdout == history(reports, METRIC, "--over", "solver", "--json").stdout
    assert history(reports, METRIC, "--since", "2026-01-12").exit_code == 0, "one night is drawn, too"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sliced_waserstein"], "Did you mean 'sliced_wasserstein'?"),
        ([METRIC, "--where", "solver=rk9"], "The axis holds euler, mine"),
        ([METRIC, "--over", "solvr"], "Did you mean 'solver'?"),
        (["loss", "--over", "solver"], "loss is a metric of the training, which has no axis 'solver'"),
        ([METRIC, "--since", "soon"], "neither a date"),
        ([METRIC, "--since", ""], "neither a date"),
        ([METRIC, "--effect", "5"], "--effect must be"),
        ([METRIC, "--reports", "nowhere"], "there is no history"),
    ],
)
def test_history_says_what_there_is_not(reports: Path, arguments: list[str], message: str) -> None:
    error = history(reports, *arguments).exception
    assert isinstance(error, UserError)
    assert message in str(error)
