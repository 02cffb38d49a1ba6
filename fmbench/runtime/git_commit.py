"""The commit of the working directory, asked of git without running a program that the repository names.

A folder that was downloaded can bring a repository with settings of its own, and several of these are commands that
`git status` runs: a monitor of files, filters of files whose time stamps have changed, hooks, transports that fetch
what a partial clone lacks, and those of submodules. All of them are overruled here.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping

SETTINGS = {
    "core.fsmonitor": "false",
    "core.hooksPath": os.devnull,
    "safe.bareRepository": "explicit",  # else any folder can pass for a repository
    "status.submoduleSummary": "false",
}
ENVIRONMENT = {
    "GIT_OPTIONAL_LOCKS": "0",  # nothing is written, and so no hook is called
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ALLOW_PROTOCOL": "",  # the same for a git that does not know the line above
    "GIT_TERMINAL_PROMPT": "0",
    "LC_ALL": "C",  # in which names of any bytes are found by a pattern
}
STATUS = ("status", "--porcelain", "--untracked-files=no", "--ignore-submodules=all")
FILTERS = r"^filter\..*\.(clean|smudge|process|required)$"
SECONDS = 10.0


def git_commit() -> str:
    """Return the commit of the working directory, with `+` when files differ from it; "" outside of a repository.

    It has a `+`, too, where git cannot tell within SECONDS. Files that a filter of the repository's would change count
    as they lie there; submodules do not count.
    """
    if not (commit := (ask(SETTINGS, "rev-parse", "--verify", "HEAD") or "")[:12]):
        return ""
    named = ask(SETTINGS, "config", "--null", "--name-only", "--get-regexp", FILTERS) or ""
    idle = {name: "false" if name.endswith(".required") else "" for name in named.split("\0") if name}
    changes = ask(SETTINGS | idle, *STATUS)
    return commit + ("" if changes == "" else "+")


def ask(settings: Mapping[str, str], *arguments: str) -> str | None:
    """Return what git says under some settings; None where it fails, or is not there."""
    first = os.environ.get("GIT_CONFIG_COUNT", "")
    number = int(first) if first.isdecimal() else 0
    environment = {**os.environ, **ENVIRONMENT, "GIT_CONFIG_COUNT": str(number + len(settings))}
    for place, (name, value) in enumerate(settings.items(), start=number):
        environment |= {f"GIT_CONFIG_KEY_{place}": name, f"GIT_CONFIG_VALUE_{place}": value}
    try:
        done = subprocess.run(
            ["git", "--no-pager", *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="surrogateescape",  # names go back to git as they came
            timeout=SECONDS,
            check=False,
        )
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
