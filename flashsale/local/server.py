"""The common part of the two embedded servers: each outlives its parent and is adopted by the next one.

A server inherits a lock on its folder (`lock`). Its processes hold it, and the kernel releases it when the
last one ends. So whether the server runs has an exact answer, also with a stale pid file, a reused pid or
after SIGKILL. Pid files are used only to send signals.
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

START_SECONDS = 60  # crash recovery of a database takes time
# Below the ephemeral ports of Linux and macOS: a client that keeps connecting to an ephemeral port while
# its server is down may get that port as its own, and connect to itself.
_PORTS = range(20_000, 32_768)


class ServerError(Exception):
    """An embedded server cannot start. The message gives the reason and the path of its log."""


class Server(ABC):
    """A server process that keeps its data, address, password and log in `folder`."""

    name: ClassVar[str]
    grace: ClassVar[float]  # seconds from the request to stop until it is killed
    stop_signal: ClassVar[signal.Signals]

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self._process: subprocess.Popen[bytes] | None = None  # None also for an adopted server
        self._address_given_out = False

    @property
    def url(self) -> str:
        """The server's URL for the application, with its password. "" before the first start."""
        return private_files.read(self.folder / "url")

    @property
    def log(self) -> Path:
        return self.folder / "server.log"

    @property
    def pid(self) -> int | None:
        return self._recorded_pid() if self._process is None else self._process.pid

    def start(self, give_up: Callable[[], bool] = lambda: False) -> None:
        """Start the server if it does not run, and block until it answers.

        Stops it again when `give_up()` returns true first. Raises ServerError.
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
        """Start the server, or adopt the one that a killed parent left running, without waiting for it.

        After `start` has returned, the port no longer changes: other processes have the URL by then.
        """
        if self.alive():
            return
        self._process = None
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._lock() as lock:
            if lock is None:
                return
            self._prepare(new_password=self._choose_address())
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
        """How it ended, for a log line."""
        return processes.describe_end(None if self._process is None else self._process.poll())

    def ready(self) -> bool:
        """Whether it runs and answers a client."""
        return self.alive() and self._answers()

    def terminate(self) -> None:
        """Signal the server to stop, without waiting for it."""
        self._signal(self.stop_signal)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def stop(self) -> None:
        """Stop the server and block until it has ended. Acknowledged writes are on its disk."""
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
        """Prepare the folder for `_spawn`. No process of the server runs at this moment."""

    @abstractmethod
    def _spawn(self, lock: int, log: int) -> subprocess.Popen[bytes]:
        """Start the server in a session of its own: the terminal's Ctrl-C must not reach it."""

    @abstractmethod
    def _answers(self) -> bool: ...

    @abstractmethod
    def _recorded_pid(self) -> int | None:
        """The pid in the server's own pid file."""

    def _choose_address(self) -> bool:
        """Write a URL with a password and a free port, where needed. True if the password is new."""
        password, port = self._address
        if self._address_given_out or (password and _is_free(port)):
            return False
        url = self._url(password or secrets.token_hex(24), free_port())
        private_files.write(self.folder / "url", url)
        return not password

    @contextlib.contextmanager
    def _lock(self) -> Iterator[int | None]:
        """The folder's lock, as a descriptor for a child to inherit. None while a server holds it."""
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
        """Start a new server if an adopted one has ended: it was shutting down. Raises ServerError if the
        server that ended is a new one."""
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
        # As the servers do: connections in TIME_WAIT from the last run do not make a port busy.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
