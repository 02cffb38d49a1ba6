"""The suites that come with fmbench: they lie in the package, and are called by their names, without a folder."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from fmbench.errors import did_you_mean

FOLDER = Path(__file__).parents[1] / "shipped_suites"
"""In a clone a link to `suites`, so that nothing is there twice; in a wheel the files themselves."""
SUFFIXES = (".yaml", ".yml")


@cache
def shipped_suites() -> dict[str, Path]:
    """Return the files of the suites that come with fmbench by name: `smoke`, or `tutorials/sine`."""
    folder = FOLDER.resolve()
    files = sorted(folder.rglob("*.yaml"), key=lambda file: (len(file.relative_to(folder).parts), file.name))
    return {file.relative_to(folder).with_suffix("").as_posix(): file for file in files}


def suite_file(suite: str | Path) -> Path:
    """Return the file that is meant by what a user calls a suite.

    A file that is there is meant before all else. Of a name without a suffix, `NAME.yaml` in the working folder is
    meant next, and then the suite of that name that comes with fmbench.
    """
    path = Path(suite)
    if path.suffix in SUFFIXES or path.is_absolute() or path.is_file():
        return path
    beside = path.with_name(f"{path.name}.yaml") if path.name else path
    if beside.is_file():
        return beside
    return shipped_suites().get(path.as_posix(), path)


def shipped_suite_meant(path: Path) -> str:
    """Return a hint at the shipped suite that was probably meant by a file that is not there; "" where none was."""
    name = path.with_suffix("").as_posix().removeprefix("suites/")
    if name in shipped_suites():
        return f" The suite {name!r} comes with fmbench: call it so, without a folder and .yaml."
    by_last = {each.rpartition("/")[2]: each for each in shipped_suites()}
    if name in by_last:
        return f" Did you mean {by_last[name]!r}, which comes with fmbench?"
    return did_you_mean(name, shipped_suites())
