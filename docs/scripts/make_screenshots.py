"""Make the pictures of docs/screenshots again, and note of what each was made.

    python docs/scripts/make_screenshots.py [NAME ...] --home FOLDER

FOLDER is a store that holds suites/low_nfe.yaml, whose views MLflow shows; other pictures need none. Pages are drawn by
the system's Chromium through Playwright, what a terminal shows by rich. `made_of.json` holds for each picture what it
shows and a digest of that: tests/project/test_screenshots.py compares it with what is there now, so a picture that is
out of date fails a test.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlflow_screenshots import MLFLOW, MlflowPicture, draw_mlflow

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "screenshots"
NOTES = FOLDER / "made_of.json"
COLUMNS = 90
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


@dataclass(frozen=True)
class PagePicture:
    """A picture of a page of the repository, in a window of some size and scheme."""

    name: str
    page: str
    width: int = 1300
    height: int = 900
    scheme: str = "light"

    @property
    def shows(self) -> str:
        """What it is of."""
        return self.page

    def digest(self) -> str:
        """Return a digest of the page."""
        return hashlib.sha256((ROOT / self.page).read_bytes()).hexdigest()


@dataclass(frozen=True)
class TerminalPicture:
    """A picture of what a command prints, with an empty store."""

    name: str
    command: str

    @property
    def shows(self) -> str:
        """What it is of."""
        return self.command

    def printed(self, *, colour: bool) -> str:
        """Return what the command prints, on both of its outputs."""
        with tempfile.TemporaryDirectory() as home:
            environment = os.environ | {"COLUMNS": str(COLUMNS), "FMBENCH_HOME": home, "TERM": "xterm-256color"}
            environment.pop("FORCE_COLOR", None)
            environment |= {"FORCE_COLOR": "1"} if colour else {"NO_COLOR": "1"}
            done = subprocess.run(shlex.split(self.command), cwd=ROOT, env=environment, capture_output=True, text=True)
        return done.stdout + done.stderr

    def digest(self) -> str:
        """Return a digest of what the command prints."""
        return hashlib.sha256(self.printed(colour=False).encode()).hexdigest()


REPORT = "docs/showcases/low_nfe/report.html"
PAGES = (
    PagePicture("report_light.png", REPORT),
    PagePicture("report_dark.png", REPORT, scheme="dark"),
    PagePicture("report_telephone.png", REPORT, width=400, height=800),
)
TERMINAL = (
    TerminalPicture("terminal_plan.svg", "fmbench plan suites/low_nfe.yaml"),
    TerminalPicture("terminal_mistake.svg", "fmbench plan suites/low_nfe.yaml --set training.paths=[liner]"),
)


PICTURES = (*PAGES, *MLFLOW, *TERMINAL)


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the pictures that are named, or all."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(each.name for each in PICTURES))
    parser.add_argument("--home", type=Path, help="a store that holds suites/low_nfe.yaml, for MLflow's pictures")
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - {each.name for each in PICTURES}:
        parser.error(f"there is no picture {', '.join(sorted(unknown))}")
    chosen = [each for each in PICTURES if not options.names or each.name in options.names]
    if any(isinstance(each, MlflowPicture) for each in chosen) and options.home is None:
        parser.error("MLflow's pictures need --home")
    draw(chosen, options.home)
    notes = json.loads(NOTES.read_text()) if NOTES.exists() else {}
    notes |= {each.name: {"shows": each.shows, "sha256": each.digest()} for each in chosen}
    NOTES.write_text(
        json.dumps({each.name: notes[each.name] for each in PICTURES if each.name in notes}, indent=1) + "\n"
    )


def draw(pictures: Sequence[PagePicture | MlflowPicture | TerminalPicture], home: Path | None) -> None:
    """Draw pictures in place of those that were there."""
    FOLDER.mkdir(exist_ok=True)
    pages = [each for each in pictures if isinstance(each, PagePicture)]
    views = [each for each in pictures if isinstance(each, MlflowPicture)]
    if pages or views:
        with chromium() as browser:
            draw_pages(browser, pages)
            if views and home is not None:
                draw_mlflow(browser, views, FOLDER, home.absolute())
    for picture in pictures:
        if isinstance(picture, TerminalPicture):
            draw_terminal(picture)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start the system's Chromium, and end it."""
    from playwright.sync_api import sync_playwright

    executable = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if executable is None:
        raise SystemExit(f"no Chromium: none of {', '.join(CHROMIUM)} is on the PATH")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield browser
        browser.close()


def draw_pages(browser: Browser, pictures: Sequence[PagePicture]) -> None:
    """Draw the pages, from the file system and without a network."""
    for picture in pictures:
        options: dict[str, Any] = {"color_scheme": picture.scheme, "offline": True, "reduced_motion": "reduce"}
        context = browser.new_context(viewport={"width": picture.width, "height": picture.height}, **options)
        page = context.new_page()
        page.goto((ROOT / picture.page).as_uri())
        page.wait_for_load_state("networkidle")
        page.screenshot(path=FOLDER / picture.name)
        context.close()


def draw_terminal(picture: TerminalPicture) -> None:
    """Draw what a command prints."""
    from rich.console import Console
    from rich.text import Text

    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi(f"$ {picture.command}\n{picture.printed(colour=True)}"))
    drawn = console.export_svg(title="fmbench", unique_id=Path(picture.name).stem)
    # The font that rich names lies elsewhere: the terminal's own stands in its place.
    lines = drawn.split("\n")
    kept, inside = [], False
    for line in lines:
        inside = inside or "@font-face" in line
        if not inside:
            kept.append(line)
        inside = inside and "}" not in line
    (FOLDER / picture.name).write_text("\n".join(kept).replace("Fira Code", "monospace") + "\n")


if __name__ == "__main__":
    main()
