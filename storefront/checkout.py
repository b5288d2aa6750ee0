"""The checkout of a held order: contact, address, terms, and then the payment or the confirmation.

`/orders/<id>/checkout/` is a plain form. What it says is saved before anything is paid, so that a failed
payment, a reload and another tab have it. `/orders/<id>/checkout/back` is where payment providers send
shoppers to.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from dataclasses import asdict, dataclass
from functools import partial, wraps
from typing import Any, ParamSpec, TypeVar
from urllib.parse import urlencode, urlsplit
from uuid import UUID

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_http_methods, require_safe
from django.views.decorators.vary import vary_on_headers

from accounts import contacts
from accounts.contacts import Details
from flashsale.database import bounded_transaction, give_back_after, in_thread
from flashsale.http.shoppers import parse_cookies, renew_cookie
from flashsale.observe import logs
from inventory.models import Sale
from orders import order_links, outbox
from orders.changes import NotPossible, NotReplicated
from orders.holds import confirm_hold
from orders.models import Order
from payments import paying
from storefront import addresses, fragments, order_access
from storefront.address_form import CheckoutForm
from storefront.markdown import render_markdown
from storefront.outcome import read_number

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")
View = Callable[..., Coroutine[Any, Any, HttpResponse]]

_PATIENCE = 20.0  # seconds for a payment provider; its shopper waits, and nobody else
_MOST_LOOKS = 20  # so often a page asks by itself how a payment ends
_EARLIER = 10  # of the shopper's earlier orders, whose contact may be offered

# Threads of their own: a provider that dawdles must not take those that ask PostgreSQL.
_threads = ThreadPoolExecutor(8, thread_name_prefix="payments")


class SeeOther(HttpResponseRedirect):
    """303: the browser asks with GET, whatever it has sent."""

    status_code = 303


@dataclass
class Seen:
    """An order, as far as its checkout shows it."""

    order: Order
    known: Details
    has_contact: bool
    payment: paying.PaymentView | None

    @property
    def sale(self) -> Sale:
        return self.order.sale

    @property
    def is_checked(self) -> bool:
        """Whether a payment is on its way, so that nobody may pay again."""
        stage = self.payment.stage if self.payment else ""
        return self.order.capturing or stage in ("taking", "unknown", "paid")


def _private(view: View) -> View:
    """The page is one person's: no cache keeps it, no search engine lists it."""

    @wraps(view)
    async def answer(request: HttpRequest, *args: Any, **options: Any) -> HttpResponse:
        response = await view(request, *args, **options)
        response["X-Robots-Tag"] = "noindex"
        secure = request.is_secure()
        cookies = parse_cookies(request.headers.get("Cookie", ""), secure)
        if "Set-Cookie" not in response and (renewed := renew_cookie(cookies, secure)):
            response["Set-Cookie"] = renewed
        return response

    caching = cache_control(private=True, no_store=True)
    varying = vary_on_headers("Accept-Language", "Cookie", "HX-Request")
    return caching(varying(answer))  # type: ignore[no-any-return]  # Django's stubs lose the type


@require_http_methods(["GET", "HEAD", "POST"])
@_private
async def checkout(request: HttpRequest, purchase: str) -> HttpResponse:
    """Show the form of a held order, or take it. 422 with the form if something is missing in it, 410 if
    the order is not held any more."""
    number = read_number(purchase)
    if number and (opened := _open_by_key(request, number)):
        return opened
    seen = await _find(request, number)
    if seen is None:
        return _not_found()
    if seen.order.status != Order.Status.HELD:
        return _show_end(request, seen)
    if seen.is_checked:
        return _show_state(request, seen, "checking", **_next_look(request, seen))
    if request.method == "POST":
        return await _take(request, seen)
    if "country" in request.GET:
        form = CheckoutForm(seen.sale, _known_country(request.GET["country"]))
        return render(request, "storefront/_address.html", {"form": form})
    return _show_form(request, seen, _prefilled(seen))


