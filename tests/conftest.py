"""Fixtures that several test files share."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def outsider_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with tests/outsider installed in it; put it on the PYTHONPATH of a subprocess."""
    if importlib.util.find_spec("pip") is None:
        pytest.fail("the outsider's installation needs pip in this environment: python -m ensurepip")
    # Built from a copy, because setuptools writes its build folder beside the sources.
    source = tmp_path_factory.mktemp("outsider") / "source"
    shutil.copytree(Path(__file__).parent / "outsider", source)
    site = source.with_name("site")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    command += ["--disable-pip-version-check", "--target", str(site), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.fail(f"tests/outsider could not be installed:\n{done.stdout}{done.stderr}")
    return site
