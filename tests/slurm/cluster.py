"""A real SLURM of one controller and two daemons on this machine, for as long as a test or a trial needs it.

    python tests/slurm/cluster.py start FOLDER      # says what to export, so that sbatch and squeue find it
    python tests/slurm/cluster.py stop FOLDER

It needs Debian's packages slurm-wlm and munge and no rights: whoever starts it owns all daemons. Configuration, keys,
spool and logs lie in FOLDER, of which `stop` leaves the logs alone. There is no accounting database, as on many small
clusters. The partition `debug` is preempted by `urgent`, with requeueing.
"""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

COMMANDS = ("sbatch", "scontrol", "squeue", "slurmctld", "slurmd", "munged")
NODES = ("node1", "node2")
START_SECONDS = 60
_STARTED: list[subprocess.Popen[bytes]] = []
"""The daemons that this process has started."""
_SBIN = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))


def lacking() -> str:
    """Say which command is not installed, "" where all are."""
    missing = [command for command in COMMANDS if shutil.which(command, path=_SBIN) is None]
    return f"{', '.join(missing)} not installed: apt install slurm-wlm munge" if missing else ""


@contextmanager
def cluster(folder: Path) -> Iterator[dict[str, str]]:
    """Run a cluster; yield the environment variables with which SLURM's commands find it."""
    try:
        yield start(folder)
    finally:
        stop(folder)


def start(folder: Path) -> dict[str, str]:
    """Start all daemons, and return when both nodes are idle."""
    folder = folder.resolve()
    for part in ("log", "state", *NODES):
        (folder / part).mkdir(parents=True, exist_ok=True)
    folder.chmod(0o711)
    environment = {"SLURM_CONF": str(folder / "slurm.conf")}
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    (folder / "slurm.conf").write_text(_configuration(folder))
    (folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")  # of which nothing is used: task/none
    munge = [f"--{name}={folder / file}" for name, file in _MUNGE_FILES.items()]
    _daemon(folder, "munge", ["munged", "--foreground", "--force", "--num-threads=2", *munge], {})
    _until(lambda: (folder / "munge.socket").exists(), folder, "munged")
    _daemon(folder, "slurmctld", ["slurmctld", "-D", "-c"], environment)
    for node in NODES:
        _daemon(folder, node, ["slurmd", "-D", "-N", node], environment)
    _until(lambda: _idle(environment) == len(NODES), folder, "slurmctld and slurmd")
    return environment


def stop(folder: Path) -> None:
    """End all daemons and what they run; the logs stay."""
    folder = folder.resolve()
    environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")}
    if (folder / "slurm.conf").exists():
        quiet = {"env": environment, "capture_output": True, "check": False, "timeout": 20}
        with suppress(subprocess.TimeoutExpired):
            subprocess.run(["scancel", "--user", getpass.getuser(), "--signal=KILL", "--full"], **quiet)  # type: ignore[call-overload]
            subprocess.run(["scancel", "--user", getpass.getuser()], **quiet)  # type: ignore[call-overload]
    pids = [int(file.read_text()) for file in sorted(folder.glob("*.pid"))]
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + 20
    while any(map(_is_alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.1)
    for pid in filter(_is_alive, pids):
        os.kill(pid, signal.SIGKILL)
    for entry in folder.iterdir():
        if entry.name != "log":
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()


_MUNGE_FILES = {
    "key-file": "munge.key",
    "socket": "munge.socket",
    "pid-file": "munged.own-pid",
    "seed-file": "munge.seed",
    "log-file": "log/munged.log",
}


def _configuration(folder: Path) -> str:
    controller, *ports = _free_ports(1 + len(NODES))
    host, user = socket.gethostname(), getpass.getuser()
    lines = [
        "ClusterName=fmbench",
        f"SlurmctldHost={host}(127.0.0.1)",
        f"SlurmctldPort={controller}",
        f"SlurmUser={user}",
        f"SlurmdUser={user}",
        "AuthType=auth/munge",
        "CredType=cred/munge",
        f"AuthInfo=socket={folder / 'munge.socket'},cred_expire=5",  # after which a requeued job may start again
        f"StateSaveLocation={folder / 'state'}",
        f"SlurmdSpoolDir={folder}/%n",
        f"SlurmctldPidFile={folder / 'slurmctld.own-pid'}",
        f"SlurmdPidFile={folder}/%n.own-pid",
        f"SlurmctldLogFile={folder / 'log/slurmctld.log'}",
        f"SlurmdLogFile={folder}/log/%n.log",
        # no cgroups, which a container may not have
        "ProctrackType=proctrack/linuxproc",
        "TaskPlugin=task/none",
        "JobAcctGatherType=jobacct_gather/none",
        "AccountingStorageType=accounting_storage/none",
        "JobCompType=jobcomp/none",
        "MpiDefault=none",
        "SwitchType=switch/none",
        "SelectType=select/cons_tres",
        "SelectTypeParameters=CR_Core,CR_LLN",  # a node each for two jobs
        "SlurmdParameters=config_overrides",  # both nodes have this machine's cores
        "SchedulerType=sched/backfill",
        "SchedulerParameters=bf_interval=1,sched_interval=1,sched_min_interval=0,batch_sched_delay=0",
        "PreemptType=preempt/partition_prio",
        "PreemptMode=REQUEUE",
        "JobRequeue=1",
        "ReturnToService=2",
        "KillWait=10",
        "MinJobAge=60",
        "InactiveLimit=0",
        "SlurmctldTimeout=60",
        "SlurmdTimeout=20",
    ]
    for node, port in zip(NODES, ports, strict=True):
        lines.append(f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=2 RealMemory=4096")
    common = f"Nodes={','.join(NODES)} MaxTime=1-00:00:00 State=UP"
    lines += [
        f"PartitionName=debug Default=YES PriorityTier=1 PreemptMode=REQUEUE GraceTime=20 {common}",
        f"PartitionName=urgent Default=NO PriorityTier=10 PreemptMode=OFF {common}",
    ]
    return "\n".join(lines) + "\n"


def _free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on; a range, for the controller is found by one number."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def _daemon(folder: Path, name: str, command: list[str], more: dict[str, str]) -> None:
    """Start a daemon in a session of its own, and leave its process id in a file."""
    path = shutil.which(command[0], path=_SBIN)
    assert path is not None, f"{command[0]} is not installed"
    with (folder / "log" / f"{name}.out").open("ab") as log:
        process = subprocess.Popen(
            [path, *command[1:]],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, "PATH": _SBIN, **more},
            start_new_session=True,
        )
    _STARTED.append(process)
    (folder / f"{name}.pid").write_text(str(process.pid))


def _idle(environment: dict[str, str]) -> int:
    command = ["sinfo", "--noheader", "--Node", "--partition=debug", "--format=%T"]
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    return done.stdout.split().count("idle")


def _until(holds: object, folder: Path, what: str) -> None:
    assert callable(holds)
    deadline = time.monotonic() + START_SECONDS
    while not holds():
        if time.monotonic() > deadline:
            tails = [f"{file}:\n{file.read_text()[-2000:]}" for file in sorted((folder / "log").iterdir())]
            raise TimeoutError(f"{what} did not start within {START_SECONDS} s\n" + "\n".join(tails))
        time.sleep(0.1)


def _is_alive(pid: int) -> bool:
    for process in _STARTED:
        process.poll()  # or a child that has ended would seem to be there
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


if __name__ == "__main__":
    verb, place = sys.argv[1], Path(sys.argv[2])
    if verb == "start":
        sys.stdout.writelines(f"export {name}={value}\n" for name, value in start(place).items())
    else:
        stop(place)
