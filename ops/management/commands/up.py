"""`manage.py up`: the whole shop with one command, kept running until Ctrl-C or SIGTERM."""

import contextlib
import http.client
import json
import os
import socket
import sys
import time
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError

from flashsale import queues, running, variables
from flashsale.http import listening
from flashsale.http import server as http_server
from flashsale.local import embedded
from flashsale.local.child_process import Process, stop_leftovers
from flashsale.local.output import Output
from flashsale.local.postgres import Postgres
from flashsale.local.server import Server, ServerError
from flashsale.local.supervisor import AlreadyRunning, Supervisor, hold_lock
from flashsale.local.valkey import Valkey

SAY_SO_SECONDS = 30  # until it is said that the shop is not open yet, and again after as many
# With the embedded servers' own, these add up to less than the ten seconds that a stop may take.
WEB_GRACE = http_server.GRACEFUL_SECONDS + 1
WORKER_GRACE = 2.0
# Its dozen lines on running as root frighten whoever tries the shop in a container.
_ALSO_AS_ROOT = ("-W", "ignore:You're running the worker with superuser privileges")


class Command(BaseCommand):
    help = (
        "Runs the shop: PostgreSQL and Valkey (where DATABASE_URL and REDIS_URL do not name "
        "others), web, worker and beat. Listens on HOST (127.0.0.1) and PORT (8000)."
    )
    requires_system_checks = []  # `prepare` checks, when there are servers to check

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--web", type=int, default=2, metavar="N", help="web processes")
        parser.add_argument(
            "--unlisted",
            action="store_true",
            help="do not have it found by ./manage.py in other terminals",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        var_dir: Path = settings.VAR_DIR
        try:
            with hold_lock(var_dir / "up.lock"):
                Shop(var_dir, options["web"], listed=not options["unlisted"]).run()
        except AlreadyRunning as running:
            raise CommandError(f"The shop of {var_dir} is already running: {running}.") from running
        except (ImproperlyConfigured, ServerError, listening.CannotListen) as error:
            raise CommandError(str(error)) from error


class Shop:
    """One run of the shop, from its listening socket to the end of its last process."""

    def __init__(self, var_dir: Path, web_processes: int, *, listed: bool = True) -> None:
        self.var_dir = var_dir
        # What names servers for `up` has to name them in the other terminal, too.
        self.listed = listed and not settings.PRODUCTION
        self.web_processes = web_processes
        self.environment = _environment(var_dir)
        self.output = Output()
        self.supervisor = Supervisor(self.output)

    def run(self) -> None:
        """Blocks until SIGINT, SIGTERM or SIGHUP. Raises CommandError and ServerError."""
        for name in stop_leftovers(self._records):
            _say(f"Stopped {name}, which a killed run had left behind.")
        # Before anything is started: a busy port is the most likely thing to go wrong.
        listener = listening.listen()
        with listener, self._findable(listener), self.supervisor:
            opening = partial(self._open, listener)
            for step in (self._start_servers, self._prepare, self._start_workers, opening):
                if not self.supervisor.asked_to_stop:
                    step()
            self.supervisor.run()
            listener.close()  # whoever comes now is refused, instead of waiting for no answer
            _say("Stopping.")

    @contextlib.contextmanager
    def _findable(self, listener: socket.socket) -> Iterator[None]:
        """By `./manage.py` in other terminals. Where the checkout cannot be written, they are told how."""
        host, port = _reachable(listener)
        with contextlib.ExitStack() as listing:
            if self.listed:
                shop = running.Shop(str(self.var_dir), host, port)
                try:
                    listing.enter_context(running.record_shop(shop))
                except OSError as error:
                    needed = f"VAR_DIR={self.var_dir} PORT={port}"
                    _say(f"./manage.py in other terminals needs {needed}: {error}")
            yield

    def _start_servers(self) -> None:
        for variable, server in _missing_servers(self.var_dir).items():
            began = time.monotonic()
            server.start(give_up=lambda: self.supervisor.asked_to_stop)
            if self.supervisor.asked_to_stop:
                server.stop()
                return
            self.supervisor.keep(server)
            self.environment[variable] = server.url
            _say(f"{server.name} is ready after {time.monotonic() - began:.1f} s.")

    def _prepare(self) -> None:
        began = time.monotonic()
        code = self.supervisor.complete(self._python("prepare", "manage.py", "prepare"))
        if self.supervisor.asked_to_stop:
            return
        if code:
            raise CommandError("The shop could not be prepared; the reason stands above.")
        _say(f"Database and static files are ready after {time.monotonic() - began:.1f} s.")

    def _start_workers(self) -> None:
        beat = queues.beat(str(self.var_dir / "celerybeat-schedule"))
        self.supervisor.keep(
            self._python("worker", *_ALSO_AS_ROOT, *queues.WORKER, grace=WORKER_GRACE),
            self._python("beat", *beat, grace=WORKER_GRACE),
        )

    def _open(self, listener: socket.socket) -> None:
        """The web processes come last and are the first to go: the crowd meets a complete shop."""
        fd = listener.fileno()
        serve = ("-m", "flashsale.web", "--fd", str(fd))
        self.supervisor.keep(
            *(
                self._python(f"web-{number}", *serve, grace=WEB_GRACE, pass_fds=[fd])
                for number in range(1, self.web_processes + 1)
            )
        )
        address, said = _reachable(listener), ""
        began = time.monotonic()

        def is_open() -> bool:
            nonlocal said
            missing = what_is_missing(address)
            if missing and missing != said:
                _say(f"Waiting for {missing}")
                said = missing
            return not missing

        while not self.supervisor.wait(is_open, SAY_SO_SECONDS):
            if self.supervisor.asked_to_stop:
                return
            waited = time.monotonic() - began
            _say(f"Not open after {waited:.0f} s, still waiting for {said} See above.")
        _announce(address)

    @property
    def _records(self) -> Path:
        return self.var_dir / "run"

    def _python(
        self, name: str, *arguments: str, grace: float = 5.0, pass_fds: Sequence[int] = ()
    ) -> Process:
        return Process(
            name,
            [sys.executable, *arguments],
            self.output,
            self._records,
            grace=grace,
            env=self.environment,
            cwd=settings.BASE_DIR,
            pass_fds=pass_fds,
        )


def what_is_missing(address: tuple[str, int]) -> str:
    """What /readyz names, in words; nothing of a shop that takes clicks."""
    connection = http.client.HTTPConnection(*address, timeout=1)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        if answer.status == http.HTTPStatus.OK:
            return ""
        said = json.loads(answer.read())
    except (OSError, http.client.HTTPException, ValueError):
        return "web processes."
    finally:
        connection.close()
    parts = [f"{_PARTS[part]} ({said[part]})" for part in _PARTS if said.get(part, "ok") != "ok"]
    return f"{', '.join(parts)}."


_PARTS = {
    "postgresql": "PostgreSQL",
    "redis": "Redis",
    "worker": "a worker",
    "gates": "the gates of open sales",
}


def _environment(var_dir: Path) -> dict[str, str]:
    environment = {**os.environ, "VAR_DIR": str(var_dir), "PYTHONUNBUFFERED": "1"}
    if not settings.PRODUCTION:
        # Our URLs will be set there, too, and must not make the processes think of production.
        environment |= {"FLASHSALE_EMBEDDED": "1", "SECRET_KEY": settings.SECRET_KEY}
        # A demo's crowd comes from one machine; `seed_demo` says so.
        environment.setdefault("RATE_PER_ADDRESS", "0")
    return environment


def _missing_servers(var_dir: Path) -> dict[str, Server]:
    """The servers that the environment does not name, by the variable that would."""
    servers: dict[str, Server] = {
        "DATABASE_URL": Postgres(embedded.postgres_folder(var_dir)),
        "REDIS_URL": Valkey(embedded.valkey_folder(var_dir)),
    }
    return {name: server for name, server in servers.items() if not variables.text(name)}


def _reachable(listener: socket.socket) -> tuple[str, int]:
    host, port = listener.getsockname()[:2]
    return listening.reachable(host), port


def _announce(address: tuple[str, int]) -> None:
    site = listening.url(*address)
    _say(f"The shop is open:  {site}")
    _say(f"Dashboard:         {site}dashboard/")
    _say(f"Admin:             {site}admin/")
    if not settings.PRODUCTION:
        _say("Log in as 'staff'. A new password: ./manage.py changepassword staff")
    _say("Stop it with Ctrl-C.")


def _say(line: str) -> None:
    with contextlib.suppress(OSError):  # a terminal that went away
        print(line, flush=True)
