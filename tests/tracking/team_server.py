"""MLflow as a team has it: `mlflow server` on PostgreSQL, artifacts in an S3 store, all on 127.0.0.1."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
"""Where Debian keeps them, out of PATH."""
BUCKET = "team"
PATIENCE = 120.0
S3_SECRET = "s3cret-of-s3"
S3_SETTINGS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": S3_SECRET, "AWS_DEFAULT_REGION": "us-east-1"}


def free_port() -> int:
    """Return a port of this machine on which nobody listens."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def programs() -> Path:
    """Return the folder of PostgreSQL's server programs; skips the test where there is none."""
    found = shutil.which("initdb")
    folders = [Path(found).parent] if found else [folder for folder in PROGRAMS if (folder / "initdb").exists()]
    if not folders:
        pytest.skip("PostgreSQL's server programs are not installed: apt install postgresql")
    return folders[-1]


def as_somebody() -> tuple[list[str], int | None]:
    """Return how a command is run as a user that is not root, whom PostgreSQL refuses, and that user's number."""
    if os.getuid():
        return [], None
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            user = pwd.getpwnam(name)
            return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"], user.pw_uid
    pytest.skip("PostgreSQL does not run as root, and there is no other user")


@contextmanager
def postgresql() -> Iterator[str]:
    """Yield the URI of an empty database, which asks for a password, of a PostgreSQL of its own."""
    commands, port, password = programs(), free_port(), secrets.token_hex(8)
    prefix, user = as_somebody()
    folder = Path(tempfile.mkdtemp(prefix="fmbench-postgresql-"))
    try:
        (folder / "password").write_text(password)
        for place in (folder, folder / "password"):
            if user is not None:
                os.chown(place, user, -1)
        data = str(folder / "data")
        make = [commands / "initdb", "-D", data, "-U", "mlflow", "-A", "scram-sha-256", "-E", "UTF8", "--no-sync"]
        made = subprocess.run(
            [*prefix, *map(str, make), f"--pwfile={folder / 'password'}"], capture_output=True, text=True, check=False
        )
        assert made.returncode == 0, made.stderr
        serve = [commands / "postgres", "-D", data, "-p", port, "-c", "fsync=off", "-c", "listen_addresses=127.0.0.1"]
        with (folder / "log").open("w") as log:
            process = subprocess.Popen(
                [*prefix, *map(str, serve), "-c", "unix_socket_directories="], stdout=log, stderr=log
            )
            try:
                _wait_for(process, lambda: _answers(port), folder / "log")
                yield f"postgresql+psycopg2://mlflow:{password}@127.0.0.1:{port}/postgres"
            finally:
                process.send_signal(signal.SIGINT)  # a fast shutdown
                process.wait(PATIENCE)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def s3() -> Iterator[str]:
    """Yield the address of an S3 store with an empty bucket."""
    boto3 = pytest.importorskip("boto3")
    moto = pytest.importorskip("moto.server")
    serving = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    serving.start()
    host, port = serving.get_host_and_port()
    address = f"http://{host}:{port}"
    try:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in {**S3_SETTINGS, "MLFLOW_S3_ENDPOINT_URL": address}.items():
                patch.setenv(name, value)
            boto3.client("s3", endpoint_url=address).create_bucket(Bucket=BUCKET)
            yield address
    finally:
        serving.stop()


def keys_in(address: str) -> list[str]:
    """Return the names of all objects in the bucket."""
    import boto3

    pages = boto3.client("s3", endpoint_url=address).get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
    return [found["Key"] for page in pages for found in page.get("Contents", [])]


@dataclass
class TeamServer:
    """`mlflow server` over a database; it can be stopped and started, at the same address."""

    database: str
    folder: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        """Return its address."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = [sys.executable, "-P", "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--workers", "2", "--no-serve-artifacts", "--default-artifact-root", f"s3://{BUCKET}/artifacts"]
        settings = {"MLFLOW_BACKEND_STORE_URI": self.database, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        settings |= {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "PYTHONWARNINGS": "ignore"}
        with (self.folder / "mlflow-server.txt").open("ab") as log:
            self.process = subprocess.Popen(
                command, env={**os.environ, **settings}, stdout=log, stderr=log, start_new_session=True
            )
        _wait_for(self.process, lambda: _is_healthy(self.uri), self.folder / "mlflow-server.txt")

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End all of its processes."""
        if self.process is not None:
            for signal_number in (how, signal.SIGKILL):
                with suppress(ProcessLookupError):
                    os.killpg(self.process.pid, signal_number)
                self.process.wait(PATIENCE)
            self.process = None

    def rows(self, question: str) -> list[tuple[Any, ...]]:
        """Ask the database itself."""
        import psycopg2

        connection = psycopg2.connect(self.database.replace("+psycopg2", ""))
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(question)
                return list(cursor.fetchall())
        finally:
            connection.close()


@contextmanager
def team_server(folder: Path) -> Iterator[TeamServer]:
    """Yield a server that has been started, and whose S3 store is in the environment."""
    pytest.importorskip("psycopg2")
    with s3(), postgresql() as database:
        server = TeamServer(database, folder)
        try:
            server.start()
            yield server
        finally:
            server.stop(signal.SIGKILL)


def _wait_for(process: subprocess.Popen[Any], there: Any, log: Path) -> None:
    until = time.monotonic() + PATIENCE
    while not there():
        assert process.poll() is None, log.read_text(errors="replace")[-4000:]
        assert time.monotonic() < until, log.read_text(errors="replace")[-4000:]
        time.sleep(0.1)


def _answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
        return True
    return False


def _is_healthy(uri: str) -> bool:
    import requests

    with suppress(requests.exceptions.RequestException):
        return requests.get(f"{uri}/health", timeout=1.0).text == "OK"
    return False
