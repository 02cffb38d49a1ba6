"""What a name means in a module, as far as its source tells without running it."""

from __future__ import annotations

import ast
import builtins
import importlib
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, TypeGuard

from fmbench.plugins.source.module_imports import Import, Module, absolute, find_module, is_type_checking, stamp

ANNOTATION_MODULES = {"annotated_types", "collections.abc", "pathlib", "pydantic", "typing", "typing_extensions"}
"""The modules whose names may stand in a parameter's annotation without the class being imported."""


Bound = ast.ClassDef | ast.expr | Import | None
"""What a name is bound to; None for what only running the module can tell."""


class Unreadable(Exception):
    """The source does not tell; the class must be imported."""


def binding(module: Module, name: str) -> ast.ClassDef | ast.expr | Import:
    """Return what a name means at the top of a module, where it is bound exactly once and plainly."""
    bound = _index(module, *stamp(module.path)).get(name, [])
    if len(bound) != 1 or bound[0] is None:
        raise Unreadable
    return bound[0]


@lru_cache(maxsize=1024)
def _index(module: Module, *_: str | int) -> dict[str, list[Bound]]:
    """Return by name all that a module binds to it at its top, read once for each state of its file."""
    found: dict[str, list[Bound]] = {}
    for statement in module.tree.body:
        for name, bound in _bindings(module, statement):
            found.setdefault(name, []).append(bound)
    return found


def literal(module: Module, node: ast.expr) -> Any:
    """Return the value of a literal, or of a name that the module binds to one."""
    if isinstance(node, ast.Name):
        bound = binding(module, node.id)
        if isinstance(bound, ast.expr):
            return literal(module, bound)
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError) as error:
        raise Unreadable from error


def annotation(module: Module, node: ast.expr) -> Any:
    """Evaluate an annotation whose names are builtins, come from ANNOTATION_MODULES, or are aliases of such."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        node = ast.parse(node.value, mode="eval").body
    try:
        code = compile(ast.Expression(node), "<annotation>", "eval")
        return eval(code, {"__builtins__": {}}, _AnnotationNames(module))
    except Exception as error:
        raise Unreadable from error


def targets(node: ast.Assign | ast.AnnAssign) -> list[str]:
    """Return the names that an assignment binds."""
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return [inner.id for target in targets for inner in ast.walk(target) if _is_store(inner)]


def _bindings(module: Module, node: ast.stmt) -> Iterator[tuple[str, Bound]]:
    """Yield the names that a statement binds, and to what; None for what only running it can tell."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            name = alias.asname or alias.name.partition(".")[0]
            yield name, Import(alias.name if alias.asname else name)
    elif isinstance(node, ast.ImportFrom):
        for alias, imported in zip(node.names, absolute(module, node), strict=True):
            yield alias.asname or alias.name, imported
    elif isinstance(node, ast.ClassDef):
        yield node.name, node
    elif isinstance(node, ast.Assign | ast.AnnAssign) and len(names := targets(node)) == 1:
        yield names[0], node.value
    elif isinstance(node, ast.If) and is_type_checking(node):
        for inner in node.body:
            yield from _bindings(module, inner)
    elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        yield node.name, None
    else:
        stored = filter(None, map(_stored, ast.walk(node)))
        yield from ((name, None) for name in dict.fromkeys(stored))


def _is_store(node: ast.AST) -> TypeGuard[ast.Name]:
    return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)


def _stored(node: ast.AST) -> str | None:
    """Return the name that a node binds or deletes, None for one that does not."""
    if isinstance(node, ast.alias):
        return node.asname or node.name.partition(".")[0]
    if isinstance(node, ast.Name):
        return None if isinstance(node.ctx, ast.Load) else node.id
    return getattr(node, "name", None)


class _AnnotationNames(dict[str, Any]):
    """The names of a module that an annotation may use, looked up as they are asked for."""

    def __init__(self, module: Module) -> None:
        super().__init__()
        self.module = module

    def __missing__(self, name: str) -> Any:
        try:
            bound = binding(self.module, name)
        except Unreadable:
            if isinstance(getattr(builtins, name, None), type):
                return getattr(builtins, name)
            raise
        if isinstance(bound, Import) and bound.module in ANNOTATION_MODULES:
            home = importlib.import_module(bound.module)
            return getattr(home, bound.name) if bound.name else home
        if isinstance(bound, Import) and bound.name and bound.module.partition(".")[0] == self.module.top:
            other = find_module(bound.module)
            if other is not None:
                return _AnnotationNames(other)[bound.name]
        if isinstance(bound, ast.expr):
            return annotation(self.module, bound)
        raise Unreadable
