"""Whoever calls a public function with tensors reads their shapes in its docstring."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
SHAPE = re.compile(
    r"\([^)]*(batch|members|n\b|dim|shape|steps|points|classes|features|rows|T,|k,|m,|d\b|seeds|\d)[^)]*\)|shape"
)
"""`(batch, *shape)` and the like, or the word."""


def public_functions(body: list[ast.stmt]) -> Iterator[ast.FunctionDef]:
    """Yield the functions and methods whose names, and whose classes' names, have no underscore in front."""
    for node in body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from public_functions(node.body)
        elif isinstance(node, ast.FunctionDef) and not node.name.startswith(("_", "test_")):
            yield node


def takes_tensors(function: ast.FunctionDef) -> bool:
    arguments = [*function.args.args, *function.args.kwonlyargs]
    return any(re.search(r"\bTensor\b", ast.unparse(each.annotation)) for each in arguments if each.annotation)


def test_a_docstring_names_the_shapes_of_the_tensors_that_go_in() -> None:
    seen, faults = 0, []
    for file in sorted(file for folder in ("fmbench", "plugins") for file in (ROOT / folder).rglob("*.py")):
        for function in filter(takes_tensors, public_functions(ast.parse(file.read_bytes()).body)):
            seen += 1
            text = ast.get_docstring(function)
            if text is not None and not SHAPE.search(text):
                faults.append(f"{file.relative_to(ROOT)}:{function.lineno}: {function.name}")
    assert seen > 100
    assert not faults, "\n".join(faults)
