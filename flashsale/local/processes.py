"""Which process is which: pids are used again, so a pid alone names nobody."""

import signal
import subprocess
from pathlib import Path

_PROC = Path("/proc")


def identity(pid: int) -> str | None:
    """Something that no other process ever shares, or None where no such process runs (any more).

    A process that has ended and only waits for its parent to notice counts as ended.
    """
    if (_PROC / "self" / "stat").exists():
        return _identity_from_proc(pid)
    return _identity_from_ps(pid)


def children(pid: int) -> list[int]:
    """The processes that it has started: PostgreSQL's work is done by those."""
    told = subprocess.run(
        ["ps", "-eo", "pid=,ppid="],  # noqa: S607  # wherever it is
        capture_output=True,
        text=True,
        check=True,
    )
    pairs = [line.split() for line in told.stdout.splitlines()]
    return [int(child) for child, parent in pairs if int(parent) == pid]


def describe_end(returncode: int | None) -> str:
    """How a process ended, in words, from what `Popen.returncode` says."""
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
    # The second field is the program's name, which may hold spaces and brackets itself.
    fields = status.rpartition(")")[2].split()
    state, start_ticks = fields[0], fields[19]
    return None if state in "ZX" else f"{boot} {start_ticks} {pid}"


def _identity_from_ps(pid: int) -> str | None:
    command = ["ps", "-o", "stat=,lstart=", "-p", str(pid)]
    asked = subprocess.run(command, capture_output=True, text=True, check=False)
    state, _, started = asked.stdout.strip().partition(" ")
    return None if not state or state.startswith("Z") else f"{' '.join(started.split())} {pid}"
