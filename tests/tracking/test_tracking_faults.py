"""A tracking server that is away, busy, slow, broken or changed by somebody: no run is lost, and none doubled."""

from __future__ import annotations

import base64
import itertools
import random
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from command_line import fmbench
from faulty_server import Application, Environ, FaultyServer, Trouble, answers, does_and_resets, faulty_server, resets
from helpers import SMOKE
from test_tracking import evaluated, many, suite, suite_of, trained

from fmbench.results.records import Records
from fmbench.tracking import Tracker, TrackingSummary, background_writer, retry_after, sync, tracker

pytestmark = pytest.mark.slow

BUSY = b'{"error_code": "REQUEST_LIMIT_EXCEEDED", "message": "Too many requests: wait a little."}'
AT_ONCE = (
    b'{"error_code": "BAD_REQUEST", "message": "(psycopg2.errors.UniqueViolation) duplicate key value violates unique '
    b'constraint \\"param_pk\\""}'
)
"""What MLflow says of a parameter that two requests add at once."""
SECONDS = 0.3


def hangs(environ: Environ, start: Callable[..., Any], server: Application) -> Iterable[bytes]:
    """Do what is asked, and answer when nobody waits any more."""
    answer = list(server(environ, start))
    time.sleep(4 * SECONDS)
    return answer


PASSING: dict[str, Trouble] = {
    "busy": answers("429 TOO MANY REQUESTS", BUSY),
    "added at once": answers("400 BAD REQUEST", AT_ONCE),
    "failing": answers("500 INTERNAL SERVER ERROR"),
    "behind a gateway that finds nobody": answers("502 BAD GATEWAY"),
    "being restarted": answers("503 SERVICE UNAVAILABLE", b""),
    "behind a page to sign in": answers("200 OK"),
    "cut off": resets,
    "cut off when it has done it": does_and_resets,
    "hanging when it has done it": hangs,
}
REFUSED = {
    "nobody is known": answers("401 UNAUTHORIZED"),
    "not allowed": answers("403 FORBIDDEN", b"Permission denied"),
    "no MLflow there": answers("404 NOT FOUND"),
}


@pytest.fixture
def server(tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyServer]:
    """A server to which a writer comes back soon."""
    for name, seconds in {"LINGER": 0.01, "LONGEST_PAUSE": 0.05, "HURRIED_PAUSE": 0.02}.items():
        monkeypatch.setattr(background_writer, name, seconds)
    monkeypatch.setattr(tracker, "PASSING", 0.0)
    (tmp_path / "server").mkdir()
    with faulty_server(tmp_path / "server", empty_database) as there:
        yield there


def tracker_of(server: FaultyServer, records: Records, ledger: str = "ledger", patience: float = 30.0) -> Tracker:
    place = server.folder.parent / ledger / "suite.json"
    made = Tracker(server.uri, records.suite, place, "d", records.settings, patience=patience)
    made.start()
    return made


def log(server: FaultyServer, records: Records, **options: Any) -> TrackingSummary:
    return tracker_of(server, records, **options).finish(records, None)


def bring_up_to_date(server: FaultyServer, records: Records) -> TrackingSummary:
    server.troubled(None)
    return sync(records, server.uri, server.folder.parent / "ledger" / "suite.json", None)


def check_once(server: FaultyServer, runs: int = 9) -> None:
    """Each cell has one run, whole, and each number is there once."""
    cells = Counter(run.data.tags["fmbench.cell"] for run in server.runs())
    assert len(cells) == runs
    assert set(cells.values()) == {1}
    assert {run.info.status for run in server.runs()} == {"FINISHED"}
    assert set(server.entries().values()) == {1}
    of_id = {run.info.run_id: run for run in server.runs()}
    for run in of_id.values():
        if run.data.tags["fmbench.kind"] == "evaluation":
            parent = of_id[run.data.tags["mlflow.parentRunId"]]
            assert parent.data.tags["fmbench.cell"] == run.data.tags["fmbench.training"]


