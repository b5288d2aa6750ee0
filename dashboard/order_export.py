"""Download orders as CSV for a spreadsheet: what `manage.py orders_export --excel` writes."""

import logging
from collections.abc import Mapping
from typing import NamedTuple, Self
from urllib.parse import urlencode

from asgiref.sync import async_to_sync
from django.http import Http404, HttpRequest, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils import timezone
from django.utils.http import content_disposition_header
from django.views.decorators.http import require_GET

from dashboard.access import SEE_ORDERS, staff_with
from flashsale.middleware import try_again
from flashsale.moments import find_zone
from inventory.models import Sale
from orders.export import choose
from orders.export_stream import ExportRunning, start_export
from orders.models import Order

log = logging.getLogger(__name__)

LABEL = "Export for a spreadsheet (CSV)"
STATUSES = dict(Order.Status.choices)
MOST_DIGITS = 18  # of a sale's key
WAIT = 30  # seconds until it makes sense to ask again while an export runs


class Chosen(NamedTuple):
    """Which orders are exported: of a sale or of all, with a status or with any."""

    sale: Sale | None = None
    status: str = ""

    @classmethod
    def by_filters(cls, filters: Mapping[str, str]) -> Self:
        """As far as the filters of the list name a sale or a status. The list itself refuses others."""
        status = filters.get("status__exact", "")
        return cls(_find_sale(filters.get("sale", "")), status if status in STATUSES else "")

    @classmethod
    def by_address(cls, query: Mapping[str, str]) -> Self:
        """Raises Http404 for a sale or a status that there is not."""
        wanted, status = query.get("sale", ""), query.get("status", "")
        sale = _find_sale(wanted)
        if (wanted and sale is None) or (status and status not in STATUSES):
            raise Http404
        return cls(sale, status)

    @property
    def address(self) -> str:
        query = {"sale": self.sale.pk if self.sale else "", "status": self.status}
        given = urlencode({name: value for name, value in query.items() if value})
        return reverse("admin:orders_order_export") + (f"?{given}" if given else "")

    def tool(self) -> tuple[str, str]:
        """The address, and the text of its link: a list may have other filters as well."""
        kind = f"{STATUSES[self.status].lower()} orders" if self.status else "orders"
        which = f"all {kind} of {self.sale}" if self.sale else f"all {kind} of all sales"
        return self.address, f"{LABEL}: {which}"

    @property
    def file_name(self) -> str:
        """`orders-<slug>-<status>-<date>.csv`, with the date in the sale's time zone."""
        zone = find_zone(self.sale.time_zone if self.sale else "UTC")
        day = timezone.localdate(timezone=zone).isoformat()
        parts = ["orders", self.sale.slug if self.sale else "", self.status, day]
        return f"{'-'.join(filter(None, parts))}.csv"


def _find_sale(key: str) -> Sale | None:
    is_key = key.isdecimal() and len(key) <= MOST_DIGITS
    return Sale.objects.filter(pk=int(key)).first() if is_key else None


@require_GET
@staff_with(SEE_ORDERS)
def export_orders(request: HttpRequest) -> HttpResponseBase:
    """The file, as it is read. It changes nothing, so it is a link."""
    chosen = Chosen.by_address(request.GET)
    statuses = [chosen.status] if chosen.status else None
    parameters = choose(sale=chosen.sale.pk if chosen.sale else None, statuses=statuses)
    try:
        chunks = async_to_sync(start_export)(parameters)
    except ExportRunning:
        return try_again(request, "export_running", WAIT)
    log.info("%s exports %s", request.user.get_username(), chosen.file_name)
    headers = {
        "Content-Disposition": content_disposition_header(True, chosen.file_name) or "",
        "Cache-Control": "private, no-store",
    }
    return StreamingHttpResponse(chunks, content_type="text/csv; charset=utf-8", headers=headers)
