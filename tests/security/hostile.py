"""Hostile inputs, drawn from a seed: texts, suites made by a grammar, and files that are cut, flipped or exchanged."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml
from canary import pickles

HTML = "<script>alert(1)</script>"
TEXTS = (
    *(HTML, '"><img src=x onerror=alert(1)>', "<!--", "]]>", "&lt;b&gt;", "{{ 7*7 }}{% raw %}", "[/red][bold]x"),
    *("$\\frac{", "\\input{/etc/passwd}", "\\write18{id}", "| a | b |", "`id`", "[a](javascript:alert(1))", "# x\n---"),
    *("../../outside", "/etc/passwd", "..", "~/.ssh/id_rsa", "a/b", "a\\b", "C:\\x", "CON", "nul.txt", "-rf", "--json"),
    *(
        "x" * 5000,
        "\u202egnp.exe",
        "a\u200bb",
        "e\u0301",
        "\U0001f4a3",
        "\x1b[2J\x1b]0;x\x07",
        "\ufeff",
        "\udcff",
        "\0",
    ),
    *("$(id)", "; id", "%s%n{0.__class__}", "__import__('os')", "=cmd|' /C calc'!A0", "NaN", "null", "1e999", "0x1F"),
)
VALUES: tuple[Any, ...] = (
    *(
        None,
        True,
        -1,
        0,
        2**63,
        10**400,
        1e308,
        float("inf"),
        float("nan"),
        [],
        {},
        [[]],
        [None],
        {"": ""},
        {"a": None},
    ),
    *([[1, 2]], {"mlp": {"width": {"mlp": 1}}}, {"euler": {}, "heun": {}}, [1] * 2000, {str(i): i for i in range(300)}),
)
TAGS = (
    "!!python/object/apply:os.mkdir [{canary}]",
    "!!python/object/new:os.mkdir [{canary}]",
    "!!python/name:os.mkdir",
    "!!python/module:os",
    '!!python/object/apply:subprocess.check_output [["mkdir", "{canary}"]]',
    "!!binary gASV",
    "!!set {{a, b}}",
    "!!timestamp 2001-01-01",
    "!include /etc/passwd",
    "!ENV ${{HOME}}",
)
LINES = (
    *(
        "a: &a [*a]",
        "x: &x {<<: *x}",
        "<<: [1]",
        "? [a, b]\n: c",
        "\tname: x",
        "name: a\nname: b",
        "--- \nname: b",
        "%YAML 9.9",
    ),
    *(
        "a: &a [1,1]\nb: &b [*a,*a]\nc: &c [*b,*b]\nd: &d [*c,*c]",
        "'unclosed",
        '"\\x',
        "{" * 300,
        "[" * 5000,
        "- " * 3000,
        "*no",
    ),
    *("key: |\n  text\n bad", "\x01", "\x85", "\u2028", "name: !!str", "!!float name: x", "@x", "a: b: c", "-" * 3000),
)
SUITE: dict[str, Any] = {
    "name": "tiny",
    "description": "A suite.",
    "datasets": ["moons"],
    "training": {
        "paths": ["linear", {"gaussian": {}}],
        "networks": [{"mlp": {"width": 8, "depth": 1}}],
        "t_distributions": ["uniform", {"beta": {"alpha": 0.5, "beta": 0.5}}],
        "seeds": [0, 1],
        "steps": 20,
        "batch_size": 16,
        "optimizer": {"adam": {"lr": 1e-3}},
    },
    "evaluation": {"solvers": ["euler", "heun"], "nfe": [2, 4], "samples": 50, "metrics": ["sliced_wasserstein"]},
    "exclude": [{"solver": "heun", "nfe": 2}],
    "baseline": {"solver": "euler"},
}


def places_in(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield where all values inside of a value are."""
    steps = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for step in steps:
        yield (*above, step)
        yield from places_in(value[step], (*above, step))


def suite(draw: random.Random, canary: Path) -> bytes:
    """Return a suite file in which up to four things are not what they should be."""
    content = copy.deepcopy(SUITE)
    for _ in range(draw.randint(0, 3)):
        *above, last = draw.choice(list(places_in(content)))
        inside = content
        for step in above:
            inside = inside[step]
        change = draw.choice(("value", "text", "key", "delete", "nest", "tag"))
        if change == "value":
            inside[last] = draw.choice(VALUES)
        elif change == "text":
            inside[last] = draw.choice(TEXTS)
        elif change == "tag":
            inside[last] = f"TAG{draw.randrange(len(TAGS))}"
        elif change == "nest":
            inside[last] = {draw.choice(TEXTS): inside[last]}
        elif change == "key" and isinstance(inside, dict):
            inside[draw.choice(TEXTS)] = draw.choice([*TEXTS, *VALUES])
        elif isinstance(inside, dict):
            del inside[last]
    text = yaml.safe_dump(content, allow_unicode=draw.random() < 0.5, sort_keys=False, width=10**6)
    for number, tag in enumerate(TAGS):
        text = text.replace(f"TAG{number}", tag.format(canary=canary))
    if draw.random() < 0.4:
        lines = text.splitlines()
        lines.insert(draw.randint(0, len(lines)), draw.choice(LINES))
        text = "\n".join(lines)
    raw = text.encode(draw.choice(("utf-8", "utf-8", "utf-8", "utf-16")), "surrogatepass")
    return damaged(raw, draw, canary) if draw.random() < 0.25 else raw


DAMAGES: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "empty": lambda content, draw: b"",
    "cut": lambda content, draw: content[: draw.randrange(len(content) + 1)],
    "flipped": lambda content, draw: _flipped(content, draw),
    "zeroed": lambda content, draw: content[: len(content) // 2].ljust(len(content), b"\0"),
    "doubled": lambda content, draw: content * 2,
    "noise": lambda content, draw: draw.randbytes(len(content) or 64),
    "html": lambda content, draw: HTML.encode() + content,
    "text exchanged": lambda content, draw: content.replace(b'"', draw.choice(TEXTS).encode("utf-8", "ignore"), 3),
}


def damaged(content: bytes, draw: random.Random, canary: Path) -> bytes:
    """Return the content of a file as a disk, a copy that was cut off or somebody else leaves it."""
    kind = draw.choice((*DAMAGES, "pickle"))
    return draw.choice(list(pickles(canary).values())) if kind == "pickle" else DAMAGES[kind](content, draw)


def _flipped(content: bytes, draw: random.Random) -> bytes:
    """Change up to eight bits."""
    changed = bytearray(content)
    for _ in range(draw.randint(1, 8) if content else 0):
        changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
    return bytes(changed)
