"""Pages: how many a second, beside a bare endpoint that returns as many bytes."""

import re
from typing import TYPE_CHECKING
from uuid import UUID

import uvloop

from bench import wrk
from bench.buying import empty
from bench.figures import BYTES, PAGES
from bench.stage import Stage, cookie
from drills.http import Connection, request
from drills.private_shop import HOST

if TYPE_CHECKING:
    from inventory.models import Sale

_READERS = 1000
_CONNECTIONS = 64
_STYLE = re.compile(rb'href="(/static/[^"]+\.css)"')


def pages(stage: Stage) -> None:
    from flashsale.http import shoppers

    with stage.sale() as sale:
        path = f"/sales/{sale.slug}/"
        strangers = [shoppers.new_shopper() for _ in range(_READERS)]
        _read(stage, "sale, newcomer", [_get(stage, path)])
        _read(stage, "sale, known shopper", [_get(stage, path, one) for one in strangers])
        _read(stage, "index", [_get(stage, "/")])
        _read(stage, "outcome", _outcomes(stage, sale))
        style = _STYLE.search(_answer(stage, _get(stage, path)))
        assert style
        _read(stage, "static file", [_get(stage, style[1].decode())])


def _outcomes(stage: Stage, sale: "Sale") -> list[bytes]:
    """Questions for as many orders, each by its shopper."""
    from orders.models import Order

    wrk.load(stage.port, 64, 1, stage.clicks(sale, 1))
    empty(sale)
    orders = Order.objects.filter(sale=sale).values_list("pk", "shopper")[:_READERS]
    return [_get(stage, f"/orders/{purchase}/", shopper) for purchase, shopper in orders]


def _get(stage: Stage, path: str, shopper: UUID | None = None) -> bytes:
    headers = {"Host": stage.site, "Accept": "text/html", "Accept-Language": "en"}
    return request("GET", path, headers | ({"Cookie": cookie(shopper)} if shopper else {}))


def _read(stage: Stage, kind: str, requests: list[bytes]) -> None:
    length = len(_answer(stage, requests[0]))
    bare = request("GET", f"/bytes/{length}", {"Host": "bare"})
    limit = wrk.load(stage.bare, _CONNECTIONS, stage.seconds, [bare], again=True)
    stage.results.add(BYTES[kind], limit.per_second(200))
    load = wrk.load(stage.port, _CONNECTIONS, stage.seconds, requests, again=True)
    if load.answers.keys() != {200}:
        raise SystemExit(f"{kind}: answered {dict(load.answers)}")
    stage.results.add(PAGES[kind], load.per_second(200))


def _answer(stage: Stage, asked: bytes) -> bytes:
    async def ask() -> bytes:
        connection = await Connection.open(HOST, stage.port)
        try:
            return (await connection.send(asked)).body
        finally:
            connection.close()

    return bytes(uvloop.run(ask()))
