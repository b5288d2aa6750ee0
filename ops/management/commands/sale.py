"""`manage.py sale`: show sales, and change them through `orders/sale_lifecycle.py`.

A gate is a sale's replica in Redis, which decides clicks; its line holds the purchases that are accepted
and not yet decided.
"""

from collections.abc import Iterable
from datetime import datetime
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from django.core.management.base import CommandParser
from django.utils import timezone

from flashsale.characters import join_isolated
from flashsale.moments import find_zone
from flashsale.templatetags.money import money
from inventory.models import Sale
from ops import overview
from ops.base_command import FAILED, UsageError
from ops.checkout_arguments import add_checkout_arguments, read_checkout
from ops.entry_arguments import (
    add_beacon_argument,
    add_entry_arguments,
    read_beacon,
    read_entry,
)
from ops.lifecycle_command import (
    Facts,
    LifecycleCommand,
    find_sale,
    find_variants,
    format_window,
    in_zone,
    iso_time,
    sale_facts,
    time_zone,
    whole_number,
)
from ops.overview import Overview
from ops.sale_words import (
    audit_row,
    describe,
    describe_draw,
    describe_gate,
    describe_open_holds,
    describe_result,
    describe_rules,
    describe_sale,
)
from ops.steps import STEPS, Step
from orders import sale_lifecycle

_UTC = ZoneInfo("UTC")


