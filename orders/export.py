"""Orders as CSV: which columns, which rows, and how a value is written."""

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import lru_cache
from uuid import UUID

from django.db import connection

from flashsale.moments import find_zone
from flashsale.money import as_decimal
from inventory.models import Sale
from orders.reference import reference

Row = tuple[object, ...]

COLUMNS = (
    "order",
    "reference",
    "sale",
    "sku",
    "product",
    "option",
    "shopper",
    "quantity",
    "unit_price_minor",
    "total_minor",
    "unit_price",
    "total",
    "currency",
    "status",
    "reason",
    "accepted_at",
    "settled_at",
    "time_zone",
    "cancelled_at",
    "cancelled_by",
    "cancel_reason",
)
_OF_HOLDS = ("hold_until",)  # only where a chosen sale has a hold: a file without is as it ever was

# COPY, because it streams: server-side cursors are switched off for PgBouncer, and client-side ones fetch
# all rows first. One statement reads one snapshot, however slowly its rows are fetched.
ORDERS = """
COPY (
    SELECT o.id, s.slug, o.sku, o.product_name, o.option, o.shopper, o.quantity, o.unit_price,
           o.currency, o.status, o.reason,
           to_char(o.accepted_at AT TIME ZONE 'UTC', %(iso)s),
           to_char(o.settled_at AT TIME ZONE 'UTC', %(iso)s),
           coalesce(to_char(c.at AT TIME ZONE 'UTC', %(iso)s), ''),
           s.time_zone, coalesce(c.actor, ''), coalesce(c.reason, ''),
           coalesce(to_char(o.hold_until AT TIME ZONE 'UTC', %(iso)s), '')
    FROM orders_order AS o JOIN inventory_sale AS s ON s.id = o.sale_id
    LEFT JOIN orders_auditentry AS c ON c."order" = o.id AND c.action = 'cancelled'
    WHERE (%(sale)s::bigint IS NULL OR o.sale_id = %(sale)s)
      AND (%(statuses)s::text[] IS NULL OR o.status = ANY(%(statuses)s))
      AND (%(since)s::timestamptz IS NULL OR o.accepted_at >= %(since)s)
      AND (%(until)s::timestamptz IS NULL OR o.accepted_at < %(until)s)
    ORDER BY o.accepted_at, o.id
) TO STDOUT
"""
_ISO = 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'
BYTE_ORDER_MARK = "\ufeff"  # without it Excel does not read UTF-8
# A spreadsheet calculates a cell that begins with one of these; some are wide or small signs.
_SIGNS = "=+\\-@\uff1d\uff0b\uff0d\uff20\ufe66\ufe62\ufe63\ufe6b"
# Spaces, and characters that cannot be seen: a spreadsheet drops some of them.
_BLANK = (
    r"\s\x00-\x20\x7f-\xa0\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    r"\u2028-\u202f\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\uffff"
    r"\U000e0000-\U000e0fff"
)
# A cell begins where the text does, and after what an import may take for a separator.
_FORMULA = re.compile(rf"(^|[;\t\r\n])(?=[{_BLANK}]*[{_SIGNS}])|^(?=[\t\r\n])")


class _Lines(list[str]):
    """Takes the lines of a `csv.writer`. Only values with a character of its line end are quoted, so
    that is CRLF, of which the output gets the second half: a lone CR would end a line elsewhere."""

    write = list.append


def choose(
    *,
    sale: int | None = None,
    statuses: Sequence[str] | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> dict[str, object]:
    """The parameters of ORDERS. None of a kind: all. `until` is not included. Raises DatabaseError."""
    chosen = list(statuses) if statuses else None
    holding = Sale.objects.filter(hold_minutes__gt=0)
    return {
        "iso": _ISO,
        "sale": sale,
        "statuses": chosen,
        "since": since,
        "until": until,
        "holds": (holding.filter(pk=sale) if sale else holding).exists(),
    }


def columns(parameters: dict[str, object]) -> tuple[str, ...]:
    """The names of the columns of the orders that `choose` has chosen."""
    return COLUMNS + _OF_HOLDS if parameters["holds"] else COLUMNS


def as_csv(rows: Iterable[Iterable[object]]) -> str:
    """Lines of CSV, each with its end."""
    lines = _Lines()
    csv.writer(lines, lineterminator="\r\n").writerows(rows)
    return "".join(f"{line[:-2]}\n" for line in lines)


@contextmanager
def copy_orders(parameters: dict[str, object]) -> Iterator[Iterator[Row]]:
    """Stream the rows. Raises DatabaseError."""
    with connection.cursor() as cursor, cursor.copy(ORDERS, parameters) as copy:
        yield (as_row(order, parameters) for order in copy.rows())


def as_row(order: tuple[str, ...], parameters: dict[str, object]) -> Row:
    """One order of those that `choose` has chosen, in the order of `columns`."""
    purchase, sale, sku, name, option, shopper, quantity, price, currency, *rest = order
    status, reason, accepted, settled, cancelled, zone, actor, why, held = rest
    total = int(quantity) * int(price)
    of_hold = (_local(held, zone) if held else "",) if parameters["holds"] else ()
    return (
        purchase,
        reference(UUID(purchase)),
        *map(_harmless, (sale, sku, name, option)),
        shopper,
        quantity,
        price,
        total,
        _decimal(int(price), currency),
        _decimal(total, currency),
        currency,
        status,
        reason,
        _local(accepted, zone),
        _local(settled, zone),
        zone,
        _local(cancelled, zone) if cancelled else "",
        *map(_harmless, (actor, why)),
        *of_hold,
    )


def _local(moment: str, zone: str) -> str:
    """A moment of `_ISO` in the sale's time zone: `2026-11-27T18:00:00.000+01:00`, `…Z` in UTC.

    Not by PostgreSQL, whose zones may be older than Python's, and which would refuse a new name.
    """
    local = datetime.fromisoformat(moment).astimezone(find_zone(zone))
    return local.isoformat(timespec="milliseconds").replace("+00:00", "Z")


# The same few names and prices are on very many orders.
@lru_cache(maxsize=1_000)
def _harmless(text: str) -> str:
    """Put an apostrophe before each part of a text that a spreadsheet would take for a formula."""
    return _FORMULA.sub(r"\1'", text)


def harmless(texts: Iterable[str]) -> tuple[str, ...]:
    """Cells of texts that people have typed, none of which a spreadsheet takes for a formula."""
    return tuple(map(_harmless, texts))


@lru_cache(maxsize=1_000)
def _decimal(minor_units: int, currency: str) -> str:
    """12900 EUR is 129.00, 12900 JPY is 12900; empty for an order without a variant."""
    return str(as_decimal(minor_units, currency)) if currency else ""
