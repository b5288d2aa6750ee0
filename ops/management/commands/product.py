"""`manage.py product`: show products, and make them with variants, stock and pictures."""

from argparse import ArgumentTypeError
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.files import File
from django.core.management.base import CommandParser

from flashsale.characters import isolate
from flashsale.templatetags.money import money
from inventory.models import Variant
from inventory.pictures import reencode
from inventory.products import Product
from ops.base_command import Failed
from ops.lifecycle_command import (
    Facts,
    LifecycleCommand,
    currency_code,
    find_product,
    read_price,
    whole_number,
)
from orders.product_creation import NewPicture, NewVariant, create_product


class Command(LifecycleCommand):
    help = "Shows products and makes them. Admin edits them."

    def add_commands(self) -> None:
        self.add_command("list", self._list, "All products, with variants and stock.")
        show = self.add_command("show", self._show, "One product: texts, variants, pictures.")
        show.add_argument("product", metavar="SLUG-OR-SKU")
        self._add_create(self.add_command("create", self._create, "Makes a product, with stock."))

    def _add_create(self, parser: CommandParser) -> None:
        parser.add_argument("slug", help="its name in commands; without --variant also its sku")
        parser.add_argument("--name", required=True)
        parser.add_argument("--description", default="", metavar="MARKDOWN")
        parser.add_argument("--size-guide", default="", metavar="MARKDOWN")
        parser.add_argument(
            "--price", required=True, metavar="AMOUNT", help="such as 129.00 or 129,00"
        )
        parser.add_argument(
            "--currency",
            default=settings.DEFAULT_CURRENCY,
            type=currency_code,
            help="default: %(default)s",
        )
        parser.add_argument(
            "--variant",
            action="append",
            default=[],
            type=_parse_variant,
            metavar="SKU:OPTION:STOCK",
            dest="variants",
            help="for each option, such as RIDGE-42:EU 42:10",
        )
        parser.add_argument(
            "--stock", default=0, type=whole_number(0), help="units, if it has no options"
        )
        parser.add_argument(
            "--picture",
            action="append",
            default=[],
            type=_parse_picture,
            metavar="FILE:TEXT",
            dest="pictures",
            help="for each picture, with the text for those who cannot see it",
        )
        self.add_change_arguments(parser)

    # --- Showing ---------------------------------------------------------------------------------

    def _list(self, **_: Any) -> None:
        products = [_facts(p) for p in Product.objects.prefetch_related("variants", "pictures")]
        rows = [
            (p["slug"], p["name"], len(p["variants"]), sum(v["stock"] for v in p["variants"]))
            for p in products
        ]
        self.tell(products, self.table(("PRODUCT", "NAME", "VARIANTS", "STOCK"), rows))

    def _show(self, *, product: str, **_: Any) -> None:
        found = find_product(product)
        facts = _facts(found)
        rows = [
            (v["sku"], v["option"], money(v["price"], v["currency"]), v["stock"])
            for v in facts["variants"]
        ]
        parts = [
            f"{found.slug}  {found}",
            *filter(None, (found.description, found.size_guide)),
            self.table(("SKU", "OPTION", "PRICE", "STOCK"), rows),
            *(
                f"picture  {picture['file']}  {isolate(picture['text'])}"
                for picture in facts["pictures"]
            ),
        ]
        self.tell(facts, "\n\n".join(parts))

    # --- Making ----------------------------------------------------------------------------------

    def _create(
        self,
        *,
        slug: str,
        name: str,
        description: str,
        size_guide: str,
        price: str,
        currency: str,
        variants: list[NewVariant],
        stock: int,
        pictures: list[tuple[Path, str]],
        by: str,
        reason: str,
        **options: Any,
    ) -> int:
        if variants and stock:
            raise Failed("With --variant, the stock is in it: SKU:OPTION:STOCK.")
        amount = read_price(price, currency)
        variants = variants or [NewVariant(slug, "", stock)]
        product = Product(slug=slug, name=name, description=description, size_guide=size_guide)
        taken = [_read_picture(path, text) for path, text in pictures]
        units = sum(variant.units for variant in variants)
        skus = ", ".join(variant.sku for variant in variants)
        return self.change(
            f"Make the product {slug} ({skus}) at {money(amount, currency)}, with {units} units?",
            lambda: create_product(
                product, variants, taken, price=amount, currency=currency, by=by, reason=reason
            ),
            lambda: _describe_result(slug),
            **options,
        )


def _parse_variant(text: str) -> NewVariant:
    sku, _, rest = text.partition(":")
    option, _, units = rest.rpartition(":")
    if not (sku and units.isascii() and units.isdigit()):
        raise ArgumentTypeError(f"{text!r} is not SKU:OPTION:STOCK, such as RIDGE-42:EU 42:10")
    return NewVariant(sku, option, int(units))


def _parse_picture(text: str) -> tuple[Path, str]:
    path, _, words = text.partition(":")
    if not (path and words.strip()):
        raise ArgumentTypeError(f"{text!r} is not FILE:TEXT, such as shoe.jpg:A blue shoe")
    return Path(path), words.strip()


def _read_picture(path: Path, text: str) -> NewPicture:
    try:
        with path.open("rb") as file:
            return NewPicture(reencode(File(file)), text)
    except (OSError, ValidationError) as error:
        why = " ".join(error.messages) if isinstance(error, ValidationError) else error.strerror
        raise Failed(f"{path}: {why}") from error


def _facts(product: Product) -> Facts:
    variants = sorted(product.variants.all(), key=lambda variant: (variant.position, variant.pk))
    return {
        "slug": product.slug,
        "name": product.name,
        "description": product.description,
        "size_guide": product.size_guide,
        "variants": [_variant_facts(variant) for variant in variants],
        "pictures": [{"file": p.file.name, "text": p.text} for p in product.pictures.all()],
    }


def _variant_facts(variant: Variant) -> Facts:
    fields = ("sku", "option", "price", "currency", "stock")
    return {name: getattr(variant, name) for name in fields}


def _describe_result(slug: str) -> tuple[Facts, str]:
    facts = _facts(find_product(slug))
    units = sum(variant["stock"] for variant in facts["variants"])
    return facts, f"{slug}: {len(facts['variants'])} variants, {units} in stock"
