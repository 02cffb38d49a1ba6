"""Reading classes without importing them, and fingerprints that follow code and nothing else."""

from __future__ import annotations

import ast
import importlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from annotated_types import Ge, Gt

from fmbench.components.contracts import Path as PathContract
from fmbench.components.contracts import Solver
from fmbench.errors import PluginError
from fmbench.plugins.source import ClassSource, code_fingerprint, content_fingerprint, find_module
from fmbench.plugins.source.syntax_text import syntax_text

Write = Callable[..., Path]

SOLVER = '''
"""A module."""
from typing import Annotated, Literal
import annotated_types
from annotated_types import Ge
from fmbench import Solver
import no_such_library  # reading must not import

ORDER = 2
Tolerance = Annotated[float, annotated_types.Gt(0)]

class Base(Solver):
    """Steps.

    Args:
        rtol: relative tolerance,
            above 0.
        mode: how to step.
    """

    nfe_per_step = ORDER
    requires: "tuple[str, ...]" = ("affine", "gaussian")

    def __init__(self, *, rtol: Tolerance = 1e-3, mode: Literal["a", "b"] = "a", size: "Annotated[int, Ge(1)]") -> None:
        self.rtol = rtol

    def integrate(self, velocity, x_0, times):
        return x_0

class Child(Base):
    """The child."""

    nfe_offset = -1
'''


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Write modules of a package `sample`: `package(name=text)`; forgotten after the test."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(**texts: str) -> Path:
        for name, text in {"__init__": "", **texts}.items():
            file = tmp_path / "sample" / f"{name.replace('__sub__', 'sub/')}.py"
            file.parent.mkdir(parents=True, exist_ok=True)
            if name != "__init__" or text or not file.exists():
                file.write_text(text)
        importlib.invalidate_caches()
        return tmp_path / "sample"

    yield write
    for name in [each for each in sys.modules if each.partition(".")[0] == "sample"]:
        del sys.modules[name]


def test_a_class_is_read_without_importing_it(package: Write) -> None:
    package(solver=SOLVER)
    source = ClassSource("sample.solver:Child")
    assert source.summary == "The child."
    assert source.attribute("nfe_per_step") == 2
    assert source.attribute("nfe_offset") == -1
    assert source.attribute("requires") == ("affine", "gaussian")
    assert source.attribute("adaptive") is False, "the contract's default"
    assert issubclass(source.view, Solver)
    assert not source.view.__abstractmethods__
    assert [(each.name, each.annotation, each.default, each.required) for each in source.arguments] == [
        ("rtol", Annotated[float, Gt(0)], 1e-3, False),
        ("mode", Literal["a", "b"], "a", False),
        ("size", Annotated[int, Ge(1)], None, True),
    ]
    assert [each.description for each in source.arguments] == ["relative tolerance, above 0.", "how to step.", ""]
    assert not [name for name in sys.modules if name.startswith("sample")]


def test_bases_are_followed_through_the_package_and_its_re_exports(package: Write) -> None:
    package(
        __init__="from sample.base import Base\n",
        base="import fmbench\nclass Base(fmbench.AffinePath):\n    requires = ('points',)\n",
        child="from . import Base\nclass Child(Base):\n    def coefficients(self, t): ...\n",
    )
    source = ClassSource("sample.child:Child")
    assert source.attribute("provides") == ("affine", "gaussian"), "inherited from the contract"
    assert source.attribute("requires") == ("points",)
    assert issubclass(source.view, PathContract)
    assert ClassSource("sample:Base").view.__abstractmethods__ == {"coefficients"}
    assert "sample.child" not in sys.modules


def test_a_base_that_two_bases_share_is_one_class(package: Write) -> None:
    package(
        base=f"from fmbench import Metric\nclass Base(Metric):\n    unit = 'm'\n    {INIT}\n",
        left="from sample.base import Base\nclass Left(Base):\n    better = 'higher'\n",
        right=f"from sample import base\nclass Right(base.Base):\n    unit = 's'\n    {INIT.replace('a:', 'b:')}\n",
        child="from sample.left import Left\nfrom sample.right import Right\nclass Child(Left, Right): ...\n",
    )
    source = ClassSource("sample.child:Child")
    assert [each.__name__ for each in source.view.__mro__[:4]] == ["Child", "Left", "Right", "Base"]
    assert (source.attribute("better"), source.attribute("unit")) == ("higher", "s")
    assert [each.name for each in source.arguments] == ["b"]


