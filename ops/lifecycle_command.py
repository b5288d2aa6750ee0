"""Base class and arguments of the commands that change sales, stock and orders."""

import getpass
import os
from argparse import ArgumentTypeError
from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Any
from zoneinfo import ZoneInfo

from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.core.management.base import CommandParser
from django.db import DatabaseError, InterfaceError
from django.utils import timezone

from flashsale.characters import clean_line
from flashsale.currencies import OFFERED
from flashsale.moments import NeverShown, find_zone, read_clock, shown_twice
from flashsale.money import parse_amount
from inventory import announce
from inventory.models import Sale, Variant, sensible_moment
from inventory.names import find_in_any_case
from inventory.products import Product
from ops.base_command import FAILED, CommandFamily, Failed, UsageError, describe_failure, is_away
from ops.entry_facts import entry_facts
from orders import changes
from orders.audit_trail import zone_of
from orders.models import AuditEntry

Facts = dict[str, Any]

_ACTOR, _REASON = 150, 200  # characters, as the audit's columns


class LifecycleCommand(CommandFamily):
    """Changes sales, stock or orders through `orders/changes.py`, with the actor and the reason.

    A change that is committed but not replicated to the gate (the sale's replica in Redis) is reported as
    both, with exit code 1.
    """

    refusals = (*CommandFamily.refusals, changes.NotPossible, ObjectDoesNotExist)

    def add_change_arguments(self, parser: CommandParser, *, needs_reason: bool = False) -> None:
        super().add_change_arguments(parser)
        self.add_audit_arguments(parser, needs_reason=needs_reason)

    def add_audit_arguments(self, parser: CommandParser, *, needs_reason: bool = False) -> None:
        """Add the options of a (sub)command that the audit notes."""
        parser.add_argument(
            "--by",
            metavar="NAME",
            type=_text(1, _ACTOR),
            default=default_actor(),
            help="who does it, for the audit (default: %(default)s)",
        )
        parser.add_argument(
            "--reason",
            metavar="TEXT",
            type=_text(0, _REASON),
            required=needs_reason,
            default="",
            help="why, for the audit",
        )

    def run(self, **options: Any) -> int | None:
        """Send the pages' messages before the process ends: a thread publishes them after the commit."""
        try:
            return super().run(**options)
        finally:
            announce.flush()

    def change(
        self,
        question: str,
        work: Callable[[], object],
        done: Callable[[], tuple[Facts, str]],
        *,
        dry_run: bool,
        no_input: bool,
        **_: Any,
    ) -> int:
        """Ask, do the work, and print the result, which `done` reads anew, as JSON and in words.

        Returns the exit code.
        """
        if not self.confirmed(question, dry_run=dry_run, no_input=no_input):
            if self.as_json:
                self.tell({"committed": False, "told": False, "would": question}, "")
            return 0
        try:
            replicated = self._carry_out(work)
            facts, words = done()
        except (DatabaseError, InterfaceError) as error:
            doubt = " Check whether it was done before you repeat it." if is_away(error) else ""
            raise Failed(f"{describe_failure(error)}{doubt}") from error
        self.tell({"committed": True, "told": replicated, **facts}, words)
        return 0 if replicated else FAILED

    def _carry_out(self, work: Callable[[], object]) -> bool:
        """Do the work. Returns whether it was replicated to the gate."""
        try:
            work()
        except changes.NotReplicated as warning:
            self.note(
                f"{warning} The workers go on trying; look again with `manage.py sale show`"
                " or `manage.py doctor`."
            )
            return False
        return True


def default_actor() -> str:
    """The user of the operating system, with a suffix that no account of the shop has."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user needs no name
        user = f"user {os.getuid()}"
    return f"{user} (manage.py)"


def find_sale(slug: str) -> Sale:
    """Find a sale, whatever the case of the slug. Raises Failed, with similar slugs."""
    sale = find_in_any_case(Sale.objects.all(), "slug", slug)
    if sale is None:
        raise _unknown("sale", slug, Sale.objects.values_list("slug", flat=True))
    return sale


def find_variant(sku: str) -> Variant:
    """Find a variant, whatever the case of the sku. Raises Failed, with similar skus."""
    variant = find_in_any_case(Variant.objects.all(), "sku", sku)
    if variant is None:
        raise _unknown("product", sku, Variant.objects.values_list("sku", flat=True))
    return variant


def find_product(name: str) -> Product:
    """Find a product by its slug or by the sku of a variant, whatever the case. Raises Failed, with
    similar slugs."""
    product = find_in_any_case(Product.objects.all(), "slug", name)
    if product is None:
        variant = find_in_any_case(Variant.objects.select_related("product"), "sku", name)
        product = variant.product if variant else None
    if product is None:
        raise _unknown("product", name, Product.objects.values_list("slug", flat=True))
    return product


def find_variants(name: str) -> list[Variant]:
    """Find the variant with this sku, or all of the product with this slug, in its order, whatever the
    case. Raises Failed, with similar names."""
    if variant := find_in_any_case(Variant.objects.all(), "sku", name):
        return [variant]
    product = find_in_any_case(Product.objects.all(), "slug", name)
    variants = list(product.variants.order_by("position", "pk")) if product else []
    if not variants:
        slugs, skus = Product.objects.values_list("slug"), Variant.objects.values_list("sku")
        raise _unknown("product", name, [known for (known,) in slugs.union(skus)])
    return variants


def time_zone(name: str) -> ZoneInfo:
    """Parse an IANA name, for argparse."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ArgumentTypeError(f"there is no time zone {name!r}") from None


