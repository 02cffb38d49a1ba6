"""What is built from the sources holds all that lies in the packages, and the suites."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from command_line import fmbench

from fmbench.suite import load_suite, shipped_suites, suite_file

ROOT = Path(__file__).parents[2]
SOURCES = ("fmbench", "plugins", "suites", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "CHANGELOG.md")
BUILD = "import sys; from setuptools import build_meta as b; print(getattr(b, sys.argv[1])(sys.argv[2]))"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """The names in a source distribution, and in a wheel that is built of it."""
    folder = tmp_path_factory.mktemp("distribution")
    clone = folder / "clone"
    clone.mkdir()
    for name in SOURCES:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
            shutil.copytree(ROOT / name, clone / name, symlinks=True, ignore=ignored)
        else:
            shutil.copy(ROOT / name, clone / name)
    sdist = folder / build("build_sdist", clone, folder)
    with tarfile.open(sdist) as archive:
        archive.extractall(folder / "unpacked", filter="data")
        names = {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}
    (unpacked,) = (folder / "unpacked").iterdir()
    with zipfile.ZipFile(folder / build("build_wheel", unpacked, folder)) as wheel:
        return {"sdist": names, "wheel": set(wheel.namelist())}


def build(hook: str, source: Path, target: Path) -> str:
    """Build a distribution with the setuptools that is here; return the name of its file."""
    command = [sys.executable, "-c", BUILD, hook, str(target)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


def in_packages() -> set[str]:
    """Return all files of the packages, as a wheel calls them."""
    found = set()
    for folder in (ROOT, ROOT / "plugins"):
        for package in folder.glob("fmbench*/"):
            files = (file for file in package.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
            found |= {file.relative_to(folder).as_posix() for file in files if ".egg-info" not in str(file)}
    return found


def test_the_wheel_holds_every_file_of_the_packages(built: dict[str, set[str]]) -> None:
    lacking = {name for name in in_packages() - built["wheel"] if not name.startswith("fmbench/shipped_suites")}
    assert not lacking, "add them to [tool.setuptools.package-data] of pyproject.toml"
    assert {name.partition("/")[2] for name in built["wheel"] if "dist-info" in name} >= {
        "licenses/LICENSE",
        "METADATA",
    }


def test_both_hold_the_suites_as_files(built: dict[str, set[str]]) -> None:
    suites = {file.relative_to(ROOT / "suites").as_posix() for file in (ROOT / "suites").rglob("*.yaml")}
    assert "smoke.yaml" in suites
    for names in built.values():
        shipped = {name.partition("shipped_suites/")[2] for name in names if "shipped_suites/" in name}
        assert shipped == suites


def test_neither_holds_tests_or_reports(built: dict[str, set[str]]) -> None:
    for names in built.values():
        assert not [name for name in names if name.partition("/")[0] in ("tests", "reports", "docs", "suites")]


def test_a_suite_is_called_by_its_name_and_a_file_of_the_user_goes_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_suite("smoke").name == "smoke"
    assert set(shipped_suites()) >= {"smoke", "low_nfe", "tutorials/sine"}
    assert suite_file("tutorials/sine") == (ROOT / "suites" / "tutorials" / "sine.yaml").resolve()
    assert suite_file("smoke.yaml") == Path("smoke.yaml")
    (tmp_path / "smoke.yaml").write_text("name: mine")
    assert suite_file("smoke") == Path("smoke.yaml")
    (tmp_path / "smoke").write_text("name: mine too")
    assert suite_file("smoke") == Path("smoke")
    (tmp_path / "low_nfe").mkdir()
    assert suite_file("low_nfe").is_absolute()


def test_the_suites_are_listed_and_one_of_them_is_a_file_to_begin_from(tmp_path: Path) -> None:
    listed = fmbench("suites", cwd=tmp_path).stdout
    data = {each["name"]: each for each in json.loads(fmbench("suites", "--json", cwd=tmp_path).stdout)}
    assert set(data) == set(shipped_suites())
    assert all(name in listed and each["description"] in listed for name, each in data.items())
    printed = fmbench("suites", "smoke", cwd=tmp_path).stdout
    assert printed == (ROOT / "suites" / "smoke.yaml").read_text()
    wrong = fmbench("suites", "smok", cwd=tmp_path)
    assert wrong.returncode == 2
    assert "Did you mean 'smoke'?" in wrong.stderr


@pytest.mark.parametrize("name", sorted(shipped_suites()))
def test_a_shipped_suite_is_planned_in_any_folder(tmp_path: Path, name: str) -> None:
    assert fmbench("plan", name, "--json", cwd=tmp_path).returncode == 0
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("smok", "Did you mean 'smoke'?"),
        ("sine", "Did you mean 'tutorials/sine', which comes with fmbench?"),
        ("suites/low_nfe.yaml", "The suite 'low_nfe' comes with fmbench: call it so"),
        ("nothing_like_it", "`fmbench suites` lists those that come with fmbench."),
    ],
)
def test_a_suite_that_is_not_there_names_what_was_meant(tmp_path: Path, given: str, message: str) -> None:
    done = fmbench("plan", given, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
