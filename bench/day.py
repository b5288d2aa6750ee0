"""Simulates a day's sales in half an hour: `python -m bench.day --out FILE`.

Sales run one after the other, each with the same traffic at a steady rate: clicks and pages, shoppers who
open a socket, buy, wait for the outcome and leave, pages that stay open, and staff who watch, cancel,
reconcile and look orders up. From the first sale to the last neither latency nor memory nor connections
may grow, and the rate of answers may not fall. Exit code 1 if one does, 3 if a shopper got a wrong answer.

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
from bench.buying import wait_for_empty_line
from bench.figures import Results
from bench.sockets import Socket
from bench.stage import Stage, percentile_ms, start_stage
from bench.steadiness import (
    BY_SOCKET,
    CONNECTIONS,
    ORDER_LIST,
    Point,
    as_text,
    find_unsteady,
    growth,
    summarize,
)
from bench.watching import open_dashboard
from drills.arguments import number_between, writable_file
from drills.habits import patient
from drills.http import Connection, Site, get, request
from drills.private_shop import HOST, BackgroundWork, make_staff_cookie, say
from drills.shopper import Shopper
from drills.shopper_log import SOCKET, Log
from flashsale.http.listening import allow_many_sockets
from ops.base_command import FAILED, INCONSISTENT

if TYPE_CHECKING:
    from threading import Event

    from inventory.models import Sale

SALES = 10
_CLICKS, _PAGES = 30, 10  # connections
_PAUSE = 100.0  # ms after each answer of a connection
_VISITS = 10  # per second
_OPEN_PAGES = 200
_STAFF_PAUSE = 5.0  # seconds
_LONGEST_VISIT = 60.0  # seconds; a longer one is a fault
_GOOD = {"click": 202, "page": 200}  # the expected status


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.day", description=__doc__)
    parser.add_argument("--minutes", type=number_between(0.5, 24 * 60), default=30.0)
    parser.add_argument("--out", type=writable_file, required=True)
    options = parser.parse_args()
    if not wrk.installed():
        raise SystemExit(wrk.MISSING)
    allow_many_sockets()
    seconds = options.minutes * 60 / SALES
    report: dict[str, Any] = {
        "machine": machine.describe_machine(),
        "minutes": options.minutes,
        "answers": Counter(),
        "faults": [],
        "day": [],
    }
    points: list[Point] = report["day"]
    with start_stage(min(10, seconds // 3), Results()) as ready, open_dashboard(ready.port):
        staff = make_staff_cookie()
        began = time.monotonic()
        for which in range(1, SALES + 1):
            for point in _run_sale(ready, seconds, staff, report):
                at = {"minute": (time.monotonic() - began) / 60, "sale": float(which)}
                points.append(at | point)
                options.out.write_text(json.dumps(report, indent=1) + "\n")
                say(f"sale {which} of {SALES}: {summarize(point)}")
    options.out.write_text(json.dumps(report | {"growth": growth(points)}, indent=1) + "\n")
    print(as_text(points), json.dumps(report["answers"]), sep="\n")
    if report["faults"]:
        print(json.dumps(report["faults"]))
        return INCONSISTENT
    return FAILED if find_unsteady(points) else 0


# --- A sale ---------------------------------------------------------------------------------------


def _run_sale(ready: Stage, seconds: float, staff: str, report: dict[str, Any]) -> Iterator[Point]:
    """Run one sale from opening to end, and yield a point per measurement."""
    from drills import log_check

    with ready.open_sale(limit=2) as sale:
        before = log_check.read_stock(sale)
        visitors = Visitors(ready, sale)
        over = time.monotonic() + seconds
        with _open_pages(ready, sale), visitors.arrive(), _simulate_staff(sale, report["faults"]):
            while time.monotonic() < over:
                point = _measure_loads(ready, sale, report["answers"]) | visitors.take_outcomes()
                yield point | _measure_order_list(ready, staff) | _measure_resources(ready)
        wait_for_empty_line(sale)
        state = log_check.DatabaseState.read(sale, before, visitors.logs)
        report["faults"] += [one._asdict() for one in log_check.find_faults(visitors.logs, state)]


def _measure_loads(ready: Stage, sale: "Sale", answers: Counter[str]) -> Point:
    """Measure clicks and pages at the same time."""
    enough = round(1.5 * _CLICKS * 1000 / _PAUSE * ready.seconds)
    clicks = list(islice(ready.make_clicks(sale, ready.seconds), enough))
    page = request("GET", f"/sales/{sale.slug}/", {"Host": ready.site, "Accept": "text/html"})
    with ThreadPoolExecutor(2) as pool:
        loads = {
            "click": pool.submit(_run_load, ready, _CLICKS, clicks),
            "page": pool.submit(_run_load, ready, _PAGES, [page], again=True),
        }
    point: Point = {}
    for what, done in loads.items():
        load = done.result()
        answers.update({f"{what} {status}": count for status, count in load.answers.items()})
        good = load.per_second(_GOOD[what])
        point |= {f"{what} p50": load.p50, f"{what} p99": load.p99, f"{what}s a second": good}
    return point


def _run_load(
    ready: Stage, connections: int, requests: list[bytes], *, again: bool = False
) -> wrk.Load:
    return wrk.run_load(ready.port, connections, ready.seconds, requests, again=again, pause=_PAUSE)


def _measure_order_list(ready: Stage, staff: str) -> Point:
    """Measure the time to the admin's list of orders, in ms."""
    list_request = get("/admin/orders/order/", ready.site, staff)

    async def ask() -> float:
        connection = await Connection.open(HOST, ready.port)
        began = time.perf_counter()
        answer = await connection.send(list_request)
        connection.close()
        if answer.status != 200:
            raise SystemExit(f"the list of orders was answered {answer.status}")
        return time.perf_counter() - began

    return {ORDER_LIST: uvloop.run(ask()) * 1000}