INIT = "def __init__(self, *, a: int = 3): ..."
UNREADABLE = {
    "computed default": f"class C(Grid):\n    {INIT.replace('3', '1 + 2')}\n",
    "unknown annotation": f"import enum\nclass C(Grid):\n    {INIT.replace('int', 'enum.IntEnum')}\n",
    "decorated class": f"def same(c):\n    return c\n@same\nclass C(Grid):\n    {INIT}\n",
    "dataclass": "from dataclasses import dataclass\n@dataclass\nclass C(Grid):\n    a: int = 3\n",
    "rebound name": f"class C: ...\nclass D(Grid):\n    {INIT}\nC = D\n",
    "made by a function": f"def make():\n    class D(Grid):\n        {INIT}\n    return D\nC = make()\n",
    "conditional body": f"class C(Grid):\n    if True:\n        {INIT}\n",
    "conditional class": f"if True:\n    class C(Grid):\n        {INIT}\n",
    "foreign base": f"import collections\nclass C(collections.UserDict, Grid):\n    {INIT}\n",
}


@pytest.mark.parametrize("text", UNREADABLE.values(), ids=UNREADABLE)
def test_what_the_source_does_not_tell_is_found_by_importing(text: str, package: Write) -> None:
    package(module=f"from fmbench import Grid\n{text}")
    source = ClassSource("sample.module:C")
    assert [(each.name, each.default) for each in source.arguments] == [("a", 3)]
    assert source.load() is sys.modules["sample.module"].C


def test_a_computed_attribute_is_found_by_importing_and_a_literal_beside_it_is_not(package: Write) -> None:
    package(module="from fmbench import Solver\nclass C(Solver):\n    order = 4\n    nfe_per_step = len('abc')\n")
    source = ClassSource("sample.module:C")
    assert source.attribute("order") == 4
    assert "sample.module" not in sys.modules
    assert source.attribute("nfe_per_step") == 3
    with pytest.raises(AttributeError):
        source.attribute("no_such_attribute")


@pytest.mark.parametrize(
    ("target", "text", "words"),
    [
        ("sample.module:Gone", "", "Gone"),
        ("sample.gone:C", "", "No module named"),
        ("sample.module:C", "C = 3\n", "not a class but of type int"),
        ("sample.module:C", "class C(:\n", "module.py:1: SyntaxError"),
        ("sample.module:C", "C = 1 / 0\n", "ZeroDivisionError"),
    ],
)
def test_a_class_that_is_not_there_is_a_clear_error(target: str, text: str, words: str, package: Write) -> None:
    package(module=text)
    with pytest.raises(PluginError, match=words):
        _ = ClassSource(target).view


HELPED = """
from sample.helper import help
from sample import other
class C:
    '''Says something.'''
    def compute(self):
        # a comment
        return help(1)
"""


def fingerprint_after(edit: Callable[[], Any]) -> tuple[str, str]:
    before = ClassSource("sample.module:C").fingerprint()
    edit()
    return before, ClassSource("sample.module:C").fingerprint()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# a comment", "# another, longer comment"),
        ("Says something.", "Says something else."),
        ("return help(1)", "return help( 1 )"),
        ("class C:\n", "\n\nclass C:\n    'More.'\n    'And more.'\n"),
    ],
)
def test_comments_docstrings_and_layout_do_not_count(old: str, new: str, package: Write) -> None:
    package(module=HELPED, helper="def help(x):\n    return x\n", other="")
    before, after = fingerprint_after(lambda: package(module=HELPED.replace(old, new)))
    assert HELPED.replace(old, new) != HELPED
    assert before == after


@pytest.mark.parametrize(
    "edited",
    [
        {"module": HELPED.replace("help(1)", "help(2)")},
        {"helper": "def help(x):\n    return x + 1\n"},
        {"other": "from sample import deep\nx = 1\n"},
        {"deep": "y = 2\n"},
        {"sub__sub__inner": "z = 2\n"},
    ],
    ids=lambda edited: "+".join(edited),
)
def test_code_and_the_code_it_imports_count(edited: dict[str, str], package: Write) -> None:
    texts = {
        "module": HELPED,
        "helper": "def help(x):\n    from .subs import inner\n    return x\n".replace("subs", "sub.sub"),
        "other": "from . import deep\n",
        "deep": "y = 1\n",
    }
    folder = package(**texts)
    (folder / "sub" / "sub").mkdir(parents=True)
    (folder / "sub" / "sub" / "inner.py").write_text("z = 1\n")
    edited = {name.replace("sub__sub__", "sub/sub/"): text for name, text in edited.items()}
    before, after = fingerprint_after(lambda: [(folder / f"{n}.py").write_text(text) for n, text in edited.items()])
    assert before != after


