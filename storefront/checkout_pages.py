"""The pages of the checkout: the form, and the pages in its place when there is nothing to fill in."""

import time

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.safestring import SafeString
from django.utils.translation import get_language

from accounts import addresses
from flashsale.http.response import SeeOther
from orders.models import Order
from storefront.address_form import CheckoutForm
from storefront.checkout_order import Seen
from storefront.markdown import render_markdown
from storefront.outcome_fragment import moment_in_words

_MOST_LOOKS = 20  # so often a page asks by itself how a payment ends
_MOST_BESIDE_FORM = 8  # the same for the form, which the shopper may be filling in: within a minute


def show_form(
    request: HttpRequest, seen: Seen, form: CheckoutForm, status: int = 200, **context: object
) -> HttpResponse:
    shown = {
        "form": form,
        "terms": render_markdown(seen.sale.terms),
        "returned": count_looks(request),
        **looks_beside_form(request, seen),
    }
    return _show(request, "storefront/checkout.html", seen, status, **shown, **context)


def show_end(request: HttpRequest, seen: Seen) -> HttpResponse:
    """Say what became of an order that is not held."""
    order = seen.order
    if order.status in (Order.Status.EXPIRED, Order.Status.CANCELLED):
        return show_state(request, seen, str(order.status), 410, given_back=seen.given_back)
    if order.status == Order.Status.CONFIRMED and seen.has_contact and request.method != "POST":
        lines = addresses.lines_of(seen.known)
        return show_state(request, seen, "confirmed", lines=lines)
    return SeeOther(f"/orders/{order.pk}/")


def show_state(
    request: HttpRequest, seen: Seen, state: str, status: int = 200, **context: object
) -> HttpResponse:
    template = "storefront/checkout_state.html"
    return _show(request, template, seen, status, state=state, **context)


def _show(
    request: HttpRequest, template: str, seen: Seen, status: int, **context: object
) -> HttpResponse:
    shown = about_order(seen) | {
        "section": "orders",
        "order": seen.order,
        "sale": seen.sale,
        "known": seen.known,
        "costs": seen.costs,
    }
    return render(request, template, shown | context, status=status)


def about_order(seen: Seen) -> dict[str, object]:
    """The stage of the order's payment, and its times: in ms, and in words."""
    end, language = seen.order.hold_until, get_language() or ""
    words = end and moment_in_words(end.replace(microsecond=0), seen.sale.time_zone, language)
    return {
        "stage": seen.payment.stage if seen.payment else "",
        "until": round(end.timestamp() * 1000) if end else 0,
        "until_words": SafeString(words or ""),
        "now": round(time.time() * 1000),
    }


def count_looks(request: HttpRequest) -> int:
    """How often the page has asked about the payment; 0 if the shopper has not come back from it."""
    text = request.GET.get("returned") or request.GET.get("look") or ""
    looks = int(text) if text.isascii() and text.isdigit() and len(text) < 4 else 0
    return looks + 1 if request.path.endswith("/back") else looks


def looks_beside_form(request: HttpRequest, seen: Seen) -> dict[str, object]:
    """`next_look` of a shopper who has come back, and whose payment is still open: they have paid at a
    slow bank, or turned back. Never for anybody else."""
    is_open = seen.payment is not None and seen.payment.stage == "open"
    if not (is_open and count_looks(request)):
        return {"again": "", "seconds": 0}
    return next_look(request, seen, _MOST_BESIDE_FORM)


def next_look(request: HttpRequest, seen: Seen, most: int = _MOST_LOOKS) -> dict[str, object]:
    """When the page asks again, and where; never, if it has asked often enough."""
    looks = count_looks(request)
    return {
        "again": f"/orders/{seen.order.pk}/checkout/back?look={looks}",
        "seconds": min(2 + looks, 10) if looks < most else 0,
    }