@require_safe
@_private
async def back(request: HttpRequest, purchase: str) -> HttpResponse:
    """Ask the provider how the payment went, then show it: the order, or the checkout with the reason."""
    seen = await _find(request, read_number(purchase))
    if seen is None:
        return _not_found()
    order = seen.order
    if seen.sale.payment and order.status != Order.Status.CONFIRMED:
        with suppress(TimeoutError):  # it is asked again: by this page, and by the reconciler
            await _in_payment_thread(paying.returned, order.pk)
    if await in_thread(_is_confirmed, order.pk):
        return SeeOther(f"/orders/{order.pk}/")
    return SeeOther(f"/orders/{order.pk}/checkout/?{urlencode({'returned': _looks(request)})}")


# --- Who, and what --------------------------------------------------------------------------------


def _open_by_key(request: HttpRequest, order: UUID) -> HttpResponse | None:
    """Keep the key of a mailed link in a cookie, and take it out of the address."""
    key = request.GET.get("key", "")
    if not order_links.opens(order, key):
        return None
    response = SeeOther(f"/orders/{order}/checkout/")
    response["Set-Cookie"] = order_access.key_cookie(order, key, request.is_secure())
    return response


async def _find(request: HttpRequest, number: UUID | None) -> Seen | None:
    """The order, if there is one that the browser may open."""
    if number is None:
        return None
    logs.bind_purchase(number)
    return await in_thread(_read, request, number)


def _read(request: HttpRequest, number: UUID) -> Seen | None:
    order = Order.objects.select_related("sale").filter(pk=number).first()
    if order is None or not order_access.may_open(request, number, order.shopper):
        return None
    contact = contacts.read(number)
    known = contact.details if contact else Details()
    if not contact and order.sale.ask and order_access.is_shopper(request, order.shopper):
        known = _read_earlier(order)
    payment = paying.describe(number) if order.sale.payment else None
    return Seen(order, known, contact is not None, payment)


def _read_earlier(order: Order) -> Details:
    """What the shopper gave for their latest other order. Only the shopper's own browser sees it."""
    others = Order.objects.filter(shopper=order.shopper).exclude(pk=order.pk)
    numbers = list(others.order_by("-accepted_at").values_list("pk", flat=True)[:_EARLIER])
    found = contacts.read_many(numbers)
    return next((found[number] for number in numbers if number in found), Details())


def _is_confirmed(number: UUID) -> bool:
    return Order.objects.filter(pk=number, status=Order.Status.CONFIRMED).exists()


def _not_found() -> HttpResponse:
    """The same as the order's page: it does not say whether there is such an order."""
    page = fragments.render_message_page("not_on_this_device", get_language() or "", 404)
    return HttpResponse(page, status=404)


# --- The form -------------------------------------------------------------------------------------


def _prefilled(seen: Seen) -> CheckoutForm:
    country = seen.known.country or addresses.likely_country(seen.sale.time_zone)
    return CheckoutForm(seen.sale, country, initial=asdict(seen.known) | {"country": country})


def _known_country(code: str) -> str:
    return code if code in dict(addresses.countries_by_name(get_language() or "")) else ""


async def _take(request: HttpRequest, seen: Seen) -> HttpResponse:
    """Take a form that was sent: save it, then pay or confirm."""
    country = _known_country(request.POST.get("country", ""))
    if "change" in request.POST and request.POST.get("shown") != country:
        form = CheckoutForm(seen.sale, country, initial=request.POST.dict())
        return _show_form(request, seen, form)
    form = CheckoutForm(seen.sale, country, request.POST)
    if not form.is_valid():
        return _show_form(request, seen, form, 422)
    try:
        await in_thread(_save, seen.order, form)
    except contacts.Erased:
        form.add_error(None, _("Your details were erased, so this order cannot be completed."))
        return _show_form(request, seen, form, 409)
    except NotPossible:
        return SeeOther(request.path)  # which says what became of the order
    return await (_pay if seen.sale.payment else _confirm)(request, seen, form)


def _save(order: Order, form: CheckoutForm) -> None:
    """Save the contact, and tell of it the first time. Raises NotPossible if the order is not held."""
    sale = order.sale
    if not (sale.ask or sale.terms):
        return
    with bounded_transaction():
        held = Order.objects.select_for_update(no_key=True).get(pk=order.pk)
        if held.status != Order.Status.HELD or held.hold_until is None:
            raise NotPossible("The order is not held any more.")
        first = contacts.save(
            order.pk,
            form.details,
            language=get_language() or "",
            accepted_terms=bool(sale.terms),
        )
        if first and sale.ask:
            detail = held.hold_until.isoformat()
            outbox.tell([order.pk], outbox.Event.SECURED, detail=detail)


