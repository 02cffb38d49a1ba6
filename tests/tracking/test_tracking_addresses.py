"""Where MLflow is: URIs with passwords, odd or hostile servers, certificates, and drivers that are missing."""

from __future__ import annotations

import base64
import ipaddress
import json
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from test_tracking import suite

from fmbench.errors import TrackingError
from fmbench.runner.session import Options
from fmbench.tracking import (
    Tracker,
    background_writer,
    required_packages,
    resolve_uri,
    response_limits,
    server_check,
    shown,
)
from fmbench.tracking.client import as_mlflow_reads
from fmbench.tracking.credentials import masked
from fmbench.tracking.ledger import Ledger
from fmbench.tracking.server_check import check, request_settings
from fmbench.tracking.uris import LONGEST_REASON, NEXT_FILE, reason, sqlite_file, sqlite_uri

SECRET = "s3cr@t/w"
CODED = "s3cr%40t%2Fw"
MANY = 10_000

Answer = Callable[[bytes, Callable[[bytes], None]], None]
"""Takes the head of a request and what sends bytes."""


@contextmanager
def server(answer: Answer, context: ssl.SSLContext | None = None) -> Iterator[str]:
    """Yield the address of a server on this machine, which ends with the block."""
    ends = threading.Event()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            def send(data: bytes) -> None:
                if ends.wait(0.01):
                    raise ConnectionError
                connection.sendall(data)

            try:
                connection = context.wrap_socket(self.request, server_side=True) if context else self.request
                with closing(connection):
                    head = b""
                    while b"\r\n\r\n" not in head and (part := connection.recv(4096)):
                        head += part
                    answer(head, send)
            except OSError:
                pass  # the other side has gone, as it should

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads, block_on_close = True, False

    with Server(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield f"{'https' if context else 'http'}://127.0.0.1:{listening.server_address[1]}"
        finally:
            ends.set()
            listening.shutdown()
            thread.join()


def healthy(_: bytes, send: Callable[[bytes], None]) -> None:
    send(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nOK")  # or the client asks again on it


def drips_its_body(_: bytes, send: Callable[[bytes], None]) -> None:
    send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n")
    for _i in range(MANY):
        send(b" ")


def drips_its_head(_: bytes, send: Callable[[bytes], None]) -> None:
    send(b"HTTP/1.1 200 OK\r\nX-Long: ")
    for _i in range(MANY):
        send(b"x")


def never_ends(_: bytes, send: Callable[[bytes], None]) -> None:
    send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _i in range(MANY):
        send(b"10000\r\n" + b" " * 0x10000 + b"\r\n")


@pytest.mark.parametrize(
    ("uri", "safe"),
    [
        (f"http://user:{CODED}@host:5000", "http://user:***@host:5000"),
        (f"postgresql://user:{SECRET}@host/db", "postgresql://user:***@host/db"),
        ("https://t0ken@host/x", "https://***@host/x"),
        ("postgresql://user@host/db", "postgresql://user@host/db"),
        ("postgresql://host/db?user=me&password=s3cret#x", "postgresql://host/db?user=me&password=***#x"),
        ("https://host/x?api_key=abcdef&page=2", "https://host/x?api_key=***&page=2"),
        ("http://host:5000/x", "http://host:5000/x"),
        ("sqlite:////a:b@c/mlflow.db", "sqlite:////a:b@c/mlflow.db"),
        ("databricks://profile", "databricks://profile"),
    ],
)
def test_a_uri_is_shown_without_its_secrets(uri: str, safe: str) -> None:
    assert shown(uri) == safe


def test_no_text_shows_a_secret_in_any_form(monkeypatch: pytest.MonkeyPatch) -> None:
    uri = f"http://user:{CODED}@host"
    basic = base64.b64encode(f"user:{SECRET}".encode()).decode()
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "tok-en-123")
    for text in (
        f"request to {uri}/api failed",
        f"HTTPConnectionPool(host='{SECRET}@host')",
        f"sent Authorization: Basic {basic}",
        "invalid literal for int() with base 10: 's3cr'",
        "Bearer tok-en-123 refused",
    ):
        hidden = masked(text, uri)
        assert "***" in hidden
        assert not any(part in hidden for part in (SECRET, CODED, basic, "s3cr", "tok-en"))
    assert (
        masked("Cannot connect to proxy http://me:other@proxy:3128")
        == "Cannot connect to proxy http://me:***@proxy:3128"
    )
    assert masked("a short word stays", "http://user:a@host") == "a short word stays"


def test_no_error_no_summary_and_no_ledger_holds_a_password(tmp_path: Path) -> None:
    """Nobody listens on port 9."""
    for uri in (f"http://user:{CODED}@127.0.0.1:9", f"postgresql+nothing://user:{SECRET}@host/db"):
        try:
            tracker = Tracker(resolve_uri(uri, tmp_path), "suite", tmp_path / "ledger.json", patience=0.1)
            tracker.check()
        except TrackingError as error:
            texts = [str(error), str(error.__cause__)]
            assert not any(part in text for text in texts for part in ("s3cr@", CODED))
        else:
            pytest.fail(uri)
    uri = f"http://user:{CODED}@127.0.0.1:9"
    tracker = Tracker(uri, "suite", tmp_path / "ledger.json", patience=0.1)
    tracker.start()
    summary = tracker.finish(suite(), None)
    assert summary.pending == 9
    assert summary.uri == "http://user:***@127.0.0.1:9"
    ledger = Ledger(tmp_path / "ledger.json", uri, "suite")
    ledger.save()
    assert CODED not in f"{summary} {ledger.path.read_text()}"
    assert json.loads(ledger.path.read_text())["uri"] == summary.uri


def test_credentials_in_a_uri_are_sent_as_mlflow_sends_them(monkeypatch: pytest.MonkeyPatch) -> None:
    heads: list[bytes] = []

    def answer(head: bytes, send: Callable[[bytes], None]) -> None:
        heads.append(head)
        healthy(head, send)

    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ann")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "word")
    with server(answer) as address:
        check(address)
        check(address.replace("://", f"://user:{CODED}@"))
        monkeypatch.delenv("MLFLOW_TRACKING_PASSWORD")
        monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "tok")
        check(address)
    sent = [next(line for line in head.decode().splitlines() if line.startswith("Authorization")) for head in heads]
    users = [base64.b64encode(text.encode()).decode() for text in ("ann:word", f"user:{SECRET}")]
    assert sent == [*(f"Authorization: Basic {user}" for user in users), "Authorization: Bearer tok"]