@pytest.mark.parametrize("name", PASSING)
def test_what_passes_costs_no_run_and_doubles_none(
    server: FaultyServer, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if PASSING[name] is hangs:
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    server.troubled_once(PASSING[name])
    writing = tracker_of(server, suite())
    writing.log_all(suite())
    writing.drain()
    summary = writing.finish(suite(), None)
    assert (summary.pending, summary.problem) == (0, "")
    check_once(server)


def test_a_server_of_which_every_fifth_answer_is_a_fault_gets_everything_once(server: FaultyServer) -> None:
    draw = random.Random(0)
    faults = [PASSING[name] for name in ("busy", "failing", "cut off", "cut off when it has done it")]

    def sometimes(environ: Environ, start: Callable[..., Any], application: Application) -> Iterable[bytes]:
        return draw.choice(faults)(environ, start, application)

    server.troubled(sometimes, spared=lambda _: draw.random() > 0.2)
    writing = tracker_of(server, many())
    writing.log_all(many())
    writing.drain()
    summary = writing.finish(many(), None)
    if summary.pending:
        summary = bring_up_to_date(server, many())
    assert (summary.pending, summary.problem) == (0, "")
    check_once(server, runs=30)


@pytest.mark.parametrize("name", [*(name for name in PASSING if PASSING[name] is not hangs), *REFUSED])
def test_what_lasts_is_said_in_a_short_line_and_logged_later(server: FaultyServer, name: str) -> None:
    server.troubled({**PASSING, **REFUSED}[name])
    summary = log(server, suite(), patience=0.2)
    assert (summary.logged, summary.pending) == (0, 9)
    said = r"it answers|API request to \S+ failed|REQUEST_LIMIT_EXCEEDED|BAD_REQUEST"
    assert re.match(said, summary.problem), summary.problem
    assert len(summary.problem) < 400
    assert not re.search("[<>\n]", summary.problem)
    later = bring_up_to_date(server, suite())
    assert (later.pending, later.problem) == (0, "")
    check_once(server)


def test_a_server_that_is_busy_is_left_alone_as_long_as_it_asks(server: FaultyServer) -> None:
    asked: list[tuple[str, float]] = []
    server.before = lambda path: asked.append((path, time.monotonic()))
    server.troubled_once(answers("429 TOO MANY REQUESTS", BUSY, Retry_After="1"))
    writing = tracker_of(server, suite())
    writing.log_all(suite())
    assert writing.drain()
    firsts = {path: index for index, (path, _) in reversed(list(enumerate(asked)))}
    waits = [asked[index + 1][1] - asked[index][1] for index in firsts.values() if index + 1 < len(asked)]
    assert min(waits) >= 0.95
    assert writing.finish(suite(), None).pending == 0
    check_once(server)


@pytest.mark.parametrize(
    ("asked", "least", "most"), [("7", 6.0, 7.0), ("0", 0.0, 0.0), ("soon", 0.0, 0.0), ("1e9", 0.0, 0.0)]
)
def test_what_a_server_asks_for_is_seconds_or_a_date(asked: str, least: float, most: float) -> None:
    from requests import Response

    response = Response()
    response.status_code, response.url = 429, "http://somebody@busy.example:80/api"
    response.headers["Retry-After"] = asked
    retry_after._until.clear()
    retry_after.note(response)
    assert least <= retry_after.seconds_left("http://other@busy.example:80") <= most
    response.headers["Retry-After"] = "Fri, 31 Dec 2060 23:59:59 GMT"
    retry_after.note(response)
    assert 500 < retry_after.seconds_left("http://busy.example:80") <= retry_after.LONGEST
    response.url, response.status_code = "http://well.example", 200
    retry_after.note(response)
    assert retry_after.seconds_left("http://well.example") == 0


def test_a_server_that_is_away_for_a_while_is_complained_of_once_and_gets_everything(server: FaultyServer) -> None:
    records = suite()
    writing = tracker_of(server, records)
    writing.log(records.trainings[0], records.evaluations[:2])
    assert writing.drain()
    assert writing.complaint() == ""
    there, server.trouble = len(server.runs()), resets
    writing.log_all(records)
    complaints = []
    while not (said := writing.complaint()):
        time.sleep(0.01)
    complaints = [said, writing.complaint(), writing.complaint()]
    assert complaints[1:] == ["", ""]
    assert complaints[0].startswith(f"nothing can be logged to MLflow at {server.uri} now: ")
    assert len(server.runs()) == there
    server.troubled(None)
    assert writing.finish(records, None).pending == 0
    check_once(server)


def test_an_experiment_that_is_deleted_meanwhile_comes_back_with_its_runs(server: FaultyServer) -> None:
    records = suite()
    writing = tracker_of(server, records)
    writing.log(records.trainings[0], records.evaluations[:2])
    assert writing.drain()
    found = server.client.get_experiment_by_name("suite")
    assert found is not None
    server.client.delete_experiment(found.experiment_id)
    assert writing.finish(records, None).pending == 0
    check_once(server)


@pytest.mark.parametrize("kind", ["training", "evaluation"])
def test_a_run_that_is_deleted_while_it_is_written_is_made_again(server: FaultyServer, kind: str) -> None:
    training = trained()
    records = suite_of([training], [evaluated(training, "euler", nfe) for nfe in (2, 4)])
    writing = tracker_of(server, records)
    writing.log(training, records.evaluations[:1])
    assert writing.drain()
    (run,) = (run for run in server.runs() if run.data.tags["fmbench.kind"] == kind)
    server.client.delete_run(run.info.run_id)
    writing.log(training, records.evaluations[1:])
    assert writing.drain()
    assert writing.finish(records, None).pending == 0
    if kind == "training":  # everything was logged to it: nobody has looked since
        assert bring_up_to_date(server, records).pending == 0
    check_once(server, runs=4)


def test_two_stores_that_log_to_one_server_at_once_make_each_run_once(server: FaultyServer) -> None:
    """Both make their first run before either looks whether the other has."""
    both, creations = threading.Barrier(2), itertools.count()

    def wait(path: str) -> None:
        if path == "runs/create" and next(creations) < 2:
            both.wait(60)

    server.before = wait
    records = many()
    trackers = [tracker_of(server, records, ledger) for ledger in ("one", "two")]
    for each in trackers:
        each.log_all(records)
    assert all(each.drain() for each in trackers)
    assert [each.finish(records, None).pending for each in trackers] == [0, 0]
    check_once(server, runs=30)


SECRET, CODED = "p4ss/w@rd&x", quote("p4ss/w@rd&x", safe="")
FORMS = {
    *(SECRET, CODED, "t0ken-of-mine"),
    base64.b64encode(f"ann:{SECRET}".encode()).decode(),
    base64.b64encode(b"ann:fr0m-the-environment").decode(),
    "fr0m-the-environment",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a small suite."""
    place = tmp_path / "project"
    place.mkdir()
    (place / "tiny.yaml").write_text(SMOKE)
    return place


def leaks(*folders: Path, text: str = "") -> list[str]:
    """Return where a secret stands: in a file, in a file's name, or in what was printed."""
    secrets = [form.encode() for form in FORMS]
    found = ["printed" for secret in secrets if secret in text.encode()]
    for file in (file for folder in folders for file in folder.rglob("*")):
        content = str(file).encode() + (file.read_bytes() if file.is_file() else b"")
        found += [str(file) for secret in secrets if secret in content]
    return found


def with_password(server: FaultyServer) -> str:
    return server.uri.replace("://", f"://ann:{CODED}@")


@pytest.mark.parametrize(
    ("in_uri", "variables", "sent"),
    [
        (True, {}, base64.b64encode(f"ann:{SECRET}".encode()).decode()),
        (
            False,
            {"MLFLOW_TRACKING_USERNAME": "ann", "MLFLOW_TRACKING_PASSWORD": "fr0m-the-environment"},
            base64.b64encode(b"ann:fr0m-the-environment").decode(),
        ),
        (False, {"MLFLOW_TRACKING_TOKEN": "t0ken-of-mine"}, "t0ken-of-mine"),
    ],
    ids=["in the URI", "a password", "a token"],
)
def test_credentials_are_sent_and_stand_nowhere(
    server: FaultyServer, folder: Path, in_uri: bool, variables: dict[str, str], sent: str
) -> None:
    uri = with_password(server) if in_uri else server.uri
    variables = {**variables, "MLFLOW_TRACKING_URI": uri}
    said = ""
    password = SECRET if in_uri else next(reversed(variables.values()))
    for trouble in (None, answers("401 UNAUTHORIZED", f"{password} {sent} is wrong".encode())):
        server.troubled(trouble)
        verbs = [("sync", "tiny.yaml"), ("env", "--json")] if trouble else [("report", "tiny.yaml", "--json")]
        for words in (("run", "tiny.yaml", "--set", f"training.steps={10 if trouble else 20}"), *verbs):
            done = fmbench(*words, cwd=folder, **variables)
            said += done.stdout + done.stderr
            assert "Traceback" not in said
    assert server.runs("tiny")
    assert sum(sent in head for head in server.heads) > 10
    assert leaks(folder, server.folder, text=said) == []


def test_a_server_that_fails_during_a_run_is_said_once_and_costs_no_cell(server: FaultyServer, folder: Path) -> None:
    server.troubled(answers("500 INTERNAL SERVER ERROR"), spared=lambda path: path == "/health")
    done = fmbench("run", "tiny.yaml", "--tracking-uri", server.uri, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("6 runs are not in MLflow yet (it answers 500 (Internal Server Error))") == 1
    assert done.stderr.count("nothing can be logged") <= 1
    server.troubled(None)
    assert fmbench("sync", "tiny.yaml", "--tracking-uri", server.uri, cwd=folder).returncode == 0
    cells = Counter(run.data.tags["fmbench.cell"] for run in server.runs("tiny"))
    assert (len(cells), max(cells.values())) == (6, 1)
