"""Shoppers' pages that Django serves, outside the express lane: their own orders, and 404."""

from uuid import UUID

from django.core.paginator import Page, Paginator
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_safe
from django.views.decorators.vary import vary_on_headers

from flashsale.database import in_thread
from flashsale.http.shoppers import cookie_name, shopper_in
from orders.models import Order

_ORDERS_PER_PAGE = 20

_varied = vary_on_headers("Accept", "Accept-Language", "Cookie")


@require_safe
@cache_control(private=True, no_store=True)
@_varied
async def own_orders(request: HttpRequest) -> HttpResponse:
    """List the shopper's orders, newest first; empty without a valid cookie."""
    shopper = shopper_in(request.COOKIES.get(cookie_name(request.is_secure())))
    page = await in_thread(_page_of_orders, shopper, request.GET.get("page"))
    return render(request, "storefront/own_orders.html", {"section": "orders", "page": page})


@_varied
def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    accepted = request.headers.get("Accept", "")
    if "application/json" in accepted and "text/html" not in accepted:
        return JsonResponse({"error": "not_found"}, status=404)
    return render(request, "404.html", status=404)


def _page_of_orders(shopper: UUID | None, number: str | None) -> Page[Order]:
    """Read one page of orders completely: rendering it must not query PostgreSQL. Blocks."""
    own = Order.objects.filter(shopper=shopper) if shopper else Order.objects.none()
    newest_first = own.select_related("sale").order_by("-accepted_at", "-id")
    page = Paginator(newest_first, _ORDERS_PER_PAGE).get_page(number)
    page.object_list = list(page.object_list)
    return page
