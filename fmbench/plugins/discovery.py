"""Finding and loading plugins, one by one: a broken one is reported and the others go on.

Installed plugins are entry points of the group "fmbench". A person's own file, folder or module is given by `--plugins`
or FMBENCH_PLUGINS; since it was asked for by name, what is wrong with it is an error and not only a line in a list.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Any

import pluggy

from fmbench.cells.component_spec import is_own
from fmbench.components import hookspecs
from fmbench.components.contracts import KINDS
from fmbench.components.hookspecs import Preset
from fmbench.errors import PluginError, ProcessChanged, did_you_mean
from fmbench.io.regular_files import expanded
from fmbench.isolation.plugin_code import plugin_code
from fmbench.plugins.local_files import describe_error, load_given, source_of

GROUP = "fmbench"
"""The entry-point group of installed plugins."""

ENVIRONMENT = "FMBENCH_PLUGINS"
"""The variable that names more plugins, separated as paths are on this system, or by commas."""

HOOKS = {f"fmbench_{kind}s": kind for kind in KINDS}
"""The hook of each kind."""

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_TARGET = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


@dataclass(frozen=True)
class PluginFailure:
    """A plugin, or one hook of it, that could not be used: its name, the reason in one line, and who owns it."""

    name: str
    error: str
    owner: str = ""

    def __str__(self) -> str:
        owner = f" of {self.owner}" if self.owner and self.owner != self.name else ""
        return f"plugin {self.name!r}{owner} failed: {self.error}"


@dataclass(frozen=True)
class Registered:
    """A component as a plugin registered it. `version` is that of the distribution, empty for files and modules.

    `preset` are the parameters whose defaults are the name's own, `registrar` is the module whose hook returned it; ""
    for fmbench's, whose code is not somebody else's.
    """

    kind: str
    name: str
    target: str | type
    owner: str
    version: str = ""
    preset: Mapping[str, Any] = field(default_factory=dict, hash=False)
    registrar: str = ""

    @property
    def target_text(self) -> str:
        """`module:Class`."""
        if isinstance(self.target, str):
            return self.target
        return f"{self.target.__module__}:{self.target.__qualname__}"


@dataclass(frozen=True)
class Plugins:
    """Everything that plugins registered, what failed, and the plugins that were given by name, as absolute paths."""

    components: Mapping[tuple[str, str], Registered]
    failures: tuple[PluginFailure, ...]
    given: tuple[str, ...]


@dataclass(frozen=True)
class _Plugin:
    """A loaded plugin, before its hooks are asked."""

    name: str
    owner: str
    version: str
    content: Any
    explicit: bool

    @property
    def module(self) -> str:
        """The module of its hooks; "" where it is fmbench's own."""
        if self.own:
            return ""
        return str(getattr(self.content, "__name__" if isinstance(self.content, ModuleType) else "__module__", ""))

    @property
    def own(self) -> bool:
        """Whether it comes with fmbench."""
        return not self.explicit and is_own(self.owner)


def load_plugins(given: Sequence[str] = ()) -> Plugins:
    """Load the installed plugins and those given by path or module name, here and in FMBENCH_PLUGINS.

    Raises PluginError where a given one cannot be loaded or registers something wrong, or a name is taken twice.
    """
    failures: list[PluginFailure] = []
    values = [each for value in [*given, os.environ.get(ENVIRONMENT, "")] for each in _split(value)]
    components: dict[tuple[str, str], Registered] = {}
    found: dict[str, list[Registered]] = {}
    empty: dict[str, _Plugin | None] = {}
    for plugin in [*_installed(failures), *_given(values)]:
        where = source_of(plugin.content)
        if where not in found:
            found[where] = list(_components(plugin, failures))
            for registered in found[where]:
                _add(components, registered)
        # A folder's files are one plugin: some may only help the others.
        if found[where]:
            empty[plugin.name] = None
        else:
            empty.setdefault(plugin.name, plugin)
    for plugin in filter(None, empty.values()):
        if plugin.explicit:
            raise PluginError(_registers_nothing(plugin))
    absolute = dict.fromkeys(str(expanded(value).absolute()) if _exists(value) else value for value in values)
    return Plugins(components, tuple(failures), tuple(absolute))


def _exists(value: str) -> bool:
    try:
        return expanded(value).exists()
    except OSError:  # a list of many files is no file name
        return False


def _split(value: str) -> list[str]:
    """Split a list of plugins; a path that exists is one plugin, whatever its name holds."""
    if value and _exists(value):
        return [value]
    return [part.strip() for part in re.split(f"[,{re.escape(os.pathsep)}]", value) if part.strip()]


