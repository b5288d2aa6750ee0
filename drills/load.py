"""A load of clicks, in a process of its own: `python -m drills.load PORT < requests`.

Reads one JSON object from standard input (connections, seconds, and the clicks: cookie, path, form),
clicks as fast as it is answered, each click once, and writes what it was answered as JSON.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator

import uvloop

from drills.http import Connection, post

HOST = "127.0.0.1"


async def load(
    port: int, connections: int, seconds: float, requests: list[bytes]
) -> dict[str, object]:
    """Sends the requests over so many connections until they or the time are used up."""
    waiting: Iterator[bytes] = iter(requests)
    answers: Counter[int] = Counter()
    latencies: list[float] = []
    opened = await asyncio.gather(*(Connection.open(HOST, port) for _ in range(connections)))
    began, wall = time.monotonic(), time.time()

    async def click(connection: Connection) -> None:
        for request in waiting:
            if time.monotonic() - began > seconds:
                break
            sent = time.perf_counter()
            answer = await connection.send(request)
            latencies.append(time.perf_counter() - sent)
            answers[answer.status] += 1
        connection.close()

    await asyncio.gather(*(click(connection) for connection in opened))
    return {
        "began": wall,
        "seconds": time.monotonic() - began,
        "answers": answers,
        "latencies": sorted(latencies),
    }


if __name__ == "__main__":
    order = json.load(sys.stdin)
    port = int(sys.argv[1])
    ready = [post(path, f"{HOST}:{port}", cookie, form) for path, cookie, form in order["clicks"]]
    json.dump(uvloop.run(load(port, order["connections"], order["seconds"], ready)), sys.stdout)
