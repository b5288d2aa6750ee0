"""The checkout of a held order: contact, address, terms, and then the payment or the confirmation.

`/orders/<id>/checkout/` is a plain form. What it says is saved before anything is paid, so that a failed
payment, a reload and another tab have it. `/orders/<id>/checkout/back` is where payment providers send
shoppers to.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from dataclasses import asdict
from functools import partial, wraps
from typing import Any, ParamSpec, TypeVar
from urllib.parse import urlencode, urlsplit
from uuid import UUID
from weakref import WeakValueDictionary

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_http_methods, require_safe
from django.views.decorators.vary import vary_on_headers

from accounts import addresses, contacts
from accounts.contacts import Details
from flashsale.compiled import Compiled, Given
from flashsale.database import bounded_transaction, give_back_after, in_thread
from flashsale.http.response import SeeOther
from flashsale.http.shoppers import parse_cookies, renew_cookie
from orders import outbox
from orders.changes import NotPossible, NotReplicated
from orders.confirmation import confirm_hold
from orders.models import Order
from payments import paying
from storefront import fragments, order_access
from storefront.address_form import CheckoutForm
from storefront.blank_checkout import show_blank_form
from storefront.checkout_order import Seen, find_order
from storefront.checkout_pages import (
    count_looks,
    next_look,
    show_end,
    show_form,
    show_state,
)
from storefront.outcome import read_number

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")
View = Callable[..., Coroutine[Any, Any, HttpResponse]]

PAYMENT_PATIENCE = 20.0  # seconds for a payment provider; its shopper waits, no other does

_LOCKED = Compiled(
    Order,
    lambda: (
        Order.objects.select_for_update(no_key=True)
        .filter(pk=Given("order"))
        .order_by()
        .only("status", "hold_until")
    ),
)
_CONFIRMED = Compiled(
    Order,
    lambda: (
        Order.objects.filter(pk=Given("order"), status=Order.Status.CONFIRMED).order_by().only("pk")
    ),
)

# Threads of their own: a provider that dawdles must not take those that ask PostgreSQL.
_threads = ThreadPoolExecutor(8, thread_name_prefix="payments")
# One thread for an order, however often its shopper asks: the others are for other shoppers.
_turns: WeakValueDictionary[UUID, asyncio.Lock] = WeakValueDictionary()


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
    return caching(varying(answer))


@require_http_methods(["GET", "HEAD", "POST"])
@_private
async def checkout(request: HttpRequest, purchase: str) -> HttpResponse:
    """Show the form of a held order, or take it. 422 with the form if something is missing in it, 410 if
    the order is not held any more."""
    number = read_number(purchase)
    if number and (opened := _open_by_key(request, number)):
        return opened
    seen = await find_order(request, number)
    if seen is None:
        return _not_found()
    if seen.order.status != Order.Status.HELD:
        return show_end(request, seen)
    if seen.is_checked:
        return show_state(request, seen, "checking", 200, **next_look(request, seen))
    if request.method == "POST":
        return await _take(request, seen)
    if "country" in request.GET:
        form = CheckoutForm(seen.sale, _known_country(request.GET["country"]))
        return render(request, "storefront/_address.html", {"form": form})
    if seen.known == Details() and not seen.has_accepted:
        return show_blank_form(request, seen)
    return show_form(request, seen, _prefilled(seen))


@require_safe
@_private
async def back(request: HttpRequest, purchase: str) -> HttpResponse:
    """Ask the provider how the payment went, then show it: the order, or the checkout with the reason."""
    seen = await find_order(request, read_number(purchase), alone=True)
    if seen is None:
        return _not_found()
    order = seen.order
    confirmed = order.status == Order.Status.CONFIRMED
    if seen.sale.payment and not confirmed:
        with suppress(TimeoutError):  # it is asked again: by this page, and by the reconciler
            confirmed = await _in_payment_thread(order.pk, _ask_whether_paid, order.pk)
    if confirmed:
        return SeeOther(f"/orders/{order.pk}/")
    return SeeOther(f"/orders/{order.pk}/checkout/?{urlencode({'returned': count_looks(request)})}")


# --- Who, and what --------------------------------------------------------------------------------


def _open_by_key(request: HttpRequest, order: UUID) -> HttpResponse | None:
    """Keep the key of a mailed link in a cookie, and take it out of the address."""
    cookie = order_access.cookie_for(order, request.GET.get("key", ""), request.is_secure())
    if not cookie:
        return None
    return SeeOther(f"/orders/{order}/checkout/", headers={"Set-Cookie": cookie})


def _ask_whether_paid(number: UUID) -> bool:
    paying.returned(number)
    return _CONFIRMED.first(order=number) is not None


def _not_found() -> HttpResponse:
    """The same as the order's page: it does not say whether there is such an order."""
    page = fragments.render_message_page("not_on_this_device", get_language() or "", 404)
    return HttpResponse(page, status=404)


