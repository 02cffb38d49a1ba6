"""Making a plugin: a package in a folder of its own, or one file, with one component that works."""

from __future__ import annotations

import importlib.util
import keyword
import os
import re
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from string import Template

from fmbench.components.contracts import CONTRACTS, KINDS
from fmbench.errors import UserError, did_you_mean
from fmbench.io.whole_files import write_whole_once
from fmbench.plugins.registry import load_registry

FILES = Path(__file__).parent / "files"
"""Templates: `common`, and a folder a kind with `component.py`, `test.py`, `suite.yaml` and `try`."""
SUFFIX = ".template"

_NAME = re.compile(r"[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*")
_IMPORTED = {
    *(contract.__name__ for contract in CONTRACTS.values()),
    "Annotated",
    "Evidence",
    "Module",
    "Tensor",
    "Velocity",
}
"""Names that templates import, which no component of theirs can have."""
LONGEST = 50
"""Characters of a name."""


@dataclass(frozen=True)
class NewPlugin:
    """A plugin that was made: where it is, its files, and the commands that try it out there."""

    path: Path
    files: tuple[Path, ...]
    commands: tuple[str, ...]


def new_plugin(name: str, kind: str, parent: Path = Path(), *, single_file: bool = False) -> NewPlugin:
    """Make a plugin called `name` in `parent`, with a component of a kind; nothing that is there is overwritten.

    A package goes into a folder of its name; with `single_file` it is one Python file. Raises UserError where the kind
    or the name will not do, or something of that name is there.
    """
    if kind not in KINDS:
        raise UserError(f"--kind is one of {', '.join(KINDS)}; found {kind!r}.{did_you_mean(kind, KINDS)}")
    _check_name(name, kind)
    module = name.replace("-", "_")
    path = parent / (f"{module}.py" if single_file else name)
    if os.path.lexists(path):
        raise UserError(f"{path} is there already, and nothing is overwritten. Give another name, or remove it.")
    words = _words(name, module, kind, single_file)
    try:
        if single_file:
            if not write_whole_once(path, _filled(f"{kind}/component.py", words).encode()):
                raise UserError(f"{path} was made meanwhile, and nothing is overwritten. Give another name.")
            files: tuple[Path, ...] = (path,)
        else:
            files = _write_package(path, module, kind, words)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}. Give another name, or another folder.") from error
    return NewPlugin(path, files, _commands(name, module, words, single_file))


def _check_name(name: str, kind: str) -> None:
    module = name.replace("-", "_")
    if len(name) > LONGEST or not _NAME.fullmatch(name):
        near = re.sub(r"[^a-z0-9]+", "-", name.lower()[:LONGEST]).strip("-")
        hint = f" {near!r}, say." if _NAME.fullmatch(near) else " 'my-solver', say."
        rule = f"lower-case letters and digits in words joined by '-' or '_', {LONGEST} characters at most"
        raise UserError(f"a plugin's name is {rule}, and begins with a letter; found {name!r}.{hint}")
    if keyword.iskeyword(module) or keyword.issoftkeyword(module):
        raise UserError(f"{module!r} is a word of Python's own, and cannot be a module's name. Give another name.")
    registry = load_registry()
    for each in (kind, *KINDS):
        if module in registry.names(each):
            owner = registry.entry(each, module).owner
            raise UserError(f"the {each} {module!r} is registered already, by {owner}. Give another name.")
    if module in sys.stdlib_module_names or importlib.util.find_spec(module) is not None:
        raise UserError(
            f"a Python module {module!r} is installed already, which this one would hide. Give another name."
        )


def _words(name: str, module: str, kind: str, single_file: bool) -> dict[str, str]:
    """Return what stands for each `$word` of the templates."""
    component = "".join(word.capitalize() for word in module.split("_"))
    component = f"My{component}" if component in _IMPORTED else component
    words = {
        "name": name,
        "module": module,
        "kind": kind,
        "kind_in_words": kind.replace("_", "-"),
        "hook": f"fmbench_{kind}s",
        "contract": CONTRACTS[kind].__name__,
        "component": component,
        "target": f"{module}.{kind}:{component}",
        "also_imported": ", hookimpl" if single_file else "",
    }
    words["options"] = _filled(f"{kind}/try", words).strip()
    words["usage"] = f"\n\nTry it: fmbench run smoke --plugins {module}.py {words['options']}\n" if single_file else ""
    words["registration"] = "\n" + _filled("common/registration.py", words).rstrip() if single_file else ""
    return words


def _write_package(path: Path, module: str, kind: str, words: dict[str, str]) -> tuple[Path, ...]:
    """Write a package's files, all or none."""
    contents = {
        "pyproject.toml": "common/pyproject.toml",
        "README.md": "common/README.md",
        ".gitignore": "common/gitignore",
        "suite.yaml": f"{kind}/suite.yaml",
        f"src/{module}/__init__.py": "common/init.py",
        f"src/{module}/{kind}.py": f"{kind}/component.py",
        f"src/{module}/py.typed": "common/py.typed",
        f"tests/test_{module}.py": f"{kind}/test.py",
    }
    written = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    try:
        for file, template in contents.items():
            target = written / file
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(_filled(template, words), encoding="utf-8")
        written.chmod(0o777 & ~_umask())
        written.rename(path)
    except BaseException:
        shutil.rmtree(written, ignore_errors=True)
        raise
    return tuple(path / file for file in contents)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _filled(template: str, words: dict[str, str]) -> str:
    text = (FILES / f"{template}{SUFFIX}").read_text(encoding="utf-8")
    return Template(text).substitute(words)


def _commands(name: str, module: str, words: dict[str, str], single_file: bool) -> tuple[str, ...]:
    if single_file:
        checked, tried = f"fmbench check-plugin {module}.py", f"--plugins {module}.py {words['options']}"
        return (checked, f"fmbench run smoke {tried}")
    return (f"cd {name}", "pip install -e .", f"fmbench check-plugin {module}", "fmbench run suite.yaml")