def iso_time(text: str) -> datetime:
    """Parse an ISO 8601 time, for argparse; naive if it states no offset from UTC."""
    try:
        moment = datetime.fromisoformat(text.strip())
        sensible_moment(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    except (ValueError, ValidationError):
        raise ArgumentTypeError(
            f"{text!r} is no time such as 2026-12-01T18:00 or 2026-12-01T18:00+01:00"
        ) from None
    return moment


def whole_number(least: int) -> Callable[[str], int]:
    """Make a parser of whole numbers from `least` up, for argparse."""

    def number(text: str) -> int:
        if not text.isascii() or not text.isdigit() or int(text) < least:
            raise ArgumentTypeError(f"{text!r} is no whole number from {least} up")
        return int(text)

    return number


def currency_code(text: str) -> str:
    """Parse the code of a currency in which prices can be set, for argparse."""
    if text.upper() not in OFFERED:
        raise ArgumentTypeError(f"there is no currency {text!r} for prices in ISO 4217")
    return text.upper()


def read_price(text: str, currency: str) -> int:
    """Read a price such as 129.00 in minor units. Raises UsageError with a sentence."""
    try:
        return parse_amount(text, currency)
    except ValidationError as refusal:
        raise UsageError(*refusal.messages) from refusal


def in_zone(moment: datetime, zone: ZoneInfo) -> datetime:
    """Read a naive moment in `zone`. Raises UsageError if the clocks of the zone show that time twice or
    never."""
    if moment.tzinfo is not None:
        return moment
    if both := shown_twice(moment, zone):
        typed = " or ".join(each.isoformat() for each in both)
        raise UsageError(f"{zone.key} has this time twice. Add its offset from UTC: {typed}.")
    try:
        return read_clock(moment, zone)
    except NeverShown as error:
        raise UsageError(str(error)) from error


def format_in_zone(moment: datetime, zone: ZoneInfo) -> str:
    """`2026-12-01 18:00:00+01:00`; without the offset in UTC, with milliseconds if there are any."""
    precision = "milliseconds" if moment.microsecond else "seconds"
    text = moment.astimezone(zone).isoformat(sep=" ", timespec=precision)
    return text.removesuffix("+00:00") if zone.key == "UTC" else text


def format_window(sale: Sale, zone: ZoneInfo | None = None) -> str:
    """Format opening and close, in the sale's own zone by default."""
    zone = zone or find_zone(sale.time_zone)
    return f"{format_in_zone(sale.opens_at, zone)} to {format_in_zone(sale.closes_at, zone)} {zone.key}"


def sale_facts(sale: Sale) -> Facts:
    """A sale as PostgreSQL holds it, for JSON."""
    return {
        "slug": sale.slug,
        "name": sale.name,
        "status": sale.status,
        "phase": sale.phase(timezone.now()),
        "state": sale.state(timezone.now()),
        "opens_at": sale.opens_at.astimezone(find_zone(sale.time_zone)),
        "closes_at": sale.closes_at.astimezone(find_zone(sale.time_zone)),
        "time_zone": sale.time_zone,
        "limit": sale.limit,
        "hold_minutes": sale.hold_minutes,
        "ask": sale.ask,
        "payment": sale.payment,
        "terms": sale.terms,
        "price_note": sale.price_note,
        "contact_days": sale.contact_days,
        **entry_facts(sale),
        "held": sale.held,
        "confirmed": sale.confirmed,
        "version": sale.version,
        "finished": sale.finished,
    }


def audit_facts(entries: Iterable[AuditEntry]) -> list[Facts]:
    """Entries of the audit, for JSON, with their sales selected."""
    return [
        {
            "at": entry.at.astimezone(find_zone(zone_of(entry))),
            "by": entry.actor,
            "action": entry.action,
            "subject": entry.subject,
            "before": entry.before,
            "after": entry.after,
            "reason": entry.reason,
        }
        for entry in entries
    ]


def _unknown(what: str, name: str, known: Iterable[str]) -> Failed:
    by_lower_case: dict[str, list[str]] = defaultdict(list)
    for each in known:
        by_lower_case[each.lower()].append(each)
    close = get_close_matches(name.lower(), by_lower_case)
    similar = [each for lower in close for each in by_lower_case[lower]]
    hint = f" Did you mean {' or '.join(similar)}?" if similar else ""
    return Failed(f"There is no {what} {name!r}.{hint}")


def _text(least: int, most: int) -> Callable[[str], str]:
    def text(given: str) -> str:
        try:
            line = clean_line(given)
        except ValidationError as error:
            raise ArgumentTypeError(error.message) from None
        if not least <= len(line) <= most:
            raise ArgumentTypeError(f"{least} to {most} characters, not {len(line)}")
        return line

    return text
