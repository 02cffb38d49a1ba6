"""The commands of README and documentation: where they stand, and what a test does with each.

`CLASSES` says it, by the first pattern that a command matches. A command that matches none has no class, which fails
tests/project/test_documented_commands.py: give it one here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^( *)```(\w+)[^\n]*\n(.*?)^\1```[ ]*$", re.MULTILINE | re.DOTALL)
SAVED = re.compile(r"\bsaved?\b[^`]*`([\w./-]+)`", re.IGNORECASE)
"""How the words before a block say that it is a file: "Save this as `ralston.py`"."""

SHELL = ("bash", "console", "sh", "shell")

RUN, CUT, ELSEWHERE, NOT_RUN = "run as it is", "run with its budget cut", "run by another test", "not run"

SMALL = "--set training.steps=20 --set training.seeds=[0] --set evaluation.samples=300 --no-tracking"
BUDGETS = {"low_nfe": f"{SMALL} --set training.schedule.cosine.warmup=2", "mine": SMALL}
"""What is appended to a command that is run with its budget cut, by the name of its suite."""

CLASSES: tuple[tuple[str, str, str], ...] = (
    (r"python3? -m venv |pip install |\.venv/bin/|source |apt install ", NOT_RUN, "installs; .ci/run does so"),
    (r"pytest |pytest$|ruff |mypy |\.ci/run", NOT_RUN, "checks the repository; .ci/run does so"),
    (r"mkdocs ", ELSEWHERE, "tests/project/test_documentation_site.py"),
    (r"open |fmbench ui", NOT_RUN, "shows something until it is closed"),
    (r".*--executor ray|ray start", ELSEWHERE, "tests/executors/test_ray_cluster.py"),
    (r".*--executor slurm|.*SLURM_CONF|python tests/slurm/cluster.py", ELSEWHERE, "tests/slurm/test_slurm.py"),
    (r".*--home /shared|export FMBENCH_HOME=/shared|fmbench status", ELSEWHERE, "tests/runner/test_two_drivers.py"),
    (r"export FMBENCH_HOME=s3:", ELSEWHERE, "tests/runner/test_s3_store.py"),
    (r"export MLFLOW_TRACKING_", ELSEWHERE, "tests/tracking/test_team_server.py"),
    (r"python tests/benchmarks/", NOT_RUN, "takes minutes to hours, and measures: run on request, alone"),
    (r"python docs/scripts/make_showcases.py", NOT_RUN, "takes 25 minutes: run where a report has changed"),
    (r"fmbench (check|history) suites/nightly.yaml", NOT_RUN, "three minutes; .github/workflows/nightly.yml runs it"),
    (r"fmbench sync .*--log-models", NOT_RUN, "logs what a run logs with it, which test_mlflow_as_used.py looks at"),
    (r"fmbench why KEY ", ELSEWHERE, "tests/cli/test_cli.py"),
    (
        r"fmbench init suite.yaml --samples |fmbench run suite.yaml",
        ELSEWHERE,
        "tests/runner/test_given_samples.py",
    ),
    (r"fmbench run mine.yaml .*--watch|fmbench init mine.yaml$", NOT_RUN, "waits for a person"),
    (r"fmbench run mine.yaml .*--notify|FMBENCH_NOTIFY=", NOT_RUN, "reaches a desktop or an address elsewhere"),
    (r"fmbench --install-completion", NOT_RUN, "changes the files of the user's shell"),
    (r"docker ", NOT_RUN, "needs Docker"),
    (r"fmbench (init mine.yaml --dataset|run mine.yaml --quick)", RUN, ""),
    (r"fmbench run suites/smoke.yaml|cut -d, |cmp one.csv|echo ", RUN, ""),
    (r"fmbench report suites/smoke.yaml", RUN, ""),
    (r"fmbench (run|plan) (suites/low_nfe|mine).yaml", CUT, ""),
)

PAGES_WITH_TESTS = {
    "docs/guides/plugin.md": "tests/project/test_plugin_guide.py",
    "docs/guides/compare.md": "tests/cli/test_compare_guides.py",
    "docs/guides/publishing.md": "tests/cli/test_compare_guides.py",
    "docs/guides/export.md": "tests/export",
}
"""Pages whose commands are run by tests of their own, those that CLASSES leaves to no other."""


@dataclass(frozen=True)
class Command:
    """One command of a page: the line without its comment, and what a test does with it."""

    page: str
    text: str

    @property
    def class_and_reason(self) -> tuple[str, str] | None:
        """What is done with it, and why it is not run here; None where nothing says so."""
        found = (each[1:] for each in CLASSES if re.match(each[0], self.text))
        return next(found, (ELSEWHERE, PAGES_WITH_TESTS[self.page]) if self.page in PAGES_WITH_TESTS else None)

    @property
    def arguments(self) -> str | None:
        """What `fmbench` is told; None where another program is called."""
        found = re.match(r"(?:\.venv/bin/)?fmbench(?: (.*?))?(?: > \S+)?$", self.text)
        return (found[1] or "") if found else None


@dataclass(frozen=True)
class Block:
    """A fenced block of a page: its language, its text, and the file that the words before it say it is."""

    page: str
    language: str
    text: str
    file: str

    @property
    def commands(self) -> list[Command]:
        """The commands of a block for the shell."""
        if self.language not in SHELL:
            return []
        lines = [_without_comment(line) for line in self.text.replace("\\\n", " ").splitlines()]
        parts = [part.strip() for line in lines for part in re.split(r"&&|;", line)]
        return [Command(self.page, part.removeprefix("$ ")) for part in parts if part]


def blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page, in order."""
    text, name = page.read_text(), str(page.relative_to(ROOT))
    found = []
    for fence in FENCE.finditer(text):
        before = text[: fence.start()].rstrip().rpartition("\n\n")[2]
        saved = SAVED.search(before)
        inside = re.sub(rf"^{fence[1]}", "", fence[3], flags=re.MULTILINE)
        found.append(Block(name, fence[2], inside, saved[1] if saved else ""))
    return found


def _without_comment(line: str) -> str:
    return re.sub(r"(^|\s)#.*$", "", line).strip()
