"""Faults of a private shop's processes: their schedule, and the saboteur who carries it out."""

import os
import random
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

from drills.private_shop import BackgroundWork
from flashsale.local.embedded import postgres_folder, valkey_folder
from flashsale.local.postgres import Postgres
from flashsale.local.processes import children, identity
from flashsale.local.server import Server
from flashsale.local.valkey import Valkey

KILL, FREEZE, RESTART = "killed", "frozen", "restarted"
PROCESSES = ("web-1", "web-2", "worker", "beat")
VALKEY, POSTGRESQL = "Valkey", "PostgreSQL"
TARGETS = (*PROCESSES, VALKEY, POSTGRESQL)

EVERYTHING = tuple(product((KILL, FREEZE, RESTART), TARGETS))

FIRST = 3.0  # seconds before the first fault
BETWEEN = (2.5, 6.0)  # seconds from one fault to the next
LASTS = (0.5, 6.0)  # seconds for which a process is frozen; PostgreSQL ends transactions idle for 5
LAST = 3.0  # seconds at the end without a new fault


@dataclass(frozen=True, slots=True)
class Fault:
    """A planned fault, `at` seconds after the beginning."""

    at: float
    what: str
    target: str
    lasts: float = 0.0

    def __str__(self) -> str:
        lasts = f" for {self.lasts:.1f} s" if self.lasts else ""
        return f"{self.target} {self.what}{lasts}"


def schedule(
    seed: int, seconds: float, everything: Sequence[tuple[str, str]] = EVERYTHING
) -> list[Fault]:
    """Plan the faults of a drill. Each kind hits each target once before any pair repeats."""
    chance = random.Random(seed)  # noqa: S311  # repeatable on purpose
    faults: list[Fault] = []
    at = FIRST
    for what, target in _draw_pairs(chance, everything):
        lasts = round(chance.uniform(*LASTS), 1) if what == FREEZE else 0.0
        if at + lasts > seconds - LAST:
            return faults
        faults.append(Fault(round(at, 1), what, target, lasts))
        at += chance.uniform(*BETWEEN)
    raise AssertionError("pairs never run out")


def _draw_pairs(
    chance: random.Random, everything: Sequence[tuple[str, str]]
) -> Iterator[tuple[str, str]]:
    while True:
        pairs = list(everything)
        chance.shuffle(pairs)
        yield from pairs


@dataclass
class Injection:
    """A fault that the saboteur tried to carry out."""

    fault: Fault
    at: float  # by the monotonic clock
    hit: bool  # whether the target's process was running


class Saboteur:
    """Carries a schedule out on the shop whose data is in `folder`, in a thread."""

    def __init__(self, folder: Path, faults: list[Fault]) -> None:
        self.injections: list[Injection] = []
        self._folder, self._faults = folder, faults
        self._servers: dict[str, Server] = {
            VALKEY: Valkey(valkey_folder(folder)),
            POSTGRESQL: Postgres(postgres_folder(folder)),
        }
        self._frozen = _Frozen()

    def start(self) -> None:
        self.began = time.monotonic()
        self._work = BackgroundWork(self._run, "saboteur")

    def stop(self) -> None:
        """Stop, and leave nothing frozen. Raises the saboteur's own error, if it had one."""
        try:
            self._work.stop()
        finally:
            self._frozen.thaw(before=float("inf"))

    def _run(self, stopping: threading.Event) -> None:
        for fault in self._faults:
            while (now := time.monotonic() - self.began) < fault.at:
                self._frozen.thaw(before=now)
                if stopping.wait(min(0.05, fault.at - now)):
                    return
            hit = self._carry_out(fault)
            self.injections.append(Injection(fault, time.monotonic(), hit))
        while not stopping.wait(0.05):
            self._frozen.thaw(before=time.monotonic() - self.began)

    def _carry_out(self, fault: Fault) -> bool:
        pid = self._pid(fault.target)
        if pid is None:
            return False
        if fault.what == FREEZE:
            self._frozen.freeze([pid, *children(pid)], until=fault.at + fault.lasts)
            return True
        return _send(pid, signal.SIGKILL if fault.what == KILL else self._stop_signal(fault.target))

    def _pid(self, target: str) -> int | None:
        """The pid of the target's running process. None if there is none."""
        if target in self._servers:
            pid = self._servers[target].pid
            return pid if pid is not None and identity(pid) else None
        recorded, _, known = (self._folder / "run" / target).read_text().partition(" ")
        return int(recorded) if recorded.isdigit() and identity(int(recorded)) == known else None

    def _stop_signal(self, target: str) -> signal.Signals:
        server = self._servers.get(target)
        return server.stop_signal if server else signal.SIGTERM


@dataclass
class _Frozen:
    """Frozen processes, each with the time of its thaw."""

    thaw_times: dict[int, tuple[float, str | None]] = field(default_factory=dict)

    def freeze(self, pids: list[int], until: float) -> None:
        for pid in pids:
            if _send(pid, signal.SIGSTOP):
                self.thaw_times[pid] = until, identity(pid)

    def thaw(self, before: float) -> None:
        for pid, (until, known) in list(self.thaw_times.items()):
            if until <= before:
                del self.thaw_times[pid]
                if identity(pid) == known:
                    _send(pid, signal.SIGCONT)


def _send(pid: int, number: signal.Signals) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
        return True
    return False
