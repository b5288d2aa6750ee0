"""The audit: who changed a sale, product, variant or order, when and why. One row per action, written
in the transaction of the change."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from textwrap import shorten
from typing import Any
from uuid import UUID

from flashsale.characters import isolate
from flashsale.database import require_transaction
from flashsale.moments import format_moment
from flashsale.templatetags.money import money
from inventory.models import Sale, Variant
from inventory.products import Product
from orders.models import AuditEntry, Order

Action = AuditEntry.Action
Subject = Sale | Product | Variant | Order
Facts = dict[str, Any]

# The fields that the audit records, if they changed.
_RECORDED: dict[type, tuple[str, ...]] = {
    Sale: (
        *("name", "slug", "status", "opens_at", "closes_at", "time_zone", "limit", "hold_minutes"),
        *("ask", "payment", "terms", "price_note", "contact_days"),
        *("draw_at", "standby", "entrants", "per_address"),
    ),
    Product: ("name", "slug"),
    Variant: ("name", "option", "price", "currency", "stock"),
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
    """Audit what the block changes about `subject`, which the caller has locked: see
    `write_down`."""
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
    """Add a row about `subject`, whose `facts` were `before`. Must run in the transaction of the
    change.

    `by` has at most 150 characters, `reason` 200. `sale` is the sale to which the change belongs,
    if the subject is not a sale. `key` names the request: PostgreSQL refuses a second row with it
    (IntegrityError).
    """
    require_transaction()
    _row(action, subject, before, by=by, reason=reason, sale=sale, key=key).save(force_insert=True)


def write_down_orders(
    action: AuditEntry.Action,
    changed: Iterable[tuple[Order, Facts]],
    *,
    by: str,
    reason: str,
    sale: Sale,
) -> None:
    """Add a row about each order with its `facts` before, as `write_down` does, in one statement."""
    require_transaction()
    AuditEntry.objects.bulk_create(
        [_row(action, order, was, by=by, reason=reason, sale=sale) for order, was in changed]
    )


def _row(
    action: AuditEntry.Action,
    subject: Subject,
    before: Facts,
    *,
    by: str,
    reason: str,
    sale: Sale | None,
    key: UUID | None = None,
) -> AuditEntry:
    after = facts(subject)
    changed = [name for name in after if before.get(name, "") != after[name]]
    return AuditEntry(
        action=action,
        actor=by,
        reason=reason,
        key=key,
        subject=_name_of(subject),
        sale=subject if isinstance(subject, Sale) else sale,
        product=subject if isinstance(subject, Product) else None,
        variant=_variant_of(subject),
        order=subject.pk if isinstance(subject, Order) else None,
        before={name: before[name] for name in changed if name in before},
        after={name: after[name] for name in changed},
    )


def is_written_down(key: UUID | None) -> bool:
    """Whether a request with this key has been carried out before."""
    return key is not None and AuditEntry.objects.filter(key=key).exists()


def facts(subject: Subject) -> Facts:
    """The recorded fields of a sale, product, variant or order, in types that JSON has."""
    return {name: _plain(getattr(subject, name)) for name in _RECORDED[type(subject)]}


def _plain(value: object) -> object:
    """A time as ISO 8601 in UTC, a choice as its value, "" for None."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return getattr(value, "value", value)


def _name_of(subject: Subject) -> str:
    if isinstance(subject, Sale | Product):
        return subject.slug
    return subject.sku if isinstance(subject, Variant) else subject.reference


def _variant_of(subject: Subject) -> Variant | None:
    if isinstance(subject, Order):
        return subject.variant
    return subject if isinstance(subject, Variant) else None


# --- As text ------------------------------------------------------------------------------------

_LABELS = {
    "opens_at": "opens",
    "closes_at": "closes",
    "time_zone": "time zone",
    "limit": "units per shopper",
    "hold_minutes": "minutes of a hold",
    "ask": "asked at the checkout",
    "price_note": "price note",
    "contact_days": "days for which contacts are kept",
    "draw_at": "draw",
    "entrants": "who may buy",
    "per_address": "units per network",
}
_MOMENTS = ("opens_at", "closes_at", "draw_at")
_MOST_OF_TERMS = 80  # characters; the row has them all


def zone_of(entry: AuditEntry) -> str:
    """The time zone of the entry's sale; UTC if it belongs to none, or to a deleted draft."""
    try:
        return entry.sale.time_zone if entry.sale else "UTC"
    except Sale.DoesNotExist:  # no constraint: the audit of a draft outlives it
        return "UTC"


def describe_change(entry: AuditEntry) -> str:
    """`stock 3 → 7`, or `stock 7` if there was no value before."""
    return ", ".join(_one_change(entry, name) for name in entry.after)


def _one_change(entry: AuditEntry, name: str) -> str:
    label, after = _LABELS.get(name, name), _value(entry, name, entry.after)
    if name not in entry.before:
        return f"{label} {after}"
    return f"{label} {_value(entry, name, entry.before)} → {after}"


def _value(entry: AuditEntry, name: str, side: Facts) -> str:
    value: Any = side[name]
    if name in _MOMENTS and value:
        return format_moment(datetime.fromisoformat(value), side.get("time_zone") or zone_of(entry))
    if name == "price":
        return _price(entry, side)
    if name == "terms":
        value = shorten(value, _MOST_OF_TERMS, placeholder=" …")
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:,}" if isinstance(value, int) else isolate(str(value)) or "nothing"


def _price(entry: AuditEntry, side: Facts) -> str:
    """In the currency of the same side, else in the one that did not change; in minor units if there is
    none."""
    currency = side.get("currency") or (entry.variant and entry.variant.currency)
    return money(side["price"], currency) if currency else f"{side['price']:,}"
