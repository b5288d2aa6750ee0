"""The checkout's page before anything was typed: the first that each winner of a sale opens.

Rendered once for all whose page differs only in the order's id and times, and filled in for each.
"""

from functools import lru_cache
from typing import NamedTuple

from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import get_token
from django.utils.translation import get_language

from accounts import addresses
from inventory.models import Sale
from storefront.address_form import CheckoutForm
from storefront.checkout_order import Seen
from storefront.checkout_pages import about_order, count_looks, looks_beside_form
from storefront.markdown import render_markdown
from storefront.rendered import Rendered, placeholder, render

_MOST_KEPT = 256  # pages, of some 50 kB


class _Page(NamedTuple):
    """All that the page shows, except the order's id and times."""

    language: str
    country: str
    slug: str
    ask: str
    terms: str
    price_note: str
    hold_minutes: int
    product_name: str
    option: str
    quantity: int
    total: int
    currency: str
    costs: bool
    failed: bool  # a payment was tried
    returned: bool  # from a payment
    seconds: int  # until a page without scripts asks about the payment; 0 for never


def show_blank_form(request: HttpRequest, seen: Seen) -> HttpResponse:
    """Show the form to a shopper of whom nothing is known."""
    order, sale, shown = seen.order, seen.sale, about_order(seen)
    look = looks_beside_form(request, seen)
    page = _Page(
        get_language() or "",
        addresses.likely_country(sale.time_zone),
        *(sale.slug, sale.ask, sale.terms, sale.price_note, sale.hold_minutes),
        *(order.product_name, order.option, order.quantity, order.total, order.currency),
        seen.costs,
        shown["stage"] == "failed",
        count_looks(request) > 0,
        int(str(look["seconds"])),
    )
    values = {name: str(shown[name]) for name in ("now", "until", "until_words")}
    values["again"] = str(look["again"])
    values |= {"id": str(order.pk), "reference": order.reference, "csrf": get_token(request)}
    return HttpResponse(_render(page).fill(values))


@lru_cache(maxsize=_MOST_KEPT)
def _render(page: _Page) -> Rendered:
    sale = Sale(
        slug=page.slug,
        ask=page.ask,
        terms=page.terms,
        price_note=page.price_note,
        hold_minutes=page.hold_minutes,
    )
    context = {
        "section": "orders",
        "order": {**page._asdict(), "id": placeholder("id"), "reference": placeholder("reference")},
        "sale": sale,
        "form": CheckoutForm(sale, page.country, initial={"country": page.country}),
        "terms": render_markdown(page.terms),
        "costs": page.costs,
        "stage": "failed" if page.failed else "",
        "returned": page.returned,
        "seconds": page.seconds,
        "again": placeholder("again"),
        "csrf_token": placeholder("csrf"),
        **{name: placeholder(name) for name in ("now", "until", "until_words")},
    }
    return render("storefront/checkout.html", page.language, context)