def _installed(failures: list[PluginFailure]) -> Iterator[_Plugin]:
    """Load the entry points, sorted by name, since their order across distributions is arbitrary."""
    parsed: dict[int, tuple[str, str]] = {}
    found = [(point.name, _distribution(point, parsed), point) for point in entry_points(group=GROUP)]
    for name, (distribution, version), point in sorted(found, key=lambda each: (*each[:2], each[2].value)):
        owner = f"{distribution} {version}".strip()
        try:
            with plugin_code(f"plugin {name!r} of {owner}", own=is_own(owner), top=point.module.partition(".")[0]):
                content = point.load()
        except PluginError:
            raise  # what it changed cannot be put back
        except Exception as error:
            failures.append(PluginFailure(name, describe_error(error), owner))
            continue
        yield _Plugin(name, owner, version, content, explicit=False)


def _distribution(point: EntryPoint, parsed: dict[int, tuple[str, str]]) -> tuple[str, str]:
    """Return the name and version of an entry point's distribution, whose metadata is slow to parse: once each."""
    if point.dist is None:
        return point.value, ""
    if id(point.dist) not in parsed:
        metadata = point.dist.metadata
        parsed[id(point.dist)] = (metadata["Name"], metadata["Version"])
    return parsed[id(point.dist)]


def _given(values: Iterable[str]) -> Iterator[_Plugin]:
    for value in values:
        for module in load_given(value):
            yield _Plugin(value, module.__file__ or module.__name__, "", module, explicit=True)


def _components(plugin: _Plugin, failures: list[PluginFailure]) -> Iterator[Registered]:
    """Yield what a plugin registers. Its mistakes are recorded, or raised where the plugin was asked for by name."""

    def report(error: str) -> None:
        failure = PluginFailure(plugin.name, error, plugin.owner)
        if plugin.explicit:
            raise PluginError(str(failure))
        failures.append(failure)

    # A manager for each plugin: what pluggy makes of one cannot touch the others.
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    try:
        with plugin_code(f"plugin {plugin.name!r}", own=plugin.own):
            manager.register(plugin.content)
    except (pluggy.PluginValidationError, ValueError) as error:
        report(" ".join(str(error).split()))
        return
    except PluginError:
        raise
    except Exception as error:
        report(f"it cannot be asked for its hooks: {describe_error(error)}")
        return
    try:
        manager.check_pending()
    except pluggy.PluginValidationError:
        unknown = [name for name in vars(manager.hook) if not name.startswith("_") and name not in HOOKS]
        for name in unknown:
            report(f"there is no hook {name!r}.{did_you_mean(name, HOOKS)} Hooks: {', '.join(HOOKS)}")
    for hook, kind in HOOKS.items():
        for implementation in getattr(manager.hook, hook).get_hookimpls():
            try:
                with plugin_code(f"plugin {plugin.name!r}", own=plugin.own):
                    returned = implementation.function()
            except PluginError:
                raise
            except ProcessChanged as error:
                report(f"in {hook}, {error}")
                continue
            except Exception as error:
                report(f"{hook} raised {describe_error(error)}")
                continue
            wrong = _wrong(returned)
            if wrong:
                report(f"{hook} returned {wrong}")
                continue
            for name in sorted(returned):
                target, preset = _target_and_preset(returned[name])
                yield Registered(kind, name, target, plugin.owner, plugin.version, preset, plugin.module)


def _target_and_preset(component: Any) -> tuple[Any, Any]:
    return (component.target, component.parameters) if isinstance(component, Preset) else (component, {})


def _wrong(returned: Any) -> str:
    """Say what is wrong with what a hook returned; an empty string where nothing is."""
    if not isinstance(returned, Mapping):
        return f"{_brief(returned)} instead of a mapping of names to components"
    for name, component in returned.items():
        target, preset = _target_and_preset(component)
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            return f"the name {name!r}; names are lower-case letters, digits and '_', and start with a letter"
        if not isinstance(target, type) and not (isinstance(target, str) and _TARGET.fullmatch(target)):
            return f"{_brief(target)} for {name!r} instead of a class, 'module:Class' or fmbench.Preset"
        if not isinstance(preset, Mapping):
            return f"a Preset for {name!r} with {_brief(preset)} instead of a mapping of parameters to values"
    return ""


def _brief(value: Any) -> str:
    text = repr(value)
    return f"{text if len(text) <= 60 else text[:57] + '...'} of type {type(value).__name__}"


def _add(components: dict[tuple[str, str], Registered], new: Registered) -> None:
    old = components.setdefault((new.kind, new.name), new)
    if old is not new:
        raise PluginError(
            f"{new.kind} {new.name!r} is registered twice: by {old.owner} ({old.target_text}) and by {new.owner} "
            f"({new.target_text}). Names are unique within a kind: rename one of them, or leave one plugin out."
        )


def _registers_nothing(plugin: _Plugin) -> str:
    forgotten = [name for name in HOOKS if callable(getattr(plugin.content, name, None))]
    hint = f" Its function {forgotten[0]!r} lacks the decorator @fmbench.hookimpl." if forgotten else ""
    return (
        f"plugin {plugin.name!r} ({plugin.owner}) registers no component.{hint} A plugin defines a function such as "
        f"{next(reversed(HOOKS))!r}, marked with @fmbench.hookimpl, that returns {{name: class}}."
    )
