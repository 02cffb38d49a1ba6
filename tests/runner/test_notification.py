"""A message at the end of a run: it arrives, it never fails the run, and where it goes stays a secret."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from command_line import fmbench
from helpers import SMOKE

from fmbench.cli.detach import _arguments
from fmbench.errors import UserError
from fmbench.runner import notification
from fmbench.runner.notification import check_target, notify, shown_target
from fmbench.runner.session import Options, open_session

SECRET = "T0PS3CRET"


class Webhook(HTTPServer):
    """Answers with `status`, and keeps what it is sent."""

    status = 200
    raw = b""
    """What it answers in place of HTTP."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.bodies: list[dict[str, Any]] = []
        self.url = f"http://127.0.0.1:{self.server_port}/services/{SECRET}"


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Webhook)
        assert self.headers["Content-Type"] == "application/json"
        self.server.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        if self.server.raw:
            self.wfile.write(self.server.raw)
            return
        self.send_response(self.server.status)
        if self.server.status == 302:
            self.send_header("Location", f"{self.server.url}/elsewhere")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    server = Webhook()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_run_tells_a_webhook_and_no_file_holds_its_address(webhook: Webhook, tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(SMOKE)
    done = fmbench("run", "tiny.yaml", "--no-tracking", "--jobs", "1", "--notify", webhook.url, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (body,) = webhook.bodies
    assert body["text"].startswith("fmbench tiny: done\n1 training, 1 floor, 3 evaluations in ")
    assert body["text"].endswith("reports/tiny/index.html")
    assert (body["suite"], body["status"]) == ("tiny", "done")
    assert body["cells"]["evaluations"]["done"] == 3
    assert SECRET not in done.stdout + done.stderr
    holding = [file for file in tmp_path.rglob("*") if file.is_file() and SECRET.encode() in file.read_bytes()]
    assert not holding

    webhook.status = 404
    arguments = ("run", "tiny.yaml", "--no-tracking")
    again = fmbench(*arguments, cwd=tmp_path, FMBENCH_NOTIFY=webhook.url)
    assert again.returncode == 0, "a message that is not delivered fails no run"
    assert again.stderr.count("\n") == 1
    assert "Nobody was told that the run has ended: http://127.0.0.1/... answered 404." in again.stderr
    assert SECRET not in again.stdout + again.stderr


def test_a_run_that_fails_tells_so(webhook: Webhook, tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(SMOKE)
    (tmp_path / "reports").write_text("no folder")
    done = fmbench("run", "tiny.yaml", "--no-tracking", "--notify", webhook.url, cwd=tmp_path)
    assert done.returncode == 2
    assert webhook.bodies[0]["status"] == "ended by an error"
    assert "`fmbench run tiny.yaml" in webhook.bodies[0]["text"]


def test_an_answer_that_is_no_success_is_said_without_the_address(webhook: Webhook) -> None:
    webhook.status = 302
    said = "http://127.0.0.1/... answered 302, which is a redirection: give the URL that it leads to"
    assert notify(webhook.url, "title", "text", {}) == said
    webhook.raw = b"what a mail server says\r\n\r\n"
    assert notify(webhook.url, "title", "text", {}) == "http://127.0.0.1/... answered what is not HTTP: BadStatusLine"
    assert len(webhook.bodies) == 2


def test_a_message_takes_no_longer_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Event()
    monkeypatch.setattr(notification, "SECONDS", 0.05)
    monkeypatch.setattr(notification, "_to_webhook", lambda *_: str(ended.wait(20)))
    said = notify(f"http://host/{SECRET}", "title", "text", {})
    ended.set()
    assert said == "http://host/... did not answer within 0.05 seconds"


def test_nobody_is_waited_for_who_is_not_there() -> None:
    said = notify(f"http://127.0.0.1:9/{SECRET}", "title", "text", {})
    assert said == "http://127.0.0.1/... was not reached: Connection refused"


@pytest.mark.parametrize(
    "target",
    ["slack", f"ftp://host/{SECRET}", f"https:///{SECRET}", f"https://[{SECRET}", f"https://host:{SECRET}/x",
     f"https://host/{SECRET} x", f"https://host/{SECRET}\n", f"https://user:{SECRET}@host/x", f"https://host/é{SECRET}"],
)  # fmt: skip
def test_a_target_that_is_none_is_said_before_the_run_without_repeating_it(target: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--notify takes desktop, or the URL of a webhook") as caught:
        check_target(target)
    assert SECRET not in str(caught.value)
    (tmp_path / "tiny.yaml").write_text(SMOKE)
    assert fmbench("run", "tiny.yaml", "--notify", target, cwd=tmp_path).returncode == 2
    assert not (tmp_path / ".fmbench").exists()


def test_where_there_is_no_desktop_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notification.shutil, "which", lambda name: None)
    said = "this machine has no desktop to show it on: neither notify-send nor osascript is here"
    assert notify("desktop", "title", "text", {}) == said


@pytest.mark.parametrize("program", ["notify-send", "osascript"])
def test_a_desktop_is_given_texts_as_arguments(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[list[str]] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        called.append(command)
        return subprocess.CompletedProcess(command, int(len(called) > 1), "", "no bus\n")

    monkeypatch.setattr(notification.shutil, "which", lambda name: f"/bin/{name}" if name == program else None)
    monkeypatch.setattr(notification.subprocess, "run", run)
    assert notify("desktop", "title", '"; do shell script', {}) == ""
    assert called[0][0] == f"/bin/{program}"
    assert called[0][-2:] == ["title", '"; do shell script']
    assert notify("desktop", "title", "text", {}) == f"/bin/{program} did not show it: no bus"


def test_a_detached_run_has_the_address_in_its_environment_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tiny.yaml").write_text(SMOKE)
    url = f"https://host/{SECRET}"
    monkeypatch.setenv("FMBENCH_NOTIFY", "")
    monkeypatch.setattr("sys.argv", ["fmbench", "run", "tiny.yaml", "--notify", url, "--detach"])
    session = open_session(tmp_path / "tiny.yaml", Options(home=tmp_path / "store"))
    assert _arguments(session, url) == ["run", "tiny.yaml"]
    assert os.environ["FMBENCH_NOTIFY"] == url
    shown = fmbench("env", "--json", cwd=tmp_path, FMBENCH_NOTIFY=url).stdout
    assert shown_target(url) == "https://host/..."
    assert json.loads(shown)["variables"]["FMBENCH_NOTIFY"] == "https://host/..."