def _measure_resources(ready: Stage) -> Point:
    """Measure memory by role, and connections."""
    from django.db import connection

    from flashsale.redis import blocking_clients

    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
        [backends] = cursor.fetchone()
    clients = blocking_clients.client_of(0).info("clients")["connected_clients"]
    webs = processor.find_pids(ready.folder, "web")
    files = sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in webs)
    counted = dict(zip(CONNECTIONS, (backends, clients, files), strict=True))
    return processor.read_memory(ready.folder, "Pss_Anon") | counted


class Outcome(NamedTuple):
    """How a shopper learned the outcome: seconds from the click, and SOCKET, ASKED or CLICKED."""

    took: float
    how: str


class Visitors:
    """Shoppers who arrive at a steady rate, buy, wait for the outcome, and leave."""

    def __init__(self, ready: Stage, sale: "Sale") -> None:
        self._site, self._slug = Site(f"http://{ready.site}"), sale.slug
        self._outcomes: list[Outcome] = []
        self.logs: list[Log] = []

    def take_outcomes(self) -> Point:
        """Sum up the shoppers who left since the last call: times from click to outcome, and the percentage
        of outcomes that came by socket."""
        outcomes, self._outcomes = self._outcomes, []
        if not outcomes:
            raise SystemExit("no shopper has left: each part of the day is too short")
        by_socket = sum(1 for one in outcomes if one.how == SOCKET)
        took = [one.took for one in outcomes]
        known = {f"confirmed p{share}": percentile_ms(took, share) for share in (50, 99)}
        return known | {BY_SOCKET: 100 * by_socket / len(outcomes)}

    @contextmanager
    def arrive(self) -> Iterator[None]:
        worker = BackgroundWork(lambda ending: uvloop.run(self._keep_arriving(ending)), "visitors")
        try:
            yield
        finally:
            worker.stop()

    async def _keep_arriving(self, ending: "Event") -> None:
        async with asyncio.TaskGroup() as visits:
            while not ending.is_set():
                visits.create_task(self._visit())
                await asyncio.sleep(1 / _VISITS)

    async def _visit(self) -> None:
        shopper = Shopper(self._site, self._slug)
        self.logs.append(shopper.log)
        try:
            with suppress(TimeoutError):  # its log shows the missing outcome
                async with asyncio.timeout(_LONGEST_VISIT):
                    await patient(shopper)
                    await shopper.wait_for_outcomes()
        finally:
            await shopper.leave()
        for purchase, update in shopper.log.final.items():
            took = update.at - shopper.log.clicked[purchase]
            self._outcomes.append(Outcome(took, update.how))


@contextmanager
def _open_pages(ready: Stage, sale: "Sale") -> Iterator[None]:
    """Keep sockets of shoppers open who do not buy."""
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

    worker = BackgroundWork(lambda ending: uvloop.run(watch(ending)), "pages")
    try:
        yield
    finally:
        worker.stop()


@contextmanager
def _simulate_staff(sale: "Sale", faults: list[Any]) -> Iterator[None]:
    from drills.staff import Staff

    staff = Staff(sale, every=_STAFF_PAUSE)
    staff.start()
    try:
        yield
    finally:
        staff.stop()
    faults += [{"kind": kind, "what": what} for kind, what in staff.log.faults.items()]


if __name__ == "__main__":
    sys.exit(main())
