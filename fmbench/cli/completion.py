"""What the Tab key offers: suites, axes and their values, settings, kinds and names of components; nothing heavy is
imported for it, and where a suite cannot be read nothing is offered.
"""

from __future__ import annotations

import contextlib
import io
import os
import shlex
import sys
from collections.abc import Callable, Iterator, MutableMapping
from functools import wraps
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

import typer

from fmbench.errors import UserError

if TYPE_CHECKING:
    from fmbench.suite import Suite

VARIABLE = "_FMBENCH_COMPLETE"
"""By which a shell asks; what it asks for stands in others."""
BREAKS = ("=", ":")
"""Where bash breaks words besides spaces: it hands over three words for path=co, and puts in what comes last."""

SUITES = (".yaml", ".yml")
"""How the names of suite files end."""

Offer = list[tuple[str, str]]
"""Words, and what each is."""


def answer_shell(run: Callable[[], object]) -> None:
    """Have the application print what it offers to a shell; for bash, words as bash breaks them."""
    cut = join_words(os.environ) if os.environ[VARIABLE] == "complete_bash" else 0
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            run()
    finally:
        sys.stdout.write("".join(line[cut:] for line in printed.getvalue().splitlines(keepends=True)))


def join_words(environment: MutableMapping[str, str]) -> int:
    """Join the words that bash broke at BREAKS, and return how much of the last one bash has already."""
    words, place = environment["COMP_WORDS"].split("\n"), int(environment["COMP_CWORD"])
    if len(words) == 1:
        words = words[0].split(" ")
    found: list[str] = []
    for number, word in enumerate([*words, *([""] if place == len(words) else [])][: place + 1]):
        if number and (word in BREAKS or words[number - 1] in BREAKS):
            found[-1] += word
        else:
            found.append(word)
    environment.update({"COMP_WORDS": "\n".join(found), "COMP_CWORD": str(len(found) - 1)})
    value = found[-1].partition("=")[2] if found[-1].startswith("--") else found[-1]
    last = words[place] if place < len(words) else ""
    return max(len(value) - (0 if last in BREAKS else len(last)), 0)


def _offered(find: Callable[[typer.Context, str], Iterator[tuple[str, str]]]) -> Callable[..., Offer]:
    """Return a completion that offers what begins as the word does; nothing where that cannot be known."""

    @wraps(find)
    def offer(ctx: typer.Context, incomplete: str) -> Offer:
        with contextlib.suppress(UserError, OSError):
            return [(word, what) for word, what in dict(find(ctx, incomplete)).items() if word.startswith(incomplete)]
        return []

    offer.__annotations__ = {"ctx": typer.Context, "incomplete": str, "return": Offer}
    del offer.__wrapped__  # typer reads the annotations of what was wrapped
    return offer


@_offered
def suites(ctx: typer.Context, incomplete: str) -> Iterator[tuple[str, str]]:
    """Offer suite files here and in suites/, folders on the way to others, and the suites that come with fmbench."""
    from fmbench.suite import shipped_suites

    yield from ((name, "comes with fmbench") for name in shipped_suites())
    place = Path(incomplete)
    folder = place if incomplete.endswith(os.sep) else place.parent
    for each in sorted(folder.iterdir()):
        if each.suffix in SUITES:
            yield str(each), "suite"
        elif each.is_dir() and not each.name.startswith((".", "__")):
            yield f"{each}{os.sep}", "folder"
    for each in sorted(Path("suites").glob("*.yaml")) if not incomplete else ():
        yield str(each), "suite"


@_offered
def filters(ctx: typer.Context, incomplete: str) -> Iterator[tuple[str, str]]:
    """Offer AXIS= for the axes of the suite, and its values behind it, one after the other."""
    from fmbench.suite import AXES

    suite = _suite()
    held = {axis: [] if suite is None else _values(suite, axis) for axis in AXES}
    axes = [axis for axis, values in held.items() if (values or suite is None) and axis.startswith(incomplete)]
    axis, equals, rest = incomplete.partition("=")
    if not equals and len(axes) != 1:
        yield from ((f"{each}=", "axis") for each in axes)
        return
    axis, before = (axis, rest.rpartition(",")[0]) if equals else (axes[0], "")
    begun = f"{axis}={before}{',' if before else ''}"
    yield from ((f"{begun}{value}", axis) for value in held.get(axis, []) if value not in before.split(","))


