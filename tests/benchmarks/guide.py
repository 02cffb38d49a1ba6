"""How long does a reader take from nothing to an own solver in the table? docs/guides/plugin.md by the clock.

A wheel is built, and every block of the guide is done as it stands there, in a folder and an environment that hold
nothing: `pip install` fetches all that fmbench needs, and no budget is cut. Reading and typing come on top.

    python tests/benchmarks/guide.py                  # needs a network, and 6 GB for torch with its GPU libraries
    python tests/benchmarks/guide.py --folder FOLDER  # keep what comes of it
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from guide_blocks import Step, steps_of

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "guides" / "plugin.md"
TARGET = 600
"""Seconds, to the end of "In the table"."""


def wheel_of(folder: Path) -> Path:
    """Build the wheel of this checkout and return it."""
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run(command, check=True)
    (wheel,) = folder.glob("fmbench-*.whl")
    return wheel


def whole_environment(folder: Path) -> dict[str, str]:
    """Return the variables of a shell in which `pip install fmbench` means this checkout, and nothing is installed."""
    constraints = folder / "constraints.txt"
    constraints.write_text(f"fmbench @ {wheel_of(folder).as_uri()}\n")
    own = ("FMBENCH_", "PYTHON", "VIRTUAL_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    # Without a cache, a first installation is a first installation.
    return {**kept, "PIP_CONSTRAINT": str(constraints), "PIP_NO_CACHE_DIR": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}


def used() -> float:
    """Return the seconds of processor time that all commands so far took: what a busy machine leaves as it is."""
    times = resource.getrusage(resource.RUSAGE_CHILDREN)
    return times.ru_utime + times.ru_stime


def follow(folder: Path) -> float:
    """Do what the guide says, say what each block takes, and return the seconds to the end of "In the table"."""
    environment, total, asked = whole_environment(folder), 0.0, 0.0
    place = folder / "fresh"
    place.mkdir()
    activated = ""
    for step in steps_of(GUIDE):
        began, used_before = time.perf_counter(), used()
        # Each block is a shell of its own here; a reader's stays open, with the environment that the first one opens.
        place = (step if step.file else Step(step.heading, activated + step.text)).do(place, environment)
        taken = time.perf_counter() - began
        activated = activated or f"source {folder}/fresh/.venv/bin/activate\n"
        total += taken
        asked = total if step.heading == "In the table" else asked
        words = f"saves {step.file}" if step.file else "; ".join(step.text.splitlines())
        print(f"{taken:7.1f} s, {used() - used_before:6.1f} of cores  {step.heading}: {words[:90]}", flush=True)
    print(f"{total:7.1f} s  in all")
    return asked


def main() -> None:
    """Follow the guide; exit with 1 where it takes too long."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="Where to work: an empty folder that is kept.")
    folder = parser.parse_args().folder
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    if folder is not None:
        folder.mkdir(parents=True)
        asked = follow(folder.resolve())
    else:
        with tempfile.TemporaryDirectory() as temporary:
            asked = follow(Path(temporary).resolve())
    print(f"{asked:7.1f} s  from nothing to the end of 'In the table'; {TARGET} s are asked")
    sys.exit(asked > TARGET)


if __name__ == "__main__":
    main()
