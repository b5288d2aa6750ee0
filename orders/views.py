"""The ordinary pages: the list of sales, and the shopper's own orders."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.core.paginator import Paginator
from django.db.models import Prefetch, Q, QuerySet
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_safe
from django.views.decorators.vary import vary_on_headers

from flashsale.shoppers import cookie_name, shopper_in
from inventory.models import Listing, Product, Sale
from orders.models import Order

_ENDED_SHOWN = 12
_ORDERS_PER_PAGE = 20

_varied = vary_on_headers("Accept", "Accept-Language", "Cookie")


@dataclass(frozen=True, slots=True)
class ListedSale:
    """A sale as the list shows it."""

    sale: Sale
    phase: str  # upcoming, open, paused or ended, as on the sale's own page

    @property
    def cover(self) -> Product | None:
        """The first of its products that has a picture."""
        listed = (listing.product for listing in self.sale.listings.all())
        return next((product for product in listed if product.picture), None)

    def as_json(self) -> dict[str, str]:
        return {
            "slug": self.sale.slug,
            "name": self.sale.name,
            "phase": self.phase,
            "opens_at": _iso(self.sale.opens_at),
            "closes_at": _iso(self.sale.closes_at),
        }


@require_safe
@_varied
def sale_list(request: HttpRequest) -> HttpResponse:
    listed = _listed_sales(timezone.now())
    if _wants_json(request):
        return JsonResponse({"sales": [sale.as_json() for sale in listed]})
    return render(request, "orders/sale_list.html", {"section": "sales", "sales": listed})


@require_safe
@cache_control(private=True, no_store=True)
@_varied
def own_orders(request: HttpRequest) -> HttpResponse:
    paginator = Paginator(_own_orders(request), _ORDERS_PER_PAGE)
    page = paginator.get_page(request.GET.get("page"))
    return render(request, "orders/own_orders.html", {"section": "orders", "page": page})


@_varied
def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    if _wants_json(request):
        return JsonResponse({"error": "not_found"}, status=404)
    return render(request, "404.html", status=404)


def _listed_sales(now: datetime) -> list[ListedSale]:
    """Those that go on or come, by opening, then the latest that are over. Nobody sees drafts."""
    pictures = Listing.objects.select_related("product").order_by("position", "id")
    public = Sale.objects.exclude(status=Sale.Status.DRAFT)
    public = public.prefetch_related(Prefetch("listings", pictures))
    over = Q(status=Sale.Status.ENDED) | Q(closes_at__lte=now)
    ahead = public.exclude(over).order_by("opens_at", "id")
    ended = public.filter(over).order_by("-closes_at", "-id")[:_ENDED_SHOWN]
    return [ListedSale(sale, sale.phase(now)) for sale in (*ahead, *ended)]


def _own_orders(request: HttpRequest) -> QuerySet[Order, Any]:
    """Newest first; nothing for somebody whom no valid cookie names."""
    shopper = shopper_in(request.COOKIES.get(cookie_name(request.is_secure())))
    if shopper is None:
        return Order.objects.none()
    own = Order.objects.filter(shopper=shopper).select_related("sale", "product")
    return own.order_by("-accepted_at", "-id")


def _wants_json(request: HttpRequest) -> bool:
    accepted = request.headers.get("Accept", "")
    return "application/json" in accepted and "text/html" not in accepted


def _iso(moment: datetime) -> str:
    """UTC with milliseconds, as on the sale's own page."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
