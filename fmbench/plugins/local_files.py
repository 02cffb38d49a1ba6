"""Importing a plugin that was given as a file, a folder or a module name."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from fmbench.errors import PluginError, ProcessChanged
from fmbench.io.regular_files import expanded
from fmbench.isolation.plugin_code import PluginStopped, plugin_code
from fmbench.isolation.plugin_traceback import described
from fmbench.plugins.source import FILE_PLUGIN, find_module

_loaded: dict[str, tuple[tuple[int, int], ModuleType]] = {}
"""File plugins of this process by path, with the state of the file: loading one again gives the same classes."""


def load_given(value: str) -> Iterator[ModuleType]:
    """Import a `.py` file, a package folder, each `.py` file of a plain folder, or a module by name.

    Files whose name starts with "_" are left to be imported by the others. Raises PluginError.
    """
    try:
        path = expanded(value)
        path.exists()  # asks the system, which may know better
    except OSError as error:
        raise PluginError(
            f"plugin {value!r} cannot be read: {error.strerror}. Give a .py file, a folder or a module's name"
        ) from error
    if path.is_dir():
        yield from _folder(path.resolve())
    elif path.is_file():
        if path.suffix != ".py":
            raise PluginError(f"plugin {value!r} is not a Python file: give a .py file, a folder or a module's name")
        yield _file(path.resolve())
    elif path.exists():
        raise PluginError(f"plugin {value!r} is no regular file: give a .py file, a folder or a module's name")
    elif path.suffix == ".py" or os.sep in value or value.startswith("."):
        raise PluginError(f"plugin {value!r} does not exist: there is no file or folder {path.absolute()}")
    else:
        yield _module(value)


def describe_error(error: BaseException) -> str:
    """Return an exception as one line: its type, its message, and the file and line of the plugin that led to it."""
    if isinstance(error, ProcessChanged):
        return str(error)
    if isinstance(error, PluginStopped) and error.__cause__ is not None:
        error = error.__cause__
    return described(error)


def source_of(content: Any) -> str:
    """Return what tells one plugin from another: its file, or the object itself where it has none."""
    file = getattr(content, "__file__", None)
    return os.path.realpath(file) if isinstance(file, str) else f"object {id(content)}"


def _folder(folder: Path) -> Iterator[ModuleType]:
    if (folder / "__init__.py").is_file():
        yield _package(folder)
        return
    files = sorted(file for file in folder.glob("*.py") if not file.name.startswith("_") and file.is_file())
    if not files:
        raise PluginError(f"plugin folder {str(folder)!r} holds no .py file whose name starts with a letter")
    for file in files:
        yield _file(file)


def _package(folder: Path) -> ModuleType:
    """Import a package folder under its own name, so that it can import itself; the name must be free."""
    name, file = folder.name, folder / "__init__.py"
    if not name.isidentifier():
        raise PluginError(f"plugin folder {str(folder)!r}: a package's name must be a Python name; rename the folder")
    other = find_module(name)
    if other is not None and other.path.resolve() == file:
        return _module(name)
    if other is not None or name in sys.stdlib_module_names or importlib.util.find_spec(name) is not None:
        taken = f"the module of {other.path}" if other else "a module that is there already"
        raise PluginError(
            f"plugin folder {str(folder)!r} would hide {taken}, which has the same name; rename the folder"
        )
    return _execute(name, file, package=True)


def _module(name: str) -> ModuleType:
    try:
        with plugin_code(f"plugin {name!r}", top=name.partition(".")[0]):
            return importlib.import_module(name)
    except PluginError:
        raise
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and error.name and f"{name}.".startswith(f"{error.name}."):
            raise PluginError(f"plugin {name!r}: there is no file, folder or importable module of that name") from error
        raise PluginError(f"plugin {name!r} cannot be imported: {describe_error(error)}") from error


def _file(file: Path) -> ModuleType:
    """Import a single file under a name of its own, with its folder last on the path for the files beside it."""
    name = FILE_PLUGIN + re.sub(r"\W", "_", file.stem)
    taken = getattr(sys.modules.get(name), "__file__", str(file))
    if taken != str(file):
        name = f"{name}_{hashlib.sha256(str(file).encode()).hexdigest()[:8]}"
    if str(file.parent) not in sys.path:
        sys.path.append(str(file.parent))
    return _execute(name, file, package=False)


def _execute(name: str, file: Path, package: bool) -> ModuleType:
    state = file.stat()
    stamp = (state.st_mtime_ns, state.st_size)
    known, module = _loaded.get(str(file), (None, None))
    if known == stamp and module is not None and sys.modules.get(name) is module:
        return module
    folders = [str(file.parent)] if package else None
    spec = importlib.util.spec_from_file_location(name, file, submodule_search_locations=folders)
    if spec is None or spec.loader is None:
        raise PluginError(f"plugin {str(file)!r} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        with plugin_code(f"plugin {str(file)!r}", top=name):
            spec.loader.exec_module(module)
    except PluginError:
        raise
    except Exception as error:
        sys.modules.pop(name, None)
        raise PluginError(f"plugin {str(file)!r} cannot be imported: {describe_error(error)}") from error
    _loaded[str(file)] = (stamp, module)
    return module
