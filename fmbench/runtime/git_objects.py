"""Files of a commit, read as `git_commit` asks git: no program is run that the repository names."""

from __future__ import annotations

from fmbench.runtime.git_commit import SETTINGS, ask


def is_commit(revision: str) -> bool:
    """Tell whether the repository around the working directory has a commit of that name."""
    return _commit(revision) is not None


def read_committed(revision: str, path: str) -> bytes | None:
    """Return the content of a file in a commit, without the spaces at its ends; None where there is no such file.

    `path` is git's: from the root of the repository, or from the working directory where it begins with "./".
    """
    if (commit := _commit(revision)) is None:
        return None
    content = ask(SETTINGS, "cat-file", "blob", f"{commit}:{path}")
    return None if content is None else content.encode(errors="surrogateescape")


def _commit(revision: str) -> str | None:
    return ask(SETTINGS, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}") or None
