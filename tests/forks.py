"""Starts Python programs by a fork of a process that has imported the libraries already.

A new Python spends a second of processor time on imports, and tests start hundreds. `start` stands for
`subprocess.Popen`. A server (`python -m tests.forks DOOR`), one per process of pytest, has one thread and
no connection. It imports libraries that read no settings, and forks a process for each request, which then
runs the command as Python would. The product is not imported before the fork: that would save 0.3 s more
of each process, and needs a server per environment.

`tests/test_forks.py` compares a fork with a new Python: arguments, environment, descriptors, session,
signals, limits, threads, streams. Python seeds `random` after a fork; `uuid`, `secrets` and OpenSSL ask the
kernel. Pools, clients, loops and names of processes are made by the product. The hash seed is shared.

A new Python is started without pidfds (not Linux), for another variable that Python reads at its start, and
for a command that is neither script nor module. Tests of a start itself use `subprocess`.
"""

import fcntl
import gc
import importlib
import io
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import termios
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIBRARIES = """
    celery.bin.celery celery.apps.worker celery.concurrency.thread celery.fixups.django
    kombu.transport.redis redis.asyncio psycopg_pool django.db.backends.postgresql.psycopg_any
    channels_redis.pubsub channels.routing django.core.management django.views.generic
    uvicorn.protocols.http.httptools_impl uvicorn.lifespan.on
    uvicorn.protocols.websockets.websockets_sansio_impl icalendar markdown_it PIL.ImageCms
    babel.numbers rich.console rich.table sentry_sdk opentelemetry.sdk.trace prometheus_client
"""
_READ_AT_START = ("PYTHON", "LANG", "LC_")
_MOST = 1 << 17  # bytes of a request

# --- In the test ----------------------------------------------------------------------------------


class Forked:
    """A forked process, as far as tests use `subprocess.Popen`. Its server waits for it and reports."""

    returncode: int | None = None

    def __init__(self, command: list[str], report: int) -> None:
        self.args, self._report = command, os.fdopen(report, "rb", buffering=0)
        self.pid = int(self._report.readline())

    def poll(self) -> int | None:
        return self._look(0)

    def wait(self, timeout: float | None = None) -> int:
        code = self._look(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with suppress(ProcessLookupError):  # it ends just now
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _look(self, seconds: float | None) -> int | None:
        if self.returncode is None:
            ended = select.poll()
            ended.register(self._report, select.POLLIN)
            if ended.poll(None if seconds is None else seconds * 1000):
                self.returncode = os.waitstatus_to_exitcode(int(self._report.readline()))
                self._report.close()
        return self.returncode


Started = subprocess.Popen[bytes] | Forked


def start(
    command: list[str],
    env: Mapping[str, str],
    streams: tuple[int, int, int] = (0, 1, 2),
    pass_fds: tuple[int, ...] = (),
) -> Started:
    """Start a command in the project's folder, in a session of its own. `streams` are the descriptors of
    its standard input, output and error; an input that is a terminal becomes the session's."""
    if not _can_fork(command, env):
        stdin, stdout, stderr = streams
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env=env,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            pass_fds=pass_fds,
            start_new_session=True,
            preexec_fn=_take_terminal,
        )
    request = {"words": command[1:], "env": dict(env), "numbers": [0, 1, 2, *pass_fds]}
    read, write = os.pipe()
    with os.fdopen(write, "wb"):
        socket.send_fds(_server(), [json.dumps(request).encode()], [write, *streams, *pass_fds])
    return Forked(command, read)


def _can_fork(command: list[str], env: Mapping[str, str]) -> bool:
    is_program = command[0] == sys.executable and (command[1] == "-m" or command[1].endswith(".py"))
    return is_program and hasattr(os, "pidfd_open") and _at_start(env) == _at_start(os.environ)


def _at_start(env: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in env.items() if name.startswith(_READ_AT_START)}


@cache
def _server() -> socket.socket:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        door = theirs.fileno()
        command = [sys.executable, "-m", "tests.forks", str(door)]
        subprocess.Popen(
            command, cwd=ROOT, pass_fds=[door], stdin=subprocess.DEVNULL, start_new_session=True
        )
    return ours


def _take_terminal() -> None:
    """In a new session: if standard input is a terminal, it sends this session Ctrl-C."""
    if os.isatty(0):
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)


# --- In the server, and in what it forks ----------------------------------------------------------


def serve(door: socket.socket) -> list[str]:
    """Fork a process for each request until the tests have ended. Return in each new process, with the
    words of its command line."""
    running: dict[int, tuple[int, int]] = {}  # by pidfd: pid and report
    ready = select.poll()
    ready.register(door, select.POLLIN)
    while True:
        for number, _ in ready.poll():
            if number in running:
                ready.unregister(number)
                pid, report = running.pop(number)
                _report(report, os.waitpid(pid, 0)[1])
                os.close(report)
                os.close(number)
                continue
            message, given, *_ = socket.recv_fds(door, _MOST, 64)
            if not message:
                sys.exit()
            pid = os.fork()
            if pid == 0:
                door.close()
                return _become(given[1:], **json.loads(message))
            _report(given[0], pid)
            running[pidfd := os.pidfd_open(pid)] = pid, given[0]
            ready.register(pidfd, select.POLLIN)
            for descriptor in given[1:]:
                os.close(descriptor)


def _report(report: int, number: int) -> None:
    with suppress(BrokenPipeError):  # the test has ended
        os.write(report, b"%d\n" % number)


def _become(
    given: list[int], words: list[str], env: dict[str, str], numbers: list[int]
) -> list[str]:
    """Replace all that the new process has from its server."""
    os.setsid()
    os.environ.clear()
    os.environ.update(env)
    time.tzset()
    _place(given, numbers)
    _take_terminal()
    _reopen("stdin", 0, "rb")
    _reopen("stdout", 1, "wb")  # standard error holds nothing back
    return words


def _reopen(name: str, number: int, mode: str) -> None:
    """As Python opens it: with a buffer of lines if it is a terminal, and none with PYTHONUNBUFFERED."""
    old = getattr(sys, name)
    at_once = old.write_through
    file = os.fdopen(number, mode, 0 if at_once and mode == "wb" else -1, closefd=False)
    options = {"line_buffering": os.isatty(number) and not at_once, "write_through": at_once}
    new = io.TextIOWrapper(file, old.encoding, old.errors, **options)
    setattr(sys, name, new)
    setattr(sys, f"__{name}__", new)


def _place(given: list[int], numbers: list[int]) -> None:
    """Give descriptors their numbers, and close all others."""
    above = max(given + numbers) + 1
    for source, number in zip(
        [fcntl.fcntl(descriptor, fcntl.F_DUPFD, above) for descriptor in given],
        numbers,
        strict=True,
    ):
        os.dup2(source, number)
    for number in {int(path.name) for path in Path("/proc/self/fd").iterdir()} - set(numbers):
        with suppress(OSError):  # the one that listed them
            os.close(number)


def run(words: list[str]) -> None:
    """Run a script, or `-m` and a module, as Python's command line does."""
    if words[0] == "-m":
        sys.argv = words[1:]
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv, sys.path[0] = words, str(Path(words[0]).resolve().parent)
        runpy.run_path(words[0], run_name="__main__")


def main() -> None:
    door = socket.socket(fileno=int(sys.argv[1]))
    for name in LIBRARIES.split():
        importlib.import_module(name)
    gc.freeze()  # a collection in a new process would copy all pages
    run(serve(door))


if __name__ == "__main__":
    main()
