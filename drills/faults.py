"""What is done to a private shop while shoppers buy in it: a schedule, and whoever carries it out."""

import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

from drills.private_shop import Worker
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

FIRST = 3.0  # seconds, in which the shop is whole
BETWEEN = (2.5, 6.0)  # seconds from one fault to the next
LASTS = (0.5, 6.0)  # seconds for which a process is frozen; a transaction may stand still for 5
LAST = 3.0  # seconds at the end without a new fault


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that is to be done, so many seconds after the beginning."""

    at: float
    what: str
    target: str
    lasts: float = 0.0

    def __str__(self) -> str:
        lasts = f" for {self.lasts:.1f} s" if self.lasts else ""
        return f"{self.target} {self.what}{lasts}"


def schedule(seed: int, seconds: float) -> list[Fault]:
    """What happens when. Everything happens to everything once before anything happens twice."""
    chance = random.Random(seed)  # noqa: S311  # repeatable on purpose
    faults: list[Fault] = []
    at = FIRST
    for what, target in _deals(chance):
        lasts = round(chance.uniform(*LASTS), 1) if what == FREEZE else 0.0
        if at + lasts > seconds - LAST:
            return faults
        faults.append(Fault(round(at, 1), what, target, lasts))
        at += chance.uniform(*BETWEEN)
    raise AssertionError("the deals never end")


def _deals(chance: random.Random) -> Iterator[tuple[str, str]]:
    while True:
        deal = list(EVERYTHING)
        chance.shuffle(deal)
        yield from deal


@dataclass
class Done:
    """A fault as it was carried out."""

    fault: Fault
    at: float  # of the monotonic clock
    met: bool  # whether there was a process to do it to


class Saboteur:
    """Carries a schedule out on the shop that keeps its data in `folder`, in a thread of its own."""

    def __init__(self, folder: Path, faults: list[Fault]) -> None:
        self.done: list[Done] = []
        self._folder, self._faults = folder, faults
        self._servers: dict[str, Server] = {
            VALKEY: Valkey(valkey_folder(folder)),
            POSTGRESQL: Postgres(postgres_folder(folder)),
        }
        self._frozen = _Frozen()

    def start(self) -> None:
        self.began = time.monotonic()
        self._worker = Worker(self._run, "saboteur")

    def stop(self) -> None:
        """Does nothing more, and leaves nothing frozen. Raises what has gone wrong with the saboteur."""
        try:
            self._worker.stop()
        finally:
            self._frozen.thaw(before=float("inf"))

    def _run(self, stopping: threading.Event) -> None:
        for fault in self._faults:
            while (now := time.monotonic() - self.began) < fault.at:
                self._frozen.thaw(before=now)
                if stopping.wait(min(0.05, fault.at - now)):
                    return
            met = self._carry_out(fault)
            self.done.append(Done(fault, time.monotonic(), met))
        while not stopping.wait(0.05):
            self._frozen.thaw(before=time.monotonic() - self.began)

    def _carry_out(self, fault: Fault) -> bool:
        pid = self._pid(fault.target)
        if pid is None:
            return False
        if fault.what == FREEZE:
            self._frozen.freeze([pid, *children(pid)], until=fault.at + fault.lasts)
            return True
        return _send(pid, signal.SIGKILL if fault.what == KILL else self._farewell(fault.target))

    def _pid(self, target: str) -> int | None:
        """Of the process that runs just now; None while there is none."""
        if target in self._servers:
            pid = self._servers[target].pid
            return pid if pid is not None and identity(pid) else None
        recorded, _, known = (self._folder / "run" / target).read_text().partition(" ")
        return int(recorded) if recorded.isdigit() and identity(int(recorded)) == known else None

    def _farewell(self, target: str) -> signal.Signals:
        server = self._servers.get(target)
        return server.stop_signal if server else signal.SIGTERM


@dataclass
class _Frozen:
    """Processes that stand still, each until its time has come."""

    until: dict[int, tuple[float, str | None]] = field(default_factory=dict)

    def freeze(self, pids: list[int], until: float) -> None:
        for pid in pids:
            if _send(pid, signal.SIGSTOP):
                self.until[pid] = until, identity(pid)

    def thaw(self, before: float) -> None:
        for pid, (until, known) in list(self.until.items()):
            if until <= before:
                del self.until[pid]
                if identity(pid) == known:
                    _send(pid, signal.SIGCONT)


def _send(pid: int, number: signal.Signals) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
        return True
    return False
