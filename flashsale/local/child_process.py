"""A child process of a supervisor: it ends with its parent, or the next supervisor stops it."""

import contextlib
import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from flashsale.local.output import Output
from flashsale.local.processes import describe_end, identity

POLL_SECONDS = 0.02
LEFTOVER_SECONDS = (
    6.0  # from SIGTERM to SIGKILL, for processes that a killed supervisor left behind
)
KILLED_SECONDS = 1.0  # for the kernel to remove a killed process
_PR_SET_PDEATHSIG = 1


@dataclass
class Process:
    """A child process. Its pid is recorded under `records`, for `stop_leftovers`."""

    name: str
    argv: Sequence[str]
    output: Output
    records: Path
    grace: float = 5.0
    env: Mapping[str, str] | None = None
    cwd: Path | None = None
    pass_fds: Sequence[int] = ()
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    @property
    def returncode(self) -> int | None:
        return None if self._process is None else self._process.poll()

    def launch(self) -> None:
        """Start it in a session of its own: Ctrl-C must reach it from the supervisor, in the right order,
        not from the terminal."""
        self._process = subprocess.Popen(
            self.argv,
            env=self.env,
            cwd=self.cwd,
            pass_fds=self.pass_fds,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=end_with_parent(),
        )
        assert self._process.stdout is not None
        self.output.attach(self.name, self._process.stdout)
        self.records.mkdir(parents=True, exist_ok=True)
        (self.records / self.name).write_text(f"{self.pid} {identity(self._process.pid)}")

    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def fate(self) -> str:
        return describe_end(self.returncode)

    def terminate(self) -> None:
        if self._process is not None:
            self._process.terminate()

    def kill(self) -> None:
        """Kill it together with its own child processes."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)


def end_with_parent() -> Callable[[], None] | None:
    """A `preexec_fn` with which the kernel sends SIGTERM to the child when this process dies.

    None where the system lacks it (it is Linux'). There, and for children that ignore SIGTERM,
    `stop_leftovers` does the work.
    """
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is None:
        return None
    parent = os.getpid()

    def request_signal() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:  # the parent died before this call
            os._exit(1)

    return request_signal


def stop_leftovers(records: Path) -> list[str]:
    """Stop the processes that a killed supervisor recorded and left running. Returns their names.

    Leaves a process alone that only has the recorded pid (pids are reused).
    """
    recorded = {path: path.read_text().partition(" ") for path in sorted(records.glob("*"))}
    pids = {
        path.name: int(pid)
        for path, (pid, _, known) in recorded.items()
        if pid.isdigit() and identity(int(pid)) == known
    }
    _end_all(list(pids.values()))
    for path in recorded:
        path.unlink()
    return list(pids)


def _end_all(pids: Sequence[int]) -> None:
    """Send SIGTERM, then SIGKILL. These are not this process' children, so it polls their identity."""
    known = {pid: identity(pid) for pid in pids}
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    known = _wait_for_end(known, LEFTOVER_SECONDS)
    for pid in known:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
    _wait_for_end(known, KILLED_SECONDS)


def _wait_for_end(known: dict[int, str | None], seconds: float) -> dict[int, str | None]:
    """Wait at most `seconds` for processes (pid: identity) to end. Returns those that still run."""
    end = time.monotonic() + seconds
    while known and time.monotonic() < end:
        time.sleep(POLL_SECONDS)
        known = {pid: recorded for pid, recorded in known.items() if identity(pid) == recorded}
    return known
