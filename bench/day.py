"""A day's sales in half an hour: `python -m bench.day --out FILE`.

Sales one after the other, each with the same traffic at a steady rate: clicks and pages, shoppers who come
with a socket, buy, hear what became of it and leave, pages that stay open, and staff who watch, cancel,
read the books and look orders up. Nothing may grow from the first sale to the last: no latency, no memory,
no number of connections; and no fewer are answered. Ends with 1 where something did, and with 3 where
anybody was told what is not so.

Writes JSON after each point, which `tools/plots.py` draws.
"""

import argparse
import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import uvloop

from bench import machine, processor, wrk
from bench.buying import empty
from bench.figures import Results
from bench.sockets import Socket
from bench.stage import Stage, percentile, stage
from bench.steadiness import (
    BY_SOCKET,
    CONNECTIONS,
    ORDER_LIST,
    Point,
    growth,
    in_short,
    too_much,
    words,
)
from bench.watching import dashboard
from drills.arguments import number, writable
from drills.habits import patient
from drills.http import Connection, get, request
from drills.private_shop import HOST, Worker, say, staff_cookie
from drills.shopper import SOCKET, Log, Shopper, Site
from flashsale.http.listening import allow_many_sockets
from ops.base_command import FAILED, INCONSISTENT

if TYPE_CHECKING:
    from threading import Event

    from inventory.models import Sale

