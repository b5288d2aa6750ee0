"""`manage.py up`: the whole shop with one command, kept running until Ctrl-C or SIGTERM."""

import http.client
import os
import socket
import sys
import time
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError

from flashsale import embedded, variables, web
from flashsale.embedded.postgres import Postgres
from flashsale.embedded.server import Server, ServerError
from flashsale.embedded.valkey import Valkey
from flashsale.supervisor import (
    AlreadyRunning,
    Output,
    Process,
    Supervisor,
    only_one,
    stop_leftovers,
)

READY_SECONDS = 30
# With the embedded servers' own, these add up to less than the ten seconds that a stop may take.
WEB_GRACE = web.GRACEFUL_SECONDS + 0.5
WORKER_GRACE = 2.5
_WORKER = (
    "worker",
    *("--pool", "threads", "--concurrency", "4", "--queues", "settlement,housekeeping"),
    *("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "WARNING"),
)


class Command(BaseCommand):
    help = (
        "Runs the shop: PostgreSQL and Valkey (where DATABASE_URL and REDIS_URL do not name "
        "others), web, worker and beat. Listens on HOST (127.0.0.1) and PORT (8000)."
    )
    requires_system_checks = []  # `prepare` checks, when there are servers to check

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--web", type=int, default=2, metavar="N", help="web processes")

    def handle(self, *args: Any, **options: Any) -> None:
        var_dir: Path = settings.VAR_DIR
        try:
            with only_one(var_dir / "up.lock"):
                Shop(var_dir, options["web"]).run()
        except AlreadyRunning as running:
            raise CommandError(f"The shop of {var_dir} is already running: {running}.") from running
        except (ImproperlyConfigured, ServerError) as error:
            raise CommandError(str(error)) from error


class Shop:
    """One run of the shop, from the first socket to the last process."""

    def __init__(self, var_dir: Path, web_processes: int) -> None:
        self.var_dir = var_dir
        self.web_processes = web_processes
        self.host = variables.text("HOST", "127.0.0.1")
        self.port = variables.whole("PORT", 8000, most=65535)
        self.output = Output()
        self.supervisor = Supervisor(self.output)
        self.environment = _environment(var_dir)

    def run(self) -> None:
        """Blocks until SIGINT, SIGTERM or SIGHUP. Raises CommandError, ServerError."""
        for name in stop_leftovers(self._records):
            _say(f"Stopped {name}, which a killed run had left behind.")
        with listen(self.host, self.port) as listener, self.supervisor:
            self.port = listener.getsockname()[1]
            for step in (self._start_servers, self._prepare, self._start_workers):
                if not self.supervisor.asked_to_stop:
                    step()
            if not self.supervisor.asked_to_stop:
                self._open(listener)
            self.supervisor.run()
            listener.close()  # who comes now is refused at once, not left waiting for an answer
            _say("Stopping.")
