"""The GitHub Action, with a `gh` and an `fmbench` of the test's own on the PATH, and the Dockerfile, as far as both can
be looked at here: neither GitHub nor Docker is asked.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from made_results import results, write_results

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / ".github" / "fmbench_action.sh"

GH = f"""#!{sys.executable}
import json, os, sys
from pathlib import Path
log, arguments = Path(os.environ["GH_LOG"]), sys.argv[1:]
bodies = [Path(a.removeprefix("body=@")).read_text() for a in arguments if a.startswith("body=@")]
with log.open("a") as file:
    file.write(json.dumps({{"arguments": arguments, "bodies": bodies}}) + "\\n")
if "--paginate" in arguments:
    print(os.environ.get("GH_FORMER", ""))
sys.exit(int(os.environ.get("GH_EXIT", "0")))
"""
FMBENCH = f"""#!{sys.executable}
import os, shutil, sys
from pathlib import Path
if sys.argv[1] == "run":
    Path(os.environ["RUN_LOG"]).write_text("\\n".join(sys.argv[1:]))
    if os.environ["NEW"]:
        shutil.copytree(os.environ["NEW"], Path(sys.argv[sys.argv.index("--reports") + 1]) / "made")
    sys.exit(int(os.environ.get("RUN_EXIT", "0")))
from fmbench.cli import main
main()
"""


def worse(_: dict[str, str], __: int, values: dict[str, float]) -> dict[str, float]:
    return {**values, "fid": 2 * values["fid"]}


class Job:
    """A job of GitHub's: a folder, a PATH, and what the steps of the action said."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        commands = folder / "commands"
        commands.mkdir()
        for name, text in (("gh", GH), ("fmbench", FMBENCH)):
            (commands / name).write_text(text)
            (commands / name).chmod(0o755)
        self.old = write_results(results(), folder / "old")
        self.new = write_results(results(change=worse), folder / "new")
        (self.new / "table.md").write_text("# made\n\nAnswer: euler.\n\n| a | b |\n")
        self.environment = {
            "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}",
            "GITHUB_OUTPUT": str(folder / "output"),
            "GITHUB_STEP_SUMMARY": str(folder / "summary"),
            "GITHUB_REPOSITORY": "someone/something",
            "RUNNER_TEMP": str(folder),
            "GH_LOG": str(folder / "gh.log"),
            "RUN_LOG": str(folder / "run.log"),
            "NEW": str(self.new),
            "FMBENCH_SUITE": "suites/made.yaml",
            "FMBENCH_BASELINE": str(self.old),
            "FMBENCH_PULL_REQUEST": "7",
        }

    def step(self, name: str, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, **self.environment, **variables}
        return subprocess.run(
            ["bash", str(SCRIPT), name], env=environment, cwd=self.folder, capture_output=True, text=True, check=False
        )

    @property
    def output(self) -> dict[str, str]:
        lines = (self.folder / "output").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)

    @property
    def asked(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / "gh.log").read_text().splitlines()]


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path)


def test_a_run_that_got_worse_is_commented_once_and_then_in_place(job: Job) -> None:
    done = job.step("run", FMBENCH_ARGUMENTS="--set training.steps=5\n--jobs 1\n")
    assert done.returncode == 0, done.stderr
    assert (job.folder / "run.log").read_text().split()[-4:] == ["--set", "training.steps=5", "--jobs", "1"]
    assert (job.output["worse"], job.output["failed"]) == ("true", "false")
    assert (Path(job.output["report"]) / "against_baseline.html").exists()
    comment = Path(job.output["comment"]).read_text()
    assert comment.startswith("<!-- fmbench: suites_made.yaml -->\n**fid +100%")
    assert comment in (job.folder / "summary").read_text()
    said = {"FMBENCH_COMMENT": job.output["comment"]}
    assert job.step("comment", **said).returncode == 0
    assert job.step("comment", **said, GH_FORMER="123\n456").returncode == 0
    (look, post), (again, patch) = job.asked[:2], job.asked[2:]
    assert look == again
    assert "suites_made.yaml" in look["arguments"][-1]
    assert post["arguments"][:4] == ["api", "--method", "POST", "repos/someone/something/issues/7/comments"]
    assert patch["arguments"][:4] == ["api", "--method", "PATCH", "repos/someone/something/issues/comments/123"]
    assert post["bodies"] == patch["bodies"] == [comment]
    verdict = {"FMBENCH_WORSE": job.output["worse"], "FMBENCH_FAILED": job.output["failed"]}
    assert job.step("verdict", **verdict).returncode == 0
    assert job.step("verdict", **verdict, FMBENCH_FAIL_ON="worse").returncode == 1


