"""`manage.py orders_export > orders.csv`: write orders as CSV, in constant memory."""

import io
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import islice
from typing import Any

from django.core.management.base import CommandParser
from django.db import DatabaseError, InterfaceError
from rich.console import Console

from flashsale.moments import find_zone
from ops.base_command import Failed, OperatorCommand, describe_failure
from ops.lifecycle_command import find_sale, in_zone, iso_time
from orders.export import BYTE_ORDER_MARK, as_csv, choose, columns, copy_orders
from orders.models import Order

_AT_ONCE = 1_000  # rows that are held in memory


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
            chosen = self._choose(**options)
            with copy_orders(chosen) as orders, self._progress() as show:
                self.stdout.write(BYTE_ORDER_MARK if options["excel"] else "", ending="")
                self._write([columns(chosen)])
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
        return choose(
            sale=only.pk if only else None,
            statuses=status,
            since=in_zone(since, zone) if since else None,
            until=in_zone(until, zone) if until else None,
        )

    def _write(self, rows: Iterable[Iterable[object]]) -> None:
        self.stdout.write(as_csv(rows), ending="")

    @contextmanager
    def _progress(self) -> Iterator[Callable[[int], None]]:
        """Count the orders on a terminal, unless they are printed there themselves."""
        if not self.stderr.isatty() or self.stdout.isatty():
            yield lambda written: None
            return
        console = Console(file=sys.stderr)
        with console.status("Reading") as status:
            yield lambda written: status.update(f"{written:,} orders")
