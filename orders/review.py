"""Find orders that look like those of one person: several shoppers with one network, e-mail address or
postal address.

Staff look at them before a draw, when they can set entries aside (`orders/aside.py`), and after a sale.
None of it is proof: a network can be an office, and an address a house with many families.

A contact is known of an order that was completed, in this sale or in an earlier one of the same shopper.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection

from accounts import alike, contacts
from inventory.models import Sale
from orders import aside, networks
from orders.models import Order

TOP = 20  # groups of a kind that are listed
SHOWN = aside.MOST  # orders of a group that are listed
MOST = 200_000  # orders of a sale that are compared by network, the newest
MOST_CONTACTS = 5_000  # orders of a sale whose contacts are compared, the newest
_CONTACTS_OF_ONE = 5  # so many orders of a shopper, the newest, are asked for a contact

_KEPT = (Order.Status.WAITING, Order.Status.HELD, Order.Status.CONFIRMED)

# Newest first by the index of versions, so that a sale with very many orders takes no longer.
_NEWEST = """
WITH looked AS MATERIALIZED (
    SELECT id, shopper, network, quantity FROM orders_order
    WHERE sale_id = %(sale)s AND status = ANY(%(kept)s) ORDER BY version DESC LIMIT %(most)s
)
"""
_BY_NETWORK = f"""{_NEWEST}
SELECT network, count(*), count(DISTINCT shopper), sum(quantity) FROM looked WHERE network <> ''
GROUP BY network HAVING count(DISTINCT shopper) > 1 ORDER BY 2 DESC, 1 LIMIT %(top)s
"""  # noqa: S608  # a constant
_WITH_CONTACTS = f"""{_NEWEST}
SELECT looked.id, looked.shopper, looked.quantity, own.id FROM looked CROSS JOIN LATERAL (
    SELECT id FROM orders_order WHERE shopper = looked.shopper
    ORDER BY settled_at DESC LIMIT {_CONTACTS_OF_ONE}
) AS own
"""  # noqa: S608  # constants


class Kind(StrEnum):
    """What several shoppers have in common."""

    NETWORK = "network"
    EMAIL = "email"
    ADDRESS = "address"

    @property
    def is_of_contacts(self) -> bool:
        return self is not Kind.NETWORK


class Group(NamedTuple):
    """Orders of several shoppers who have a key in common, a keyed hash."""

    kind: Kind
    key: str
    orders: int
    shoppers: int
    units: int

    @property
    def label(self) -> str:
        """A short name for staff."""
        return networks.label(self.key)


class _Known(NamedTuple):
    """An order of the sale, and an order of the same shopper that may have a contact."""

    order: UUID
    shopper: UUID
    units: int
    with_contact: UUID


def list_networks(sale: Sale) -> list[Group]:
    """The networks with orders of several shoppers, the largest first, at most TOP. Raises
    django.db.DatabaseError."""
    asked: dict[str, Any] = {"sale": sale.pk, "kept": list(_KEPT), "most": MOST, "top": TOP}
    with connection.cursor() as cursor:
        cursor.execute(_BY_NETWORK, asked)
        return [Group(Kind.NETWORK, *row) for row in cursor.fetchall()]


def list_contacts(sale: Sale) -> dict[Kind, list[Group]]:
    """The e-mail addresses, and the postal addresses, of several shoppers, likewise. Raises
    contacts.Unreadable, too."""
    known = _list_known(sale)
    return {kind: _group(kind, known, _keys(kind, known)) for kind in _HASHES}


def list_members(sale: Sale, kind: Kind, key: str) -> list[Order]:
    """The orders of a group, in the order of their acceptance, at most SHOWN. Raises as `list_contacts`."""
    kept = Order.objects.filter(sale=sale, status__in=_KEPT)
    if kind.is_of_contacts:
        known = _list_known(sale)
        keys = _keys(kind, known)
        chosen = {each.order for each in known if keys.get(each.with_contact) == key}
        kept = kept.filter(pk__in=chosen)
    else:
        kept = kept.exclude(network="").filter(network=key)
    return list(kept.order_by("accepted_at", "pk")[:SHOWN])


def list_set_aside(sale: Sale) -> list[Order]:
    """The entries that were set aside, the latest first, at most SHOWN."""
    cancelled = Order.objects.filter(sale=sale, status=Order.Status.CANCELLED)
    found = cancelled.filter(reason=Order.Reason.SET_ASIDE)
    return list(found.order_by("-version", "pk")[:SHOWN])


def _list_known(sale: Sale) -> list[_Known]:
    asked: dict[str, Any] = {"sale": sale.pk, "kept": list(_KEPT), "most": MOST_CONTACTS}
    with connection.cursor() as cursor:
        cursor.execute(_WITH_CONTACTS, asked)
        return [_Known(*row) for row in cursor.fetchall()]


_HASHES: dict[Kind, Callable[[Iterable[UUID]], dict[UUID, str]]] = {
    Kind.EMAIL: contacts.list_email_keys,
    Kind.ADDRESS: alike.hash_addresses,
}


def _keys(kind: Kind, known: Iterable[_Known]) -> dict[UUID, str]:
    return _HASHES[kind]({each.with_contact for each in known})


def _group(kind: Kind, known: Iterable[_Known], keys: Mapping[UUID, str]) -> list[Group]:
    orders: defaultdict[str, dict[UUID, _Known]] = defaultdict(dict)
    for each in known:
        if key := keys.get(each.with_contact):
            orders[key][each.order] = each
    found = [_count(kind, key, of_key.values()) for key, of_key in orders.items()]
    several = [group for group in found if group.shoppers > 1]
    return sorted(several, key=lambda group: (-group.orders, group.key))[:TOP]


def _count(kind: Kind, key: str, members: Any) -> Group:
    shoppers = {each.shopper for each in members}
    return Group(kind, key, len(members), len(shoppers), sum(each.units for each in members))
