"""Open holds by shopper and by network: an attack on stock holds units from many cookies, and pays for
none."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from django.db import connection

from inventory.models import Sale
from orders import networks

FEW = 3
TOP = 10  # networks that are listed
NEWEST = 20_000  # open holds that are read, of all sales together
MOST_COUNTED = 1000  # expired holds of a network

# Bounded whatever an attack does: it reads so many holds by the index of holds, and so many expired ones by
# the index of networks. A capture under way means that the hold is paid.
_READ = """
WITH unpaid AS MATERIALIZED (
    SELECT sale_id, network, shopper, owned FROM orders_order
    WHERE status = 'held' AND NOT capturing AND sale_id = ANY(%(sales)s)
    ORDER BY hold_until DESC LIMIT %(newest)s
), of_network AS MATERIALIZED (
    SELECT sale_id, network, count(*) AS holds, sum(owned) AS units FROM unpaid
    WHERE network <> '' GROUP BY sale_id, network
)
SELECT s.sale_id, s.most, crowd.most, crowd.networks, crowd.units, top.network, top.holds, top.units, (
    SELECT count(*) FROM (
        SELECT FROM orders_order
        WHERE sale_id = s.sale_id AND network = top.network AND network <> '' AND status = 'expired'
        LIMIT %(counted)s
    ) AS expired)
FROM (
    SELECT sale_id, max(holds) AS most
    FROM (SELECT sale_id, count(*) AS holds FROM unpaid GROUP BY sale_id, shopper) AS shoppers
    GROUP BY sale_id
) AS s
CROSS JOIN LATERAL (
    SELECT coalesce(max(holds), 0) AS most, count(*) FILTER (WHERE holds > %(few)s) AS networks,
           coalesce(sum(units) FILTER (WHERE holds > %(few)s), 0)::bigint AS units
    FROM of_network WHERE sale_id = s.sale_id
) AS crowd
LEFT JOIN LATERAL (
    SELECT network, holds, units FROM of_network WHERE sale_id = s.sale_id AND holds > %(few)s
    ORDER BY holds DESC, network LIMIT %(top)s
) AS top ON true
ORDER BY s.sale_id, top.holds DESC, top.network
"""


@dataclass(frozen=True, slots=True)
class Network:
    """The open holds of one network, their units, and how many of its earlier holds expired, up to
    MOST_COUNTED. `hash` is that of its orders (`Order.network`)."""

    hash: str
    holds: int
    units: int
    expired: int

    @property
    def label(self) -> str:
        return networks.label(self.hash)

    @property
    def expired_words(self) -> str:
        return f"{self.expired:,}{'+' * (self.expired == MOST_COUNTED)}"


@dataclass(frozen=True, slots=True)
class OpenHolds:
    """The open holds of a sale: those that are not paid and have not ended."""

    of_shopper: int = 0  # the most of one shopper
    of_network: int = 0  # the most of one network
    crowded: int = 0  # networks with more than FEW
    kept: int = 0  # units of the holds of these
    top: list[Network] = field(default_factory=list)  # of these, most holds first
    few: int = FEW  # open holds of a network that need no look


def read_open_holds(sales: Collection[Sale]) -> dict[int, OpenHolds]:
    """Read the newest open holds of the sales that have a hold, in one query; in none if nothing is held.
    Raises django.db.DatabaseError."""
    found = {sale.pk: OpenHolds() for sale in sales if sale.hold_minutes}
    holding = [sale.pk for sale in sales if sale.pk in found and sale.held]
    if not holding:
        return found
    asked: dict[str, Any] = {
        "sales": holding,
        "newest": NEWEST,
        "few": FEW,
        "top": TOP,
        "counted": MOST_COUNTED,
    }
    with connection.cursor() as cursor:
        cursor.execute(_READ, asked)
        rows = cursor.fetchall()
    for sale, of_shopper, of_network, crowded, kept, *network in rows:
        if not found[sale].of_shopper:
            found[sale] = OpenHolds(of_shopper, of_network, crowded, kept)
        if network[0]:
            found[sale].top.append(Network(*network))
    return found
