"""A module's syntax tree as text: what decides how its code runs, and nothing else.

Positions, comments, layout and bare strings (docstrings are one kind) are left out, and so is what only some versions
of Python note in a tree, so that a fingerprint of the text holds across them.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

_LEFT_OUT = frozenset({"ctx", "kind", "type_comment", "type_ignores"})
"""Fields that say nothing of their own: whether a name is read or assigned follows from where it stands."""


def syntax_text(tree: ast.AST, leave_out: Callable[[ast.AST], bool] = lambda _: False) -> str:
    """Return a syntax tree as text, without bare strings and without the statements for which `leave_out` holds.

    Two trees that run differently have different texts.
    """
    texts: list[str] = []
    _write(tree, texts, leave_out)
    return "".join(texts)


def _write(value: Any, texts: list[str], leave_out: Callable[[ast.AST], bool]) -> None:
    kind = value.__class__
    if kind is ast.Name:
        texts.append(f"{value.id};")
    elif kind is ast.Constant:
        texts.append(f"={_constant(value.value)};")
    elif isinstance(value, ast.AST):
        texts.append(f"{kind.__name__}(")
        for field in kind._fields:
            inner = getattr(value, field, None)
            if inner is not None and inner != [] and field not in _LEFT_OUT:
                texts.append(f"{field}:")
                _write(inner, texts, leave_out)
        texts.append(")")
    elif kind is list:
        texts.append("[")
        for inner in value:
            if not (isinstance(inner, ast.stmt) and (is_bare_string(inner) or leave_out(inner))):
                _write(inner, texts, leave_out)
        texts.append("]")
    else:
        texts.append(f"={_constant(value)};" if value is not None else "-;")  # a constant None is a node


def _constant(value: object) -> str:
    # Python refuses to write large whole numbers in decimal.
    return hex(value) if value.__class__ is int else repr(value)


def is_bare_string(node: ast.stmt) -> bool:
    """Whether a statement is a text that nothing reads, such as a docstring."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
