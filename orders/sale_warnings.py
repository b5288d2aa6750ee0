"""List odd things about a sale: possible, but perhaps typing errors. Staff are asked about them before
the sale is scheduled or opened."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence

from django.conf import settings

from flashsale.currencies import OFFERED, decimals_of
from flashsale.money import format_money
from inventory.models import Sale, Variant
from orders.entry_warnings import warn_of_entry
from orders.network_bound import warn_of_bound

_LEAST, _MOST = 100, 1_000_000  # minor units: 1.00 and 10,000.00, or ¥100 and ¥1,000,000
_TIMES = 10
_DEMO = "demo"  # the provider that takes no money


def list_warnings(sale: Sale) -> list[str]:
    """Sentences for staff; none if nothing is odd."""
    variants = [listing.variant for listing in sale.listings.select_related("variant")]
    found = [_warn_of_price(variant) for variant in variants]
    found += _warn_of_checkout(sale, variants)
    found += warn_of_entry(sale)
    found += [warn_of_bound(sale), _warn_of_equal_options(variants)]
    found.append(_warn_of_currencies(variants) or _warn_of_spread(variants))
    return [warning for warning in found if warning]


def digest_of(sale: Sale, warnings: Iterable[str]) -> str:
    """Names these warnings of this sale, so that what staff accepted can be compared with what holds
    when they answer."""
    text = "\n".join([str(sale.pk), *warnings])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


# --- Each function returns "" if nothing is odd. -------------------------------------------


def _warn_of_price(variant: Variant) -> str:
    code = variant.currency
    if code not in OFFERED:
        return f"{_name(variant)} has a price in {code}, which is no currency of ISO 4217."
    if variant.price == 0:
        return f"{_name(variant)} costs nothing."
    scale = 10 ** max(decimals_of(code) - 2, 0)
    least, most = _LEAST * scale, _MOST * scale
    price = format_money(variant.price, code)
    if variant.price < least:
        return f"{_name(variant)} costs {price}, less than {format_money(least, code)}."
    if variant.price > most:
        return f"{_name(variant)} costs {price}, more than {format_money(most, code)}."
    return ""


def _warn_of_currencies(variants: Sequence[Variant]) -> str:
    codes = sorted({variant.currency for variant in variants})
    return f"The prices are in several currencies: {', '.join(codes)}." if len(codes) > 1 else ""


def _warn_of_spread(variants: Sequence[Variant]) -> str:
    by_price = sorted((v for v in variants if v.price), key=lambda variant: variant.price)
    if not by_price or by_price[-1].price < _TIMES * by_price[0].price:
        return ""
    low, high = by_price[0], by_price[-1]
    return (
        f"{_name(high)} costs {format_money(high.price, high.currency)}, {_TIMES} times as much as"
        f" {_name(low)} or more ({format_money(low.price, low.currency)})."
    )


def _warn_of_equal_options(variants: Sequence[Variant]) -> str:
    """Of those without an option, pages show the skus."""
    alike: dict[tuple[int | None, str], list[Variant]] = defaultdict(list)
    for variant in variants:
        if variant.option:
            alike[variant.product_id, variant.option.casefold()].append(variant)
    groups = [" and ".join(map(_name, group)) for group in alike.values() if len(group) > 1]
    if not groups:
        return ""
    return f"Shoppers cannot tell these options apart: {'; '.join(groups)}."


def _warn_of_checkout(sale: Sale, variants: Sequence[Variant]) -> list[str]:
    found = []
    if sale.has_checkout and not sale.ask:
        found.append(
            "Units are held, but the checkout asks for no e-mail and no address: nobody can be told"
            " of their order, and nothing can be sent to them."
        )
    if not sale.payment:
        return found
    if not sale.terms:
        found.append("Shoppers pay without terms that they accept.")
    if any(variant.price == 0 for variant in variants):
        found.append("Shoppers are to pay, but not every product has a price.")
    if sale.payment not in settings.PAYMENT_PROVIDERS:
        found.append(f"The payment provider {sale.payment} is not configured: nobody can pay.")
    elif sale.payment == _DEMO and settings.PRODUCTION:
        found.append("The payment provider is demo, which takes no money.")
    return found


def _name(variant: Variant) -> str:
    return f"{variant} ({variant.sku})"
