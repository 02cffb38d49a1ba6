"""Make the pictures of docs/screenshots again, and note of what each was made.

    python docs/scripts/make_screenshots.py

Pages are drawn by the system's Chromium through Playwright, what a terminal shows by rich. `made_of.json` holds for
each picture what it shows and a digest of that: tests/project/test_screenshots.py compares it with what is there now,
so a picture that is out of date fails a test.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shlex
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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


def main() -> None:
    """Make all pictures."""
    FOLDER.mkdir(exist_ok=True)
    for old in (*FOLDER.glob("*.png"), *FOLDER.glob("*.svg")):
        old.unlink()
    draw_pages()
    for picture in TERMINAL:
        draw_terminal(picture)
    notes = {each.name: {"shows": each.shows, "sha256": each.digest()} for each in (*PAGES, *TERMINAL)}
    NOTES.write_text(json.dumps(notes, indent=1) + "\n")


def draw_pages() -> None:
    """Draw the pages, from the file system and without a network."""
    from playwright.sync_api import sync_playwright

    executable = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if executable is None:
        raise SystemExit(f"no Chromium: none of {', '.join(CHROMIUM)} is on the PATH")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        for picture in PAGES:
            options: dict[str, Any] = {"color_scheme": picture.scheme, "offline": True, "reduced_motion": "reduce"}
            context = browser.new_context(viewport={"width": picture.width, "height": picture.height}, **options)
            page = context.new_page()
            page.goto((ROOT / picture.page).as_uri())
            page.wait_for_load_state("networkidle")
            page.screenshot(path=FOLDER / picture.name)
            context.close()
        browser.close()


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
