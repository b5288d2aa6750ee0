"""Runs `wrk` (github.com/wg/wrk), which generates load. Written in C, it takes little of the machine that
it shares with the shop. It is not a Python package; Debian and others have it under its name."""

import json
import os
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from drills.private_shop import HOST

_SCRIPT = Path(__file__).with_name("wrk.lua")
_ENDS = 30.0  # seconds for wrk to end after a load
MISSING = "The load generator wrk is missing: `apt install wrk`, or `brew install wrk`."


@dataclass(frozen=True, slots=True)
class Load:
    """The answers to a load. Latencies in ms, of clients that send the next request at once."""

    seconds: float
    answers: Counter[int]  # by status
    p50: float
    p99: float

    def per_second(self, status: int) -> float:
        return self.answers[status] / self.seconds


class InvalidLoad(Exception):
    """The load proves nothing; the message says why."""


def installed() -> bool:
    return shutil.which("wrk") is not None


def run_load(
    port: int,
    connections: int,
    seconds: float,
    requests: Iterable[bytes],
    *,
    again: bool = False,
    pause: float = 0,
) -> Load:
    """Send the requests, each once or with `again` in a loop, over so many connections, with a pause of so
    many ms after each answer.

    Raises InvalidLoad if a connection failed, or the requests ran out.
    """
    with tempfile.NamedTemporaryFile(prefix="flashsale-requests-") as file:
        for request in requests:
            file.write(request + b"\0")
        file.flush()
        script = ["--script", str(_SCRIPT), f"http://{HOST}:{port}/", "--", file.name]
        done = subprocess.run(
            [
                *("wrk", "--threads", "1", "--connections", str(connections)),
                *("--duration", f"{seconds:g}s", "--timeout", "30s", "--latency"),
                *(*script, "again" if again else "once"),
            ],
            env=os.environ | ({"PAUSE": f"{pause:.0f}"} if pause >= 1 else {}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
            timeout=seconds + _ENDS,
        )
    output = json.loads(done.stdout.splitlines()[-1])
    if output["used_up"]:
        raise InvalidLoad("the requests ran out")
    if any(output["errors"].values()):
        raise InvalidLoad(f"connections failed: {output['errors']}")
    answers = Counter({int(status): count for status, count in output["answers"].items()})
    latency = output["latency"]
    return Load(output["seconds"], answers, latency["p50"], latency["p99"])
