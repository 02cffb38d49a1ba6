"""Threads of io: signals are for the main thread."""

from __future__ import annotations

import os
import signal
import threading
import time

from fmbench.io.threads import SIGNALS, start_thread


def test_a_thread_takes_no_signal_and_the_main_one_is_as_before() -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    seen: list[set[int]] = []
    thread = start_thread(lambda: seen.append({*signal.pthread_sigmask(signal.SIG_BLOCK, [])}), "quiet")
    thread.join(10)
    assert seen[0] >= {*SIGNALS}
    assert (thread.name, thread.daemon) == ("quiet", True)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before


def test_two_signals_at_once_wake_a_main_thread_that_waits() -> None:
    heard: list[int] = []
    old = {number: signal.signal(number, lambda n, _: heard.append(n)) for number in (signal.SIGTERM, signal.SIGHUP)}
    over = threading.Event()
    waiting = start_thread(lambda: over.wait(60))
    try:
        for _ in range(50):
            heard.clear()
            for number in old:
                os.kill(os.getpid(), number)
            until = time.monotonic() + 30
            while len(heard) < 2 and time.monotonic() < until:
                time.sleep(0.001)
            assert sorted(heard) == sorted(old)
    finally:
        over.set()
        waiting.join(10)
        for number, handler in old.items():
            signal.signal(number, handler)
