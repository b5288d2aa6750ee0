"""`manage.py seed_demo`: make four demo sales and a staff account."""

import tomllib
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.files import File
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction
from django.utils import timezone
from django.utils.crypto import get_random_string

from flashsale.moments import format_time
from flashsale.money import parse_amount
from inventory import stock
from inventory.models import Listing, Sale, StockMovement, Variant
from inventory.names import find_each_in_any_case
from inventory.pictures import reencode
from inventory.products import Product
from orders import changes, sale_lifecycle

_DEMO = Path(__file__).resolve().parents[2] / "demo"
_CHECKOUT = ("hold_minutes", "ask", "payment", "terms", "price_note")
_STAFF = "staff"
_NEW_PASSWORD = f"A new password: ./manage.py changepassword {_STAFF}"


class Command(BaseCommand):
    help = "Makes four demo sales (two open, one opening in ten minutes, one ended) and a staff account."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--if-empty", action="store_true", help="do nothing if there are sales")

    def handle(self, *args: Any, if_empty: bool, **options: Any) -> None:
        demo = tomllib.loads((_DEMO / "sales.toml").read_text())["sales"]
        drafts = Sale.objects.filter(slug__in=_slugs(demo), status=Sale.Status.DRAFT)
        if not drafts.exists():  # else an earlier run was interrupted: finish it
            if if_empty and Sale.objects.exists():
                return
            if find_each_in_any_case(Sale.objects.all(), "slug", _slugs(demo)):
                raise CommandError("The demo's sales already exist.")
            _make_drafts(demo)
        try:
            _schedule(demo)
        except changes.NotReplicated as error:
            raise CommandError(f"{error} Start Redis and run this again.") from error
        self._report(demo)
        self._add_staff()

    def _report(self, demo: list[dict[str, Any]]) -> None:
        self.stdout.write("Demo sales:")
        for sale in Sale.objects.filter(slug__in=_slugs(demo)).prefetch_related("variants"):
            state = (
                "ended"
                if sale.ended()
                else f"opens at {format_time(sale.opens_at, sale.time_zone)}"
            )
            if not sale.ended() and sale.opens_at <= timezone.now():
                state = f"open until {format_time(sale.closes_at, sale.time_zone)}"
            products = len({variant.product_id for variant in sale.variants.all()})
            self.stdout.write(f"  /sales/{sale.slug}/  {sale} ({state}; products: {products})")
        if settings.RATE_PER_ADDRESS == 0:
            self.stdout.write("RATE_PER_ADDRESS is 0: clicks are not limited by address.")

    def _add_staff(self) -> None:
        if User.objects.filter(username=_STAFF).exists():
            self.stdout.write(f"Staff: the account '{_STAFF}' exists and keeps its password.")
            self.stdout.write(_NEW_PASSWORD)
            return
        password = get_random_string(16)  # letters and digits only: a double click selects it
        User.objects.create_superuser(_STAFF, password=password)
        self.stdout.write(
            f"Staff: /dashboard/ and /admin/ as '{_STAFF}', password {password} (shown only now)"
        )
        self.stdout.write(_NEW_PASSWORD)


def _slugs(demo: Iterable[dict[str, Any]]) -> list[str]:
    return [planned["slug"] for planned in demo]


@transaction.atomic
def _make_drafts(demo: Iterable[dict[str, Any]]) -> None:
    """Make all sales as drafts, with their variants: an open sale takes no further variants."""
    now = timezone.now().replace(microsecond=0)
    for planned in demo:
        sale = Sale.objects.create(
            slug=planned["slug"],
            name=planned["name"],
            opens_at=now + timedelta(minutes=planned["opens_in"]),
            closes_at=now + timedelta(minutes=planned["closes_in"]),
            limit=planned["limit"],
            **_checkout_of(planned),
        )
        variants = [
            each for described in planned["products"] for each in _make_product(**described)
        ]
        for position, variant in enumerate(variants):
            Listing.objects.create(sale=sale, variant=variant, position=position)


def _checkout_of(planned: dict[str, Any]) -> dict[str, Any]:
    """Its rules of a checkout; without a payment where the provider is not configured."""
    rules = {rule: planned[rule] for rule in _CHECKOUT if rule in planned}
    if rules.get("payment") not in settings.PAYMENT_PROVIDERS:
        rules.pop("payment", None)
    return rules


def _make_product(
    *,
    price: str,
    currency: str,
    pictures: list[dict[str, str]],
    variants: list[dict[str, Any]],
    **described: str,
) -> list[Variant]:
    """Make a product as staff would: its price is typed, its pictures are re-encoded like uploads. Returns
    its variants."""
    product = Product(**described)
    product.full_clean()
    product.save()
    for position, picture in enumerate(pictures):
        with (_DEMO / picture["file"]).open("rb") as file:
            upload = reencode(File(file))
        product.pictures.create(position=position, file=upload, text=picture["text"])
    priced: dict[str, Any] = {"price": parse_amount(price, currency), "currency": currency}
    return [
        _make_variant(product=product, position=position, **priced, **each)
        for position, each in enumerate(variants)
    ]


def _make_variant(*, stock: int, **described: Any) -> Variant:
    variant = Variant(**described)
    variant.full_clean()
    variant.save()
    _receive(variant, stock)
    return variant


def _receive(variant: Variant, units: int) -> None:
    [locked] = stock.lock([variant.pk])
    stock.move(locked, units, StockMovement.Reason.RECEIVED, actor="seed_demo")


def _schedule(demo: Iterable[dict[str, Any]]) -> None:
    """Schedule each sale, after the transaction that made it: the gate, its replica in Redis, learns of
    committed changes only."""
    for planned in demo:
        sale = Sale.objects.get(slug=planned["slug"])
        if sale.status != Sale.Status.DRAFT:
            continue
        sale_lifecycle.schedule(sale.pk, by="seed_demo")
        if planned.get("ended"):
            sale_lifecycle.end(sale.pk, by="seed_demo")
