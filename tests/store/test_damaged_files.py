"""Whatever stands in a file of the store, a cache, a ledger, a baseline or a history: no exception but our own.

What cannot be used is said, and computed again.
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from here_executor import HereExecutor
from typer.testing import CliRunner

from fmbench.cells.keys import canonical
from fmbench.cli.app import app
from fmbench.errors import UserError
from fmbench.history import history_file, make_night
from fmbench.history import parquet_file as history
from fmbench.io.json_forms import MOST_DEPTH, parsed
from fmbench.io.regular_files import NotRegularError, read_regular
from fmbench.regression import baseline_file, snapshot
from fmbench.report import write_report
from fmbench.results import snapshot_file
from fmbench.results.eta import expected_seconds
from fmbench.results.unused_cells import find_unused
from fmbench.runner import report_cache
from fmbench.runner.progress import Silent
from fmbench.runner.report_cache import fingerprint, write_report_if_changed
from fmbench.runner.scheduler import Scheduler
from fmbench.runner.session import Options, Session, open_session
from fmbench.runner.why import explain_cell
from fmbench.runtime.autotune import FLEET_SIZE, read_cached
from fmbench.store.atomic_files import write_sealed
from fmbench.store.merge import merge
from fmbench.store.store import Store
from fmbench.tracking.ledger import Ledger
from fmbench.tracking.run_content import Part, RunContent
from fmbench.tracking.summary_run import digest_of

SUITE: dict[str, Any] = {
    "name": "tiny",
    "datasets": [{"moons": {"size": 200}}],
    "training": {
        "paths": ["linear"],
        "networks": [{"mlp": {"width": 8, "depth": 1}}],
        "t_distributions": ["uniform", {"beta": {"alpha": 0.5, "beta": 0.5}}],
        "seeds": [0],
        "steps": 10,
        "batch_size": 16,
        "optimizer": {"adamw": {"lr": 0.001}},
    },
    "evaluation": {
        "solvers": ["euler"],
        "nfe": [1],
        "samples": 60,
        "metrics": ["sliced_wasserstein", "sample_ms", "train_seconds"],
    },
}

DEEP = 100_000
RAW: dict[str, bytes] = {
    "nothing": b"",
    "null": b"null",
    "list": b"[]",
    "bytes": b"\xff\xfe\x00",
    "deep list": b"[" * DEEP,
    "deep object": b'{"body":' * DEEP,
    "deep and whole": b'{"checksum":"","body":' + b"[" * DEEP + b"]" * DEEP + b"}",
    "a long number": b'{"checksum":"","body":{"a":' + b"9" * 5000 + b"}}",
}
BODIES: tuple[Any, ...] = (None, [], "text", 3, [[]], {}, {"files": []}, {"a": {"b": {"c": []}}})
VALUES: tuple[Any, ...] = (None, [], {}, "NaN", 10**30, float("nan"), -1, True, "\ud800\x1b[31m", [[1]], {"a": None})


def sealed(body: Any) -> bytes:
    """What `write_sealed` would write, of any value."""
    text = canonical(body)
    return f'{{"checksum":"{hashlib.sha256(text.encode()).hexdigest()}","body":{text}}}\n'.encode()


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = {"a": value}
    return value


def mutations(body: Any, most: int = 30) -> Iterator[Any]:
    """Yield a body with one of its values, at any depth, replaced or taken away; about `most` of all such bodies."""
    places: list[tuple[Any, ...]] = [()]
    for place in places:
        value = body
        for step in place:
            value = value[step]
        steps = value if isinstance(value, dict) else range(len(value[:2])) if isinstance(value, list) else ()
        places += [(*place, step) for step in steps if len(place) < 4]
    changes = [(place, number) for place in places[1:] for number in range(len(VALUES) + 1)]
    for place, number in changes[:: max(1, len(changes) // most)]:
        changed = copy.deepcopy(body)
        inside = changed
        for step in place[:-1]:
            inside = inside[step]
        if number < len(VALUES):
            inside[place[-1]] = VALUES[number]
        else:
            del inside[place[-1]]
        yield changed


@pytest.fixture(autouse=True, scope="module")
def code_read_once() -> Iterator[None]:
    """The code that draws reports is read once, and not each time that somebody looks at a store."""
    digest = report_cache.code()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report_cache, "code", lambda: digest)
        yield


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Session:
    """A small finished suite; what tests change in its store they put back."""
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "tiny.yaml").write_text(yaml.safe_dump(SUITE))
    opened = open_session(folder / "tiny.yaml", Options(home=folder / "home", reports=folder / "reports", device="cpu"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fmbench.executors.local.LocalExecutor", HereExecutor)
        Scheduler(opened, opened.results_index(), Silent(), None).run()
    return opened


def look(session: Session) -> list[str]:
    """Do what plan, report, why, clean, merge and check do with a store; return what was said to be damaged."""
    results_index = session.results_index(anywhere=True)
    results_index.counts(), expected_seconds(results_index)
    records = session.records(results_index)
    records.frame(), fingerprint(records, session.report_folder)
    snapshot(records)
    explain_cell(session, session.plan.evaluations[0].key)
    find_unused(session.store, [(session.plan, session.registry)])
    merge([session.store], Store(session.store.root.parent / "other"), dry_run=True)
    return results_index.damaged


@pytest.mark.parametrize("section", ["training", "evaluation", "sampler", "portrait", "floor"])
@pytest.mark.parametrize("name", ["cell.json", "result.json", "metrics.json", "failure.json", "history.json"])
def test_a_cell_whose_file_is_of_another_shape_is_damaged_or_used(finished: Session, section: str, name: str) -> None:
    store = finished.store
    file = store.folder(section, store.keys(section)[0]).path / name
    kept = file.read_bytes() if file.exists() else None
    if kept is None and name != "failure.json":
        return  # not of this section
    body = (
        json.loads(kept)["body"]
        if kept and name != "history.json"
        else {"status": "error", "error": "", "traceback": ""}
    )
    try:
        for content in RAW.values() if section == "training" else ():  # reading is the same in all sections
            file.write_bytes(content)
            assert name == "cell.json" or any(str(file) in text for text in look(finished))
        for hostile in (*BODIES[1::2], nested(500), *mutations(body, 5 if name == "cell.json" else 12)):
            file.write_bytes(sealed(hostile))
            look(finished)
    finally:
        file.unlink()
        if kept is not None:
            file.write_bytes(kept)
    assert not look(finished)


def test_what_no_file_can_hold_stops_no_report(finished: Session, tmp_path: Path) -> None:
    """An error quotes the name of a file that is not UTF-8, or what a plugin likes to write."""
    folder, hostile = finished.store.folder("evaluation", finished.plan.evaluations[0].key), "caf\udce9 \x1b[2J\u202e"
    try:
        folder.fail("error", hostile)
        records = finished.records(finished.results_index(anywhere=True))
    finally:
        (folder.path / "failure.json").unlink()
    assert records.evaluations[0].error.startswith(r"caf\udce9 ")
    hostile_too = dataclasses.replace(records, description=hostile, command=hostile, left_out=[(hostile, hostile)])
    write_report(hostile_too, tmp_path / "report")
    for name in ("records.csv", "table.md", "table.tex", "index.html"):
        text = (tmp_path / "report" / name).read_text(encoding="utf-8")
        assert not set(hostile[3:] + "\x1b") - set(" [2J") & set(text)
    assert r"caf\udce9 \x1b[2J\u202e" in (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
    run = RunContent("training", "key", hostile, "", *[{hostile: hostile}] * 3, {"": Part("", "error", hostile)})
    for text in (run.name, *run.params, *run.tags.values(), *run.notes.values(), run.parts[""].error):
        assert text == r"caf\udce9 \x1b[2J\u202e"
    assert run.marks
    (tmp_path / "report" / os.fsdecode(b"caf\xe9")).write_bytes(b"")
    assert digest_of(tmp_path / "report")


def test_hostile_history_that_is_vouched_for_is_damaged(finished: Session) -> None:
    folder = finished.store.folder("training", finished.store.keys("training")[0])
    kept = {name: (folder.path / name).read_bytes() for name in ("history.json", "result.json")}
    result = folder.result() or {}
    try:
        for content in (*RAW.values(), b'[["1",2]]', b"[[1,null]]", b"[[1]]", b'{"1":2}'):
            folder.write("history.json", content)
            folder.finish(result, tuple(result["files"]))
            assert (content == b"[]") != any("history.json" in text for text in look(finished))
    finally:
        for name, content in kept.items():
            (folder.path / name).write_bytes(content)


def test_a_cache_of_another_shape_is_measured_or_written_again(finished: Session, tmp_path: Path) -> None:
    (density,) = sorted((finished.store.root / "cache").glob("t-density-*.json"))[:1]
    kept = density.read_bytes()
    for content in (*RAW.values(), *map(sealed, BODIES), *map(sealed, mutations({"density": [1.0]}))):
        density.write_bytes(content)
        look(finished)
    density.write_bytes(kept)
    for size in (*VALUES, 0, 2**64):
        write_sealed(tmp_path / "fleet.json", {"size": size, "final": True, "asked": 1})
        assert read_cached(tmp_path / "fleet.json", FLEET_SIZE) is None


def test_a_noted_report_of_another_shape_is_written_anew(finished: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fmbench.report.write_report", lambda records, folder, **_: folder / "index.html")
    noted = finished.store.root / "reports" / "tiny.json"
    records = finished.records(finished.results_index())
    write_report_if_changed(finished, records)
    body = json.loads(noted.read_bytes())["body"]
    body["files"]["index.html"] = "0" * 64
    for content in (*RAW.values(), *map(sealed, BODIES), *map(sealed, mutations(body))):
        noted.write_bytes(content)
        write_report_if_changed(finished, records)
    for name in ("../../etc/passwd", "/etc/passwd", "a\0b", "x" * 5000):
        noted.write_bytes(sealed({**body, "files": {name: ""}}))
        assert write_report_if_changed(finished, records)[1]


def test_a_ledger_of_another_shape_is_empty(tmp_path: Path) -> None:
    database = tmp_path / "mlflow.db"
    database.write_bytes(b"")
    ledger = Ledger(tmp_path / "ledger.json", f"sqlite:///{database}", "tiny")
    ledger.experiment, ledger.token, ledger.runs = "1", "token", {"cell": ("run", {"": "mark"})}
    ledger.save()
    body = json.loads(ledger.path.read_text())
    for content in (*RAW.values(), *(json.dumps(hostile).encode() for hostile in (*BODIES, *mutations(body)))):
        ledger.path.write_bytes(content)
        fresh = Ledger(ledger.path, ledger.uri, "tiny")
        fresh.load()
        assert not fresh.runs


def test_a_baseline_of_another_shape_is_said_to_be_damaged(finished: Session, tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    baseline_file.write_baseline(snapshot(finished.records(finished.results_index(anywhere=True))), path)
    body = json.loads(path.read_text())
    del body["checksum"], body["components"], body["settings"], body["made"]["environment"]
    body = {**body, "components": {"solver": {"euler": {}}}, "settings": {"training": {"steps": 1}}, "evaluations": []}
    body["identities"] = dict(list(body["identities"].items())[:1])
    body["metrics"] = dict(list(body["metrics"].items())[:1])
    hostile = [{**each, "checksum": snapshot_file.checksum(each)} for each in mutations(body)]
    for content in (*RAW.values(), *(json.dumps(each).encode() for each in (*BODIES, *hostile))):
        path.write_bytes(content)
        assert len(refusal(lambda: baseline_file.read_baseline(path, "tiny"))) < 500 + len(str(path))


def test_a_history_of_another_shape_is_said_to_be_damaged(finished: Session, tmp_path: Path) -> None:
    path = history_file(tmp_path, "tiny")
    history.append(make_night(finished.records(finished.results_index(anywhere=True))), path)
    table, body = history._load(path, "tiny")
    small = {**body, "texts": dict(list(body["texts"].items())[:1]), "components": {"solver": {"euler": {}}}}
    small["metrics"] = dict(list(body["metrics"].items())[:1])
    for hostile in (*BODIES[5:], nested(500), *mutations(small)):
        history._write(path, table, None, hostile)
        assert len(refusal(lambda: history.read(path, "tiny"))) < 500 + len(str(path))
    for content in RAW.values():
        path.write_bytes(content)
        with pytest.raises(UserError, match="damaged, or no parquet file"):
            history.read(path, "tiny")


def refusal(read: Callable[[], Any]) -> str:
    """Return why a file is not read, "" where it is; any other exception is a fault."""
    try:
        read()
    except UserError as error:
        return str(error)
    return ""


def special(path: Path, kind: str) -> None:
    """Put what is no regular file at a path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to({"device": "/dev/zero", "process": "/proc/self/maps", "folder": "/proc"}[kind])


