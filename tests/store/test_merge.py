"""Stores of several machines become one: every cell once, times apart by hardware, sources untouched."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from here_executor import HereExecutor
from typer.testing import CliRunner

from fmbench.cli.app import app
from fmbench.errors import StoreError, UserError
from fmbench.report.result_table import make_result_tables
from fmbench.report.tables.standard_tables import of_sampling, of_training
from fmbench.results.records import Records
from fmbench.runner.progress import Silent
from fmbench.runner.scheduler import Scheduler
from fmbench.runner.session import Options, Session, open_session
from fmbench.runner.why import explain_cell
from fmbench.runtime import environment
from fmbench.store.cache_files import real_samples
from fmbench.store.cell_folder import SEALED, CellFolder
from fmbench.store.merge import Merged, MergeResult, copy_cells, merge, open_sources
from fmbench.store.sampler_timings import key_of, sampler_place
from fmbench.store.store import SECTIONS, Store

SUITE: dict[str, Any] = {
    "name": "tiny",
    "datasets": [{"moons": {"size": 200}}],
    "training": {
        "paths": ["linear", "cosine"],
        "networks": [{"mlp": {"width": 8, "depth": 1}}],
        "seeds": [0, 1],
        "steps": 10,
        "batch_size": 16,
        "optimizer": {"adamw": {"lr": 0.001}},
    },
    "evaluation": {
        "solvers": ["euler"],
        "nfe": [1, 2],
        "samples": 60,
        "metrics": ["sliced_wasserstein", "sample_ms", "train_seconds"],
    },
}
MACHINES = ("Alpha CPU", "Beta CPU")
COUNTS = {"training": 2, "portrait": 2, "evaluation": 4, "sampler": 2, "floor": 1}
"""The cells of one seed."""
KEY = "a" * 20
MORE = {"name": "more", "values": {"more": 1.0}, "identity": {}, "seconds": 0.0}


def session(folder: Path, home: str, *filters: str) -> Session:
    return open_session(folder / "tiny.yaml", Options(home=folder / home, filters=filters, device="cpu"))


def records(folder: Path, home: str) -> Records:
    """What `fmbench report` shows of a store."""
    opened = session(folder, home)
    return opened.records(opened.results_index(anywhere=True))


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two stores: seed 0 was run by one machine, seed 1 by another."""
    folder = tmp_path_factory.mktemp("machines")
    (folder / "tiny.yaml").write_text(yaml.safe_dump(SUITE))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fmbench.executors.local.LocalExecutor", HereExecutor)
        for seed, model in enumerate(MACHINES):
            patch.setattr(environment, "cpu_model", lambda model=model: model)
            opened = session(folder, f"m{seed}", f"seed={seed}")
            Scheduler(opened, opened.results_index(), Silent(), None).run()
    return folder


@pytest.fixture
def two(machines: Path, tmp_path: Path) -> Path:
    """A copy of the two stores."""
    shutil.copytree(machines, tmp_path / "two")
    return tmp_path / "two"


def join(folder: Path, into: str, *sources: str, dry_run: bool = False) -> MergeResult:
    store = Store(folder / into)
    return merge(open_sources([folder / name for name in sources], store.root), store, dry_run=dry_run)


