"""The real processes, for tests that buy over HTTP."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Self, TypeVar

import httpx

from flashsale import queues
from tests import deadlines, forks

ROOT = Path(__file__).resolve().parent.parent
PREPARED = ROOT / "var" / "tests"  # what takes long to make is made once, for all runs
FAR = 30.0  # seconds; far more than anything takes
DEADLINE = deadlines.seconds(FAR)

T = TypeVar("T")
OpenBrowser = Callable[[], httpx.Client]

# Not quiet: a test looks for secrets in what Celery says at its start.
WORKER = [sys.executable, *(word for word in queues.WORKER if word != "--quiet")]
# As units, containers and manifests start it: each has a /tmp of its own.
DEPLOYED_BEAT = list(queues.beat("/tmp/celerybeat-schedule"))  # noqa: S108  # see above


def wait_for(condition: Callable[[], T], what: str, seconds: float = FAR) -> T:
    """The first true value of `condition`. Fails after so many seconds, or more on a slow machine, naming
    what was waited for."""
    seconds = deadlines.seconds(seconds)
    began = time.monotonic()
    while True:
        value = condition()
        if value:
            return value
        waited = time.monotonic() - began
        if waited > seconds:
            raise AssertionError(f"not within {seconds:.0f} s: {what}")
        # Rarely after a while: a question may be a page, and dozens of them a second keep a core busy.
        time.sleep(min(max(waited / 10, 0.02), 0.1))


@dataclass
class Process:
    """One process of the product, in a session of its own."""

    command: list[str]
    env: dict[str, str] = field(default_factory=dict)
    pass_fds: tuple[int, ...] = ()
    popen: forks.Started | None = None
    stderr: IO[bytes] | None = None  # where it goes, if not where ours goes

    def start(self) -> "Process":
        error = 2 if self.stderr is None else self.stderr.fileno()
        env = {**os.environ, **self.env}
        self.popen = forks.start(self.command, env, (0, 1, error), self.pass_fds)
        return self

    def signal(self, number: signal.Signals) -> None:
        assert self.popen is not None
        self.popen.send_signal(number)

    def kill(self) -> None:
        """As the kernel would: nothing is tidied up."""
        self.signal(signal.SIGKILL)
        self.wait()

    def stop(self) -> None:
        if self.popen is None or self.popen.poll() is not None:
            return
        self.popen.terminate()
        try:
            self.popen.wait(deadlines.seconds(10))
        except subprocess.TimeoutExpired:
            self.kill()

    def wait(self) -> int:
        assert self.popen is not None
        return self.popen.wait(DEADLINE)


@dataclass
class Web(Process):
    """A server process on a free port."""

    url: str = ""

    @classmethod
    @contextlib.contextmanager
    def running(cls, **env: str) -> Iterator[Self]:
        with socket.create_server(("127.0.0.1", 0), backlog=4096) as listening:
            web = cls(
                [sys.executable, "-m", "flashsale.web", "--fd", str(listening.fileno())],
                env,
                (listening.fileno(),),
                url=f"http://127.0.0.1:{listening.getsockname()[1]}",
            )
            web.start()
            try:
                wait_for(web.ready, "the server is ready")
                yield web
            finally:
                web.stop()

    @contextlib.contextmanager
    def browsers(self) -> Iterator[OpenBrowser]:
        """Open browsers without scripts, as many as a test asks for: each keeps its cookies."""
        with contextlib.ExitStack() as opened:

            def open_one() -> httpx.Client:
                client = httpx.Client(
                    base_url=self.url,
                    timeout=deadlines.seconds(15),
                    follow_redirects=True,
                    headers={"Accept": "text/html"},
                )
                return opened.enter_context(client)

            yield open_one

    def ready(self) -> bool:
        """Whether it serves and reaches its servers. Many tests have no worker, without which `/readyz`
        says no."""
        assert self.popen is not None
        assert self.popen.poll() is None, "the server ended while it was started"
        try:
            said = httpx.get(f"{self.url}/readyz", timeout=deadlines.seconds(2)).json()
        except (httpx.HTTPError, ValueError):
            return False
        return (said["postgresql"], said["redis"]) == ("ok", "ok")


class ForgetfulWeb(Web):
    """A server process for many tests, each with sales of its own: see `tests/forgetful.py`."""

    def start(self) -> Process:
        self.command[2] = "tests.forgetful"
        return super().start()


@contextlib.contextmanager
def worker(**env: str) -> Iterator[Process]:
    process = Process(WORKER, env).start()
    try:
        yield process
    finally:
        process.stop()


def signal_all(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
