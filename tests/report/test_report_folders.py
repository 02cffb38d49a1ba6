"""A suite's reports: one folder for each list of changes, and never one for two; its files may be read by all."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fmbench.report.output_folder import Folder
from fmbench.runner.session import Options, Session


def folder(overrides: tuple[str, ...] = (), filters: tuple[str, ...] = ()) -> str:
    suite: Any = SimpleNamespace(name="low_nfe")
    absent: Any = None
    options = Options(overrides, filters, reports=Path("reports"))
    found = Session(Path("suites/low_nfe.yaml"), options, absent, suite, absent, absent).report_folder
    assert found.parent == Path("reports")
    return found.name


@pytest.mark.parametrize(
    ("overrides", "filters", "name"),
    [
        ((), (), "low_nfe"),
        (("training.steps=200",), (), "low_nfe+training.steps=200"),
        (("training.steps=200",), ("path=linear", "nfe=1"), "low_nfe+training.steps=200+path=linear+nfe=1"),
        ((), ("training.optimizer=" + "a" * 81,), "low_nfe+training.optimizer=" + "a" * 81),
    ],
)
def test_a_name_that_says_all_is_what_was_written(
    overrides: tuple[str, ...], filters: tuple[str, ...], name: str
) -> None:
    assert folder(overrides, filters) == name


DIFFERENT = [
    ((), ("nfe=1e+3",)),
    ((), ("nfe=1e-3",)),
    ((), ("nfe=1e 3",)),
    ((), ("nfe=1,4",)),
    ((), ("nfe=1-4",)),
    ((), ("nfe=1", "4")),
    ((), ("nfe=1+4",)),
    (("nfe=1-4",), ("x",)),
    ((), ("path=linear(a=1)",)),
    ((), ("path=linear(a=1",)),
    ((), ("path=Linear",)),
    ((), ("path=linear",)),
    ((), ("path=LINEAR",)),
    ((), ("path=linear ",)),
    ((), ("path=línear",)),
    ((), ("\udcff",)),
    ((), ("***",)),
    ((), ("+++",)),
    ((), ("../../x",)),
    ((), ("x" * 100,)),
    ((), ("x" * 101,)),
    ((), ("x" * 10_000,)),
    ((), ("x" * 10_000 + "y",)),
    ((), tuple(f"nfe={number}" for number in range(40))),
    ((), tuple(f"nfe={number}" for number in range(41))),
]


def test_different_changes_have_different_folders_on_any_file_system() -> None:
    names = [folder(*changes) for changes in DIFFERENT]
    assert len({name.lower() for name in names}) == len(DIFFERENT)
    assert "low_nfe" not in names
    for name in names:
        assert name.isascii()
        assert len(name) < 250
        assert not set(name) & set("/ *")


def test_what_was_changed_of_a_name_is_told_by_eight_digits() -> None:
    name, _, digits = folder((), ("nfe=1e+3",)).rpartition("-")
    assert name == "low_nfe+nfe=1e-3"
    assert len(digits) == 8
    assert int(digits, 16) >= 0


def test_a_report_may_be_read_by_all_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        written = Folder(tmp_path).write("index.html", "<p>")
    finally:
        os.umask(before)
    assert stat.S_IMODE(written.stat().st_mode) == 0o644
