"""What the two embedded servers have in common: they outlive us, and are found again.

A server holds an inherited lock on its folder (`lock`) for as long as any of its processes lives,
and the kernel lets it go with the last one, however they died. So "is it running?" has an exact
answer that no stale pid file, reused pid or SIGKILL can falsify: pid files only say whom to signal.
"""

import contextlib
import fcntl
import os
import secrets
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlsplit

from flashsale.local import private_files, processes

START_SECONDS = 60  # a database that recovers from a crash takes its time
# Below what Linux and macOS hand out to outgoing connections: a client that keeps knocking at a
# port of that range while its server is away may be given the port itself, and meet itself there.
_PORTS = range(20_000, 32_768)


class ServerError(Exception):
    """An embedded server cannot be started; the message says why and where its log is."""


class Server(ABC):
    """A server process that keeps its data, address, password and log in `folder`."""

    name: ClassVar[str]
    grace: ClassVar[float]  # seconds between being asked to stop and being killed
    stop_signal: ClassVar[signal.Signals]

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self._process: subprocess.Popen[bytes] | None = None  # None also for an adopted server
        self._address_given_out = False

    @property
    def url(self) -> str:
        """Where the application finds the server, password included. "" before the first start."""
        return private_files.read(self.folder / "url")

    @property
    def log(self) -> Path:
        return self.folder / "server.log"

    @property
    def pid(self) -> int | None:
        return self._recorded_pid() if self._process is None else self._process.pid

    def start(self, give_up: Callable[[], bool] = lambda: False) -> None:
        """Blocks until the server answers; does nothing where it does already.

        Where `give_up` says so first, stops the server instead. Raises ServerError.
        """
        end = time.monotonic() + START_SECONDS
        self.launch()
        while not self.ready():
            if not self.alive():
                self._launch_after_adopted()
            if give_up():
                self.stop()
                return
            if time.monotonic() > end:
                self.stop()
                raise ServerError(self._failure("did not become ready"))
            time.sleep(0.02)
        self._address_given_out = True

    def launch(self) -> None:
        """Starts the server, or adopts the one that a killed parent left, without waiting for it.

        Once `start` has returned, the port stays: by then the URL is in other processes.
        """
        if self.alive():
            return
        self._process = None
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._lock() as lock:
            if lock is None:
                return
            self._prepare(new_password=self._settle_address())
            with self.log.open("ab") as log:
                self._process = self._spawn(lock, log.fileno())

    def alive(self) -> bool:
        if self._process is not None:
            return self._process.poll() is None
        if not self.folder.exists():
            return False
        with self._lock() as lock:
            return lock is None

    def fate(self) -> str:
        """How it ended, in words."""
        return processes.describe_end(None if self._process is None else self._process.poll())

    def ready(self) -> bool:
        """Whether it answers, as the application would be answered."""
        return self.alive() and self._answers()

    def terminate(self) -> None:
        """Asks the server to stop, without waiting for it."""
        self._signal(self.stop_signal)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def stop(self) -> None:
        """Blocks until the server is gone; what it was told and confirmed is on its disk."""
        if not self.alive():
            return
        self.terminate()
        if not self._gone_within(self.grace):
            self.kill()
            self._gone_within(self.grace)
        self._process = None

    @property
    def _address(self) -> tuple[str, int]:
        parts = urlsplit(self.url)
        return parts.password or "", parts.port or 0

    @abstractmethod
    def _url(self, password: str, port: int) -> str: ...

    @abstractmethod
    def _prepare(self, new_password: bool) -> None:
        """Makes the folder ready for `_spawn`. No process of the server lives at this moment."""

    @abstractmethod
    def _spawn(self, lock: int, log: int) -> subprocess.Popen[bytes]:
        """Starts the server, in a session of its own: Ctrl-C in our terminal must not reach it."""

    @abstractmethod
    def _answers(self) -> bool: ...

    @abstractmethod
    def _recorded_pid(self) -> int | None:
        """What the server's own pid file says."""

    def _settle_address(self) -> bool:
        """Remembers a password and a free port. True if the password is a new one."""
        password, port = self._address
        if self._address_given_out or (password and _is_free(port)):
            return False
        url = self._url(password or secrets.token_hex(24), free_port())
        private_files.write(self.folder / "url", url)
        return not password

    @contextlib.contextmanager
    def _lock(self) -> Iterator[int | None]:
        """The folder's lock as a descriptor to hand on, or None while a server holds it."""
        descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
        else:
            yield descriptor
        finally:
            os.close(descriptor)

    def _launch_after_adopted(self) -> None:
        """An adopted server that ends while we wait was on its way out: start our own."""
        if self._process is not None:
            raise ServerError(self._failure("ended while starting"))
        self.launch()

    def _gone_within(self, seconds: float) -> bool:
        end = time.monotonic() + seconds
        while self.alive() and time.monotonic() < end:
            time.sleep(0.02)
        return not self.alive()

    def _signal(self, number: signal.Signals) -> None:
        pid = self.pid
        if pid is not None and self.alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def _failure(self, what: str) -> str:
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join([f"{self.name} {what}; its log {self.log} ends with:", *lines[-8:]])


def free_port() -> int:
    while True:
        port = secrets.choice(_PORTS)
        if _is_free(port):
            return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As the servers do: connections that linger from the last run do not make a port busy.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
