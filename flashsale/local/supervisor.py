"""Keeps processes running: what dies is started again, and in the end everything is stopped.

One thread does it all in short ticks, so that a start, a death and a signal never overlap. What is
kept is anything with the methods of `Kept`: our own commands and the embedded servers alike.
"""

import contextlib
import ctypes
import fcntl
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, TracebackType
from typing import IO, Protocol, Self, TextIO

from flashsale.local.processes import describe_end, identity
from flashsale.local.server import ServerError

TICK_SECONDS = 0.1
# Before the first, second, ... restart in a row: one death is an accident, the tenth is a fault.
PAUSES = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 10.0)
STEADY_SECONDS = 5.0  # what has lived this long begins with the first pause again
LEFTOVER_SECONDS = 6.0  # for what a killed supervisor left behind, before it is killed, too
KILLED_SECONDS = 1.0  # for the kernel to clear away what was killed
_COLOURS = (36, 33, 32, 35, 34, 31)
_LONGEST_LINE = 64 * 1024
_PR_SET_PDEATHSIG = 1


class AlreadyRunning(Exception):
    """Another process holds the lock; the message names its pid."""


@contextlib.contextmanager
def only_one(lock: Path) -> Iterator[None]:
    """Holds the file's lock, which ends with the process however it ends. Raises AlreadyRunning."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise AlreadyRunning(f"process {file.read().strip()}") from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


class Supervised(Protocol):
    """What a supervisor keeps running."""

    @property
    def name(self) -> str: ...

    @property
    def grace(self) -> float:
        """Seconds between being asked to stop and being killed."""

    def launch(self) -> None:
        """Starts it without waiting for it. Raises OSError or ServerError."""

    def alive(self) -> bool: ...

    def fate(self) -> str: ...

    def terminate(self) -> None: ...

    def kill(self) -> None: ...


class Output:
    """Passes the output of processes on, whole lines at a time, each with a name in front."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stdout
        self._selector = selectors.DefaultSelector()
        self._colours: dict[str, int] = {}
        self._coloured = self._out.isatty() and "NO_COLOR" not in os.environ

    def say(self, name: str, line: str) -> None:
        front = f"{name:<10} |"
        if self._coloured:
            colour = self._colours.setdefault(name, _COLOURS[len(self._colours) % len(_COLOURS)])
            front = f"\x1b[{colour}m{front}\x1b[0m"
        # A terminal that went away must not take the shop with it.
        with contextlib.suppress(OSError, ValueError):
            self._out.write(f"{front} {line}\n")
            self._out.flush()

    def attach(self, name: str, pipe: IO[bytes]) -> None:
        self._selector.register(pipe, selectors.EVENT_READ, _Lines(name))

    def relay(self, seconds: float) -> bool:
        """Waits so long at most for output and passes on what there is. False if there was none."""
        ready = self._selector.select(seconds)
        for key, _ in ready:
            chunk = os.read(key.fd, _LONGEST_LINE)
            for line in key.data.complete(chunk):
                self.say(key.data.name, line.decode(errors="replace"))
            if not chunk:
                self._selector.unregister(key.fileobj)
                key.fileobj.close()  # type: ignore[union-attr]  # `attach` takes files only
        return bool(ready)

    def drain(self) -> None:
        while self.relay(0):
            pass


@dataclass
class _Lines:
    """Cuts what comes out of one pipe into lines."""

    name: str
    rest: bytes = b""

    def complete(self, chunk: bytes) -> list[bytes]:
        """The lines that the chunk completes. An empty chunk is the end, and completes the rest."""
        *lines, self.rest = (self.rest + chunk).split(b"\n")
        if self.rest and (not chunk or len(self.rest) >= _LONGEST_LINE):
            lines.append(self.rest)
            self.rest = b""
        return lines


@dataclass
class Process:
    """A process of ours. Its pid is recorded under `records`, for `stop_leftovers`."""

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
        """In a session of its own: the terminal's Ctrl-C is ours to pass on, in our order."""
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
        """With everything that it may have started."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)


def stop_leftovers(records: Path) -> list[str]:
    """Stops the commands that a killed supervisor recorded and left running; returns their names.

    Raises nothing where a pid now belongs to somebody else: those are left alone.
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


