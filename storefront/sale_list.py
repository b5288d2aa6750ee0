"""`GET /`: the list of sales, as a page and as JSON.

However many ask, a process reads the list at most once a second. What was read is shown on while it is
read again, and while PostgreSQL is away; phases follow the clock all the same.
"""

import asyncio
import json
import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from django.db import DatabaseError
from django.db.models import Prefetch, Q
from django.utils import timezone

from flashsale.database import PATIENCE, drop_broken_connections_soon, in_thread_without_timeout
from flashsale.http.request import Request
from flashsale.http.response import JSON, Response, format_utc
from inventory.click_answers import ClickAnswer
from inventory.models import Listing, Product, Sale
from storefront import rendered
from storefront.responses import RETRY, failure

log = logging.getLogger(__name__)

_ENDED_SHOWN = 12
_KEPT = 1.0  # seconds until the list is read again
_WAIT = 0.25  # seconds for which somebody who could see an older list waits for a newer one


async def sale_list(request: Request) -> Response:
    """All sales that shoppers may see, as they are now."""
    if request.method not in ("GET", "HEAD"):
        return failure(request, ClickAnswer.METHOD, (b"allow", b"GET, HEAD"))
    shown = await _sale_list.shown()
    if shown is None:
        return failure(request, ClickAnswer.BUSY, RETRY)
    if request.wants_json:
        return Response(200, shown.as_json, JSON)
    return Response(200, shown.page(request.language))


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
            "opens_at": format_utc(self.sale.opens_at),
            "closes_at": format_utc(self.sale.closes_at),
        }


class RenderedList:
    """The list at one moment, rendered once per language."""

    def __init__(self, sales: Iterable[Sale], now: datetime) -> None:
        sales = list(sales)
        self.sales = _in_order(sales, now)
        self._turns_at = min(_turns(sales, now), default=None)
        self._pages: dict[str, bytes] = {}

    def holds(self, now: datetime) -> bool:
        """Whether no sale has opened or closed since."""
        return self._turns_at is None or now < self._turns_at

    def page(self, language: str) -> bytes:
        if language not in self._pages:
            context = {"section": "sales", "sales": self.sales}
            self._pages[language] = rendered.render(
                "storefront/sale_list.html", language, context
            ).fill({})
        return self._pages[language]

    @cached_property
    def as_json(self) -> bytes:
        return json.dumps({"sales": [listed.as_json() for listed in self.sales]}).encode()


class SaleList:
    """The list as this process knows it."""

    def __init__(self) -> None:
        self._sales: list[Sale] | None = None
        self._shown: RenderedList | None = None
        self._reading: asyncio.Task[None] | None = None
        self._began = 0.0

    async def shown(self) -> RenderedList | None:
        """The list; None where it was never read, and cannot be read now."""
        reading = self._read_again_if_due()
        if not reading.done():
            patience = PATIENCE if self._sales is None else _WAIT
            await asyncio.wait([reading], timeout=self._began + patience - time.monotonic())
        if self._sales is None:
            return None
        now = timezone.now()
        if self._shown is None or not self._shown.holds(now):
            self._shown = RenderedList(self._sales, now)
        return self._shown

    def _read_again_if_due(self) -> asyncio.Task[None]:
        """The latest reading. There is one at a time, however long PostgreSQL hangs: threads are few."""
        due = time.monotonic() - self._began >= _KEPT
        if self._reading is None or (due and self._reading.done()):
            self._began = time.monotonic()
            self._reading = asyncio.ensure_future(self._read())
        return self._reading

    async def _read(self) -> None:
        try:
            self._sales = await in_thread_without_timeout(public_sales)
        except DatabaseError as error:
            log.warning("showing the last known list of sales (%r)", error)
            await drop_broken_connections_soon()
        else:
            self._shown = None


_sale_list = SaleList()


def public_sales() -> list[Sale]:
    """Those that go on or come, and the latest that are over. Nobody sees drafts. Blocks."""
    pictures = Listing.objects.select_related("product").order_by("position", "id")
    public = Sale.objects.exclude(status=Sale.Status.DRAFT)
    public = public.prefetch_related(Prefetch("listings", pictures))
    over = Q(status=Sale.Status.ENDED) | Q(closes_at__lte=timezone.now())
    return [
        *public.exclude(over),
        *public.filter(over).order_by("-closes_at", "-id")[:_ENDED_SHOWN],
    ]


def _in_order(sales: list[Sale], now: datetime) -> list[ListedSale]:
    """What goes on or comes by opening, then what is over, the latest first."""
    listed = [ListedSale(sale, sale.phase(now)) for sale in sales]
    ahead = [one for one in listed if one.phase != "ended"]
    ended = [one for one in listed if one.phase == "ended"]
    ahead.sort(key=lambda one: (one.sale.opens_at, one.sale.pk))
    ended.sort(key=lambda one: (one.sale.closes_at, one.sale.pk), reverse=True)
    return [*ahead, *ended[:_ENDED_SHOWN]]


def _turns(sales: list[Sale], now: datetime) -> Iterable[datetime]:
    """When sales open or close that have not yet."""
    for sale in sales:
        if not sale.ended(now):
            yield sale.closes_at if sale.opens_at <= now else sale.opens_at
