"""What is printed: nothing that moves the cursor or cannot be encoded; a reader that is gone changes nothing."""

from __future__ import annotations

import gc
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fmbench.cli import main, output
from fmbench.io.printable_text import encodable, visible, visible_json
from fmbench.store.store import Store

SUITE = """
name: tiny
datasets: [moons]
training: {paths: [linear], networks: [mlp], steps: 20, batch_size: 16, optimizer: {adam: {lr: 1e-3}}}
evaluation: {solvers: [euler, heun], nfe: [1, 2], samples: 50, metrics: [sliced_wasserstein]}
"""
HOSTILE = "a\x1b[2J\x1b]0;title\x07b\x9bc\rd\udce9\u202ee[red]f[/]\x00\x7f\u2028"
SHOWN = r"a\x1b[2J\x1b]0;title\x07b\x9bc\x0dd\udce9\u202ee[red]f[/]\x00\x7f\u2028"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working directory, with a suite and a store one of whose cells is damaged."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(SUITE)
    store = Store(tmp_path / "theirs")
    store.folder("training", "a" * 20).begin({})
    (store.folder("training", "b" * 20)).fail("error", "no")
    (store.root / "training" / ("a" * 20) / "result.json").write_text("damaged")
    threshold = gc.get_threshold()
    yield tmp_path
    gc.set_threshold(*threshold)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["plan", "tiny.yaml"], 0),
        (["plan", "tiny.yaml", "--json"], 0),
        (["plugins"], 0),
        (["plugins", "show", "solver", "heun"], 0),
        (["schema"], 0),
        (["env"], 0),
        (["clean"], 0),
        (["--help"], 0),
        (["merge", "theirs"], 1),
        (["plan", "absent.yaml"], 2),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_verb_ends_as_ever_when_its_reader_is_gone(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], arguments: list[str], code: int
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    monkeypatch.setattr(sys, "argv", ["fmbench", *arguments])
    with os.fdopen(writing, "w", buffering=1) as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        monkeypatch.setattr(sys, "stderr", sys.stderr)
        ended = 0
        try:
            main()
        except SystemExit as exit_:
            ended = exit_.code if isinstance(exit_.code, int) else 0
        assert ended == code
        assert getattr(sys.stdout, "gone", False) or code == 2
    assert "Traceback" not in capfd.readouterr().err


def test_a_reader_that_takes_one_line(folder: Path) -> None:
    """The whole way: until the interpreter has ended."""
    command = [sys.executable, "-c", "from fmbench.cli import main; main()", "plan", "tiny.yaml"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    error = process.stderr.read()
    process.stderr.close()
    assert (process.wait(60), error) == (0, "")


def test_texts_are_shown_with_escapes() -> None:
    assert visible(HOSTILE) == SHOWN
    assert visible("ünï\tcode\n漢字 🙂") == "ünï\tcode\n漢字 🙂"
    assert json.loads(visible_json(json.dumps(HOSTILE, ensure_ascii=False))) == HOSTILE
    assert not set(visible_json(json.dumps(HOSTILE, ensure_ascii=False))) & set(HOSTILE[1:2] + "\x9b\udce9\u202e")
    assert encodable({"\ud800": ["\udfff", 1.0]}) == {r"\ud800": [r"\udfff", 1.0]}


@pytest.mark.parametrize("say", ["complain", "say", "note", "show_table", "bars", "title"])
def test_nothing_that_is_printed_moves_the_cursor(monkeypatch: pytest.MonkeyPatch, say: str) -> None:
    streams = [io.TextIOWrapper(io.BytesIO(), "utf-8") for _ in range(2)]
    for name, stream in zip(("stdout", "stderr"), streams, strict=True):
        monkeypatch.setattr(sys, name, stream)
    {
        "complain": lambda: output.complain(HOSTILE),
        "say": lambda: output.say(HOSTILE, "red"),
        "note": lambda: output.note(HOSTILE),
        "show_table": lambda: output.show_table(("what",), [(HOSTILE,)]),
        "title": lambda: output.show_table(("what",), [("x",)], title=HOSTILE),
        "bars": lambda: output.Bars().say(HOSTILE),
    }[say]()
    for stream in streams:
        stream.flush()
    printed = b"".join(stream.buffer.getvalue() for stream in streams).decode()  # type: ignore[attr-defined]
    assert SHOWN in printed
    assert "\x1b" not in printed
