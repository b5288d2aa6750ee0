"""Measures pages per second, beside a bare endpoint that returns as many bytes."""

import re
from typing import TYPE_CHECKING
from uuid import UUID

import uvloop

from bench import wrk
from bench.buying import wait_for_empty_line
from bench.figures import BYTES, PAGES
from bench.stage import Stage, shopper_cookie
from drills.http import Connection, request
from drills.private_shop import HOST

if TYPE_CHECKING:
    from inventory.models import Sale

_READERS = 1000
_CONNECTIONS = 64
_STYLE = re.compile(rb'href="(/static/[^"]+\.css)"')


def measure_pages(stage: Stage) -> None:
    from flashsale.http import shoppers

    with stage.open_sale() as sale:
        path = f"/sales/{sale.slug}/"
        newcomers = [shoppers.new_shopper() for _ in range(_READERS)]
        _measure_page(stage, "sale, newcomer", [_get(stage, path)])
        _measure_page(stage, "sale, known shopper", [_get(stage, path, one) for one in newcomers])
        _measure_page(stage, "index", [_get(stage, "/")])
        _measure_page(stage, "outcome", _make_outcome_requests(stage, sale))
        style = _STYLE.search(_fetch(stage, _get(stage, path)))
        assert style
        _measure_page(stage, "static file", [_get(stage, style[1].decode())])


def _make_outcome_requests(stage: Stage, sale: "Sale") -> list[bytes]:
    """Make requests for outcomes of orders, each with its shopper's cookie."""
    from orders.models import Order

    wrk.run_load(stage.port, 64, 1, stage.make_clicks(sale, 1))
    wait_for_empty_line(sale)
    orders = Order.objects.filter(sale=sale).values_list("pk", "shopper")[:_READERS]
    return [_get(stage, f"/orders/{purchase}/", shopper) for purchase, shopper in orders]


def _get(stage: Stage, path: str, shopper: UUID | None = None) -> bytes:
    headers = {"Host": stage.site, "Accept": "text/html", "Accept-Language": "en"}
    return request("GET", path, headers | ({"Cookie": shopper_cookie(shopper)} if shopper else {}))


def _measure_page(stage: Stage, kind: str, requests: list[bytes]) -> None:
    length = len(_fetch(stage, requests[0]))
    bare = request("GET", f"/bytes/{length}", {"Host": "bare"})
    limit = wrk.run_load(stage.bare, _CONNECTIONS, stage.seconds, [bare], again=True)
    stage.results.add(BYTES[kind], limit.per_second(200))
    load = wrk.run_load(stage.port, _CONNECTIONS, stage.seconds, requests, again=True)
    if load.answers.keys() != {200}:
        raise SystemExit(f"{kind}: answered {dict(load.answers)}")
    stage.results.add(PAGES[kind], load.per_second(200))


def _fetch(stage: Stage, page_request: bytes) -> bytes:
    async def ask() -> bytes:
        connection = await Connection.open(HOST, stage.port)
        try:
            return (await connection.send(page_request)).body
        finally:
            connection.close()

    return bytes(uvloop.run(ask()))