class Supervisor:
    """A context: on leaving it everything kept is stopped, the last first.

        with Supervisor(output) as supervisor:
            supervisor.keep(database)
            supervisor.keep(web_1, web_2)
            supervisor.run()

    Inside it, SIGINT, SIGTERM and SIGHUP only set `asked_to_stop`.
    """

    def __init__(self, output: Output) -> None:
        self.output = output
        self.asked_to_stop = False
        self._groups: list[list[_Restarts]] = []
        self._handlers: dict[signal.Signals, object] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN:
                continue  # started with nohup
            self._handlers[number] = signal.signal(number, self._ask_to_stop)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop_all()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # what signal() gave us

    def keep(self, *things: Supervised) -> None:
        """Starts what does not run yet, and from now on whatever of it dies.

        Things kept by one call are stopped together. Raises what their `launch` raises.
        """
        self._groups.append([_Restarts(thing) for thing in things])
        for thing in things:
            if not thing.alive():
                thing.launch()

    def complete(self, command: Process) -> int | None:
        """Runs a command to its end, or until we are asked to stop; returns its exit code."""
        command.launch()
        while command.alive() and not self.asked_to_stop:
            self._tick()
        self._stop([command], time.monotonic() + command.grace)
        return command.returncode

    def wait(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Keeps things running until the condition holds; False if it never did."""
        end = time.monotonic() + seconds
        while not self.asked_to_stop and time.monotonic() < end:
            if condition():
                return True
            self._tick()
        return False

    def run(self) -> None:
        """Keeps things running until we are asked to stop."""
        while not self.asked_to_stop:
            self._tick()

    def _ask_to_stop(self, number: int, frame: FrameType | None) -> None:
        self.asked_to_stop = True

    def _tick(self) -> None:
        self.output.relay(TICK_SECONDS)
        for group in self._groups:
            for watch in group:
                self._look_after(watch)

    def _look_after(self, watch: "_Restarts") -> None:
        if watch.thing.alive():
            return
        if watch.due is None:
            pause = watch.found_dead()
            when = f" in {pause:g} s" if pause else ""
            self._log(f"{watch.thing.name} {watch.thing.fate()}: starting it again{when}")
        if watch.is_due():
            self._start_again(watch)

    def _start_again(self, watch: "_Restarts") -> None:
        """A start that fails is found dead at the next tick, and so lengthens the pause."""
        watch.started()
        try:
            watch.thing.launch()
        except (OSError, ServerError) as error:
            self._log(f"{watch.thing.name} cannot be started: {error}")

    def _stop_all(self) -> None:
        """Each group has its grace, and what the groups before it did not use of theirs."""
        end = time.monotonic()
        for group in reversed(self._groups):
            things = [watch.thing for watch in group]
            end += max(thing.grace for thing in things)
            self._stop(things, end)
        self._groups.clear()
        self.output.drain()

    def _stop(self, things: Sequence[Supervised], end: float) -> None:
        for thing in things:
            if thing.alive():
                thing.terminate()
        if not self._all_gone(things, end):
            for thing in filter(lambda thing: thing.alive(), things):
                self._log(f"{thing.name} does not stop: killing it")
                thing.kill()
            self._all_gone(things, time.monotonic() + KILLED_SECONDS)
        self.output.drain()

    def _all_gone(self, things: Sequence[Supervised], end: float) -> bool:
        while any(thing.alive() for thing in things):
            if time.monotonic() > end:
                return False
            self.output.relay(TICK_SECONDS / 5)
        return True

    def _log(self, line: str) -> None:
        self.output.say("supervisor", f"{time.strftime('%H:%M:%S')} {line}")


@dataclass
class _Restarts:
    """How often a thing has died of late, and when it is to be started again."""

    thing: Supervised
    since: float = field(default_factory=time.monotonic)
    deaths: int = 0
    due: float | None = None

    def found_dead(self) -> float:
        """Returns the pause before the next start, in seconds."""
        if time.monotonic() - self.since >= STEADY_SECONDS:
            self.deaths = 0
        pause = PAUSES[min(self.deaths, len(PAUSES) - 1)]
        self.deaths += 1
        self.due = time.monotonic() + pause
        return pause

    def is_due(self) -> bool:
        return self.due is not None and time.monotonic() >= self.due

    def started(self) -> None:
        self.since = time.monotonic()
        self.due = None


def end_with_parent() -> Callable[[], None] | None:
    """For the new process, before its program: SIGTERM comes from the kernel when we die.

    Only Linux has this. Elsewhere, and for what ignores it, there is `stop_leftovers`.
    """
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is None:
        return None
    parent = os.getpid()

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:  # we died before we could ask
            os._exit(1)

    return ask


def _end_all(pids: Sequence[int]) -> None:
    """SIGTERM, then SIGKILL. These are nobody's children here, so their identity is watched."""
    known = {pid: identity(pid) for pid in pids}
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    known = _alive_after(known, LEFTOVER_SECONDS)
    for pid in known:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
    _alive_after(known, KILLED_SECONDS)


def _alive_after(known: dict[int, str | None], seconds: float) -> dict[int, str | None]:
    """Waits so long at most for processes to end; returns those that have not."""
    end = time.monotonic() + seconds
    while known and time.monotonic() < end:
        time.sleep(TICK_SECONDS / 5)
        known = {pid: one for pid, one in known.items() if identity(pid) == one}
    return known
