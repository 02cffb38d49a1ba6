"""The README's links lead somewhere, and its lists name what there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([^)#:]+)\)", README))))
def test_a_link_leads_to_a_file(target: str) -> None:
    assert (ROOT / target).exists()


@pytest.mark.parametrize("folder", ["suites", "suites/tutorials"])
def test_every_suite_is_listed(folder: str) -> None:
    for path in (ROOT / folder).glob("*.yaml"):
        assert f"`{path.name}`" in README, f"{path} is not in the README"
