"""Starts further web processes, beside those of the private shop."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from drills.private_shop import DEADLINE, HOST, ROOT, wait_for
from flashsale.http.listening import BACKLOG
from flashsale.local.child_process import end_with_parent


@contextmanager
def serve_module(module: str, processes: int = 2, **environment: str) -> Iterator[int]:
    """Start so many processes of a web module, which share a port, and yield the port. They inherit this
    process' settings, and so the shop's servers."""
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        listener.listen(BACKLOG)
        fd, port = listener.fileno(), int(listener.getsockname()[1])
        started = [
            subprocess.Popen(
                [sys.executable, "-m", module, "--fd", str(fd)],
                cwd=ROOT,
                env=os.environ | environment,
                stdin=subprocess.DEVNULL,
                pass_fds=[fd],
                preexec_fn=end_with_parent(),
            )
            for _ in range(processes)
        ]
        try:
            wait_for(lambda: _all_serve(started))
            yield port
        finally:
            for process in started:
                process.terminate()
            for process in started:
                process.wait(DEADLINE)


def _all_serve(started: "list[subprocess.Popen[bytes]]") -> bool:
    """Whether every process has announced itself in the telemetry. Raises SystemExit if one has ended."""
    from flashsale.observe import telemetry_reader

    if any(process.poll() is not None for process in started):
        raise SystemExit("a web process of the bench did not start")
    alive = {process.pid for process in telemetry_reader.processes()}
    return alive.issuperset(process.pid for process in started)
