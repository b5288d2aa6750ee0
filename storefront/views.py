"""Shoppers' pages that Django serves, outside the express lane: their own orders, 400 and 404."""

from typing import Any
from uuid import UUID

from django.core.exceptions import RequestDataTooBig, TooManyFieldsSent, TooManyFilesSent
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.views.decorators.cache import cache_control
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe
from django.views.decorators.vary import vary_on_headers

from accounts import people
from flashsale.database import in_thread
from flashsale.http import proofs
from flashsale.http.headers import prefers_json
from flashsale.http.shoppers import renew_cookie, shopper_of
from orders.cancellation import find_given_back
from orders.models import Order
from storefront.cookies import cookies_of, set_cookie
from storefront.order_access import former_for_cookie

_ORDERS_PER_PAGE = 20

_varied = vary_on_headers("Accept", "Accept-Language", "Cookie")


@csrf_exempt  # it takes no form: another method is a 405, not a lack of a token
@require_safe
@cache_control(private=True, no_store=True)
@_varied
async def own_orders(request: HttpRequest) -> HttpResponse:
    """List the shopper's orders, newest first; empty without a valid cookie."""
    secure, cookies = request.is_secure(), cookies_of(request)
    shopper = shopper_of(cookies, secure)
    proven = proofs.former_in(cookies, shopper, secure) if shopper else None
    signed_in = shopper is not None and proven is not None
    shown = await in_thread(_page_of_orders, shopper, signed_in, request.GET.get("page"))
    former = shown.pop("former")
    context = {"section": "orders", "signed_in": signed_in, **shown}
    response = render(request, "storefront/own_orders.html", context)
    if renewed := renew_cookie(cookies, secure):
        set_cookie(response, renewed)
    # Another device may have brought ids of its own since this browser signed in.
    if shopper and signed_in and proven != former:
        set_cookie(response, proofs.set_verified(shopper, former, secure))
    return response


def no_page(request: HttpRequest, anything: str) -> HttpResponse:
    """Answer 404 at an address of Django's that the shop does not use."""
    raise Http404


@_varied
def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    if prefers_json(request.headers.get("Accept", "").encode()):
        return JsonResponse({"error": "not_found"}, status=404)
    return render(request, "404.html", status=404)


_TOO_LARGE = (RequestDataTooBig, TooManyFieldsSent, TooManyFilesSent)


@_varied
def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """400; 413 for a form with more text, fields or files than Django reads."""
    code, status = ("upload", 413) if isinstance(exception, _TOO_LARGE) else ("request", 400)
    if prefers_json(request.headers.get("Accept", "").encode()):
        return JsonResponse({"error": code}, status=status)
    # Without the request: it may be what the page's context would read.
    page = render_to_string("storefront/message.html", {"code": code, "status": status})
    return HttpResponse(page, status=status)


def _page_of_orders(shopper: UUID | None, signed_in: bool, number: str | None) -> dict[str, Any]:
    """Read one page of orders completely: rendering it must not query PostgreSQL. Blocks."""
    former = people.former_of(shopper) if shopper and signed_in else ()
    own = Order.objects.filter(shopper__in=[shopper, *former] if shopper else [])
    newest_first = own.select_related("sale", "shipment").order_by("-accepted_at", "-id")
    page = Paginator(newest_first, _ORDERS_PER_PAGE).get_page(number)
    page.object_list = orders = list(page.object_list)
    cancelled = [order.pk for order in orders if order.status == Order.Status.CANCELLED]
    return {
        "page": page,
        "given_back": find_given_back(cancelled),
        "former": former_for_cookie(former),
    }
