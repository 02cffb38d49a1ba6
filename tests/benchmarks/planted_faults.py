"""Planted faults, for real: one line of the code is made wrong at a time, and `fmbench check` must say whose.

    python tests/benchmarks/planted_faults.py                    # all faults, about 40 minutes on 2 cores
    python tests/benchmarks/planted_faults.py --unchanged 20     # checks of unchanged or reformulated code, as long
    python tests/benchmarks/planted_faults.py --only heun --again
    python tests/benchmarks/planted_faults.py --table            # the table again from the results

Nothing of the working tree is changed: each fault is made in a copy of fmbench/, plugins/ and suites/, and the suite is
checked with that copy on the path. First an unchanged night is computed and accepted. A faulty night begins with a copy
of its store, so that only what the fault has a part in is computed again; an unchanged night begins with nothing, so
that everything is computed and timed anew. Results are added to a file as they come: an interrupted run goes on.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT / "tests"))

from benchmarks.planted_changes import FAULTS, REFORMULATIONS, Fault, Reformulation  # noqa: E402

RESULTS = ROOT / "reports" / "planted_faults" / "results.json"
COPIED = ("fmbench", "plugins", "suites")
VISIBLE = 0.10
"""A fault that moves no score of the component's by so much is below the threshold."""
SECONDS = 1500.0


def title(change: Fault | Reformulation) -> str:
    """Return the name of a change's results."""
    return f"{change.file}: {change.name}"


def copied(folder: Path, change: Fault | Reformulation | None) -> Path:
    """Copy the code into a folder, with one line changed. Raises ValueError where that line is not there once."""
    ignored = shutil.ignore_patterns("__pycache__", "*.pyc", "*.egg-info")
    for name in COPIED:
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    if change is not None:
        file = folder / change.file
        text = file.read_text(encoding="utf-8")
        if text.count(change.old) != 1:
            raise ValueError(f"{change.file} has {change.old!r} {text.count(change.old)} times; it must be there once")
        file.write_text(text.replace(change.old, change.new), encoding="utf-8")
    return folder