def test_neighbours_the_registering_face_and_typing_imports_do_not_count(package: Write) -> None:
    text = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from sample.typed import T\n"
    package(module=f"{text}from sample import helper\nclass C: ...\n", helper="", neighbour="a = 1\n", typed="T = 1\n")
    before, after = fingerprint_after(lambda: package(__init__="x = 1\n", neighbour="a = 2\n", typed="T = 2\n"))
    assert before == after


def test_the_face_counts_where_names_are_imported_from_it(package: Write) -> None:
    package(__init__="LIMIT = 1\n", module="from sample import LIMIT\nclass C: ...\n")
    before, after = fingerprint_after(lambda: package(__init__="LIMIT = 22\n"))
    assert before != after


def test_two_classes_of_a_module_and_two_versions_differ(package: Write) -> None:
    package(module="class C: ...\nclass D: ...\n")
    source = ClassSource("sample.module:C")
    assert source.fingerprint() != ClassSource("sample.module:D").fingerprint()
    assert source.fingerprint("1.0") != source.fingerprint("1.1")


def test_data_files_count_and_a_missing_one_is_named(package: Write) -> None:
    folder = package(module="class C:\n    files = ('weights.bin',)\n")
    with pytest.raises(PluginError, match=r"weights\.bin"):
        ClassSource("sample.module:C").fingerprint()
    (folder / "weights.bin").write_bytes(b"one")
    before, after = fingerprint_after(lambda: (folder / "weights.bin").write_bytes(b"two"))
    assert before != after


def test_a_base_in_another_package_counts(package: Write, tmp_path: Path) -> None:
    package(module="from elsewhere import Base\nclass C(Base): ...\n")
    text = "from fmbench import Grid\nclass Base(Grid):\n    def times(self, steps):\n        return 1\n"
    (tmp_path / "elsewhere.py").write_text(text)
    try:
        before, after = fingerprint_after(lambda: (tmp_path / "elsewhere.py").write_text(text.replace("1", "22")))
    finally:
        sys.modules.pop("elsewhere", None)
    assert before != after


def test_the_fingerprint_does_not_depend_on_where_the_package_lies(package: Write) -> None:
    package(module="class C: ...\n", copy="class C: ...\n")
    first = ClassSource("sample.module:C").fingerprint()
    assert len(first) == 64
    assert first != ClassSource("sample.copy:C").fingerprint(), "a module's name within its package counts"


def test_code_fingerprint_covers_exactly_the_named_modules(package: Write) -> None:
    package(module="from sample import helper\nx = 1\n", helper="y = 1\n")
    before = code_fingerprint("sample.module")
    package(helper="y = 22\n")
    assert code_fingerprint("sample.module") == before
    package(module="from sample import helper\nx = 1  # comment\n")
    assert code_fingerprint("sample.module") == before
    package(module="from sample import helper\nx = 2\n")
    assert code_fingerprint("sample.module") != before
    with pytest.raises(ValueError, match="no_such"):
        code_fingerprint("sample.no_such")


def test_content_follows_names_and_bytes_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.png").write_bytes(b"x")
    first = content_fingerprint(tmp_path / "a")
    (tmp_path / "a").rename(tmp_path / "b")
    assert content_fingerprint(tmp_path / "b") == first, "the folder's own name does not count"
    os.utime(tmp_path / "b" / "1.png", (1, 1))
    assert content_fingerprint(tmp_path / "b") == first
    (tmp_path / "b" / "1.png").rename(tmp_path / "b" / "2.png")
    renamed = content_fingerprint(tmp_path / "b")
    (tmp_path / "b" / "2.png").write_bytes(b"y")
    assert len({first, renamed, content_fingerprint(tmp_path / "b")}) == 3
    (tmp_path / "b" / "loop").symlink_to(tmp_path / "b")
    content_fingerprint(tmp_path / "b")
    with pytest.raises(FileNotFoundError):
        content_fingerprint(tmp_path / "gone")


