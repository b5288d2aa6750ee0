"""Load by `wrk` (github.com/wg/wrk): a client in C takes so little of the machine that what it measures
is the shop. It is no Python package; Debian and others have it under its name."""

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
_ENDS = 30.0  # seconds after which it must have ended
MISSING = "wrk is missing, which makes the load: `apt install wrk`, or `brew install wrk`."


@dataclass(frozen=True, slots=True)
class Load:
    """What a load was answered. Latencies in ms, as a client sees them that asks again at once."""

    seconds: float
    answers: Counter[int]  # by status
    p50: float
    p99: float

    def per_second(self, status: int) -> float:
        return self.answers[status] / self.seconds


class Spoilt(Exception):
    """The load was none that says anything; the message says why."""


def installed() -> bool:
    return shutil.which("wrk") is not None


def load(
    port: int,
    connections: int,
    seconds: float,
    requests: Iterable[bytes],
    *,
    again: bool = False,
    pause: float = 0,
) -> Load:
    """Sends these requests, each once (or `again` and again), over so many connections, with a pause of so
    many ms behind each answer.

    Raises Spoilt where a connection failed, or the requests did not last.
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
    told = json.loads(done.stdout.splitlines()[-1])
    if told["used_up"]:
        raise Spoilt("the requests did not last")
    if any(told["errors"].values()):
        raise Spoilt(f"connections failed: {told['errors']}")
    answers = Counter({int(status): count for status, count in told["answers"].items()})
    latency = told["latency"]
    return Load(told["seconds"], answers, latency["p50"], latency["p99"])
