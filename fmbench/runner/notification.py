"""Telling somebody that a run has ended: on the desktop, or by a webhook. It never fails the run, and where the message
goes is a secret: a webhook's URL lets everybody write who has it, so that no message, log or record holds more of it
than its host.
"""

from __future__ import annotations

import http.client
import json
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from fmbench.errors import UserError
from fmbench.io.threads import start_thread

DESKTOP = "desktop"
SECONDS = 10.0
"""How long a message may take."""
PROGRAMS = ("notify-send", "osascript")
"""What shows a message on a desktop, of Linux and macOS."""


def check_target(target: str) -> None:
    """Raise UserError where a message cannot go to `target`: before a run of hours. It does not repeat a URL."""
    if target == DESKTOP:
        return
    try:
        url = urlsplit(target)
        is_url = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
        is_url &= "@" not in url.netloc and target.isascii() and target.isprintable() and " " not in target
    except ValueError:
        is_url = False
    if not is_url:
        raise UserError(
            "--notify takes desktop, or the URL of a webhook, https://HOST/..., of ASCII without spaces, user and "
            "password (not repeated here: it may be a secret)."
        )


def shown_target(target: str) -> str:
    """Return what may be said of where messages go: of a URL no more than its host."""
    if target == DESKTOP:
        return target
    try:
        url = urlsplit(target)
        return f"{url.scheme}://{url.hostname}/..."
    except ValueError:
        return "***"


def notify(target: str, title: str, text: str, facts: Mapping[str, Any]) -> str:
    """Send a message to the desktop, or as JSON to a webhook: "text", as chats take it, and `facts` beside it.

    Returns why it was not delivered, "" where it was.
    """
    if target == DESKTOP:
        return _on_desktop(title, text)
    body = json.dumps({"text": f"{title}\n{text}", **facts}).encode()
    problems: list[str] = []
    # a thread of its own: the timeout of a socket is for each of its reads, and none of a name's
    sending = start_thread(lambda: problems.append(_to_webhook(target, body)))
    sending.join(SECONDS)
    return problems[0] if problems else f"{shown_target(target)} did not answer within {SECONDS:g} seconds"


class _StaysHere(urllib.request.HTTPRedirectHandler):
    """Follows no redirection: what it leads to would be asked for, and sent nothing."""

    def redirect_request(self, *_: object) -> None:
        return None


def _to_webhook(target: str, body: bytes) -> str:
    headers = {"Content-Type": "application/json", "User-Agent": "fmbench"}
    try:
        request = urllib.request.Request(target, data=body, headers=headers, method="POST")
        with urllib.request.build_opener(_StaysHere).open(request, timeout=SECONDS):
            return ""
    except urllib.error.HTTPError as error:
        error.close()
        elsewhere = ", which is a redirection: give the URL that it leads to" if error.code // 100 == 3 else ""
        return f"{shown_target(target)} answered {error.code}{elsewhere}"
    except http.client.HTTPException as error:  # whose words may hold the URL, as those of the others
        return f"{shown_target(target)} answered what is not HTTP: {type(error).__name__}"
    except (OSError, ValueError) as error:
        why = getattr(error, "reason", error)
        why = why if isinstance(why, BaseException) else error
        said = why.strerror if isinstance(why, OSError) and why.strerror else type(why).__name__
        return f"{shown_target(target)} was not reached: {said}"


def _on_desktop(title: str, text: str) -> str:
    program = next((found for name in PROGRAMS if (found := shutil.which(name))), None)
    if program is None:
        return f"this machine has no desktop to show it on: neither {' nor '.join(PROGRAMS)} is here"
    command = [program, "--app-name=fmbench", "--", title, text]
    if program.endswith("osascript"):  # whose texts are arguments, and no part of the script
        script = "on run words\ndisplay notification (item 2 of words) with title (item 1 of words)\nend run"
        command = [program, "-e", script, title, text]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{program} did not show it: {type(error).__name__}"
    said = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    return f"{program} did not show it: {said}" if done.returncode else ""
