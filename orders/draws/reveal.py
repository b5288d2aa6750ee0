"""Reveal the seed of a frozen draw, and give its lots their ranks."""

import logging
import threading
import time
from concurrent.futures import Future, wait
from datetime import UTC, datetime

from django.db import connection

from flashsale.database import long_transaction
from orders.draws import beacon as quicknet
from orders.draws import seed
from orders.models import Draw

log = logging.getLogger(__name__)

_PAUSE = 10.0  # seconds until a missing part is asked for again: other draws go on meanwhile
_tried: dict[int, float] = {}  # when it was missing, by sale
_WAIT = 1.0  # seconds for the beacon; a slower answer is taken at a later look
_fetches: dict[int, Future[bytes]] = {}  # by round

# The order of `rank_key` in `orders/draws/ranking.py`.
_RANK = """
UPDATE orders_lot AS l SET rank = ranked.rank
FROM (
    SELECT order_id, row_number() OVER (ORDER BY sha256(%(salt)s || uuid_send(order_id))) AS rank
    FROM orders_lot WHERE sale_id = %(sale)s AND NOT set_aside
) AS ranked
WHERE l.order_id = ranked.order_id
"""


def reveal(sale: int) -> bool:
    """Rank the lots of a frozen draw, in the transaction that reveals its seed. False if that is done, if
    another process is at it, or if the beacon's round or the key of the seed is missing. Raises
    django.db.DatabaseError."""
    draw = Draw.objects.get(pk=sale)
    if draw.seed or time.monotonic() < _tried.get(sale, -_PAUSE) + _PAUSE:
        return False
    try:
        secret = seed.open_sealed(draw.sealed_seed, draw.commitment)
        signature = _fetch_signature(draw)
    except (quicknet.NotYet, _StillFetching):
        return False
    except (quicknet.BeaconAway, seed.Unsealable) as missing:
        _tried[sale] = time.monotonic()
        log.warning("sale %s: its draw waits: %s", sale, missing)
        return False
    with long_transaction():
        draws = Draw.objects.select_for_update(no_key=True, skip_locked=True)
        if draws.filter(pk=sale, seed="").first() is None:
            return False
        salt = secret + quicknet.randomness_of(signature)
        with connection.cursor() as cursor:
            cursor.execute(_RANK, {"sale": sale, "salt": salt})
        _show(sale, secret, signature)
    return True


def _show(sale: int, secret: bytes, signature: bytes) -> None:
    Draw.objects.filter(pk=sale).update(seed=secret.hex(), signature=signature.hex())


class _StillFetching(Exception):
    """No server of the beacon has answered yet."""


def _fetch_signature(draw: Draw) -> bytes:
    """The signature of the draw's round, empty without a beacon. Raises BeaconAway and _StillFetching.

    All draws share the caller's thread, so only one of them waits, and not long, for servers that hang.
    """
    if not draw.beacon or draw.round is None:
        return b""
    if quicknet.time_of(draw.round) > datetime.now(UTC):
        raise quicknet.NotYet
    others_wait = any(not fetch.done() for fetch in list(_fetches.values()))
    fetch = _fetches.get(draw.round) or _begin_fetch(draw.round)
    wait([fetch], timeout=0 if others_wait else _WAIT)
    if not fetch.done():
        raise _StillFetching
    _fetches.pop(draw.round, None)
    return fetch.result()


def _begin_fetch(number: int) -> Future[bytes]:
    fetch = _fetches[number] = Future()

    def run() -> None:
        try:
            fetch.set_result(quicknet.fetch(number))
        except Exception as error:
            fetch.set_exception(error)

    threading.Thread(target=run, name=f"drand round {number}", daemon=True).start()
    return fetch
