"""`manage.py orders_export > orders.csv`: write orders as CSV, in constant memory."""

import csv
import io
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import islice
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.core.management.base import CommandParser
from django.db import DatabaseError, InterfaceError, connection
from rich.console import Console

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
)

# COPY, because it streams: server-side cursors are switched off for PgBouncer, and client-side ones fetch
# all rows first. One statement reads one snapshot, however slowly its rows are fetched.
_ORDERS = """
COPY (
    SELECT o.id, s.slug, coalesce(p.sku, ''), coalesce(p.name, ''), coalesce(p.option, ''),
           o.shopper, o.quantity, o.unit_price, o.currency, o.status, o.reason,
           to_char(o.accepted_at AT TIME ZONE 'UTC', %(iso)s),
           to_char(o.settled_at AT TIME ZONE 'UTC', %(iso)s)
    FROM orders_order AS o JOIN inventory_sale AS s ON s.id = o.sale_id
    LEFT JOIN inventory_product AS p ON p.id = o.product_id
    WHERE (%(sale)s::bigint IS NULL OR o.sale_id = %(sale)s)
      AND (%(statuses)s::text[] IS NULL OR o.status = ANY(%(statuses)s))
      AND (%(since)s::timestamptz IS NULL OR o.accepted_at >= %(since)s)
      AND (%(until)s::timestamptz IS NULL OR o.accepted_at < %(until)s)
    ORDER BY o.accepted_at, o.id
) TO STDOUT
"""
_ISO = 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'
_AT_ONCE = 1_000  # rows that are held in memory
# A spreadsheet calculates a cell that begins with one of these; some are full-width signs.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


class Command(OperatorCommand):
    help = "Writes orders to standard output as CSV in UTF-8, in the order of their acceptance."

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

    def run_from_argv(self, argv: list[str]) -> None:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(encoding="utf-8")
        super().run_from_argv(argv)

    def run(self, **options: Any) -> None:
        written = 0
        try:
            with _copy_orders(self._choose(**options)) as orders, self._progress() as show:
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
        zone = ZoneInfo(only.time_zone if only else "UTC")
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
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        self.stdout.write(text.getvalue(), ending="")

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
        *rest,
    )


def _harmless(text: str) -> str:
    """Put an apostrophe before a text that a spreadsheet would take for a formula."""
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA) else text


def _decimal(minor_units: int, currency: str) -> str:
    """12900 EUR is 129.00, 12900 JPY is 12900; empty for an order without a variant."""
    return str(as_decimal(minor_units, currency)) if currency else ""