@pytest.mark.parametrize("answer", [drips_its_body, drips_its_head, never_ends])
def test_a_server_whose_answer_has_no_end_is_not_there(answer: Answer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_check, "ANSWER_SECONDS", 0.5)
    with server(answer) as address, pytest.raises(TrackingError, match=r"does not: it.*(no whole answer|had no end)"):
        check(address)


@pytest.mark.parametrize(
    ("answer", "seconds", "size", "limit"),
    [(drips_its_body, 0.3, 2**20, "0.3 s"), (never_ends, 60.0, 2**18, "262,144 bytes")],
)
def test_mlflows_client_reads_no_answer_without_end(
    answer: Answer, seconds: float, size: int, limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.utils import request_utils

    monkeypatch.setattr(response_limits, "ANSWER_SECONDS", seconds)
    monkeypatch.setattr(response_limits, "ANSWER_BYTES", size)
    response_limits.bound_answers()
    ask = request_utils._get_request_session(0, 0.0, 0.0, frozenset(), False, True).get
    with server(answer) as address, pytest.raises(response_limits.EndlessAnswer, match=limit):
        ask(address, timeout=60)
    monkeypatch.setattr(response_limits, "ANSWER_SECONDS", 60.0)  # a busy machine may be slow to answer
    with server(healthy) as address:
        assert ask(address, timeout=60).text == "OK"
        with ask(address, timeout=60, stream=True) as streamed:
            assert streamed.raw.read() == b"OK"


def test_a_server_that_hangs_ends_no_run_late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background_writer, "HANGS", 5.0)
    with server(drips_its_head) as address:
        tracker = Tracker(address, "suite", tmp_path / "ledger.json", patience=0.1)
        tracker.start()
        summary = tracker.finish(suite(), None)
    assert summary.pending == 9
    assert "9 not logged" in str(summary)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that signs itself, with its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    builder = builder.add_extension(
        x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
    ).add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    formats = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    file = tmp_path_factory.mktemp("tls") / "both.pem"
    text = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    file.write_bytes(text + key.private_bytes(serialization.Encoding.PEM, *formats))
    return file


