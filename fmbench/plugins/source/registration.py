"""Whether the module that registers a component does more than that: it may set what the component computes with.

Imports, and hooks that return written-out mappings, change no result: those of other components come and go.
"""

from __future__ import annotations

import ast

from fmbench.plugins.source.module_imports import Module, is_type_checking
from fmbench.plugins.source.syntax_text import is_bare_string


def does_more(module: Module) -> bool:
    """Whether a module does something besides registering components."""
    return not all(is_bare_string(each) or _only_registers(each) for each in module.tree.body)


def _only_registers(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return True
    if isinstance(statement, ast.If):
        return is_type_checking(statement) and not statement.orelse
    if isinstance(statement, ast.Assign):
        return all(isinstance(target, ast.Name) and target.id == "__all__" for target in statement.targets)
    return isinstance(statement, ast.FunctionDef) and _is_plain_hook(statement)


def _is_plain_hook(function: ast.FunctionDef) -> bool:
    """Whether a function is a hook that returns names and classes, which are written out or imported."""
    decorators = [ast.unparse(each).partition("(")[0].rpartition(".")[2] for each in function.decorator_list]
    *before, last = function.body
    if decorators != ["hookimpl"] or ast.unparse(function.args) or not all(map(is_bare_string, before)):
        return False
    if not isinstance(last, ast.Return) or not isinstance(last.value, ast.Dict):
        return False
    return all(isinstance(key, ast.Constant) for key in last.value.keys) and all(map(_is_plain, last.value.values))


def _is_plain(value: ast.expr) -> bool:
    if isinstance(value, ast.Call):  # a preset's parameters are the component's
        given = [*value.args, *(keyword.value for keyword in value.keywords)]
        is_preset = ast.unparse(value.func).rpartition(".")[2] == "Preset"
        return is_preset and all(_is_name(each) or not _calls(each) for each in given)
    return _is_name(value)


def _is_name(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant | ast.Name | ast.Attribute)


def _calls(value: ast.expr) -> bool:
    """Whether an expression is more than values that are written out."""
    written_out = ast.Constant | ast.Dict | ast.List | ast.Tuple | ast.Load
    return not all(isinstance(each, written_out) for each in ast.walk(value))
