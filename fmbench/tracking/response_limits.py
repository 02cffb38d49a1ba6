"""One deadline and one size for a whole answer: a server may send a byte a second, or never end.

The time-outs of requests hold for each read, and it reads an answer into memory, however long it is.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from fmbench.io.threads import start_thread
from fmbench.tracking.retry_after import note

if TYPE_CHECKING:
    from requests import Response

ANSWER_SECONDS = 60.0
"""For one answer to MLflow's client; sending does not count."""

ANSWER_BYTES = 256 * 2**20
"""For one answer to MLflow's client. A page of 500 runs takes 10 MB."""

PIECE = 2**16
T = TypeVar("T")


class EndlessAnswer(OSError):
    """A server's answer took too long or grew too large."""


def read_bounded(response: Response, most_bytes: int, seconds: float) -> bytes:
    """Return the decoded body of a response that was asked for as a stream.

    Raises EndlessAnswer when it is longer than `most_bytes`, or not there after `seconds`.
    """
    ends = time.monotonic() + seconds
    read = getattr(response.raw, "read1", response.raw.read)  # before its version 2, urllib3 waits for a whole piece
    parts: list[bytes] = []
    size = 0
    while True:
        part = read(PIECE, decode_content=True)
        if not part:
            return b"".join(parts)
        parts.append(part)
        size += len(part)
        if size > most_bytes or time.monotonic() > ends:
            response.close()
            limit = f"{most_bytes:,} bytes" if size > most_bytes else f"{seconds:g} s"
            raise EndlessAnswer(f"its answer had no end after {limit}")


def within(seconds: float, ask: Callable[[], T]) -> T:
    """Return what `ask` returns, or raise what it raises; EndlessAnswer when that takes longer than `seconds`.

    A request that hangs is left behind in a thread of its own, and ends with the process.
    """
    from concurrent.futures import Future, wait

    answer: Future[T] = Future()

    def work() -> None:
        try:
            answer.set_result(ask())
        except BaseException as error:
            answer.set_exception(error)

    start_thread(work, "fmbench-probe")
    if not wait([answer], seconds).done:
        raise EndlessAnswer(f"it gave no whole answer within {seconds:g} s")
    return answer.result()


def bound_answers() -> None:
    """Let no answer to MLflow's client in this process be endless: its sessions get adapters that read with bounds.

    They also return an answer that says "busy" in place of raising, so that it can be read how long to wait.
    """
    from mlflow.utils import request_utils

    original = request_utils._get_request_session
    if getattr(original, "bounded", False):
        return

    def get_session(*arguments: Any, **named: Any) -> Any:
        session = original(*arguments, **named)  # type: ignore[no-untyped-call]
        for adapter in session.adapters.values():
            if not getattr(adapter.send, "bounded", False):
                adapter.send = _bounded(adapter.send)
                adapter.max_retries = adapter.max_retries.new(raise_on_status=False)
        return session

    get_session.bounded = True  # type: ignore[attr-defined]
    request_utils._get_request_session = get_session


def _bounded(send: Callable[..., Response]) -> Callable[..., Response]:
    """Return an adapter's `send` that has read the answer, as requests would have, unless it is wanted as a stream."""

    def bounded_send(request: Any, stream: bool = False, **named: Any) -> Response:
        response = send(request, stream=stream, **named)
        note(response)
        if not stream:
            response._content = read_bounded(response, ANSWER_BYTES, ANSWER_SECONDS)
            response._content_consumed = True
        return response

    bounded_send.bounded = True  # type: ignore[attr-defined]
    return bounded_send