def check(code: Path, home: Path, suite: str, arguments: Sequence[str]) -> tuple[int, str, str]:
    """Run `fmbench check` of a copy of the code. Return exit code, standard output, and standard error."""
    paths = [str(code), str(code / "plugins")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "COLUMNS": "4000", "NO_COLOR": "1"}
    environment.pop("FMBENCH_HOME", None)
    places = ["--home", str(home), "--reports", str(home.parent / "reports"), "--no-tracking", "--no-history"]
    command = [sys.executable, "-c", "from fmbench.cli import main; main()", "check", suite, *places, *arguments]
    child = subprocess.run(
        command, cwd=code, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    return child.returncode, child.stdout, child.stderr


def first_line(output: str) -> str:
    """Return the first line that says something."""
    return next((line.strip() for line in output.splitlines() if line.strip()), "")


class Laboratory:
    """A folder with an unchanged night: its store, and the baseline that was made of it."""

    def __init__(self, folder: Path, suite: str) -> None:
        self.folder, self.suite = folder, suite
        self.home, self.baseline = folder / "unchanged" / "store", folder / "baseline.json"

    def prepare(self) -> None:
        """Compute the unchanged night and accept it, unless that was done."""
        if self.baseline.exists():
            return
        shutil.rmtree(self.home.parent, ignore_errors=True)
        with tempfile.TemporaryDirectory(dir=self.folder) as place:
            started = time.perf_counter()
            code, out, err = check(
                copied(Path(place), None), self.home, self.suite, ["--accept", "--baseline", str(self.baseline)]
            )
        if code or not self.baseline.exists():
            raise SystemExit(f"the unchanged night ended with {code}:\n{out}\n{err}")
        print(f"the unchanged night: {time.perf_counter() - started:.0f} s", flush=True)

    def night(self, change: Fault | Reformulation | None, *, afresh: bool) -> dict[str, Any]:
        """Check one changed copy of the code, and return what came of it."""
        with tempfile.TemporaryDirectory(dir=self.folder) as place:
            code, home = copied(Path(place) / "code", change), Path(place) / "store"
            if not afresh:
                shutil.copytree(self.home, home, copy_function=_linked)
            against = ["--baseline", str(self.baseline)]
            started = time.perf_counter()
            exit_code, out, err = check(code, home, self.suite, against)
            out = out.replace(str(self.baseline), self.baseline.name)
            seconds = time.perf_counter() - started
            _, data, _ = check(code, home, self.suite, [*against, "--no-run", "--json"])
        if exit_code not in (0, 1, 2) or not data.startswith("{"):
            return {"failed": err[-2000:], "exit_code": exit_code, "seconds": seconds}
        return {
            "exit_code": exit_code,
            "seconds": round(seconds),
            "first_line": first_line(out),
            "said": [line for line in out.splitlines() if line.startswith(("WORSE", "BETTER", "CHANGED", "note"))][:12],
            **measured(json.loads(data)),
        }


def _linked(source: str, target: str) -> None:
    """Link a file of the store: they are written anew and renamed, never changed. Locks are copied."""
    if source.endswith((".lock", "lock")):
        shutil.copy2(source, target)
        return
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def measured(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the largest move of a score over all cells that the changed code has a part in, and alarms about time.

    A move counts where its interval leaves out 0, or where it is exact: others are luck of trainings that were redone.
    """
    moves = [move for change in data["changes"] or () for move in change["moves"] if move["effect"] is not None]
    real = [move for move in moves if move["effect"] and not move["low"] <= 0 <= move["high"]]
    largest = max(real, key=lambda move: abs(move["effect"]), default=None)
    return {
        "move": 0.0 if largest is None else largest["effect"],
        "moved": "" if largest is None else largest["metric"],
        "times": [
            c["metric"] + " of " + c["what"] for c in data["comparisons"] if c["is_time"] and c["verdict"] == "worse"
        ],
        "culprits": [f"{culprit['metric']} of {culprit['what']}" for culprit in data["culprits"]],
    }


def judged(fault: Fault, found: Mapping[str, Any]) -> dict[str, bool]:
    """Return whether a check alarmed or said what moved, whether its first line names the part, and by scores alone."""
    line = str(found.get("first_line", ""))
    scores = re.sub(r"(; )?code has changed:[^)]*(\([^)]*\)[^)]*)*\)?$", "", line)
    told = line.startswith(("WORSE", "BETTER"))
    return {
        "told": told,
        "named": told and re.search(fault.part, line) is not None,
        "by_scores": told and re.search(fault.scores, scores) is not None,
    }


def table(results: Mapping[str, Any]) -> str:
    """Return all results as Markdown."""
    lines = [
        "# Planted faults",
        "",
        "One line of the code is made wrong at a time, and the nightly suite is checked against an unchanged night of",
        "the same machine (`python tests/benchmarks/planted_faults.py`). *moved* is the largest move of a score over",
        "all cells that the line has a part in, positive where it got worse; *named* whether the first line of the",
        "check names the right part, and *by scores* whether it does so without looking at whose code has changed.",
        "",
        *([results["note"], ""] if results.get("note") else []),
        *_faults(results.get("faults", {})),
        "",
        *_unchanged(results.get("unchanged", [])),
    ]
    return "\n".join(lines) + "\n"


def _faults(results: Mapping[str, Any]) -> Iterator[str]:
    done = [(fault, results[title(fault)]) for fault in FAULTS if title(fault) in results]
    seen = [(f, r) for f, r in done if abs(r.get("move", 0.0)) >= VISIBLE or "failed" in r]
    named = sum(judged(f, r)["named"] for f, r in seen)
    scores = sum(judged(f, r)["by_scores"] for f, r in seen)
    if done:
        yield (
            f"{len(done)} of {len(FAULTS)} faults were planted, {sum(f.core for f, _ in done)} of them in the core. "
            f"{len(seen)} moved a score by {VISIBLE:.0%} or more: the first line named {named} of these, {scores} by "
            f"scores alone."
        )
        yield ""
    yield "| file | fault | moved | exit code | named | by scores | first line |"
    yield "|---|---|---|---|---|---|---|"
    for fault, found in done:
        if "failed" in found:
            yield f"| {fault.file} | {fault.name} | – | {found['exit_code']} | – | – | the check itself failed |"
            continue
        told = judged(fault, found)
        words = ["yes" if told[name] else "no" for name in ("named", "by_scores")]
        small = "" if abs(found["move"]) >= VISIBLE else " (below the threshold)"
        moved = f"{found['moved']} {100 * found['move']:+.1f}%" if found["moved"] else "nothing"
        line = found["first_line"].replace("|", "\\|")
        yield f"| {fault.file} | {fault.name} | {moved}{small} | {found['exit_code']} | {' | '.join(words)} | {line} |"


def _unchanged(results: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if not results:
        return
    alarms = [found for found in results if found.get("exit_code") != 0]
    yield "## Unchanged and reformulated code"
    yield ""
    yield (
        f"{len(results)} checks, each with a store of its own, so that everything was computed and timed again: "
        f"{len(alarms)} {'alarm' if len(alarms) == 1 else 'alarms'}."
    )
    yield ""
    yield "| code | exit code | seconds | first line |"
    yield "|---|---|---|---|"
    for found in results:
        line = str(found.get("first_line", "the check itself failed")).replace("|", "\\|")
        yield f"| {found['change']} | {found['exit_code']} | {found['seconds']:.0f} | {line} |"


def kept(path: Path) -> dict[str, Any]:
    """Return the results so far."""
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return {"faults": {}, "unchanged": [], **found}


def keep(results: Mapping[str, Any], path: Path) -> None:
    """Write results and table."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")
    temporary.replace(path)
    (path.parent / "README.md").write_text(table(results))


def attempt(place: Laboratory, change: Fault | Reformulation | None, *, afresh: bool) -> dict[str, Any]:
    """Return what came of a night; one that takes too long failed."""
    try:
        return place.night(change, afresh=afresh)
    except subprocess.TimeoutExpired:
        return {"failed": f"took longer than {SECONDS:g} s", "exit_code": -1, "seconds": SECONDS}


def plant(place: Laboratory, results: dict[str, Any], path: Path, only: str, again: bool) -> None:
    """Plant every fault that has no result yet."""
    chosen = [fault for fault in FAULTS if only in title(fault)]
    for number, fault in enumerate(chosen, 1):
        if title(fault) in results["faults"] and not again:
            continue
        found = attempt(place, fault, afresh=False)
        results["faults"][title(fault)] = found
        keep(results, path)
        said = "named" if judged(fault, found)["named"] else "NOT named"
        line = found.get("first_line", found.get("failed", ""))
        print(f"{number}/{len(chosen)} {title(fault)}: {said}, {found['seconds']:.0f} s: {line}", flush=True)


def repeat(place: Laboratory, results: dict[str, Any], path: Path, number: int) -> None:
    """Check unchanged and reformulated code in turn, until there are so many results."""
    while len(results["unchanged"]) < number:
        done = len(results["unchanged"])
        change = None if done % 2 == 0 else REFORMULATIONS[done // 2 % len(REFORMULATIONS)]
        found = attempt(place, change, afresh=True)
        results["unchanged"].append({"change": "unchanged" if change is None else title(change), **found})
        keep(results, path)
        last = results["unchanged"][-1]
        said = f"exit code {last['exit_code']}, {last['seconds']:.0f} s: {last.get('first_line', '')}"
        print(f"{done + 1}/{number} {last['change']}: {said}", flush=True)


def main() -> None:
    """Run what is asked for, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--unchanged", type=int, default=0, metavar="N", help="N checks of unchanged code, no faults")
    parser.add_argument("--only", default="", help="faults whose file or name has this in it")
    parser.add_argument("--again", action="store_true", help="plant anew what has a result")
    parser.add_argument("--table", action="store_true", help="write the table from the results, and run nothing")
    parser.add_argument("--suite", default="suites/nightly.yaml", help="within the checkout")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "fmbench-planted")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    results = kept(options.results)
    if not options.table:
        options.work.mkdir(parents=True, exist_ok=True)
        place = Laboratory(options.work.resolve(), options.suite)
        place.prepare()
        if options.unchanged:
            repeat(place, results, options.results, options.unchanged)
        else:
            plant(place, results, options.results, options.only, options.again)
    keep(results, options.results)
    print(table(results))


if __name__ == "__main__":
    main()