# --- The form -------------------------------------------------------------------------------------


def _prefilled(seen: Seen) -> CheckoutForm:
    country = seen.known.country or addresses.likely_country(seen.sale.time_zone)
    initial = asdict(seen.known) | {"country": country, "terms": seen.has_accepted}
    return CheckoutForm(seen.sale, country, initial=initial)


def _known_country(code: str) -> str:
    return code if code in dict(addresses.countries_by_name(get_language() or "")) else ""


async def _take(request: HttpRequest, seen: Seen) -> HttpResponse:
    """Take a form that was sent: save it, then pay or confirm."""
    country = _known_country(request.POST.get("country", ""))
    if "change" in request.POST and request.POST.get("shown") != country:
        form = CheckoutForm(seen.sale, country, initial=request.POST.dict())
        return show_form(request, seen, form)
    form = CheckoutForm(seen.sale, country, request.POST)
    if not form.is_valid():
        return show_form(request, seen, form, 422)
    try:
        await in_thread(_save, seen.order, form, get_language() or "")
    except contacts.Erased:
        form.add_error(None, _("Your details were erased, so this order cannot be completed."))
        return show_form(request, seen, form, 409)
    except NotPossible:
        return SeeOther(request.path)  # which says what became of the order
    return await (_pay if seen.costs else _confirm)(request, seen, form)


def _save(order: Order, form: CheckoutForm, language: str) -> None:
    """Save the contact, and tell of it the first time. Raises NotPossible if the order is not held.

    `language` is the page's: the thread that this runs in has none.
    """
    sale = order.sale
    if not (sale.ask or sale.terms):
        return
    with bounded_transaction():
        held = _LOCKED.get(order=order.pk)
        if held.status != Order.Status.HELD or held.hold_until is None:
            raise NotPossible("The order is not held any more.")
        first = contacts.save(
            order.pk,
            form.details,
            language=language,
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
            seen.order.pk,
            paying.begin,
            seen.order.pk,
            back=here,
            language=get_language() or "",
            email=form.cleaned_data.get("email", ""),
        )
    except NotPossible:
        return SeeOther(f"{request.path}?returned=1")
    except (paying.Unavailable, TimeoutError) as error:
        after = getattr(error, "retry_after", 0) or 5
        response = show_form(request, seen, form, 503, unavailable=True)
        response["Retry-After"] = str(round(after))
        return response
    if urlsplit(to)[:2] == urlsplit(here)[:2] or not urlsplit(to).netloc:
        return SeeOther(to)
    # The policy's `form-action` also forbids redirects of a form to other sites. A page may lead there.
    return show_state(request, seen, "leaving", to=to)


async def _in_payment_thread(
    order: UUID, question: Callable[P, T], *args: P.args, **options: P.kwargs
) -> T:
    """Call what asks a payment provider in a thread, for one order once at a time. Raises TimeoutError
    after PAYMENT_PATIENCE."""
    ask = partial(give_back_after, question, *args, **options)
    async with asyncio.timeout(PAYMENT_PATIENCE), _turns.setdefault(order, asyncio.Lock()):
        return await asyncio.get_running_loop().run_in_executor(_threads, copy_context().run, ask)
