"""Keeps processes running: restarts those that die, and stops all of them in the end.

One thread works in short ticks, so that a start, a death and a signal never overlap. It supervises
anything with the methods of `Supervised`: child processes and the embedded servers.
"""

import contextlib
import fcntl
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, TracebackType
from typing import Protocol, Self

from flashsale.local.child_process import KILLED_SECONDS, POLL_SECONDS, Process
from flashsale.local.output import Output
from flashsale.local.server import ServerError

TICK_SECONDS = 0.1
# Before the first, second, ... restart in a row: one death is an accident, the tenth is a fault.
PAUSES = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 10.0)
STEADY_SECONDS = 5.0  # after a life of this length, the next death counts as the first again


class AlreadyRunning(Exception):
    """Another process holds the lock. The message names its pid."""


@contextlib.contextmanager
def hold_lock(lock: Path) -> Iterator[None]:
    """Hold the file's lock. The kernel releases it when the process ends. Raises AlreadyRunning."""
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
    """A process, or a server with several, that a supervisor keeps running."""

    @property
    def name(self) -> str: ...

    @property
    def grace(self) -> float:
        """Seconds from the request to stop until it is killed."""

    def launch(self) -> None:
        """Start it, without waiting until it is ready. Raises OSError or ServerError."""

    def alive(self) -> bool: ...

    def fate(self) -> str:
        """How it ended, for a log line."""

    def terminate(self) -> None: ...

    def kill(self) -> None: ...


class Supervisor:
    """A context manager that stops everything it keeps on exit, in reverse order.

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
                continue  # started with nohup: stays ignored
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
            signal.signal(number, handler)  # type: ignore[arg-type]  # signal() returned it

    def keep(self, *things: Supervised) -> None:
        """Start the things that do not run yet, and restart each whenever it dies.

        The things of one call are stopped together. Raises the errors of their `launch`.
        """
        self._groups.append([_Restarts(thing) for thing in things])
        for thing in things:
            if not thing.alive():
                thing.launch()

    def complete(self, command: Process) -> int | None:
        """Run a command until it ends or the supervisor is asked to stop. Returns its exit code."""
        command.launch()
        while command.alive() and not self.asked_to_stop:
            self._tick()
        self._stop([command], time.monotonic() + command.grace)
        return command.returncode

    def wait(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Keep things running until the condition holds. False after `seconds`, or when asked to stop."""
        end = time.monotonic() + seconds
        while not self.asked_to_stop and time.monotonic() < end:
            if condition():
                return True
            self._tick()
        return False

    def run(self) -> None:
        """Keep things running until a signal asks to stop."""
        while not self.asked_to_stop:
            self._tick()

    def _ask_to_stop(self, number: int, frame: FrameType | None) -> None:
        self.asked_to_stop = True

    def _tick(self) -> None:
        self.output.relay(TICK_SECONDS)
        for group in self._groups:
            for restarts in group:
                self._revive(restarts)

    def _revive(self, restarts: "_Restarts") -> None:
        """Log a death once, and start the thing again when its pause is over."""
        thing = restarts.thing
        if thing.alive():
            return
        if restarts.due is None:
            pause = restarts.schedule()
            when = f" in {pause:g} s" if pause else ""
            self._log(f"{thing.name} {thing.fate()}: starting it again{when}")
        if restarts.is_due():
            self._restart(restarts)

    def _restart(self, restarts: "_Restarts") -> None:
        """Launch the thing. If that fails, the next tick finds it dead, and so lengthens the pause."""
        restarts.note_start()
        try:
            restarts.thing.launch()
        except (OSError, ServerError) as error:
            self._log(f"{restarts.thing.name} cannot be started: {error}")

    def _stop_all(self) -> None:
        """Stop the groups, last first. Each has its own grace, plus the unused grace of those before it."""
        end = time.monotonic()
        for group in reversed(self._groups):
            things = [restarts.thing for restarts in group]
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
            self.output.relay(POLL_SECONDS)
        return True

    def _log(self, line: str) -> None:
        self.output.say("supervisor", f"{time.strftime('%H:%M:%S')} {line}")


@dataclass
class _Restarts:
    """A thing's recent deaths, and the moment of its next start. Times are of `time.monotonic`."""

    thing: Supervised
    since: float = field(default_factory=time.monotonic)
    deaths: int = 0
    due: float | None = None

    def schedule(self) -> float:
        """Count a death and schedule the next start. Returns the pause before it, in seconds."""
        if time.monotonic() - self.since >= STEADY_SECONDS:
            self.deaths = 0
        pause = PAUSES[min(self.deaths, len(PAUSES) - 1)]
        self.deaths += 1
        self.due = time.monotonic() + pause
        return pause

    def is_due(self) -> bool:
        return self.due is not None and time.monotonic() >= self.due

    def note_start(self) -> None:
        self.since = time.monotonic()
        self.due = None