SALES = 10
_CLICKS, _PAGES = 30, 10  # connections
_PAUSE = 100.0  # ms behind each answer on one of them
_VISITS = 10  # a second
_OPEN_PAGES = 200
_STAFF_PAUSE = 5.0  # seconds
_LONGEST_VISIT = 60.0  # seconds, after which it is a fault
_GOOD = {"click": 202, "page": 200}  # the answer to each


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.day", description=__doc__)
    parser.add_argument("--minutes", type=number(0.5, 24 * 60), default=30.0)
    parser.add_argument("--out", type=writable, required=True)
    options = parser.parse_args()
    if not wrk.installed():
        raise SystemExit(wrk.MISSING)
    allow_many_sockets()
    seconds = options.minutes * 60 / SALES
    told: dict[str, Any] = {
        "machine": machine.described(),
        "minutes": options.minutes,
        "answers": Counter(),
        "faults": [],
        "day": [],
    }
    points: list[Point] = told["day"]
    with stage(min(10, seconds // 3), Results()) as ready, dashboard(ready.port):
        staff = staff_cookie()
        began = time.monotonic()
        for which in range(1, SALES + 1):
            for point in _sale(ready, seconds, staff, told):
                at = {"minute": (time.monotonic() - began) / 60, "sale": float(which)}
                points.append(at | point)
                options.out.write_text(json.dumps(told, indent=1) + "\n")
                say(f"sale {which} of {SALES}: {in_short(point)}")
    options.out.write_text(json.dumps(told | {"growth": growth(points)}, indent=1) + "\n")
    print(words(points), json.dumps(told["answers"]), sep="\n")
    if told["faults"]:
        print(json.dumps(told["faults"]))
        return INCONSISTENT
    return FAILED if too_much(points) else 0


# --- A sale ---------------------------------------------------------------------------------------


def _sale(ready: Stage, seconds: float, staff: str, told: dict[str, Any]) -> Iterator[Point]:
    """One sale from its opening to its end, measured again and again."""
    from drills import consistency

    with ready.sale(limit=2) as sale:
        before = consistency.stock_of(sale)
        visitors = Visitors(ready, sale)
        over = time.monotonic() + seconds
        with _open_pages(ready, sale), visitors.coming(), _other_staff(sale, told["faults"]):
            while time.monotonic() < over:
                point = _loads(ready, sale, told["answers"]) | visitors.experienced()
                yield point | _order_list(ready, staff) | _held(ready)
        empty(sale)
        books = consistency.Books.read(sale, before, visitors.logs)
        told["faults"] += [one._asdict() for one in consistency.faults_in(visitors.logs, books)]


def _loads(ready: Stage, sale: "Sale", answers: Counter[str]) -> Point:
    """Clicks and pages at the same time."""
    enough = round(1.5 * _CLICKS * 1000 / _PAUSE * ready.seconds)
    clicks = list(islice(ready.clicks(sale, ready.seconds), enough))
    page = request("GET", f"/sales/{sale.slug}/", {"Host": ready.site, "Accept": "text/html"})
    with ThreadPoolExecutor(2) as pool:
        loads = {
            "click": pool.submit(_load, ready, _CLICKS, clicks),
            "page": pool.submit(_load, ready, _PAGES, [page], again=True),
        }
    point: Point = {}
    for what, done in loads.items():
        load = done.result()
        answers.update({f"{what} {status}": count for status, count in load.answers.items()})
        good = load.per_second(_GOOD[what])
        point |= {f"{what} p50": load.p50, f"{what} p99": load.p99, f"{what}s a second": good}
    return point


def _load(
    ready: Stage, connections: int, requests: list[bytes], *, again: bool = False
) -> wrk.Load:
    return wrk.load(ready.port, connections, ready.seconds, requests, again=again, pause=_PAUSE)


def _order_list(ready: Stage, staff: str) -> Point:
    """How soon staff have the list of orders, in the admin."""
    asked = get("/admin/orders/order/", ready.site, staff)

    async def ask() -> float:
        connection = await Connection.open(HOST, ready.port)
        began = time.perf_counter()
        answer = await connection.send(asked)
        connection.close()
        if answer.status != 200:
            raise SystemExit(f"the list of orders was answered {answer.status}")
        return time.perf_counter() - began

    return {ORDER_LIST: uvloop.run(ask()) * 1000}


def _held(ready: Stage) -> Point:
    """Memory and connections."""
    from django.db import connection

    from flashsale.redis import clients as clients_module

    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
        [backends] = cursor.fetchone()
    clients = clients_module.client_of(0).info("clients")["connected_clients"]
    webs = processor.pids(ready.folder, "web")
    files = sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in webs)
    counted = dict(zip(CONNECTIONS, (backends, clients, files), strict=True))
    return processor.memory(ready.folder, "Pss_Anon") | counted


class Outcome(NamedTuple):
    """What became of a purchase: seconds from the click until it was told, and how."""

    took: float
    how: str


class Visitors:
    """Shoppers who come so many a second, buy, hear what became of it, and leave."""

    def __init__(self, ready: Stage, sale: "Sale") -> None:
        self._site, self._slug = Site(f"http://{ready.site}"), sale.slug
        self._told: list[Outcome] = []
        self.logs: list[Log] = []

    def experienced(self) -> Point:
        """Of all who have left since it was asked last: how soon after the click they knew what became of
        it, and how many of a hundred heard it on their socket."""
        told, self._told = self._told, []
        if not told:
            raise SystemExit("no shopper has left: each part of the day is too short")
        by_socket = sum(1 for one in told if one.how == SOCKET)
        took = [one.took for one in told]
        known = {f"confirmed p{share}": percentile(took, share) for share in (50, 99)}
        return known | {BY_SOCKET: 100 * by_socket / len(told)}

    @contextmanager
    def coming(self) -> Iterator[None]:
        worker = Worker(lambda ending: uvloop.run(self._come(ending)), "visitors")
        try:
            yield
        finally:
            worker.stop()

    async def _come(self, ending: "Event") -> None:
        async with asyncio.TaskGroup() as visits:
            while not ending.is_set():
                visits.create_task(self._visit())
                await asyncio.sleep(1 / _VISITS)

    async def _visit(self) -> None:
        shopper = Shopper(self._site, self._slug)
        self.logs.append(shopper.log)
        try:
            with suppress(TimeoutError):  # what was not answered is found in its log
                async with asyncio.timeout(_LONGEST_VISIT):
                    await patient(shopper)
                    await shopper.outcomes()
        finally:
            await shopper.leave()
        for purchase, told in shopper.log.final.items():
            self._told.append(Outcome(told.at - shopper.log.clicked[purchase], told.how))


@contextmanager
def _open_pages(ready: Stage, sale: "Sale") -> Iterator[None]:
    """Pages of others, who only watch."""
    path = f"/ws/sales/{sale.slug}/"

    async def watch(ending: "Event") -> None:
        sockets = [
            await Socket.open(ready.port, path, lambda frame: None) for _ in range(_OPEN_PAGES)
        ]
        await asyncio.to_thread(ending.wait)
        lost = sum(socket.lost for socket in sockets)
        for socket in sockets:
            socket.close()
        if lost:
            raise SystemExit(f"{lost} sockets were lost")

    worker = Worker(lambda ending: uvloop.run(watch(ending)), "pages")
    try:
        yield
    finally:
        worker.stop()


@contextmanager
def _other_staff(sale: "Sale", faults: list[Any]) -> Iterator[None]:
    from drills.staff import Staff

    staff = Staff(sale, every=_STAFF_PAUSE)
    staff.start()
    try:
        yield
    finally:
        staff.stop()
    faults += [{"kind": kind, "what": what} for kind, what in staff.seen.faults.items()]


if __name__ == "__main__":
    sys.exit(main())