def test_finding_a_module_imports_nothing(package: Write) -> None:
    package(__init__="raise RuntimeError('imported')\n", module="x = 1\n")
    module = find_module("sample.module")
    assert module is not None
    assert module.path.name == "module.py"
    assert find_module("sample.gone") is None
    assert find_module("no_such_package.module") is None
    assert "sample" not in sys.modules


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("def f(*, a): pass", "def f(*, a=None): pass"),
        ("x = {**None}", "x = {None: None}"),
        ("x = 1", "x = True"),
        ("x = 1", "x = 1.0"),
        ("x = 'y'", "x = y"),
        ("x = b'y'", "x = 'y'"),
        ("f(a, b)", "f((a, b))"),
        ("x = [a, [b]]", "x = [[a], b]"),
        ("if a: b\nelse: c", "if a: b\nc"),
        ("async def f(): pass", "def f(): pass"),
        ("lambda a, /: a", "lambda a: a"),
        ("x = f'{y!r}'", "x = f'{y}'"),
        (f"x = {10**5000:#x}", f"x = {10**5000 + 1:#x}"),
        ("from .a import b", "from ..a import b"),
        ("del x", "x"),
    ],
)
def test_what_runs_differently_has_another_text(one: str, other: str) -> None:
    assert syntax_text(ast.parse(one)) != syntax_text(ast.parse(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x = 1", "# a comment\n\nx  =  0x1\n"),
        ("def f():\n    return 1", 'def f():\n    """Say one."""\n    return (1)'),
        ("x = u'y'", 'x = "y"'),
        ("x = 'a' 'b'", "x = 'ab'"),
        ("x = [1, 2,]", "x = [1,\n     2]"),
    ],
)
def test_what_runs_alike_has_the_same_text(one: str, other: str) -> None:
    assert syntax_text(ast.parse(one)) == syntax_text(ast.parse(other))


def test_no_two_files_of_the_standard_library_have_one_text() -> None:
    texts: dict[str, list[str]] = {}
    for file in sorted(Path(ast.__file__).parent.glob("*.py")):
        tree = ast.parse(file.read_bytes())
        texts.setdefault(syntax_text(tree), []).append(ast.dump(tree))
    assert len(texts) > 100
    assert all(len(set(dumps)) == 1 for dumps in texts.values())


CLASS = "from fmbench import Solver\nclass C(Solver):\n    pass\n"
FACE = """
from fmbench import Preset, hookimpl
from sample import module

@hookimpl
def fmbench_solvers():
    return {"c": "sample.module:C", "d": Preset("sample.module:C", {})}
"""


@pytest.mark.parametrize(
    "edit",
    [
        "\nmodule.GAIN = 2\n",
        "\nfor name in ('a', 'b'):\n    setattr(module, name, 1)\n",
        "\ndef make():\n    return module.C\n",
        "\nif TYPE_CHECKING:\n    pass\nelse:\n    module.GAIN = 2\n",
    ],
)
def test_what_a_registering_module_does_besides_counts(package: Write, edit: str) -> None:
    package(__init__=FACE, module=CLASS)
    source = ClassSource("sample.module:C")
    plain = source.fingerprint(registrar="sample")
    assert plain == source.fingerprint(), "it merely registers"
    package(__init__=FACE + edit)
    first = source.fingerprint(registrar="sample")
    package(__init__=FACE + edit.replace("1", "22").replace("2", "3").replace("C", "D"))
    assert len({plain, first, source.fingerprint(registrar="sample")}) == 3
    assert "sample" in [module.name for module in source.code("sample")]


def test_what_a_registering_module_calls_counts_with_it(package: Write) -> None:
    package(__init__=f"from sample import settings\nsettings.apply()\n{FACE}", module=CLASS, settings="GAIN = 1\n")
    source = ClassSource("sample.module:C")
    before = source.fingerprint(registrar="sample")
    package(settings="GAIN = 22\n")
    assert source.fingerprint(registrar="sample") != before


@pytest.mark.parametrize("hook", ['{"c": Preset(make(1), {})}', "{make(1): 'sample.module:C'}", "{**make(1)}"])
def test_a_hook_that_computes_what_it_returns_counts(package: Write, hook: str) -> None:
    face = f"{FACE.partition('    return')[0]}    return {hook}\n"
    package(__init__=face, module=CLASS)
    source = ClassSource("sample.module:C")
    before = source.fingerprint(registrar="sample")
    package(__init__=face.replace("make(1)", "make(22)"))
    assert source.fingerprint(registrar="sample") != before


def test_what_is_registered_beside_a_class_does_not_count(package: Write) -> None:
    package(__init__=FACE, module=CLASS)
    source = ClassSource("sample.module:C")
    before = source.fingerprint(registrar="sample")
    package(__init__=FACE.replace('"c":', '"another": "sample.neighbour:N", "c":'))
    assert source.fingerprint(registrar="sample") == before


def test_a_hook_that_makes_its_classes_counts(package: Write) -> None:
    made = FACE.replace('"sample.module:C",', "module.make(1),")
    package(__init__=made, module=CLASS)
    source = ClassSource("sample.module:C")
    before = source.fingerprint(registrar="sample")
    package(__init__=made.replace("make(1)", "make(22)"))
    assert source.fingerprint(registrar="sample") != before
