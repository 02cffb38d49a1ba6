"""From (kind, name) to a component: listed and checked without importing it, imported when it is built."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from fmbench.cells.component_spec import ComponentSpec, is_own
from fmbench.cells.keys import digest
from fmbench.components.contracts import CONTRACTS, KINDS, Component, Guidance
from fmbench.errors import ComponentError, PluginError, ProcessChanged, UserError, did_you_mean
from fmbench.io.regular_files import expanded
from fmbench.isolation.plugin_code import PluginStopped, plugin_code
from fmbench.plugins.discovery import PluginFailure, Plugins, Registered, load_plugins
from fmbench.plugins.local_files import describe_error
from fmbench.plugins.source import ClassSource, Module, Unseen, content_fingerprint
from fmbench.plugins.source.untracked_inputs import unseen

if TYPE_CHECKING:
    from fmbench.plugins.parameters import Parameter, Signature

__all__ = ["Code", "ListedComponent", "PluginFailure", "Registry", "load_registry"]

_imported: WeakKeyDictionary[type, dict[str, str]] = WeakKeyDictionary()
"""The fingerprint that each class had when this process first used it."""


@dataclass(frozen=True)
class Code:
    """What of a component counts in keys: modules and data files, and the parameters whose files do; and what does not.

    `modules` are of its package, or (`elsewhere`) of others.
    """

    modules: tuple[Module, ...]
    elsewhere: tuple[Module, ...]
    files: tuple[Path, ...]
    content: tuple[str, ...]
    unseen: tuple[Unseen, ...]


@dataclass(frozen=True)
class ListedComponent:
    """A component as it is listed. `target` is `module:Class`; `error` says why it cannot be used, if it cannot."""

    kind: str
    name: str
    owner: str
    target: str
    summary: str
    reference: str
    parameters: tuple[Parameter, ...]
    error: str = ""


class Registry:
    """The components that plugins registered.

    Attributes:
        failures: the plugins that could not be loaded, and why.
        plugins: the plugins that were given by path or name, for a worker to load the same ones.
        contents: hashes of the files and folders of models that specs were made of, by absolute path, and what samples
            made elsewhere were found to be. What is in it from the start stands for those that are gone.
        gone: those for which it did.
    """

    def __init__(self, plugins: Plugins, contents: Mapping[str, str] | None = None) -> None:
        self.contents: dict[str, str] = dict(contents or {})
        self.gone: list[str] = []
        self.failures: tuple[PluginFailure, ...] = plugins.failures
        self.plugins: tuple[str, ...] = plugins.given
        self._components = plugins.components
        self._known: dict[tuple[str, str], _Known] = {}

    def names(self, kind: str) -> list[str]:
        """Return the names of a kind, sorted."""
        if kind not in CONTRACTS:
            raise ComponentError(f"there is no kind {kind!r}.{did_you_mean(kind, KINDS)} Kinds: {', '.join(KINDS)}")
        return sorted(name for each, name in self._components if each == kind)

    def entries(self, kind: str | None = None) -> list[ListedComponent]:
        """Return all components, or those of a kind; one that cannot be read is listed with its error."""
        kinds = KINDS if kind is None else (kind,)
        return [self._entry(each, name) for each in kinds for name in self.names(each)]

    def summaries(self) -> list[tuple[str, str, str, str]]:
        """Return kind, name, owner and first line of all components; of one that cannot be read, why."""
        return [(kind, *self._summary(kind, name)) for kind in KINDS for name in self.names(kind)]

    def _summary(self, kind: str, name: str) -> tuple[str, str, str]:
        owner = self._components[kind, name].owner
        try:
            return name, owner, self._find(kind, name).summary
        except PluginError as error:
            return name, owner, f"cannot be used: {error}"

    def entry(self, kind: str, name: str) -> ListedComponent:
        """Return one component. Raises ComponentError where there is none, PluginError where it cannot be read."""
        known = self._find(kind, name)
        registered, source = known.registered, known.source
        return ListedComponent(
            kind,
            name,
            registered.owner,
            registered.target_text,
            known.summary,
            source.attribute("reference"),
            known.signature.parameters,
        )

    def code(self, kind: str, name: str) -> Code:
        """Return what of a component counts in keys, and what its code does that no key sees.

        Raises ComponentError where there is none, PluginError where it cannot be read.
        """
        known = self._find(kind, name)
        top = known.source.target.partition(":")[0].partition(".")[0]
        modules = known.source.code(known.registered.registrar)
        return Code(
            tuple(module for module in modules if module.top == top),
            tuple(module for module in modules if module.top != top),
            tuple(known.source.files()),
            tuple(known.attribute("content")),
            tuple(line for module in modules for line in unseen(module)),
        )

    def spec(self, kind: str, name: str, parameters: Mapping[str, Any] | None = None) -> ComponentSpec:
        """Return a component with checked parameters, defaults filled in, as a cell names it.

        Raises ComponentError for an unknown component, a wrong parameter, or a file or folder that is not there.
        """
        known = self._find(kind, name)
        values = known.signature.check(parameters or {})
        fingerprint = known.fingerprint
        files = known.attribute("content", values)
        contents = [self._content(known, each, values) for each in files]
        if contents:
            fingerprint = digest(fingerprint, *contents)
        spread = known.attribute("weaker") if issubclass(CONTRACTS[kind], Guidance) else ""
        label = known.signature.label(name, values, spread)
        values = known.signature.without_defaults(values, known.attribute("omitted_defaults"))
        # The place of a dataset's files counts in keys, too, by which trainings are kept.
        unkeyed = tuple(each for each, content in zip(files, contents, strict=True) if _by_content(kind, content))
        return ComponentSpec(kind, name, values, fingerprint, label, known.registered.owner, unkeyed)

    def _content(self, known: _Known, name: str, values: Mapping[str, Any]) -> str:
        """Return a hash over what a parameter names, of a model that is gone as it was when it was last seen."""
        if known.registered.kind != "model":
            return known.content(name, values)
        place = str(Path(str(values.get(name))).expanduser().absolute())
        try:
            self.contents[place] = known.content(name, values)
        except ComponentError:
            if place not in self.contents:
                raise
            self.gone.append(str(values[name]))
        return self.contents[place]

    def attribute(self, spec: ComponentSpec, name: str) -> Any:
        """Return what a component has for a class attribute with its parameters, or its contract's default.

        Raises AttributeError without either.
        """
        return self._find(spec.kind, spec.name).attribute(name, spec.parameters)

    def changed(self, spec: ComponentSpec) -> dict[str, str]:
        """Return by name, as its label shows them, the parameters of a component that differ from their defaults."""
        return self._find(spec.kind, spec.name).signature.changed(spec.parameters)

    def has_defaults(self, spec: ComponentSpec) -> bool:
        """Tell whether a component's parameters are its class's own defaults, which those of a preset are not."""
        known = self._find(spec.kind, spec.name)
        try:
            return not known.registered.preset and known.completed(spec.parameters) == known.signature.check({})
        except ComponentError:  # a parameter has no default
            return False

    def overrides(self, spec: ComponentSpec, method: str) -> bool:
        """Tell whether a component has a method of its own in place of its contract's; nothing is imported for it."""
        view = self._find(spec.kind, spec.name).source.view
        return getattr(view, method) is not getattr(CONTRACTS[spec.kind], method)

    def build(self, spec: ComponentSpec) -> Component:
        """Import a component and make it with its parameters.

        Raises ComponentError where its constructor refuses them, PluginError where it cannot be imported or is not what
        its kind promises.
        """
        known = self._find(spec.kind, spec.name)
        cls = known.source.load()
        _check_contract(known.title, cls, spec.kind)
        known.check_unchanged(cls)
        try:
            with plugin_code(known.title, own=spec.is_own):
                built = cls(**known.signature.values(known.completed(spec.parameters)))
        except (ProcessChanged, PluginStopped) as error:
            raise PluginError(f"{known.title} cannot be built: {describe_error(error)}") from error
        except (ValueError, TypeError) as error:
            raise ComponentError(f"{spec.kind} {spec}: {error}") from error
        except ImportError as error:
            raise PluginError(f"{known.title} cannot be built: {error}") from error
        assert isinstance(built, Component)
        dependent = known.source.by_parameter(known.completed(spec.parameters))
        own = {name: known.attribute(name, spec.parameters) for name in dependent}
        vars(built).update(own, registered_name=spec.name)
        return built

    def schema(self, kind: str, name: str) -> dict[str, Any]:
        """Return the JSON Schema of a component's parameters."""
        known = self._find(kind, name)
        return {**known.signature.schema(), "title": name, "description": known.summary}

    def fingerprints(self, components: Iterable[tuple[str, str]] | None = None) -> str:
        """Return one digest of components, given by kind and name, by which a worker sees whether it has the same code.

        Without `components`, of all that are registered.
        """
        wanted = sorted(self._components if components is None else components)
        return digest(*(f"{kind} {name} {self._fingerprint(kind, name)}" for kind, name in wanted))

    def _fingerprint(self, kind: str, name: str) -> str:
        try:
            return self._find(kind, name).fingerprint
        except UserError:
            return "unreadable, or not there"

    def _entry(self, kind: str, name: str) -> ListedComponent:
        try:
            return self.entry(kind, name)
        except PluginError as error:
            registered = self._components[kind, name]
            return ListedComponent(kind, name, registered.owner, registered.target_text, "", "", (), str(error))

    def _find(self, kind: str, name: str) -> _Known:
        if (kind, name) not in self._known:
            names = self.names(kind)
            registered = self._components.get((kind, name))
            if registered is None:
                raise ComponentError(self._unknown(kind, name, names))
            self._known[kind, name] = _Known(registered)
        return self._known[kind, name]

    def _unknown(self, kind: str, name: str, names: Sequence[str]) -> str:
        message = f"there is no {kind} {name!r}.{did_you_mean(name, names)} Registered: {', '.join(names) or 'none'}."
        if self.failures:
            message += f" It may be missing because {'; '.join(map(str, self.failures))}."
        return message


