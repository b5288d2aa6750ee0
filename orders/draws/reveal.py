"""Reveal the seed of a frozen draw, and give its lots their ranks."""

import logging
import time

from django.db import connection

from flashsale.database import long_transaction
from orders.draws import beacon as quicknet
from orders.draws import seed
from orders.models import Draw

log = logging.getLogger(__name__)

_PAUSE = 10.0  # seconds until a beacon that is away is asked again: other draws go on meanwhile
_asked: dict[int, float] = {}  # when, by sale

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
    another process is at it, or if the beacon's round is not there. Raises seed.Unsealable and
    django.db.DatabaseError."""
    draw = Draw.objects.get(pk=sale)
    if draw.seed:
        return False
    secret = seed.open_sealed(draw.sealed_seed, draw.commitment)
    signature = _fetch_signature(draw)
    if signature is None:
        return False
    with long_transaction():
        draws = Draw.objects.select_for_update(no_key=True, skip_locked=True)
        if draws.filter(pk=sale, seed="").first() is None:
            return False
        salt = secret + quicknet.randomness_of(signature)
        with connection.cursor() as cursor:
            cursor.execute(_RANK, {"sale": sale, "salt": salt})
        Draw.objects.filter(pk=sale).update(seed=secret.hex(), signature=signature.hex())
    return True


def _fetch_signature(draw: Draw) -> bytes | None:
    """The signature of the draw's round, empty without a beacon. None if it cannot be had now."""
    if not draw.beacon or draw.round is None:
        return b""
    if time.monotonic() < _asked.get(draw.pk, 0.0) + _PAUSE:
        return None
    try:
        return quicknet.fetch(draw.round)
    except quicknet.NotYet:
        return None
    except quicknet.BeaconAway as away:
        _asked[draw.pk] = time.monotonic()
        log.warning("sale %s: its draw waits for the beacon: %s", draw.pk, away)
        return None
