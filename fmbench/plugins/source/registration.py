"""What the module that registers a component does besides: it may set what the component computes with.

Imports, and hooks that return written-out mappings, change no result: those of other components come and go.
"""

from __future__ import annotations

import ast

from fmbench.plugins.source.module_imports import Module, is_type_checking
from fmbench.plugins.source.syntax_text import is_bare_string, syntax_text


def other_code(module: Module) -> str:
    """Return the text of what a module does besides registering components; "" where that is nothing."""
    rest = [each for each in module.tree.body if not (is_bare_string(each) or _only_registers(each))]
    return syntax_text(ast.Module(rest, [])) if rest else ""


def _only_registers(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return True
    if isinstance(statement, ast.If):
        return is_type_checking(statement)
    if isinstance(statement, ast.Assign):
        return all(isinstance(target, ast.Name) and target.id == "__all__" for target in statement.targets)
    return isinstance(statement, ast.FunctionDef) and _is_plain_hook(statement)


def _is_plain_hook(function: ast.FunctionDef) -> bool:
    """Whether a function is a hook that returns names and classes, which are written out or imported."""
    decorators = [ast.unparse(each).partition("(")[0].rpartition(".")[2] for each in function.decorator_list]
    *before, last = function.body
    if decorators != ["hookimpl"] or not all(map(is_bare_string, before)):
        return False
    return isinstance(last, ast.Return) and isinstance(last.value, ast.Dict) and all(map(_is_plain, last.value.values))


def _is_plain(value: ast.expr) -> bool:
    if isinstance(value, ast.Call):  # a preset's parameters are the component's
        return ast.unparse(value.func).rpartition(".")[2] == "Preset"
    return isinstance(value, ast.Constant | ast.Name | ast.Attribute)