def content(folder: Path) -> dict[str, bytes]:
    """Every file below a folder; locks are nobody's result."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def outcomes(result: MergeResult) -> dict[str, set[str]]:
    return {section: set(found) for section, found in result.counts.items()}


def first(folder: Path, home: str, section: str) -> CellFolder:
    store = Store(folder / home)
    return store.folder(section, store.keys(section)[0])


def only(result: MergeResult, key: str) -> Merged:
    return next(cell for cell in result.cells if cell.key == key)


def test_one_suite_of_two_machines(two: Path) -> None:
    before = content(two / "m0"), content(two / "m1")
    result = join(two, "both", "m0", "m1")
    assert result.counts == {section: {"copied": 2 * n} for section, n in COUNTS.items()}
    assert (content(two / "m0"), content(two / "m1")) == before
    found = records(two, "both")
    assert {record.status for record in (*found.trainings, *found.evaluations)} == {"ok"}
    for name in ("m0", "m1"):
        alone = {record.cell.key: record for record in records(two, name).evaluations if record.status == "ok"}
        for record in (each for each in found.evaluations if each.cell.key in alone):
            kept = alone[record.cell.key]
            assert record.metrics["sliced_wasserstein"] == kept.metrics["sliced_wasserstein"]
            times = {record.hardware: record.metrics["sample_ms"]}
            times |= {timing.hardware: timing.metrics["sample_ms"] for timing in record.elsewhere}
            assert len(times) == 2
            assert times[kept.hardware] == kept.metrics["sample_ms"]
    assert found.real, "what figures show of the data is there"
    assert real_samples(two / "both", found.trainings[0].cell.dataset).exists()


def test_no_table_puts_two_machines_in_a_column(two: Path) -> None:
    join(two, "m0", "m1")
    found = records(two, "m0")
    (result_table,) = make_result_tables(found)
    milliseconds = next(facts for facts in result_table.scope("sampler") if facts.name == "sample_ms")
    lines = [f"{model}, {environment.cpu_count()} cores" for model in MACHINES]
    tables = of_sampling(result_table, milliseconds)
    assert sorted(table.title.partition(", on ")[2] for table in tables) == lines
    training = of_training(result_table, lambda row: "")
    assert training is not None
    seconds = [column for column in training.columns if column.startswith("train_seconds [")]
    assert seconds == [f"train_seconds [s] (hardware {line})" for line in lines]
    assert {"n = 1", ""} >= {entry.note for line in training.lines for entry in line.entries}
    assert all(line in found.hardware for line in lines)
    frame = found.frame()
    assert len(set(frame["sampler_hardware"])) == 1
    (other,) = set(lines) - set(frame["sampler_hardware"])
    assert not frame[["sample_ms", f"sample_ms ({other})"]].isna().any(axis=None)


def test_a_machine_measures_only_what_it_has_not_measured(two: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    join(two, "m0", "m1")
    for model, lacking in (*((model, 0) for model in MACHINES), ("Gamma CPU", COUNTS["sampler"])):
        monkeypatch.setattr(environment, "cpu_model", lambda model=model: model)
        results_index = session(two, "m0").results_index()
        assert sum(state.todo for state in results_index.samplers.values()) == lacking
        leading = {record.hardware for record in session(two, "m0").records(results_index).evaluations}
        assert leading == ({""} if lacking else {f"{model}, {environment.cpu_count()} cores"})


def test_times_of_an_older_store_count(two: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "cpu_model", lambda: MACHINES[0])
    for place in Store(two / "m0").keys("sampler"):
        newer, older_place = Store(two / "m0").folder("sampler", place), f"sampler/{key_of(place)}"
        folder = CellFolder(newer.path.rename(two / "m0" / older_place), newer.place)
        for name in SEALED:
            if (body := folder.sealed(name)) is not None:
                CellFolder(folder.path, older_place).seal(name, body)
    assert not any(state.todo for state in session(two, "m0", "seed=0").results_index().samplers.values())
    older = Store(two / "m0").keys("sampler")
    assert join(two, "new", "m0").counts["sampler"] == {"copied": len(older)}
    line = environment.hardware("cpu")
    assert Store(two / "new").keys("sampler") == sorted(sampler_place(key, line) for key in older)
    assert join(two, "m0", "new").counts["sampler"] == {"there": len(older)}
    assert join(two, "m0", "m1").counts["sampler"] == {"copied": COUNTS["sampler"]}


def test_clean_and_why_know_the_times_of_every_machine(two: Path) -> None:
    join(two, "m0", "m1")
    listed = CliRunner().invoke(app, ["clean", str(two / "tiny.yaml"), "--home", str(two / "m0"), "--json"])
    used = json.loads(listed.output)["cells"]
    assert {cell.partition("/")[0] for cell in used} <= {"portrait"}  # of a seed that figures no longer show
    opened = session(two, "m0")
    told = explain_cell(opened, opened.plan.evaluations[0].key)["timed_on"]
    assert [line.partition(",")[0] for line in sorted(told)] == list(MACHINES)
    assert set(told.values()) <= set(opened.store.keys("sampler"))


def test_again_nothing_is_new(two: Path) -> None:
    join(two, "both", "m0", "m1")
    before = content(two / "both")
    assert outcomes(join(two, "both", "m0", "m1")) == {section: {"there"} for section in COUNTS}
    assert content(two / "both") == before


def test_a_dry_run_says_the_same_and_changes_nothing(two: Path) -> None:
    first(two, "m1", "training").add_metrics({"digest": MORE})
    shutil.copytree(two / "m1", two / "m2")
    (first(two, "m2", "evaluation").path / "samples.safetensors").write_bytes(b"damaged")
    before = content(two)
    expected = join(two, "both", "m0", "m1", "m2", dry_run=True)
    assert content(two) == before
    assert expected.counts == join(two, "both", "m0", "m1", "m2").counts
    assert expected.dry_run
    assert len(expected.skipped) == 1


@pytest.mark.parametrize("moves", [0, 1, 5])
def test_killed_in_between_no_half_cell_is_seen_and_it_goes_on(
    two: Path, monkeypatch: pytest.MonkeyPatch, moves: int
) -> None:
    left, rename = [moves], Path.rename

    def killed(self: Path, target: Path) -> Path:
        if left[0] == 0:
            raise KeyboardInterrupt
        left[0] -= 1
        return rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", killed)
        patch.setattr(CellFolder, "remove", lambda self: None)  # whoever is killed does not tidy up
        with pytest.raises(KeyboardInterrupt):
            join(two, "both", "m0", "m1")
    store = Store(two / "both")
    there = [store.folder(section, key) for section in SECTIONS for key in store.keys(section)]
    assert len(there) == moves
    assert all(folder.result() is not None for folder in there)
    assert any((two / "both" / "merging").iterdir())
    result = join(two, "both", "m0", "m1")
    assert sum(found.get("there", 0) for found in result.counts.values()) == moves
    assert not (two / "both" / "merging").exists()
    assert {record.status for record in records(two, "both").evaluations} == {"ok"}


def test_a_full_disk_is_said_and_nothing_half_is_left(two: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls, sync = [0], os.fsync

    def full(descriptor: int) -> None:
        calls[0] += 1
        if calls[0] == 9:
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(
            StoreError, match=r"No space left on device; free some space.*is kept, and the same command"
        ):
            join(two, "both", "m0", "m1")
    kept = Store(two / "both")
    assert all(kept.folder("training", key).result() for key in kept.keys("training"))
    assert outcomes(join(two, "both", "m0", "m1"))["evaluation"] == {"copied"}


@pytest.mark.parametrize("name", ["samples.safetensors", "result.json", "metrics.json", "cell.json"])
def test_what_is_damaged_there_is_skipped_and_said(two: Path, name: str) -> None:
    damaged = first(two, "m1", "evaluation")
    (damaged.path / name).write_bytes(b"not what was written")
    done = CliRunner().invoke(app, ["merge", str(two / "m0"), str(two / "m1"), "--into", str(two / "both")])
    assert done.exit_code == 1
    assert f"damaged: {damaged.path}" in done.output.replace("\n", "")
    assert not (two / "both" / "evaluation" / damaged.path.name).exists()


@pytest.mark.parametrize("section", ["training", "evaluation", "floor", "sampler", "portrait"])
def test_cells_that_were_swapped_are_said_not_merged_and_computed_again(
    two: Path, section: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if section == "floor":
        join(two, "m0", "m1")  # two seeds have two floors
    monkeypatch.setattr("fmbench.executors.local.LocalExecutor", HereExecutor)
    monkeypatch.setattr(environment, "cpu_model", lambda: MACHINES[0])
    before = scores(two)
    one, other = (two / "m0" / section / key for key in Store(two / "m0").keys(section)[:2])
    aside = one.rename(two / "aside")
    other.rename(one)
    aside.rename(other)
    opened = session(two, "m0", "seed=0")
    results_index = opened.results_index()
    assert results_index.samplers, "what they cost is read when it is asked for"
    places = {f"{section}/{one.name}", f"{section}/{other.name}"}
    told = [text for text in results_index.damaged if "somebody copied or moved it" in text]
    assert len(told) == (1 if section == "floor" else 2), "the other floor is of a seed that was left out"
    assert all(place in text for place in places for text in told)
    merged = join(two, "both", "m0").skipped
    assert {cell.key for cell in merged if cell.outcome == "damaged"} == {one.name, other.name}
    Scheduler(opened, results_index, Silent(), None).run()
    assert not opened.results_index().damaged
    assert scores(two) == before


def scores(folder: Path) -> dict[str, Any]:
    """The scores of seed 0 by the evaluation's key."""
    opened = session(folder, "m0", "seed=0")
    found = opened.records(opened.results_index(anywhere=True)).evaluations
    assert {record.status for record in found} == {"ok"}
    return {record.cell.key: record.metrics["sliced_wasserstein"] for record in found}


