"""Reveal the seed of a frozen draw, and give its lots their ranks."""

import logging
import time

from django.db import connection

from flashsale.database import long_transaction
from orders.draws import beacon as quicknet
from orders.draws import seed
from orders.models import Draw

log = logging.getLogger(__name__)

_PAUSE = 10.0  # seconds until a missing part is asked for again: other draws go on meanwhile
_tried: dict[int, float] = {}  # when it was missing, by sale

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
    except quicknet.NotYet:
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


def _fetch_signature(draw: Draw) -> bytes:
    """The signature of the draw's round, empty without a beacon. Raises BeaconAway."""
    if not draw.beacon or draw.round is None:
        return b""
    return quicknet.fetch(draw.round)