def test_without_a_baseline_the_reports_answer_is_commented(job: Job) -> None:
    assert job.step("run", FMBENCH_BASELINE="").returncode == 0
    assert job.output["worse"] == "false"
    comment = Path(job.output["comment"]).read_text()
    assert "Answer: euler." in comment
    assert "|" not in comment


def test_what_goes_wrong_is_said_and_fails_the_job_where_it_must(job: Job) -> None:
    failed = job.step("run", RUN_EXIT="1")
    assert failed.returncode == 0
    assert job.output["failed"] == "true"
    assert job.step("verdict", FMBENCH_FAILED="true").returncode == 1
    assert job.step("verdict", FMBENCH_FAILED="").returncode == 1  # the run did not come so far
    refused = job.step("comment", FMBENCH_COMMENT=job.output["comment"], GH_EXIT="1")
    assert refused.returncode == 0
    assert "::warning::" in refused.stdout
    nothing = job.step("run", NEW="", RUN_EXIT="2")
    assert (nothing.returncode, "wrote no report" in nothing.stdout) == (2, True)
    nowhere = job.step("run", FMBENCH_BASELINE="nowhere")
    assert (nowhere.returncode, "could not be compared" in nowhere.stdout) == (2, True)


@pytest.mark.parametrize(
    ("said", "installed"),
    [("action", ["the action/here"]), ("fmbench[ray] torch==2.6", ["fmbench[ray]", "torch==2.6"])],
)
def test_what_is_asked_for_is_installed(job: Job, said: str, installed: list[str]) -> None:
    python = job.folder / "commands" / "python"
    python.write_text(f"#!{sys.executable}\nimport json, sys\nprint(json.dumps(sys.argv[1:]))\n")
    python.chmod(0o755)
    done = job.step("install", FMBENCH_INSTALL=said, GITHUB_ACTION_PATH="the action/here")
    assert json.loads(done.stdout) == ["-m", "pip", "install", "--quiet", *installed]


@pytest.mark.parametrize("text", ['$(touch evil)"; touch evil #', "`touch evil`"])
def test_nothing_that_users_say_is_run(job: Job, text: str) -> None:
    said = dict.fromkeys(("FMBENCH_SUITE", "FMBENCH_ARGUMENTS", "FMBENCH_BASELINE"), text)
    job.step("run", **said)
    job.step("comment", **said, FMBENCH_COMMENT=str(job.new / "table.md"))
    assert job.step("comment", FMBENCH_PULL_REQUEST=text).returncode == 1
    assert not list(job.folder.rglob("evil"))


def test_the_action_hands_everything_over_in_variables_and_names_what_there_is() -> None:
    action = yaml.safe_load((ROOT / "action.yml").read_text())
    steps = action["runs"]["steps"]
    for step in steps:
        assert "${{" not in step.get("run", "")
    used = set(re.findall(r"inputs\.([a-z-]+)", json.dumps(action)))
    assert used == set(action["inputs"])
    written = set(re.findall(r"say_output ([a-z]+)", SCRIPT.read_text()))
    assert set(re.findall(r"steps\.run\.outputs\.([a-z]+)", json.dumps(action))) == written
    named = {name for step in steps for name in step.get("env", {})}
    asked = set(re.findall(r"FMBENCH_[A-Z_]+", SCRIPT.read_text()))
    assert named - {"GH_TOKEN"} == asked


def test_the_dockerfile_copies_what_there_is_and_runs_fmbench_as_nobody_special() -> None:
    text = re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text())
    lines = [line.split(maxsplit=1) for line in text.splitlines() if line and not line.startswith("#")]
    copied = [name for verb, rest in lines if verb == "COPY" and "--from" not in rest for name in rest.split()[:-1]]
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert {f"!{name}" for name in copied} == {line for line in ignored if line.startswith("!")}
    assert all((ROOT / name).exists() for name in copied)
    verbs = [verb for verb, _ in lines]
    assert set(verbs) <= {"ARG", "FROM", "WORKDIR", "COPY", "RUN", "USER", "ENV", "VOLUME", "ENTRYPOINT", "CMD"}
    assert ["USER", "fmbench"] in lines[: verbs.index("ENTRYPOINT")]
    assert [json.loads(rest) for verb, rest in lines if verb in ("ENTRYPOINT", "CMD")] == [["fmbench"], ["--help"]]
    environment = dict(part.split("=") for verb, rest in lines if verb == "ENV" for part in shlex.split(rest))
    volumes = [json.loads(rest) for verb, rest in lines if verb == "VOLUME"]
    assert volumes == [[environment["FMBENCH_HOME"]]]