class _Known:
    """A registered component with what was read of it."""

    def __init__(self, registered: Registered) -> None:
        self.registered = registered
        self.title = f"{registered.kind} {registered.name!r} of {registered.owner}"
        self.source = ClassSource(registered.target, own=is_own(registered.owner))
        _check_contract(self.title, self.source.view, registered.kind)
        self._fingerprint = ""

    @cached_property
    def signature(self) -> Signature:
        """The parameters; reading them is most of the work, and lists do not show them."""
        from fmbench.plugins.parameters import Signature

        owner = f"{self.registered.kind} {self.registered.name!r}"
        return Signature(self.source.arguments, owner, self.registered.preset)

    @property
    def summary(self) -> str:
        """What the class says of itself, and with which preset."""
        preset = ", ".join(f"{name}={value}" for name, value in self.registered.preset.items())
        return f"{self.source.summary} Preset: {preset}." if preset else self.source.summary

    @property
    def fingerprint(self) -> str:
        if not self._fingerprint:
            self._fingerprint = self._read()
        return self._fingerprint

    def _read(self) -> str:
        return self.source.fingerprint(self.registered.version, self.registered.registrar)

    def attribute(self, name: str, parameters: Mapping[str, Any] | None = None) -> Any:
        """Return a class attribute, for parameters where it depends on them.

        Its type must be that of the contract's default.
        """
        value = self.source.attribute(name, None if parameters is None else self.completed(parameters))
        expected = getattr(CONTRACTS[self.registered.kind], name, None)
        if isinstance(expected, tuple) and isinstance(value, list):
            return tuple(value)
        if isinstance(expected, tuple | str | int) and not isinstance(value, type(expected)):
            rule = f"must be of type {type(expected).__name__}, such as {expected!r}"
            raise PluginError(f"{self.title}: the class attribute {name!r} {rule}; found {value!r}")
        return value

    def completed(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Return a spec's parameters with those that it omits at their defaults."""
        omitted = self.attribute("omitted_defaults")
        return self.signature.completed(parameters) if omitted else dict(parameters)

    def content(self, name: str, values: Mapping[str, Any]) -> str:
        """Return a hash over the file or folder that a parameter names; empty for a value that is no text."""
        if name not in values:
            raise PluginError(f"{self.title}: its attribute 'content' names {name!r}, which is no parameter of it")
        value = values[name]
        if not isinstance(value, str):
            return ""
        try:
            return content_fingerprint(expanded(value))
        except OSError as error:
            place = str(error.filename).encode("utf-8", "backslashreplace").decode()  # it may be no text
            allowed = next(each.type for each in self.signature.parameters if each.name == name)
            words = allowed.removesuffix(" or text")  # such as "train" or "test", where it may be a file as well
            choices = f"{words}, or " if words != allowed else ""
            raise ComponentError(
                f"parameter {name!r} of {self.registered.kind} {self.registered.name!r} names {value!r}, which cannot "
                f"be read: {error.strerror} ({place}). Give {choices}a file or folder that is there.",
                parameter=name,
            ) from error

    def check_unchanged(self, cls: type) -> None:
        """Refuse a class whose source was edited between planning and importing it, or after it was imported."""
        imported = _imported.setdefault(cls, {}).setdefault(self.registered.registrar, self._read())
        if imported != self.fingerprint:
            raise PluginError(
                f"{self.title}: its source has changed while this process was running, so results could not be told "
                "apart. Start again."
            )


def _by_content(kind: str, content: str) -> bool:
    """Whether a parameter that names a file counts in the key by the file's content alone."""
    return kind == "model" or (kind == "metric" and bool(content))


def _check_contract(title: str, cls: type, kind: str) -> None:
    contract = CONTRACTS[kind]
    if not issubclass(cls, contract):
        bases = ", ".join(base.__name__ for base in cls.__bases__)
        raise PluginError(f"{title}: a {kind} must be a subclass of fmbench.{contract.__name__}; its bases are {bases}")
    missing = sorted(getattr(cls, "__abstractmethods__", ()))
    if missing:
        raise PluginError(f"{title} lacks what fmbench.{contract.__name__} asks for: {', '.join(missing)}")


def load_registry(plugins: Sequence[str] = (), contents: Mapping[str, str] | None = None) -> Registry:
    """Load the installed plugins, those given by path or module name, and those of FMBENCH_PLUGINS.

    `contents` are those of models whose files may be gone; see `Registry`.

    Raises PluginError where a given plugin is wrong or a component's name is taken twice.
    """
    return Registry(load_plugins(plugins), contents)
