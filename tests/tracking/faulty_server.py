"""MLflow's own server in the process of a test, on 127.0.0.1, and what can go wrong between it and fmbench."""

from __future__ import annotations

import importlib
import logging
import re
import shutil
import socket
import struct
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

Environ = dict[str, Any]
Application = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]
Trouble = Callable[[Environ, Callable[..., Any], Application], Iterable[bytes]]
"""Answers a request in place of the server, which it may ask."""

HTML = b"<!DOCTYPE html><html><head><title>Sign in</title></head><body><h1>Please sign in</h1></body></html>"


def answers(status: str, body: bytes = HTML, **headers: str) -> Trouble:
    """Answer with this, and ask nobody."""
    given = {"Content-Type": "text/html", **{name.replace("_", "-"): text for name, text in headers.items()}}

    def answer(environ: Environ, start: Callable[..., Any], _: Application) -> Iterable[bytes]:
        _read(environ)
        start(status, [*given.items(), ("Content-Length", str(len(body)))])
        return [body]

    return answer


def resets(environ: Environ, start: Callable[..., Any], _: Application) -> Iterable[bytes]:
    """Cut the connection before anything is done."""
    _cut(environ)
    return []


def does_and_resets(environ: Environ, start: Callable[..., Any], server: Application) -> Iterable[bytes]:
    """Do what is asked, and cut the connection in place of an answer."""
    b"".join(server(environ, lambda *_: lambda _: None))
    _cut(environ)
    return []


def _read(environ: Environ) -> None:
    environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))


def _cut(environ: Environ) -> None:
    connection: socket.socket = environ["werkzeug.socket"]
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close by a reset
    connection.shutdown(socket.SHUT_RD)
    connection.close()
    raise ConnectionAbortedError("cut by the test")


@dataclass
class FaultyServer:
    """A tracking server over the database in `folder`, what it was asked, and what befalls its next requests."""

    folder: Path
    port: int = 0
    asked: list[str] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)
    trouble: Trouble | None = None
    spared: Callable[[str], bool] = lambda _: False
    before: Callable[[str], None] = lambda _: None

    @property
    def uri(self) -> str:
        """Return its address."""
        return f"http://127.0.0.1:{self.port}"

    def troubled(self, trouble: Trouble | None, spared: Callable[[str], bool] = lambda _: False) -> None:
        """Let something befall each request from now on, but those whose path is `spared`."""
        self.trouble, self.spared = trouble, spared

    def troubled_once(self, trouble: Trouble) -> None:
        """Let something befall the first request of each kind."""
        seen: Counter[str] = Counter()

        def spared(path: str) -> bool:
            seen[path] += 1
            return seen[path] > 1

        self.troubled(trouble, spared)

    @contextmanager
    def up(self) -> Iterator[None]:
        """Be there, always at the same address."""
        from mlflow.server import app
        from werkzeug.serving import WSGIRequestHandler, make_server

        class Quiet(WSGIRequestHandler):
            def log(self, *_: Any) -> None:
                """Say nothing."""

        application: Application = app

        def serve(environ: Environ, start: Callable[..., Any]) -> Iterable[bytes]:
            path = re.sub(r"^/(api|ajax-api)/2\.0/mlflow(-artifacts)?/", "", environ["PATH_INFO"])
            self.asked.append(path)
            self.heads.append(environ.get("HTTP_AUTHORIZATION", ""))
            self.before(path)
            if self.trouble is not None and not self.spared(path):
                return self.trouble(environ, start, application)
            return application(environ, start)

        listening = make_server("127.0.0.1", self.port, serve, threaded=True, request_handler=Quiet)
        self.port = listening.port
        thread = threading.Thread(target=listening.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            listening.shutdown()
            listening.server_close()
            thread.join()

    @property
    def client(self) -> MlflowClient:
        """Return a client that asks the database itself."""
        from mlflow import MlflowClient

        return MlflowClient(f"sqlite:///{self.folder}/mlflow.db")

    def runs(self, suite: str = "suite") -> list[Run]:
        """Return the runs of a suite that are not deleted."""
        found = self.client.get_experiment_by_name(suite)
        return [] if found is None else list(self.client.search_runs([found.experiment_id], max_results=5000))

    def entries(self) -> Counter[tuple[str, str, int, float]]:
        """Return every entry of every metric, as often as it is there."""
        return Counter(
            (run.data.tags["fmbench.cell"], name, entry.step, entry.value)
            for run in self.runs()
            for name in run.data.metrics
            for entry in self.client.get_metric_history(run.info.run_id, name)
        )


@contextmanager
def faulty_server(folder: Path, empty_database: Path) -> Iterator[FaultyServer]:
    """Yield a server that runs on MLflow's own code."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its imports deprecate one another
        importlib.import_module("mlflow.server.fastapi_app")  # the first search would
    from mlflow.server import handlers
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    for file in empty_database.glob("mlflow.db*"):
        shutil.copy(file, folder)
    store = SqlAlchemyStore(f"sqlite:///{folder}/mlflow.db", (folder / "artifacts").as_uri())
    logging.getLogger("mlflow").setLevel(logging.CRITICAL)
    server = FaultyServer(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(handlers, "_tracking_store", store)
        with server.up():
            yield server
    store.engine.dispose()
