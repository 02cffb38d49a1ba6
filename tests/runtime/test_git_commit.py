"""The commit of the working directory is told, and no program that its repository names is run."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from fmbench.runtime.git_commit import git_commit


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one commit, as the working directory; no setting of this machine counts."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    folder = tmp_path / "downloaded"
    folder.mkdir()
    monkeypatch.chdir(folder)
    git("init", "--quiet")
    git("config", "user.name", "nobody")
    git("config", "user.email", "nobody@example.com")
    (folder / "file.txt").write_text("content\n")
    (folder / "other.dat").write_text("content\n")
    (folder / "bytes.raw").write_text("content\n")
    git("add", ".")
    git("commit", "--quiet", "--message", "one")
    return folder


def git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], capture_output=True, text=True, check=True).stdout.strip()


def test_the_commit_and_whether_files_differ(repository: Path) -> None:
    commit = git("rev-parse", "--short=12", "HEAD")
    assert git_commit() == commit
    os.utime(repository / "file.txt", (1, 1))
    assert git_commit() == commit, "a time is no content"
    (repository / "new.txt").write_text("")
    assert git_commit() == commit, "a file that git does not know does not count"
    (repository / "file.txt").write_text("changed\n")
    assert git_commit() == f"{commit}+"


def test_outside_of_a_repository_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path / "folder")
    assert git_commit() == ""


def hostile(repository: Path, run: Path) -> None:
    """Have everything that `git status` can run touch the file `run`."""
    program = repository.parent / "program"
    program.write_text(f"#!/bin/sh\necho $0 >> {run}\ncat\n")
    program.chmod(0o755)
    for name in ("core.fsmonitor", "filter.evil=a b.clean", "filter.other.process", "core.sshCommand"):
        git("config", name, str(program))
    git("config", "filter.other.required", "true")
    hooks = repository / ".git" / "hooks"
    hooks.mkdir(exist_ok=True)
    (hooks / "post-index-change").symlink_to(program)
    (hooks / "fsmonitor-watchman").symlink_to(program)
    (repository / ".git" / "info").mkdir(exist_ok=True)
    (repository / ".gitattributes").write_bytes(b"*.dat filter=other\n*.raw filter=no\xfftext\n")
    included = repository / ".git" / "more"
    named = f'[filter "third"]\n\tclean = {program}\n[filter "no\udcfftext"]\n\tclean = {program}\n'
    included.write_bytes(named.encode("utf-8", "surrogateescape"))
    git("config", "include.path", str(included))
    (repository / ".git" / "info" / "attributes").write_text("*.txt filter=third\n")
    for file in ("file.txt", "other.dat", "bytes.raw"):
        os.utime(repository / file, (1, 1))


def test_nothing_that_the_repository_names_is_run(repository: Path, tmp_path: Path) -> None:
    commit, run = git_commit(), tmp_path / "run"
    hostile(repository, run)
    assert git_commit() == commit
    assert not run.exists()
    subprocess.run(["git", "status"], capture_output=True, check=False)
    assert run.exists(), "git itself runs them: else this test would say nothing"


def test_a_folder_of_a_repository_that_passes_for_one_is_none(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bare repository can be committed into another one, with settings of its own."""
    git("clone", "--quiet", "--bare", ".", "inner")
    monkeypatch.chdir(repository / "inner")
    assert git_commit() == ""
