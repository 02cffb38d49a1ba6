"""README and documentation: links lead somewhere, lists name what there is, and no run writes to what they show."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from fmbench.plugins.registry import Registry

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
CODE = re.compile(r"^(```+)[^\n]*\n.*?^\1$|`[^`\n]*`", re.MULTILINE | re.DOTALL)


def targets(page: Path) -> list[str]:
    """Return where a page's relative links and pictures lead."""
    text = CODE.sub("", page.read_text())
    found = re.findall(r"\]\(([^)\s]+)\)|(?:src|srcset)=\"([^\"]+)\"", text)
    return [target for pair in found for target in pair if target and not re.match(r"[a-z]+:", target)]


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    text = CODE.sub(lambda code: "" if code[1] else code[0].strip("`"), page.read_text())
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_and_headings(page: Path) -> None:
    for target in targets(page):
        place, _, anchor = target.partition("#")
        file = page.parent / place if place else page
        assert file.exists(), f"{target} is not there"
        if anchor and file.suffix == ".md":
            assert anchor in anchors(file), f"{target}: there are {sorted(anchors(file))}"


def test_the_readme_is_one_screen() -> None:
    assert len((ROOT / "README.md").read_text().split()) <= 900


@pytest.mark.parametrize("folder", ["suites", "suites/tutorials"])
def test_every_suite_is_listed(folder: str) -> None:
    listed = (ROOT / "docs" / "suites.md").read_text()
    for path in (ROOT / folder).glob("*.yaml"):
        assert f"`{path.name}`" in listed, f"{path} is not in docs/suites.md"


def test_every_component_is_listed(registry: Registry) -> None:
    page = (ROOT / "docs" / "components.md").read_text()
    for entry in registry.entries():
        if "torchdiffeq" not in entry.target:  # whose names are torchdiffeq's
            name = re.sub("_(digits|mnist)(?=_|$)", "", entry.name) if entry.kind == "metric" else entry.name
            assert re.search(rf"\b{name}\b", page), f"{entry.kind} {entry.name} is not in docs/components.md"


def test_a_run_writes_to_no_tracked_file() -> None:
    """What a suite's report, store and MLflow are written to is ignored by git, and nothing tracked lies there."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("this is no clone: what git tracks cannot be told")
    suites = [yaml.safe_load(file.read_text())["name"] for file in (ROOT / "suites").rglob("*.yaml")]
    written = [f"reports/{name}/index.html" for name in suites] + [".fmbench/store", "mlflow.db", "site/index.html"]
    git = ["git", "-C", str(ROOT)]
    ignored = subprocess.run([*git, "check-ignore", *written], capture_output=True, text=True).stdout.split()
    assert ignored == written
    assert not subprocess.run(
        [*git, "ls-files", "--", *(f"reports/{name}" for name in suites)], capture_output=True
    ).stdout
