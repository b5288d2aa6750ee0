"""`GET /`: the list of sales, as a page and as JSON.

A process reads the list at most once a second, for all requests. It shows the last list during a read
and while PostgreSQL is down; the phases of its sales follow the clock.
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
from django.db.models import Prefetch, Q, prefetch_related_objects
from django.utils import timezone

from flashsale.database import PATIENCE, drop_broken_connections_soon, in_thread_without_timeout
from flashsale.http.request import Request
from flashsale.http.response import JSON, Response, format_utc
from inventory.click_answers import ClickAnswer
from inventory.models import Listing, Sale
from inventory.products import Picture
from storefront import rendered
from storefront.draw_state import stage_of
from storefront.responses import RETRY, failure

log = logging.getLogger(__name__)

_ENDED_SHOWN = 12
_KEPT = 1.0  # seconds until the list is read again
_WAIT = 0.25  # seconds that a request waits for a newer list if there is an older one


async def sale_list(request: Request) -> Response:
    """Show all public sales."""
    if request.method not in ("GET", "HEAD"):
        return failure(request, ClickAnswer.METHOD, (b"allow", b"GET, HEAD"))
    listed = await _sale_list.current()
    if listed is None:
        return failure(request, ClickAnswer.BUSY, RETRY)
    if request.wants_json:
        return Response(200, listed.as_json, JSON)
    return Response(200, listed.page(request.language))


@dataclass(frozen=True, slots=True)
class ListedSale:
    """A sale with its phase at the list's moment."""

    sale: Sale
    phase: str  # upcoming, open, paused or ended, as on the sale's own page
    stage: str  # the same with the stages of a draw: `DrawState.stage`

    @property
    def cover(self) -> Picture | None:
        """The first picture of its products."""
        products = (listing.variant.product for listing in self.sale.listings.all())
        pictures = (list(product.pictures.all()) for product in products if product)
        return next((first for first, *_ in filter(None, pictures)), None)

    def as_json(self) -> dict[str, str]:
        draw_at = self.sale.draw_at
        draw = {"draw": self.sale.draw, "draw_at": format_utc(draw_at)} if draw_at else {}
        return {
            "slug": self.sale.slug,
            "name": self.sale.name,
            "phase": self.phase,
            "opens_at": format_utc(self.sale.opens_at),
            "closes_at": format_utc(self.sale.closes_at),
            **draw,
        }


class RenderedList:
    """The list at one moment, rendered once per language."""

    def __init__(self, sales: Iterable[Sale], now: datetime) -> None:
        sales = list(sales)
        self.sales = _sort_sales(sales, now)
        self._turns_at = min(_next_turns(sales, now), default=None)
        self._pages: dict[str, bytes] = {}

    def is_valid(self, now: datetime) -> bool:
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
    """The list of this process, read again when it is older than a second."""

    def __init__(self) -> None:
        self._sales: list[Sale] | None = None
        self._rendered: RenderedList | None = None
        self._reading: asyncio.Task[None] | None = None
        self._began = 0.0

    async def current(self) -> RenderedList | None:
        """The list; None if it was never read and cannot be read now."""
        reading = self._read_again_if_due()
        if not reading.done():
            patience = PATIENCE if self._sales is None else _WAIT
            await asyncio.wait([reading], timeout=self._began + patience - time.monotonic())
        if self._sales is None:
            return None
        now = timezone.now()
        if self._rendered is None or not self._rendered.is_valid(now):
            self._rendered = RenderedList(self._sales, now)
        return self._rendered

    def _read_again_if_due(self) -> asyncio.Task[None]:
        """The running or last read; a new one if due. One at a time: each takes one of a few threads,
        for as long as PostgreSQL hangs."""
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
            self._rendered = None


_sale_list = SaleList()


def public_sales() -> list[Sale]:
    """Read the sales that are open or upcoming, and the latest that have ended; no drafts. Blocks."""
    public = Sale.objects.exclude(status=Sale.Status.DRAFT)
    over = Q(status=Sale.Status.ENDED) | Q(closes_at__lte=timezone.now())
    sales = [
        *public.exclude(over),
        *public.filter(over).order_by("-closes_at", "-id")[:_ENDED_SHOWN],
    ]
    listings = Listing.objects.select_related("variant__product").order_by("position", "id")
    # Long texts, which the list does not show; it is read each second, a row for each variant.
    listings = listings.defer("variant__product__description", "variant__product__size_guide")
    pictures = listings.prefetch_related("variant__product__pictures")
    prefetch_related_objects(sales, Prefetch("listings", pictures))
    return sales


def _sort_sales(sales: list[Sale], now: datetime) -> list[ListedSale]:
    """Open and upcoming sales by opening, then ended ones, the latest first."""
    listed = [ListedSale(sale, sale.phase(now), _stage(sale, now)) for sale in sales]
    ahead = [one for one in listed if one.phase != "ended"]
    ended = [one for one in listed if one.phase == "ended"]
    ahead.sort(key=lambda one: (one.sale.opens_at, one.sale.pk))
    ended.sort(key=lambda one: (one.sale.closes_at, one.sale.pk), reverse=True)
    return [*ahead, *ended[:_ENDED_SHOWN]]


def _stage(sale: Sale, now: datetime) -> str:
    """The sale's phase, or how far its draw is."""
    return stage_of(sale.draw, sale.draw_at is not None and now >= sale.draw_at, sale.phase(now))


def _next_turns(sales: list[Sale], now: datetime) -> Iterable[datetime]:
    """The next opening, draw or closing of each sale that has not ended."""
    for sale in sales:
        if sale.draw_at and sale.draw_at > now:
            yield sale.draw_at
        if not sale.ended(now):
            yield sale.closes_at if sale.opens_at <= now else sale.opens_at