class Command(LifecycleCommand):
    help = "Shows sales and changes them: see `manage.py sale COMMAND --help`."

    def add_commands(self) -> None:
        self.add_command("list", self._list, "All sales, the latest at the end.")
        show = self.add_command("show", self._show, "One sale: products, gate, line, audit.")
        show.add_argument("slug")
        self._add_create(
            self.add_command("create", self._create, "Makes a draft, which shoppers do not see.")
        )
        for name, step in STEPS.items():
            parser = self.add_command(name, partial(self._step, step), step.help)
            parser.add_argument("slug")
            if step.binds:
                add_beacon_argument(parser)
            self.add_change_arguments(parser)
        self._add_window(self.add_command("window", self._window, "Moves opening or close."))
        self._add_limit(self.add_command("limit", self._limit, "Changes the units per shopper."))
        hold = self.add_command("hold", self._hold, "Changes for how long units are held.")
        hold.add_argument("slug")
        hold.add_argument("minutes", type=whole_number(0))
        self.add_change_arguments(hold)
        standby = self.add_command(
            "standby", self._standby, "Lets who comes too late wait in order, or not."
        )
        standby.add_argument("slug")
        standby.add_argument("switch", choices=("on", "off"))
        self.add_change_arguments(standby)

    def _add_create(self, parser: CommandParser) -> None:
        parser.add_argument("slug", help="its part of the address: /sales/SLUG/")
        parser.add_argument("--name", required=True)
        parser.add_argument("--opens", required=True, type=iso_time, metavar="TIME")
        parser.add_argument("--closes", required=True, type=iso_time, metavar="TIME")
        parser.add_argument(
            "--zone",
            default=_UTC,
            type=time_zone,
            help="the sale's time zone, in which times without an offset are read (default: UTC)",
        )
        parser.add_argument(
            "--limit", default=1, type=whole_number(1), metavar="UNITS", help="units per shopper"
        )
        parser.add_argument(
            "--hold",
            default=0,
            type=whole_number(0),
            metavar="MINUTES",
            help="for how long units are held while the shopper checks out (default: 0, sold at once)",
        )
        add_entry_arguments(parser)
        add_checkout_arguments(parser)
        parser.add_argument(
            "--product",
            required=True,
            nargs="+",
            action="extend",
            metavar="SLUG-OR-SKU",
            dest="products",
            help="products, with all their variants, or single variants",
        )
        self.add_change_arguments(parser)

    def _add_window(self, parser: CommandParser) -> None:
        parser.add_argument("slug")
        for name in ("--opens", "--closes"):
            parser.add_argument(name, type=iso_time, metavar="TIME")
        self.add_change_arguments(parser)

    def _add_limit(self, parser: CommandParser) -> None:
        parser.add_argument("slug")
        parser.add_argument("units", type=whole_number(1))
        self.add_change_arguments(parser)

    # --- Showing ---------------------------------------------------------------------------------

    def _list(self, **_: Any) -> None:
        listed = list(Sale.objects.order_by("opens_at", "id"))
        now = timezone.now()
        rows = [
            (
                *(sale.slug, sale.state(now), format_window(sale)),
                *(sale.limit, sale.held, sale.confirmed),
            )
            for sale in listed
        ]
        headings = ("SALE", "PHASE", "WINDOW", "LIMIT", "HELD", "CONFIRMED")
        self.tell([sale_facts(sale) for sale in listed], self.table(headings, rows))

    def _show(self, *, slug: str, **_: Any) -> int:
        """Exit code 1 if Redis, and so half of the figures, cannot be read."""
        seen = overview.read_overview(find_sale(slug))
        lines = [
            *describe_sale(seen.sale),
            *describe_gate(seen),
            *describe_draw(seen),
            *describe_open_holds(seen),
            f"poison     {seen.poison} orders",
        ]
        words = ["\n".join(lines), self._format_variants(seen.variants), self._format_audit(seen)]
        self.tell(seen.as_json(), "\n\n".join(words))
        if seen.problem:
            self.note(seen.problem)
        return FAILED if seen.problem else 0

    def _format_variants(self, variants: Iterable[Facts]) -> str:
        rows = [
            (
                variant["sku"],
                join_isolated(variant["name"], variant["option"]),
                money(variant["price"], variant["currency"]),
                *(
                    variant[what]
                    for what in ("stock", "in_flight", "left", "waiting", "held", "confirmed")
                ),
            )
            for variant in variants
        ]
        counted = ("STOCK", "IN FLIGHT", "LEFT", "WAITING", "HELD", "CONFIRMED")
        headings = ("SKU", "PRODUCT", "PRICE", *counted)
        return self.table(headings, rows)

    def _format_audit(self, seen: Overview) -> str:
        zone = find_zone(seen.sale.time_zone)
        rows = [audit_row(entry, zone) for entry in seen.audit]
        return self.table(("WHEN", "BY", "WHAT", "OF", "CHANGE", "REASON"), rows)

    # --- Changing --------------------------------------------------------------------------------

    def _create(
        self,
        *,
        slug: str,
        name: str,
        opens: datetime,
        closes: datetime,
        zone: ZoneInfo,
        limit: int,
        hold: int,
        products: list[str],
        by: str,
        reason: str,
        **options: Any,
    ) -> int:
        self._note_zone(zone, opens, closes, options["draw"])
        rules = {"limit": limit, "hold_minutes": hold, **read_checkout(options)}
        rules.update(read_entry(options, zone))
        planned = Sale(slug=slug, name=name, time_zone=zone.key, **rules)
        planned.opens_at, planned.closes_at = in_zone(opens, zone), in_zone(closes, zone)
        skus = [variant.sku for name in products for variant in find_variants(name)]
        return self.change(
            f"Make the draft {slug}, {format_window(planned)}, {describe_rules(planned)},"
            f" of {len(skus)} variants?",
            lambda: sale_lifecycle.create(
                slug,
                name,
                planned.opens_at,
                planned.closes_at,
                skus=skus,
                time_zone=zone.key,
                by=by,
                reason=reason,
                **rules,
            ),
            lambda: describe_result(find_sale(slug)),
            **options,
        )

    def _step(self, step: Step, *, slug: str, by: str, reason: str, **options: Any) -> int:
        sale = find_sale(slug)
        bound = {"beacon": read_beacon(options, sale)} if step.binds else {}
        odd = step.warnings(sale)
        for warning in odd:
            self.note(f"Odd: {warning}")
        return self.change(
            f"{step.question.format(describe(sale))}{' all the same' if odd else ''}?",
            lambda: step.act(sale.pk, by=by, reason=reason, **bound),
            lambda: describe_result(find_sale(slug)),
            **options,
        )

    def _window(
        self,
        *,
        slug: str,
        opens: datetime | None,
        closes: datetime | None,
        by: str,
        reason: str,
        **options: Any,
    ) -> int:
        if opens is None and closes is None:
            raise UsageError("Say what to move: --opens, --closes or both.")
        sale = find_sale(slug)
        zone = find_zone(sale.time_zone)
        self._note_zone(zone, opens, closes)
        opens_at, closes_at = (in_zone(time, zone) if time else None for time in (opens, closes))
        planned = Sale(time_zone=sale.time_zone)
        planned.opens_at = opens_at or sale.opens_at
        planned.closes_at = closes_at or sale.closes_at
        return self.change(
            f"Move {describe(sale)} to {format_window(planned)}?",
            lambda: sale_lifecycle.change_window(
                sale.pk, opens_at=opens_at, closes_at=closes_at, by=by, reason=reason
            ),
            lambda: describe_result(find_sale(slug)),
            **options,
        )

    def _limit(self, *, slug: str, units: int, by: str, reason: str, **options: Any) -> int:
        sale = find_sale(slug)
        return self.change(
            f"Change the limit of {describe(sale)} from {sale.limit} to {units}?",
            lambda: sale_lifecycle.change_limit(sale.pk, units, by=by, reason=reason),
            lambda: describe_result(find_sale(slug)),
            **options,
        )

    def _hold(self, *, slug: str, minutes: int, by: str, reason: str, **options: Any) -> int:
        sale = find_sale(slug)
        return self.change(
            f"Change the hold of {describe(sale)} from {sale.hold_minutes} to {minutes} minutes?",
            lambda: sale_lifecycle.change_hold(sale.pk, minutes, by=by, reason=reason),
            lambda: describe_result(find_sale(slug)),
            **options,
        )

    def _standby(self, *, slug: str, switch: str, by: str, reason: str, **options: Any) -> int:
        sale = find_sale(slug)
        return self.change(
            f"Switch standby of {describe(sale)} {switch}?",
            lambda: sale_lifecycle.change_standby(sale.pk, switch == "on", by=by, reason=reason),
            lambda: describe_result(find_sale(slug)),
            **options,
        )

    def _note_zone(self, zone: ZoneInfo, *times: datetime | None) -> None:
        if any(time is not None and time.tzinfo is None for time in times):
            self.note(f"Times without an offset are read in {zone.key}.")
