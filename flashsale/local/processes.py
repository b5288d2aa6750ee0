"""The identity of processes: pids are reused, so a pid alone does not identify a process."""

import signal
import subprocess
from pathlib import Path

_PROC = Path("/proc")


def identity(pid: int) -> str | None:
    """A text that identifies the process for ever. None if no such process runs; a zombie does not."""
    if (_PROC / "self" / "stat").exists():
        return _identity_from_proc(pid)
    return _identity_from_ps(pid)


def children(pid: int) -> list[int]:
    """The pids of the process' children. (PostgreSQL works in child processes.)"""
    listed = subprocess.run(
        ["ps", "-eo", "pid=,ppid="],  # noqa: S607  # found through PATH
        capture_output=True,
        text=True,
        check=True,
    )
    pairs = [line.split() for line in listed.stdout.splitlines()]
    return [int(child) for child, parent in pairs if int(parent) == pid]


def describe_end(returncode: int | None) -> str:
    """Describe how a process ended, by its `Popen.returncode`."""
    if returncode is None:
        return "ended"
    if returncode >= 0:
        return f"ended with exit code {returncode}"
    try:
        return f"was ended by {signal.Signals(-returncode).name}"
    except ValueError:  # a real-time signal has no name
        return f"was ended by signal {-returncode}"


def _identity_from_proc(pid: int) -> str | None:
    try:
        status = (_PROC / str(pid) / "stat").read_text()
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The second field is the program's name, which may contain spaces and brackets.
    fields = status.rpartition(")")[2].split()
    state, start_ticks = fields[0], fields[19]
    return None if state in "ZX" else f"{boot} {start_ticks} {pid}"


def _identity_from_ps(pid: int) -> str | None:
    command = ["ps", "-o", "stat=,lstart=", "-p", str(pid)]
    listed = subprocess.run(command, capture_output=True, text=True, check=False)
    state, _, started = listed.stdout.strip().partition(" ")
    return None if not state or state.startswith("Z") else f"{' '.join(started.split())} {pid}"
