"""`manage.py codes`: make, import and list the access codes of sales, as CSV that spreadsheets open."""

import csv
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser
from django.db import transaction

from accounts import access_codes
from flashsale.moments import find_zone
from inventory.models import Sale
from ops.base_command import Failed, UsageError
from ops.lifecycle_command import (
    Facts,
    LifecycleCommand,
    find_sale,
    format_in_zone,
    in_zone,
    iso_time,
    whole_number,
)
from orders.audit_trail import Action, facts, write_down
from orders.export import as_csv, harmless

_HEADINGS = ("code", "link", "label", "shoppers", "used", "opens_at")
_MOST_OF_LABEL = 60  # characters


class Command(LifecycleCommand):
    help = (
        "Makes, imports and exports access codes, of sales that only people with a code may enter."
    )

    def add_commands(self) -> None:
        made = self.add_command("generate", self._generate, "Makes new codes, and prints them.")
        made.add_argument("sales", nargs="+", metavar="SLUG")
        made.add_argument("--count", required=True, type=whole_number(1))
        self._add_rules(made)
        read = self.add_command(
            "import",
            self._import,
            "Takes codes that were made elsewhere: the first cell of each line.",
        )
        read.add_argument("file", type=Path, help="CSV in UTF-8; - is the standard input")
        read.add_argument("sales", nargs="+", metavar="SLUG")
        self._add_rules(read)
        shown = self.add_command("export", self._export, "Prints the codes of a sale.")
        shown.add_argument("slug")

    def _add_rules(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--shoppers",
            default=1,
            type=whole_number(1),
            help="how many may use a code, in each sale (default: %(default)s)",
        )
        parser.add_argument(
            "--opens",
            type=iso_time,
            metavar="TIME",
            help="when the codes open their sales (default: with the sale); codes with an earlier"
            " time are early access",
        )
        parser.add_argument("--label", default="", help="for whom the codes are made")
        self.add_change_arguments(parser)

    def _generate(self, *, sales: Sequence[str], count: int, **options: Any) -> int:
        if count > access_codes.MOST:
            raise UsageError(f"At most {access_codes.MOST:,} at once.")
        found = [_find(slug) for slug in sales]
        rules = _read_rules(options, found[0])
        made: list[str] = []

        def work() -> None:
            with transaction.atomic():
                made.extend(access_codes.generate(count, _keys(found), **rules))
                _audit(found, count, **options)

        def done() -> tuple[Facts, str]:
            new = set(made)
            rows = [row for row in access_codes.list_codes(found[0].pk) if row.code in new]
            return {"codes": made}, _csv(found[0], rows)

        return self.change(f"Make {count:,} codes of {_names(found)}?", work, done, **options)

    def _import(self, *, file: Path, sales: Sequence[str], **options: Any) -> int:
        found, codes = [_find(slug) for slug in sales], _read_codes(file)
        rules = _read_rules(options, found[0])

        def work() -> None:
            try:
                with transaction.atomic():
                    access_codes.add(codes, _keys(found), **rules)
                    _audit(found, len(codes), **options)
            except ValueError as error:
                words = f"{error} is no code of 4 to 40 letters and digits, or is there already."
                raise Failed(f"{words} Nothing was imported.") from error

        def done() -> tuple[Facts, str]:
            return {"imported": len(codes)}, f"{len(codes):,} codes of {_names(found)}"

        return self.change(
            f"Import {len(codes):,} codes of {_names(found)}?", work, done, **options
        )

    def _export(self, *, slug: str, **_: Any) -> None:
        sale = find_sale(slug)
        rows = access_codes.list_codes(sale.pk)
        content = [row._asdict() | {"link": _link(sale, row.code)} for row in rows]
        self.tell(content, _csv(sale, rows))


def _find(slug: str) -> Sale:
    sale = find_sale(slug)
    if sale.entrants != Sale.Entrants.CODE:
        raise Failed(f"{sale.slug} is not for people with an access code: set who may buy first.")
    return sale


def _read_rules(options: dict[str, Any], sale: Sale) -> dict[str, Any]:
    """Times without an offset are in the time zone of the first sale."""
    opens: datetime | None = options["opens"]
    if len(options["label"]) > _MOST_OF_LABEL:
        raise UsageError(f"The label has at most {_MOST_OF_LABEL} characters.")
    return {
        "shoppers": options["shoppers"],
        "opens_at": in_zone(opens, find_zone(sale.time_zone)) if opens else None,
        "label": options["label"],
    }


def _read_codes(file: Path) -> list[str]:
    """The first cells, without empty ones and a heading "code"."""
    try:
        raw = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8-sig")
        cells = [row[0].strip() for row in csv.reader(raw.splitlines()) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"The codes cannot be read from {file}: {error}.") from error
    codes = [cell for cell in cells if cell and cell.lower() != "code"]
    if not codes:
        raise UsageError(f"There are no codes in {file}.")
    if len(codes) > access_codes.MOST:
        raise UsageError(f"At most {access_codes.MOST:,} at once.")
    return codes


def _audit(sales: Sequence[Sale], count: int, *, by: str, reason: str, **_: Any) -> None:
    """Without the codes: the audit lets its readers look, not buy."""
    why = f"{count:,} access codes added{f': {reason}' if reason else ''}"[:200]
    for sale in sales:
        write_down(Action.EDITED, sale, facts(sale), by=by, reason=why)


def _keys(sales: Sequence[Sale]) -> list[int]:
    return [sale.pk for sale in sales]


def _names(sales: Sequence[Sale]) -> str:
    return ", ".join(sale.slug for sale in sales)


def _link(sale: Sale, code: str) -> str:
    return f"{settings.SITE_URL.rstrip('/')}/sales/{sale.slug}/code/?code={code}"


def _csv(sale: Sale, rows: Sequence[access_codes.Row]) -> str:
    zone = find_zone(sale.time_zone)
    cells = [
        (
            *harmless([row.code, _link(sale, row.code), row.label]),
            *(row.shoppers, row.used),
            format_in_zone(row.opens_at, zone) if row.opens_at else "",
        )
        for row in rows
    ]
    return as_csv([_HEADINGS, *cells]).rstrip("\n")