@_offered
def settings(ctx: typer.Context, incomplete: str) -> Iterator[tuple[str, str]]:
    """Offer KEY.KEY= for the keys of a suite, and behind it what may stand there: components, choices."""
    from fmbench.suite import AXES, Suite

    key, equals, rest = incomplete.partition("=")
    if not equals:
        yield from _keys(Suite, key)
        return
    kind = next((axis for axis, keys in AXES.items() if ".".join(keys) == key), "")
    kind = "metric" if key == "evaluation.metrics" else kind
    begun = rest[: max(rest.rfind("["), rest.rfind(",")) + 1].rstrip()
    for value in _names(kind) or _choices(Suite, key):
        yield f"{key}={begun}{value}", kind or "value"


@_offered
def kinds(ctx: typer.Context, incomplete: str) -> Iterator[tuple[str, str]]:
    """Offer kinds of components."""
    from fmbench.components.contracts import KINDS

    yield from ((kind, "kind") for kind in KINDS)


@_offered
def names(ctx: typer.Context, incomplete: str) -> Iterator[tuple[str, str]]:
    """Offer the names of the components of the kind that stands before."""
    kind = str(ctx.params.get("kind", ""))
    yield from ((name, kind) for name in _names(kind))


def _words() -> list[str]:
    """Return the words of the command line so far; typer parses none where the last one is an option's to come."""
    text = os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS", "")
    try:
        return shlex.split(text)
    except ValueError:  # a quotation that is still open
        return text.split()


def _suite() -> Suite | None:
    """Return the suite that the command line names; None where there is none yet."""
    from fmbench.suite import load_suite, shipped_suites

    words, shipped = _words()[2:], shipped_suites()
    file = next((word for word in words if Path(word).suffix in SUITES and Path(word).is_file()), None)
    file = file or next((word for word in words[:1] if word in shipped), None)
    return load_suite(file) if file is not None else None


def _values(suite: Suite, axis: str) -> list[str]:
    """Return the values of an axis, components by their names: with any parameters."""
    return list(dict.fromkeys(str(getattr(value, "name", value)) for value in suite.axes[axis]))


def _names(kind: str) -> list[str]:
    from fmbench.components.contracts import KINDS
    from fmbench.plugins.registry import load_registry

    words = _words()
    plugins = tuple(word for before, word in pairwise(words) if before == "--plugins")
    return load_registry(plugins).names(kind) if kind in KINDS else []


def _keys(model: Any, begun: str, before: str = "") -> Iterator[tuple[str, str]]:
    """Yield the keys of a model that begin so, its sections as "training." until one of them is chosen."""
    fields = {
        name: field
        for name, field in model.model_fields.items()
        if f"{before}{name}".startswith(begun[: len(before) + len(name)])
    }
    sections = {name: inner for name, field in fields.items() if (inner := _section(field.annotation)) is not None}
    for name, field in fields.items():
        if name not in sections:
            yield f"{before}{name}=", str(field.description or "")
        elif len(fields) == 1 or begun.startswith(f"{before}{name}."):
            yield from _keys(sections[name], begun, f"{before}{name}.")
        else:
            yield f"{before}{name}.", "section"


def _section(annotation: Any) -> Any:
    """Return the model that a field holds, by itself or beside null."""
    models = [each for each in (annotation, *get_args(annotation)) if hasattr(each, "model_fields")]
    return models[0] if models and get_origin(annotation) is not tuple else None


def _choices(model: Any, key: str) -> list[str]:
    """Return the words that a setting may be, of one that is a choice."""
    first, _, rest = key.partition(".")
    field = model.model_fields.get(first)
    if field is None:
        return []
    if rest:
        inner = _section(field.annotation)
        return _choices(inner, rest) if inner is not None else []
    words: list[str] = []
    waiting = [field.annotation]
    while waiting:
        part = waiting.pop()
        if part is bool:
            words += ["true", "false"]
        elif get_origin(part) is Literal:
            words += map(str, get_args(part))
        elif get_origin(part) is not tuple:
            waiting += [each for each in get_args(part) if not isinstance(each, str)]
    return words
