"""Keeps the drills' bank running: starts it, and starts it again when it has been killed."""

import os
import secrets
import socket
import subprocess
import sys
import threading
from pathlib import Path

from drills.bank import SECRET, URL
from drills.private_shop import HOST, ROOT, BackgroundWork
from flashsale.local.child_process import end_with_parent
from flashsale.local.processes import identity

NAME = "the bank"  # as a target of faults
_CLOSED_FOR = 1.0  # seconds from its death to the next start
_TICK = 0.05


class BankKeeper:
    """The bank's process; `environment` is what the shop has to know of it."""

    def __init__(self, seed: int) -> None:
        with socket.socket() as free:
            free.bind((HOST, 0))
            self._port = int(free.getsockname()[1])
        self._seed, self._secret = seed, secrets.token_hex(16)
        self.starts = 0

    @property
    def environment(self) -> dict[str, str]:
        return {
            "DJANGO_SETTINGS_MODULE": "drills.bank_settings",
            URL: f"http://{HOST}:{self._port}",
            SECRET: self._secret,
        }

    def start(self, folder: Path, shop_port: int) -> None:
        """Start it, with its books and its pid in the shop's folder."""
        self.books = folder / "bank.sqlite"
        self._record = folder / "run" / NAME
        self._events_to = f"http://{HOST}:{shop_port}/payments/demo/events"
        self._launch()
        self._work = BackgroundWork(self._keep, "bank")

    def stop(self) -> None:
        try:
            self._work.stop()
        finally:
            self._process.kill()
            self._process.wait()

    def _keep(self, stopping: threading.Event) -> None:
        while not stopping.wait(_TICK):
            if self._process.poll() is not None and not stopping.wait(_CLOSED_FOR):
                self._launch()

    def _launch(self) -> None:
        self.starts += 1
        arguments = (
            self._port,
            self.books,
            self._events_to,
            self._secret,
            self._seed + self.starts,
        )
        self._process = subprocess.Popen(
            [sys.executable, "-m", "drills.bank", *map(str, arguments)],
            cwd=ROOT,
            env=os.environ,
            stdin=subprocess.DEVNULL,
            preexec_fn=end_with_parent(),
        )
        pid = self._process.pid
        self._record.write_text(f"{pid} {identity(pid)}")