async def _confirm(request: HttpRequest, seen: Seen, form: CheckoutForm) -> HttpResponse:
    try:
        await in_thread(confirm_hold, seen.order.pk)
    except NotReplicated as warning:
        log.warning("%s", warning)  # it is committed, and the caretaker replicates it
    except NotPossible:
        return SeeOther(request.path)
    return SeeOther(f"/orders/{seen.order.pk}/")


async def _pay(request: HttpRequest, seen: Seen, form: CheckoutForm) -> HttpResponse:
    """Send the shopper to the payment's page."""
    here = request.build_absolute_uri(f"/orders/{seen.order.pk}/checkout/back")
    try:
        to = await _in_payment_thread(
            paying.begin,
            seen.order.pk,
            back=here,
            language=get_language() or "",
            email=form.cleaned_data.get("email", ""),
        )
    except NotPossible:
        return SeeOther(request.path)
    except (paying.Unavailable, TimeoutError) as error:
        after = getattr(error, "retry_after", 0) or 5
        response = _show_form(request, seen, form, 503, unavailable=True)
        response["Retry-After"] = str(round(after))
        return response
    if urlsplit(to)[:2] == urlsplit(here)[:2] or not urlsplit(to).netloc:
        return SeeOther(to)
    # The policy's `form-action` also forbids redirects of a form to other sites. A page may lead there.
    return _show_state(request, seen, "leaving", to=to)


async def _in_payment_thread(question: Callable[P, T], *args: P.args, **options: P.kwargs) -> T:
    """Call what asks a payment provider in a thread. Raises TimeoutError after _PATIENCE."""
    ask = partial(copy_context().run, give_back_after, question, *args, **options)
    return await asyncio.wait_for(
        asyncio.get_running_loop().run_in_executor(_threads, ask), _PATIENCE
    )


# --- Pages ----------------------------------------------------------------------------------------


def _show_form(
    request: HttpRequest, seen: Seen, form: CheckoutForm, status: int = 200, **context: object
) -> HttpResponse:
    shown = {"form": form, "terms": render_markdown(seen.sale.terms), "returned": _looks(request)}
    return _show(request, "storefront/checkout.html", seen, status, **shown, **context)


def _show_end(request: HttpRequest, seen: Seen) -> HttpResponse:
    """Say what became of an order that is not held."""
    order = seen.order
    if order.status in (Order.Status.EXPIRED, Order.Status.CANCELLED):
        return _show_state(request, seen, str(order.status), 410)
    if order.status == Order.Status.CONFIRMED and seen.has_contact and request.method != "POST":
        lines = addresses.lines_of(seen.known)
        return _show_state(request, seen, "confirmed", lines=lines)
    return SeeOther(f"/orders/{order.pk}/")


def _show_state(
    request: HttpRequest, seen: Seen, state: str, status: int = 200, **context: object
) -> HttpResponse:
    template = "storefront/checkout_state.html"
    return _show(request, template, seen, status, state=state, **context)


def _show(
    request: HttpRequest, template: str, seen: Seen, status: int, **context: object
) -> HttpResponse:
    order = seen.order
    shown = {
        "section": "orders",
        "order": order,
        "sale": seen.sale,
        "known": seen.known,
        "stage": seen.payment.stage if seen.payment else "",
        "until": round(order.hold_until.timestamp() * 1000) if order.hold_until else 0,
        "now": round(time.time() * 1000),
    }
    return render(request, template, shown | context, status=status)


def _looks(request: HttpRequest) -> int:
    """How often the page has asked about the payment; 0 if the shopper has not come back from it."""
    text = request.GET.get("returned") or request.GET.get("look") or ""
    looks = int(text) if text.isascii() and text.isdigit() and len(text) < 4 else 0
    return looks + 1 if request.path.endswith("/back") else looks


def _next_look(request: HttpRequest, seen: Seen) -> dict[str, object]:
    """When the page asks again, and where; never, if it has asked often enough."""
    looks = _looks(request)
    return {
        "again": f"/orders/{seen.order.pk}/checkout/back?look={looks}",
        "seconds": min(2 + looks, 10) if looks < _MOST_LOOKS else 0,
    }
