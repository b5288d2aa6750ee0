"""A draw is bound when its sale is scheduled: to a seed, and to a round of a beacon if one is used."""

from datetime import timedelta

from django.conf import settings

from flashsale.database import read_clock, require_transaction
from inventory.models import Sale
from orders.changes import NotPossible
from orders.draws import beacon as quicknet
from orders.draws import seed
from orders.models import Draw

# From the draw's time to the beacon's round: the entries are to be frozen before anybody knows it.
AHEAD = timedelta(seconds=30)


def commit(sale: Sale, beacon: str = "") -> None:
    """Make the draw of a locked sale that becomes public, in the transaction that schedules it. No-op for a
    sale by arrival. `beacon` is one of `Draw.Beacon`. Raises NotPossible."""
    require_transaction()
    if beacon not in Draw.Beacon.values:
        raise NotPossible(f"There is no beacon {beacon}.")
    if sale.draw_at is None:
        if beacon:
            raise NotPossible("Only a sale with a draw uses a beacon.")
        return
    if sale.draw_at <= read_clock():
        raise NotPossible("The time of the draw must lie ahead.")
    secret = seed.make()
    Draw.objects.create(
        sale=sale,
        commitment=seed.commit(secret),
        sealed_seed=seed.seal(secret),
        beacon=beacon,
        round=quicknet.first_round_after(sale.draw_at + AHEAD) if beacon else None,
    )


def usual_beacon(sale: Sale) -> str:
    """The beacon that a draft with a draw gets if staff do not name one (DRAW_BEACON)."""
    is_bound_now = sale.draw_at is not None and sale.status == Sale.Status.DRAFT
    return settings.DRAW_BEACON if is_bound_now else ""