def test_what_is_damaged_here_is_completed(two: Path) -> None:
    join(two, "both", "m0")
    damaged = first(two, "both", "training")
    (damaged.path / "weights.safetensors").write_bytes(b"not what was written")
    assert only(join(two, "both", "m0"), damaged.path.name).outcome == "completed"
    assert damaged.result() is not None


def test_what_cannot_be_read_is_skipped_and_the_rest_is_merged(two: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lost = first(two, "m1", "evaluation")
    copy = copy_cells.copy_atomically

    def forbidden(source: Path, target: Path) -> None:
        if source.parent == lost.path:
            raise PermissionError(errno.EACCES, "Permission denied", str(source))
        copy(source, target)

    monkeypatch.setattr(copy_cells, "copy_atomically", forbidden)
    result = join(two, "both", "m0", "m1")
    assert [(cell.key, cell.outcome) for cell in result.skipped] == [(lost.path.name, "unreadable")]
    assert "Permission denied" in result.skipped[0].why
    assert result.counts["evaluation"] == {"copied": 2 * COUNTS["evaluation"] - 1, "unreadable": 1}


def test_other_weights_are_kept_apart_with_all_that_was_made_of_them(two: Path) -> None:
    shutil.copytree(two / "m0", two / "m2")
    other = first(two, "m2", "training")
    (other.path / "weights.safetensors").write_bytes(b"other weights")
    other.finish({"facts": {"seconds": 1.0, "hardware": "Beta CPU"}}, ("weights.safetensors", "history.json"))
    kept = first(two, "m0", "training").read("weights.safetensors")
    made = [e for e in Store(two / "m2").keys("evaluation") if evaluation_of(two / "m2", e) == other.path.name]
    shutil.rmtree(two / "m0" / "evaluation" / made[0])
    result = join(two, "m0", "m2")
    assert only(result, other.path.name).outcome == "differing"
    assert "weights.safetensors" in only(result, other.path.name).why
    assert {only(result, key).outcome for key in made} == {"apart"}
    assert first(two, "m0", "training").read("weights.safetensors") == kept
    assert not (two / "m0" / "evaluation" / made[0]).exists()
    assert result.counts["evaluation"] == {"there": COUNTS["evaluation"] - len(made), "apart": len(made)}


def evaluation_of(home: Path, key: str) -> str:
    return str((Store(home).folder("evaluation", key).cell() or {})["training"])


@pytest.mark.parametrize("same", [True, False])
def test_students_go_with_their_teacher(tmp_path: Path, same: bool) -> None:
    student, teacher, studied, evaluated = (digit * 20 for digit in "abcd")
    for home, weights in (("mine", b"weights"), ("theirs", b"weights" if same else b"other weights")):
        trained(Store(tmp_path / home), teacher, {"seed": 0}, weights)
    theirs = Store(tmp_path / "theirs")
    trained(theirs, student, {"teacher": teacher}, b"weights")
    for section, key, parent, files in (
        ("study", studied, {"teacher": teacher}, ("study.safetensors",)),
        ("evaluation", evaluated, {"training": student}, ()),
    ):
        folder = theirs.folder(section, key)
        folder.begin(parent)
        for name in files:
            folder.write(name, b"")
        folder.finish({"facts": {"seconds": 1.0}}, files)
    result = merge([theirs], Store(tmp_path / "mine"))
    expected = "copied" if same else "apart"
    assert {cell.key: cell.outcome for cell in result.cells} == {
        teacher: "there" if same else "differing",
        **dict.fromkeys((student, studied, evaluated), expected),
    }


def trained(store: Store, key: str, parts: dict[str, Any], weights: bytes = b"weights") -> CellFolder:
    """A finished training."""
    folder = store.folder("training", key)
    folder.begin(parts)
    folder.write("weights.safetensors", weights)
    folder.write("history.json", b"[]")
    folder.finish({"facts": {"seconds": 1.0}}, ("weights.safetensors", "history.json"))
    return folder


def test_metrics_are_joined_where_the_result_is_the_same_and_only_there(two: Path) -> None:
    shutil.copytree(two / "m0", two / "m2")
    same, other = (Store(two / "m2").folder("evaluation", key) for key in Store(two / "m2").keys("evaluation")[:2])
    same.add_metrics({"digest": MORE})
    digest, entry = next(iter(other.metrics().items()))
    other.add_metrics({"digest": MORE, digest: {**entry, "values": {"sliced_wasserstein": 9.0}}})
    result = join(two, "m0", "m2")
    assert only(result, same.path.name).outcome == "extended"
    assert "sliced_wasserstein" in only(result, other.path.name).why
    kept = Store(two / "m0")
    assert kept.folder("evaluation", same.path.name).metrics()["digest"] == MORE
    assert kept.folder("evaluation", other.path.name).metrics() == {digest: entry}


def test_a_metric_that_failed_here_is_taken_from_there(two: Path) -> None:
    shutil.copytree(two / "m0", two / "m2")
    cell = first(two, "m0", "evaluation")
    whole = cell.metrics()
    cell.add_metrics(
        {digest: {**entry, "values": {}, "status": "error", "error": "no"} for digest, entry in whole.items()}
    )
    assert only(join(two, "m0", "m2"), cell.path.name).outcome == "extended"
    assert cell.metrics() == whole


def cell_at(root: Path, state: str) -> CellFolder:
    """A training that failed, is half-finished or finished: "failed", "half 10", "finished"."""
    folder = Store(root).folder("training", KEY)
    folder.begin({"seed": 0})
    if state.startswith("half"):
        folder.checkpoints.save(int(state.split()[1]), state.encode())
    elif state == "failed":
        folder.fail("oom", "no memory")
    elif state == "finished":
        trained(Store(root), KEY, {"seed": 0})
    return folder


@pytest.mark.parametrize(
    ("here", "there", "outcome"),
    [
        ("begun", "failed", "copied"),
        ("failed", "finished", "completed"),
        ("half 10", "finished", "completed"),
        ("half 10", "half 20", "completed"),
        ("failed", "half 20", "completed"),
        ("half 20", "half 10", "there"),
        ("half 10", "failed", "there"),
        ("finished", "failed", "there"),
        ("finished", "half 20", "there"),
        ("failed", "begun", "unfinished"),
    ],
)
def test_the_farther_one_wins(tmp_path: Path, here: str, there: str, outcome: str) -> None:
    mine, theirs = cell_at(tmp_path / "mine", here), cell_at(tmp_path / "theirs", there)
    before = content(mine.path)
    result = merge([Store(tmp_path / "theirs")], Store(tmp_path / "mine"))
    assert [cell.outcome for cell in result.cells] == [outcome]
    taken = outcome in ("copied", "completed")
    assert content(mine.path) == (content(theirs.path) if taken else before)
    assert [cell.outcome for cell in merge([Store(tmp_path / "theirs")], Store(tmp_path / "mine")).cells] == [
        "there" if taken else outcome
    ]


def test_a_failure_of_another_machine_stays_a_row(two: Path) -> None:
    cell = first(two, "m1", "training")
    cell.discard()
    cell.fail("oom", "no memory")
    for key in Store(two / "m1").keys("evaluation"):
        if evaluation_of(two / "m1", key) == cell.path.name:
            shutil.rmtree(two / "m1" / "evaluation" / key)
    join(two, "m0", "m1")
    assert [(r.cell.key, r.status) for r in records(two, "m0").failed] == [(cell.path.name, "oom")]


def test_a_cell_that_is_worked_on_is_left_alone(tmp_path: Path) -> None:
    mine = cell_at(tmp_path / "mine", "half 10")
    cell_at(tmp_path / "theirs", "finished")
    with mine.lock():
        result = merge([Store(tmp_path / "theirs")], Store(tmp_path / "mine"))
    assert [cell.outcome for cell in result.skipped] == ["busy"]
    assert mine.result() is None


def test_one_merge_at_a_time(tmp_path: Path) -> None:
    cell_at(tmp_path / "theirs", "finished")
    stores = [Store(tmp_path / "theirs")], Store(tmp_path / "mine")

    def tell(done: int, total: int) -> None:
        with pytest.raises(UserError, match=r"another merge into .* is under way"):
            merge(*stores)

    assert merge(*stores, tell=tell).counts == {"training": {"copied": 1}}


def test_mistakes_are_said(two: Path) -> None:
    (two / "project").mkdir()
    (two / "m0").rename(two / "project" / ".fmbench")
    for paths, message in (
        ([two / "nothing"], "is no folder"),
        ([two / "tiny.yaml"], "is no folder"),
        ([two / "project"], r"did you mean .*project/\.fmbench\?"),
        ([two / "m1" / "training"], "holds no cells"),
        ([two / "m1", two / "m1" / "."], "name the store of another machine"),
    ):
        with pytest.raises(UserError, match=message):
            open_sources(paths, two / "m1")
    with pytest.raises(UserError, match=r"is only read, and .* lies in it"):
        open_sources([two / "m1"], two / "m1" / "inside")


def test_the_command_line_tells_and_prints_json(two: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FMBENCH_HOME", str(two / "both"))
    names = [str(two / "m0"), str(two / "m1")]
    dry = CliRunner().invoke(app, ["merge", *names, "--dry-run"])
    assert dry.exit_code == 0
    assert "Would merge into" in dry.output
    assert not (two / "both").exists()
    done = CliRunner().invoke(app, ["merge", *names, "--json"])
    told = json.loads(done.stdout)
    assert told["counts"] == {section: {"copied": 2 * n} for section, n in COUNTS.items()}
    assert {cell["source"] for cell in told["cells"]} == set(names)
