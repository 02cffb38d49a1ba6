"""Pictures of MLflow's UI as `fmbench ui` opens it, of the views that fmbench names there."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).parents[2]
SUITE = "suites/low_nfe.yaml"
MADE_BY = ("fmbench/tracking/views.py", "fmbench/tracking/view_state.py")
"""What says how a view looks; a change of it makes a picture out of date."""

STARTS, DRAWS, SETTLES = 120, 60, 6
"""Seconds that the server and a page may take, and that lines and texts take to be drawn; the page is never idle."""


@dataclass(frozen=True)
class MlflowPicture:
    """A picture of a view of the suite's experiment. `view` is its name, `drawn` what is there when it is drawn."""

    name: str
    view: str
    drawn: str

    @property
    def shows(self) -> str:
        """What it is of."""
        return f"MLflow: {self.view}, by {' and '.join(MADE_BY)}"

    def digest(self) -> str:
        """Return a digest of the code that makes the view."""
        return hashlib.sha256(b"".join((ROOT / file).read_bytes() for file in MADE_BY)).hexdigest()


MLFLOW = (
    MlflowPicture("mlflow_by_solver.png", "fid_digits against NFE, by solver", ".js-plotly-plot"),
    MlflowPicture("mlflow_table.png", "table of scores", "[role=row]"),
)


def draw_mlflow(browser: Browser, pictures: Sequence[MlflowPicture], folder: Path, home: Path) -> None:
    """Draw the views of a suite that a store holds."""
    with tempfile.TemporaryDirectory() as name:
        uri = f"sqlite:///{name}/mlflow.db"
        command = [_fmbench(), "sync", SUITE, "--home", str(home), "--tracking-uri", uri]
        subprocess.run(command, cwd=ROOT, check=True)
        with _ui(uri, Path(name) / "printed") as printed:
            for picture in pictures:
                _draw(browser, picture, _address(printed, picture.view), folder)


def _draw(browser: Browser, picture: MlflowPicture, address: str, folder: Path) -> None:
    context = browser.new_context(viewport={"width": 1500, "height": 860}, reduced_motion="reduce")
    page = context.new_page()
    page.set_default_timeout(1000 * DRAWS)
    page.goto(address)
    page.wait_for_selector(picture.drawn)
    for panel in page.get_by_role("button", name="Close", exact=True).all():
        panel.click()
    page.wait_for_timeout(1000 * SETTLES)
    page.screenshot(path=folder / picture.name)
    context.close()


def _fmbench() -> str:
    return str(Path(sys.executable).with_name("fmbench"))


def _address(printed: str, view: str) -> str:
    found = re.search(rf"{re.escape(view)}: (http\S+)", printed)
    if found is None:
        raise SystemExit(f"fmbench ui names no view {view!r}:\n{printed}")
    return found[1]


@contextmanager
def _ui(uri: str, output: Path) -> Iterator[str]:
    """Run `fmbench ui` until it answers, and give what it printed; end it afterwards."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with output.open("w") as file:
        command = [_fmbench(), "ui", "--tracking-uri", uri, "--port", str(port)]
        server = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        until = time.monotonic() + STARTS
        while not _answers(f"http://127.0.0.1:{port}/health"):
            if time.monotonic() > until or server.poll() is not None:
                raise SystemExit(f"fmbench ui did not start:\n{output.read_text()}")
            time.sleep(0.5)
        yield output.read_text()
    finally:
        os.killpg(server.pid, signal.SIGINT)
        server.wait(timeout=30)


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5):
            return True
    except (urllib.error.URLError, OSError):
        return False
