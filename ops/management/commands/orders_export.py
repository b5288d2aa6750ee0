"""`manage.py orders_export > orders.csv`: write orders as CSV, in constant memory."""

import csv
import io
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import islice
from typing import Any
from uuid import UUID

from django.core.management.base import CommandParser
from django.db import DatabaseError, InterfaceError, connection
from rich.console import Console

from flashsale.moments import find_zone
from flashsale.money import as_decimal
from ops.base_command import Failed, OperatorCommand, describe_failure
from ops.lifecycle_command import find_sale, in_zone, iso_time
from orders.models import Order
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

# COPY, because it streams: server-side cursors are switched off for PgBouncer, and client-side ones fetch
# all rows first. One statement reads one snapshot, however slowly its rows are fetched.
_ORDERS = """
COPY (
    SELECT o.id, s.slug, o.sku, o.product_name, o.option, o.shopper, o.quantity, o.unit_price,
           o.currency, o.status, o.reason,
           to_char(o.accepted_at AT TIME ZONE 'UTC', %(iso)s),
           to_char(o.settled_at AT TIME ZONE 'UTC', %(iso)s),
           coalesce(to_char(c.at AT TIME ZONE 'UTC', %(iso)s), ''),
           s.time_zone, coalesce(c.actor, ''), coalesce(c.reason, '')
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
_AT_ONCE = 1_000  # rows that are held in memory
_MARK = "\ufeff"  # the byte order mark: without it Excel does not read UTF-8
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


class Command(OperatorCommand):
    help = (
        "Writes orders to standard output as CSV in UTF-8, in the order of their acceptance."
        " Times are in the sale's time zone, with the offset."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--sale", metavar="SLUG", help="orders of one sale only")
        parser.add_argument(
            "--status",
            nargs="+",
            action="extend",
            choices=Order.Status.values,
            help="orders with one of these statuses only",
        )
        parser.add_argument(
            "--since", type=iso_time, metavar="TIME", help="accepted at this time or later"
        )
        parser.add_argument(
            "--until", type=iso_time, metavar="TIME", help="accepted before this time"
        )

        parser.add_argument(
            "--excel",
            action="store_true",
            help="begin with a byte order mark (BOM): a spreadsheet that opens the file reads UTF-8",
        )

    def run_from_argv(self, argv: list[str]) -> None:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(encoding="utf-8")
        super().run_from_argv(argv)

    def run(self, **options: Any) -> None:
        written = 0
        try:
            with _copy_orders(self._choose(**options)) as orders, self._progress() as show:
                self.stdout.write(_MARK if options["excel"] else "", ending="")
                self._write([COLUMNS])
                while rows := list(islice(orders, _AT_ONCE)):
                    self._write(rows)
                    written += len(rows)
                    show(written)
        except (DatabaseError, InterfaceError) as error:
            incomplete = f" The output is incomplete: {written:,} orders." if written else ""
            raise Failed(f"{describe_failure(error)}{incomplete}") from error
        self.note(f"{written:,} orders.")

    def _choose(
        self,
        *,
        sale: str | None,
        status: list[str] | None,
        since: datetime | None,
        until: datetime | None,
        **_: Any,
    ) -> dict[str, object]:
        """The parameters of the query."""
        only = None if sale is None else find_sale(sale)
        zone = find_zone(only.time_zone if only else "UTC")
        if any(time is not None and time.tzinfo is None for time in (since, until)):
            self.note(f"Times without an offset are read in {zone.key}.")
        return {
            "iso": _ISO,
            "sale": only.pk if only else None,
            "statuses": status,
            "since": in_zone(since, zone) if since else None,
            "until": in_zone(until, zone) if until else None,
        }

    def _write(self, rows: Iterable[Iterable[object]]) -> None:
        lines = _Lines()
        csv.writer(lines, lineterminator="\r\n").writerows(rows)
        self.stdout.write("".join(f"{line[:-2]}\n" for line in lines), ending="")

    @contextmanager
    def _progress(self) -> Iterator[Callable[[int], None]]:
        """Count the orders on a terminal, unless they are printed there themselves."""
        if not self.stderr.isatty() or self.stdout.isatty():
            yield lambda written: None
            return
        console = Console(file=sys.stderr)
        with console.status("Reading") as status:
            yield lambda written: status.update(f"{written:,} orders")


@contextmanager
def _copy_orders(parameters: dict[str, object]) -> Iterator[Iterator[Row]]:
    """Stream the rows. Raises DatabaseError."""
    with connection.cursor() as cursor, cursor.copy(_ORDERS, parameters) as copy:
        yield map(_row, copy.rows())


def _row(order: tuple[str, ...]) -> Row:
    """One order, in the order of COLUMNS."""
    purchase, sale, sku, name, option, shopper, quantity, price, currency, *rest = order
    status, reason, accepted, settled, cancelled, zone, actor, why = rest
    total = int(quantity) * int(price)
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
    )


def _local(moment: str, zone: str) -> str:
    """A moment of `_ISO` in the sale's time zone: `2026-11-27T18:00:00.000+01:00`, `…Z` in UTC.

    Not by PostgreSQL, whose zones may be older than Python's, and which would refuse a new name.
    """
    local = datetime.fromisoformat(moment).astimezone(find_zone(zone))
    return local.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _harmless(text: str) -> str:
    """Put an apostrophe before each part of a text that a spreadsheet would take for a formula."""
    return _FORMULA.sub(r"\1'", text)


def _decimal(minor_units: int, currency: str) -> str:
    """12900 EUR is 129.00, 12900 JPY is 12900; empty for an order without a variant."""
    return str(as_decimal(minor_units, currency)) if currency else ""
