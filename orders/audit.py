"""The audit: who changed what about a sale, when and why. A row per action, in its transaction."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from flashsale.database import require_transaction
from flashsale.moments import format_moment
from flashsale.templatetags.money import money
from inventory.models import Product, Sale
from orders.models import AuditEntry, Order

Action = AuditEntry.Action
Subject = Sale | Product | Order
Facts = dict[str, Any]

# What is worth telling of each; of a change only what it changed.
_TOLD: dict[type, tuple[str, ...]] = {
    Sale: ("name", "slug", "status", "opens_at", "closes_at", "time_zone", "limit"),
    Product: ("name", "option", "price", "currency", "stock"),
    Order: ("status",),
}


@contextmanager
def auditing(
    action: AuditEntry.Action,
    subject: Subject,
    *,
    by: str,
    reason: str = "",
    sale: Sale | None = None,
    key: UUID | None = None,
) -> Iterator[None]:
    """Writes down what the block changes about the locked `subject`: see `write_down`."""
    before = facts(subject)
    yield
    write_down(action, subject, before, by=by, reason=reason, sale=sale, key=key)


def write_down(
    action: AuditEntry.Action,
    subject: Subject,
    before: Facts,
    *,
    by: str,
    reason: str = "",
    sale: Sale | None = None,
    key: UUID | None = None,
) -> None:
    """Adds a row about `subject`, whose facts were `before`. Inside the transaction of the change.

    `sale` is the one that the change belongs to, where the subject is none itself; `key` makes
    PostgreSQL refuse the same request a second time.
    """
    require_transaction()
    after = facts(subject)
    changed = [name for name in after if before.get(name) != after[name]]
    AuditEntry.objects.create(
        action=action,
        actor=by,
        reason=reason,
        key=key,
        subject=_name_of(subject),
        sale=subject if isinstance(subject, Sale) else sale,
        product=_product_of(subject),
        order=subject.pk if isinstance(subject, Order) else None,
        before={name: before[name] for name in changed if name in before},
        after={name: after[name] for name in changed},
    )


def is_written_down(key: UUID | None) -> bool:
    """Whether a request with this key was carried out before."""
    return key is not None and AuditEntry.objects.filter(key=key).exists()


def facts(subject: Subject) -> Facts:
    """What stands about a sale, product or order, as JSON keeps it."""
    return {name: _plain(getattr(subject, name)) for name in _TOLD[type(subject)]}


def _plain(value: object) -> object:
    """A time in UTC, a choice by its value."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return getattr(value, "value", value)


def _name_of(subject: Subject) -> str:
    if isinstance(subject, Sale):
        return subject.slug
    return subject.sku if isinstance(subject, Product) else subject.reference


def _product_of(subject: Subject) -> Product | None:
    if isinstance(subject, Order):
        return subject.product
    return subject if isinstance(subject, Product) else None


# --- In words ------------------------------------------------------------------------------------

_CALLED = {
    "opens_at": "opens",
    "closes_at": "closes",
    "time_zone": "time zone",
    "limit": "units per shopper",
}
_MOMENTS = ("opens_at", "closes_at")


def describe_change(entry: AuditEntry) -> str:
    """`stock 3 → 7`; what was not there before, as `stock 7`."""
    return ", ".join(_one_change(entry, name) for name in entry.after)


def _one_change(entry: AuditEntry, name: str) -> str:
    called, after = _CALLED.get(name, name), _value(entry, name, entry.after[name])
    if name not in entry.before:
        return f"{called} {after}"
    return f"{called} {_value(entry, name, entry.before[name])} → {after}"


def _value(entry: AuditEntry, name: str, value: Any) -> str:
    if name in _MOMENTS:
        return f"{format_moment(datetime.fromisoformat(value))} UTC"
    if name == "price":
        return _price(entry, value)
    return f"{value:,}" if isinstance(value, int) else str(value) or "nothing"


def _price(entry: AuditEntry, minor_units: int) -> str:
    """In the currency that the entry names, else in the product's; a product may be gone."""
    currency = entry.after.get("currency") or (entry.product and entry.product.currency)
    return money(minor_units, currency) if currency else f"{minor_units:,}"
