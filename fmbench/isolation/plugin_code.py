"""Running a plugin's code where it is loaded: it prints to standard error, ends no process, and changes nothing."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import Any

from fmbench.errors import Interrupted, PluginError, ProcessChanged
from fmbench.isolation.monkeypatches import Attributes, intruders
from fmbench.isolation.process_state import Watch, note_foreign_code, said


class PluginStopped(Exception):
    """Code of a plugin raised what is no Exception, such as SystemExit: its cause."""


@contextmanager
def plugin_code(who: str, *, own: bool = False, top: str = "") -> Iterator[None]:
    """Run code of a plugin that is imported, asked or built.

    What it prints goes to standard error. Whatever it raises comes out as an Exception, but for the user's own Ctrl-C.
    Raises ProcessChanged where it changed what others share, which is then put back; where it cannot be, PluginError,
    which names `who`: this process must not go on. `own` says that the code is fmbench's, which does none of that;
    `top` is the plugin's module or package, where it is imported.
    """
    if own:
        yield
        return
    note_foreign_code(who)
    with _interrupts() as interrupted, stdout_to_stderr():
        held, modules = Attributes(), set(sys.modules)
        watch = Watch(lambda: held)
        try:
            yield
        except BaseException as error:
            _put_back(watch, who)
            if isinstance(error, Exception | Interrupted) or (isinstance(error, KeyboardInterrupt) and interrupted):
                raise
            raise PluginStopped(f"{type(error).__name__} was raised") from error
        if changed := _put_back(watch, who):
            raise ProcessChanged(changed)
        if top and (found := intruders(sys.modules.keys() - modules, top)):
            raise PluginError(_for_ever(who, found))


def _put_back(watch: Watch, who: str) -> str:
    """Put back what was changed, and return the message about it; empty where nothing was."""
    found = watch.changes()
    if not found:
        return ""
    if left := watch.put_back():
        raise PluginError(_for_ever(who, left))
    return said("it", found)


def _for_ever(who: str, changed: Sequence[str]) -> str:
    return f"{said(who, changed)}; nothing else can put it back, so leave the plugin out"


@contextmanager
def stdout_to_stderr() -> Iterator[None]:
    """Let all that is printed inside go to standard error, by C code and child processes, too.

    What is printed there stands in front of no JSON. Does what it can where there are no such streams.
    """
    ours = [stream for stream in dict.fromkeys((sys.stdout, sys.__stdout__)) if stream is not None]
    for stream in ours:
        stream.flush()
    try:
        saved = os.dup(1)
        os.dup2(2, 1)
    except OSError:  # one of the two is closed
        saved = None
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        if saved is not None:
            for stream in ours:  # to which a plugin may have printed by its other name, `sys.__stdout__`
                stream.flush()
            if "ctypes" in sys.modules:  # else nobody is likely to have called C
                sys.modules["ctypes"].CDLL(None).fflush(None)
            os.dup2(saved, 1)
            os.close(saved)


@contextmanager
def _interrupts() -> Iterator[list[int]]:
    """Give a list that is filled when the user presses Ctrl-C: a plugin may raise KeyboardInterrupt, too."""
    seen: list[int] = []

    def note(number: int, frame: Any) -> None:
        seen.append(number)
        signal.default_int_handler(number, frame)

    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield seen
        return
    signal.signal(signal.SIGINT, note)
    try:
        yield seen
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
