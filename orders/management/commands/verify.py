"""`manage.py verify`: the books, at any moment of a running sale."""

import json
import sys
from typing import Any

import redis
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from inventory.models import Sale
from orders import books

INCONSISTENT = 3


class Command(BaseCommand):
    help = "Checks that stock, ledger, orders, gate and line agree. Exit code 3 if they do not."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--sale", metavar="SLUG", help="the books of one sale only")
        parser.add_argument("--json", action="store_true", help="the report as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            report = books.verify(_sale(options["sale"]))
        except (DatabaseError, redis.RedisError) as error:
            raise CommandError(f"The books cannot be read. Is the shop running? {error}") from error
        self.stdout.write(
            json.dumps(report.as_json(), indent=2) if options["json"] else _told(report)
        )
        if not report.balanced:
            sys.exit(INCONSISTENT)


def _sale(slug: str | None) -> int | None:
    if slug is None:
        return None
    sale = Sale.objects.filter(slug=slug).first()
    if sale is None:
        raise CommandError(f"There is no sale {slug!r}.")
    return sale.pk


def _told(report: books.Report) -> str:
    counted = ", ".join(f"{what}: {count}" for what, count in sorted(report.counted.items()))
    if report.balanced:
        return f"The books balance ({counted or 'nothing sold yet'})."
    lines = [f"The books do NOT balance ({counted})."]
    for kind, found in report.as_json()["faults"].items():
        lines.append(f"{kind}: {found['count']}")
        lines += [f"    {fault}" for fault in found["first"]]
    return "\n".join(lines)
