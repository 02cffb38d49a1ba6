"""What the SLURM executor reads and writes: events, options, time limits, states of jobs."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from fmbench.errors import StoreError, UserError
from fmbench.executors.messages import Event
from fmbench.executors.slurm import driver_job, job_states
from fmbench.executors.slurm.event_files import BEGUN, ENDED, EventFile, EventTail, ended_units
from fmbench.executors.slurm.job_states import states_in_slurm
from fmbench.executors.slurm.parameters import SlurmParameters, slurm_parameters
from fmbench.executors.slurm.time_limits import LEAST_MINUTES, UNKNOWN_MINUTES, minutes_for, minutes_of, time_limit

EVENTS = [Event("started", "training", "a"), Event("advanced", "training", "a", 5), Event("finished", "training", "a")]


def test_events_come_back_whole_once_and_in_order_over_all_runs_of_a_job(tmp_path: Path) -> None:
    tail = EventTail(tmp_path, 0)
    assert tail.read() == []
    first = EventFile(tmp_path, 0)
    first.write({"job": BEGUN})
    first.write(EVENTS[0])
    assert tail.read() == [{"job": BEGUN}, EVENTS[0]]
    assert tail.read() == []
    with (tmp_path / "0.0.jsonl").open("a") as stream:
        stream.write('{"what": "advan')  # the job is killed in the midst of a line
    assert tail.read() == []
    second = EventFile(tmp_path, 0)
    for event in EVENTS:
        second.write(event)
    second.write({"job": ENDED})
    assert tail.read() == [*EVENTS, {"job": ENDED}]
    assert ended_units(tmp_path, 0) == {("training", "a"): 1}
    assert ended_units(tmp_path, 1) == {}


def test_a_line_that_is_half_there_is_read_when_it_is_whole(tmp_path: Path) -> None:
    EventFile(tmp_path, 3)
    line, tail = json.dumps(EVENTS[2].as_dict()), EventTail(tmp_path, 3)
    with (tmp_path / "3.0.jsonl").open("a") as stream:
        for part in (line[:7], line[7:]):
            stream.write(part)
            stream.flush()
            assert tail.read() == []
        stream.write("\n")
    assert tail.read() == [EVENTS[2]]


@pytest.mark.parametrize("line", ["{", "7", '"text"', '{"what": "finished", "nonsense": 1}', "\x00"])
def test_a_line_that_no_job_wrote_is_one_message(line: str, tmp_path: Path) -> None:
    EventFile(tmp_path, 3)
    tail = EventTail(tmp_path, 3)
    with (tmp_path / "3.0.jsonl").open("a") as stream:
        stream.write(line + "\n")
    with pytest.raises(StoreError, match=r"3\.0\.jsonl holds a line that no job of fmbench writes"):
        tail.read()


@pytest.mark.parametrize(
    ("text", "minutes"),
    [("90", 90), ("1:30", 2), ("1:30:00", 90), ("2-0", 2880), ("1-1:30", 1530), ("0-00:00:30", 1), ("0", None)],
)
def test_time_limits_are_read_as_slurm_reads_them(text: str, minutes: int | None) -> None:
    assert minutes_of(text) == minutes
    assert minutes is None or minutes_of(time_limit(minutes)) == minutes


def test_the_forecast_has_a_factor_and_a_floor() -> None:
    assert minutes_for(None) == UNKNOWN_MINUTES
    assert minutes_for(1.0) == LEAST_MINUTES
    assert minutes_for(7200.0) == 360


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("partition", "needs a value"),
        ("gpu!", "must be KEY=VALUE"),
        ("partitoin=gpu", "Did you mean 'partition'"),
        ("time=soon", "must be a time as SLURM has it"),
        ("cpus_per_task=many", "must be a whole number"),
        ("cpus_per_task=0", "must be 1 or more"),
        ("array=1-3", "--jobs says how many"),
        ("signal=9", "signal_delay_s"),
        ("nodes=2", "one process, on one node"),
        ("cluster=moon", "must be one of slurm, local"),
        ("comment=a\nb", "on one line"),
    ],
)
def test_a_wrong_option_says_what_there_is(text: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fmbench.executors.slurm.parameters.shutil.which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr("fmbench.executors.slurm.parameters._sbatch_options", lambda: ["licenses", "wrap"])
    with pytest.raises(UserError, match=words):
        slurm_parameters((text,))


def test_options_of_submitit_and_of_sbatch_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fmbench.executors.slurm.parameters.shutil.which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr("fmbench.executors.slurm.parameters._sbatch_options", lambda: ["licenses", "exclusive"])
    texts = ("partition=gpu", "--cpus-per-task=4", "time=1-0", "licenses=matlab:1", "exclusive", "setup=module load a")
    assert slurm_parameters(texts) == SlurmParameters(
        given={"partition": "gpu", "cpus_per_task": 4, "setup": ["module load a"]},
        more={"licenses": "matlab:1", "exclusive": True},
        minutes=1440,
    )


def test_a_suites_resources_are_options_unless_the_command_line_says_more() -> None:
    resources = {"gpu": 0.25, "memory": 4e9}
    assert SlurmParameters().with_resources(resources, 2) == {"cpus_per_task": 2, "gpus_per_node": 1, "mem": "3815M"}
    given = SlurmParameters(given={"gres": "gpu:a100:1", "mem": "8G", "cpus_per_task": 8})
    assert given.with_resources(resources, 2) == {"gres": "gpu:a100:1", "mem": "8G", "cpus_per_task": 8}


def test_without_slurm_it_is_said_how_to_try_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fmbench.executors.slurm.parameters.shutil.which", lambda name: None)
    with pytest.raises(UserError, match="cluster=local"):
        slurm_parameters(("partition=absent",))


@pytest.mark.parametrize(
    ("squeue", "sacct", "wanted"),
    [
        ((0, "7_0|RUNNING|n1|None\n7_1|PENDING||Priority\n", ""), None, {"7_0": "RUNNING", "7_1": "PENDING"}),
        ((1, "", "slurm_load_jobs error: Invalid job id specified"), (1, ""), {"7_0": "GONE", "7_1": "GONE"}),
        ((0, "7_0|RUNNING|n1|None\n", ""), (0, "7_1|CANCELLED by 0|n2\n"), {"7_0": "RUNNING", "7_1": "CANCELLED"}),
        ((1, "", "Unable to contact slurm controller"), None, {}),
    ],
)
def test_states_are_squeues_then_saccts_and_unknown_where_the_controller_is_away(
    squeue: tuple[int, str, str],
    sacct: tuple[int, str] | None,
    wanted: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def run(command: list[str]) -> subprocess.CompletedProcess[str]:
        if command[0] == "squeue":
            return subprocess.CompletedProcess(command, *squeue)
        assert sacct is not None
        return subprocess.CompletedProcess(command, *sacct, "")

    monkeypatch.setattr(job_states, "_run", run)
    assert {job: state.state for job, state in states_in_slurm(["7_0", "7_1"]).items()} == wanted


@pytest.mark.parametrize(("restarts", "begun", "requeued"), [("0", "0", False), ("1", "0", True), ("1", "1", False)])
def test_a_job_is_requeued_where_slurm_counts_one_restart_more_than_it_has_seen(
    restarts: str, begun: str, requeued: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = f"JobId=7 JobState=COMPLETING Requeue=1 Restarts={restarts} BatchFlag=1"
    monkeypatch.setattr(subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, 0, said, ""))
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SLURM_RESTART_COUNT", begun)
    assert driver_job.is_requeued() is requeued