def test_the_first_question_honours_mlflows_settings_of_tls(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with server(healthy, context) as address:
        with pytest.raises(TrackingError, match=r"certificate.*MLFLOW_TRACKING_SERVER_CERT_PATH"):
            check(address)
        for variable, value in (
            ("MLFLOW_TRACKING_SERVER_CERT_PATH", str(certificate)),
            ("REQUESTS_CA_BUNDLE", str(certificate)),
            ("MLFLOW_TRACKING_INSECURE_TLS", "true"),
        ):
            with monkeypatch.context() as patch:
                patch.setenv(variable, value)
                check(address)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(certificate)
    monkeypatch.setenv("MLFLOW_TRACKING_SERVER_CERT_PATH", str(certificate))
    with server(healthy, context) as address:
        with pytest.raises(TrackingError, match="does not"):
            check(address)
        monkeypatch.setenv("MLFLOW_TRACKING_CLIENT_CERT_PATH", str(certificate))
        check(address)
    monkeypatch.setenv("MLFLOW_TRACKING_INSECURE_TLS", "1")
    with pytest.raises(TrackingError, match="found both"):
        request_settings()


@pytest.mark.parametrize(
    ("uri", "module", "command"),
    [
        ("postgresql+psycopg2://u:pw12@h/db", "psycopg2", "pip install psycopg2-binary"),
        ("postgresql+psycopg://u:pw12@h/db", "psycopg", 'pip install "psycopg[binary]"'),
        ("mysql+pymysql://u:pw12@h/db", "pymysql", "pip install pymysql"),
        ("mssql+pymssql://u:pw12@h/db", "pymssql", "pip install pymssql"),
        ("databricks", "databricks.sdk", "pip install databricks-sdk"),
    ],
)
def test_a_missing_driver_is_named_with_what_installs_it(
    uri: str, module: str, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, module, None)  # as if it were not installed
    monkeypatch.setattr(required_packages, "_is_there", lambda _: False)
    with pytest.raises(TrackingError, match=f"needs {module}.*{command}".replace("[", r"\[")) as raised:
        check(uri)
    assert "pw12" not in str(raised.value)


def test_a_package_that_is_missing_later_is_named_too() -> None:
    error = RuntimeError("artifacts could not be sent")
    error.__cause__ = ModuleNotFoundError("No module named 'boto3'", name="boto3")
    assert reason(error) == "it needs boto3, which is not installed: pip install boto3"


def test_a_database_uri_that_cannot_be_read_is_one_clear_message() -> None:
    with pytest.raises(TrackingError, match=r"postgresql://u:.*@h:x") as raised:
        check(f"postgresql://u:{CODED}@h:x/db")
    assert CODED not in str(raised.value)


@pytest.mark.parametrize("name", ["caf\udce9", "a\nb"])
def test_a_folder_whose_name_mlflow_cannot_take_is_said_before_anything_is_computed(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(TrackingError, match=r"cannot be used: it .*--no-tracking now"):
        resolve_uri(None, tmp_path / name)


@pytest.mark.parametrize("uri", ["http://[", "http://a\0b", "sqlite:////tmp/a\0b.db", "x" * 5000, f"ftp:{'x' * 5000}"])
def test_what_is_no_uri_is_one_short_message(uri: str, tmp_path: Path) -> None:
    with pytest.raises(TrackingError, match=r"a tracking URI must be|the tracking URI .* cannot be used") as raised:
        resolve_uri(uri, tmp_path)
    assert len(str(raised.value)) < 800


@pytest.mark.parametrize("name", ["a%20b", "100%", "a?b#c", "ü 'x' \"y\""])
def test_a_folder_of_any_name_has_a_uri(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    folder = tmp_path / name
    uri = resolve_uri(None, folder)
    assert sqlite_file(uri) == folder / "mlflow.db"
    assert resolve_uri(uri, tmp_path) == uri
    assert sqlite_file(sqlite_uri(Path("plain/mlflow.db"))) == Path("plain/mlflow.db")


def test_a_percent_sign_that_was_pasted_is_explained(tmp_path: Path) -> None:
    (tmp_path / "a%20b").mkdir()
    with pytest.raises(TrackingError, match=r"write sqlite:///.*/a%2520b/mlflow\.db"):
        resolve_uri(f"sqlite:///{tmp_path}/a%20b/mlflow.db", tmp_path)
    (tmp_path / "a b").mkdir()
    assert sqlite_file(resolve_uri(f"sqlite:///{tmp_path}/a%20b/mlflow.db", tmp_path)) == tmp_path / "a b" / "mlflow.db"


def test_a_sqlalchemy_that_decodes_no_uri_gets_it_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    import sqlalchemy.engine

    class Url:
        database = "%25"

    monkeypatch.setattr(sqlalchemy.engine, "make_url", lambda _: Url)
    assert as_mlflow_reads(Path("/a%20b/mlflow.db")) == "sqlite:////a%20b/mlflow.db"
    with pytest.raises(TrackingError, match=r"sqlalchemy>=2\.1"):
        as_mlflow_reads(Path("/a?b/mlflow.db"))


def test_mlflows_advice_is_shown_whole_and_ours_only_once() -> None:
    advice = (
        "Detected out-of-date database schema (found version 0123456789ab, but expected ba9876543210). Take a backup "
        "of your database, then run 'mlflow db upgrade sqlite:////srv/somebody/projects/benchmarks/mlflow.db' to "
        "migrate your database to the latest schema. NOTE: schema migration may result in database downtime - "
        "please consult your database's documentation for more detail."
    )
    assert 300 < len(advice) < LONGEST_REASON
    assert reason(ValueError(advice)) == advice.rstrip(".")
    assert reason(ValueError("first line\nsecond line\n\n[SQL: ...]")) == "first line second line"
    assert reason(TrackingError(f"it cannot be written. {NEXT_FILE}")) == "it cannot be written"
    long = reason(ValueError("One sentence. " * 500))
    assert len(long) <= LONGEST_REASON
    assert long.endswith("One sentence")
    assert len(reason(ValueError("word " * 5000))) <= LONGEST_REASON + 2


def test_a_variant_is_the_same_in_any_order_and_the_last_setting_counts() -> None:
    from fmbench.runner.session import Session

    def variant(overrides: tuple[str, ...], filters: tuple[str, ...] = ()) -> str:
        session = Session.__new__(Session)
        session.options = Options(overrides, filters)
        return session.variant

    assert variant(()) == ""
    words = "--set a=2 --set b=1 --filter nfe=4 --filter path=linear"
    assert variant(("b=1", "a=1", "a=2"), ("path=linear", "nfe=4")) == words
    assert variant(("a=2", "b=1"), ("nfe=4", "path=linear")) == words
    assert variant(("a=1e-3",)) != variant(("a=1e+3",))