KINDS = ("pipe", "device", "folder", "process")


@pytest.mark.parametrize("kind", KINDS)
def test_no_pipe_or_device_is_read_for_ever(finished: Session, tmp_path: Path, kind: str) -> None:
    home = tmp_path / "home"
    shutil.copytree(finished.store.root, home)
    opened = dataclasses.replace(finished, options=dataclasses.replace(finished.options), store=Store(home))
    training = opened.store.folder("training", opened.store.keys("training")[0])
    for name in ("cell.json", "metrics.json", "history.json", "weights.safetensors", "result.json", "failure.json"):
        kept = (training.path / name).read_bytes() if (training.path / name).exists() else None
        special(training.path / name, kind)
        assert any(str(training.path / name) in text for text in look(opened)) or name == "cell.json"
        (training.path / name).unlink()
        if kept is not None:
            (training.path / name).write_bytes(kept)
    special(training.path / f"checkpoint-1-{'0' * 64}.pt", kind)
    assert training.checkpoints.load() is None
    for file in (home / "cache").iterdir():
        special(file, kind)
    special(home / "fmbench-store.json", kind)
    look(opened)
    special(tmp_path / "baseline.json", kind)
    with pytest.raises(UserError, match=r"cannot be read|damaged"):
        baseline_file.read_baseline(tmp_path / "baseline.json", "tiny")
    special(history_file(tmp_path, "tiny"), kind)
    with pytest.raises(UserError, match=r"cannot be read|damaged"):
        history.read(history_file(tmp_path, "tiny"), "tiny")
    special(tmp_path / "suite.yaml", kind)
    with pytest.raises(UserError, match=r"suite\.yaml"):
        open_session(tmp_path / "suite.yaml")
    special(tmp_path / "plugin.py", kind)
    with pytest.raises(UserError, match=r"plugin"):
        open_session(finished.path, Options(plugins=(str(tmp_path / "plugin.py"),)))


def test_a_file_is_read_as_far_as_it_may_be_large(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    assert read_regular(tmp_path / "file", 5) == b"12345"
    with pytest.raises(NotRegularError, match="larger than"):
        read_regular(tmp_path / "file", 4)


def test_json_is_as_deep_as_it_may_be() -> None:
    assert parsed(json.dumps(nested(MOST_DEPTH))) == nested(MOST_DEPTH)
    with pytest.raises(ValueError, match="nested"):
        parsed(json.dumps(nested(MOST_DEPTH + 1)))


def test_a_store_of_an_earlier_version_is_a_store_and_said_in_one_sentence(finished: Session, tmp_path: Path) -> None:
    """Its files name no place. There may be thousands of them."""
    home = tmp_path / "earlier"
    shutil.copytree(finished.store.root, home)
    (home / "fmbench-store.json").unlink(missing_ok=True)
    for file in home.glob("*/*/*.json"):
        body = canonical(json.loads(file.read_bytes())["body"]) if file.name != "history.json" else ""
        if body:
            file.write_text(f'{{"checksum":"{hashlib.sha256(body.encode()).hexdigest()}","body":{body}}}\n')
    opened = open_session(finished.path, Options(home=home, reports=tmp_path / "reports", device="cpu"))
    results_index = opened.results_index()
    cells = sum(len(opened.store.keys(section)) for section in ("training", "evaluation", "portrait", "floor"))
    [told] = results_index.damaged
    assert told.endswith(f"an earlier version of fmbench wrote it, and {cells - 1} more cells")
    assert results_index.is_told("training", opened.plan.trainings[0].key)
    assert len(find_unused(opened.store, []).cells) >= cells
    merged = CliRunner().invoke(app, ["merge", str(home), "--into", str(tmp_path / "other")])
    assert merged.exit_code == 1
    assert merged.stdout.count("an earlier version of fmbench wrote it") == 1
    assert "shows all of it" not in merged.stdout
    assert {cell.outcome for cell in merge([opened.store], Store(tmp_path / "third"), dry_run=True).cells} == {
        "earlier"
    }
