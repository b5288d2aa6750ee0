"""`GET /sales/<slug>/draw/`: the published facts of a draw, and a shopper's own entries with proofs."""

import asyncio
import logging
from uuid import UUID

from django.db import DatabaseError

from flashsale.concurrency import SingleFlight
from flashsale.database import in_thread, in_thread_without_timeout
from flashsale.http.request import Request
from flashsale.http.response import Response, json_response
from inventory.click_answers import ClickAnswer
from orders.draws import inclusion
from orders.draws.inclusion import Included
from orders.reference import reference
from storefront.kept_pages import render_kept
from storefront.live_sale import LiveSale
from storefront.rendered import placeholder, render
from storefront.responses import failure, find_live_sale
from storefront.sale_json import describe_draw, moment_of

log = logging.getLogger(__name__)

_PATIENCE = 2.0  # seconds for the shopper's own entries; the page is right without them


async def draw(request: Request, slug: str) -> Response:
    """Show the draw. The page is the same for all shoppers, but for their own entries."""
    live = await find_live_sale(request, slug)
    if isinstance(live, Response):
        return live
    lottery = live.card.lottery
    if lottery is None:
        return failure(request, ClickAnswer.NOT_FOUND)
    if not request.trustworthy:
        return failure(request, ClickAnswer.INSECURE)
    if request.wants_json:
        return json_response(200, {"sale": live.card.slug, **describe_draw(live), **_as_json(live)})
    own = await _find_own(live, request.shopper) if lottery.root and request.shopper else []
    return Response(200, _render(live, request.language, own))


def _as_json(live: LiveSale) -> dict[str, object]:
    """The facts that are published so far, as in the header of the record."""
    lottery = live.card.lottery
    assert lottery
    told: dict[str, object] = {"commitment": lottery.commitment, "beacon": lottery.beacon}
    if lottery.round:
        told["round"] = lottery.round
    if lottery.root:
        told |= {"root": lottery.root, "entries": lottery.entries, "stock": dict(lottery.stock)}
        told["frozen_at"] = moment_of(lottery.frozen_at)
    if lottery.is_public:
        told |= {"seed": lottery.seed, "signature": lottery.signature}
        told["record"] = record_of(live)
    return told


def record_of(live: LiveSale) -> str:
    """The address of the published record."""
    return f"/sales/{live.card.slug}/draw/entries.txt"


# --- The shopper's own entries --------------------------------------------------------------------


async def _find_own(live: LiveSale, shopper: UUID) -> list[Included] | None:
    """None if they cannot be read now, or in time: the first question about a large draw takes longer."""
    try:
        async with asyncio.timeout(_PATIENCE):
            return await _prove_own(live, shopper)
    except (DatabaseError, TimeoutError) as error:
        log.warning("sale %s: its draw is shown without own entries (%r)", live.card.slug, error)
    except inclusion.NotTheRoot:
        log.exception("sale %s: its draw cannot be proven", live.card.slug)
    return None


async def _prove_own(live: LiveSale, shopper: UUID) -> list[Included]:
    assert live.card.lottery
    if not inclusion.is_prepared(live.card.lottery.root):
        await _preparing(live.card.id)
    return await in_thread(inclusion.prove_entries, live.card.id, shopper)


async def _prepare(sale: int) -> None:
    await in_thread_without_timeout(inclusion.prepare, sale)


_preparing = SingleFlight(_prepare)  # once for all shoppers who ask


# --- The page -------------------------------------------------------------------------------------


def _render(live: LiveSale, language: str, own: list[Included] | None) -> bytes:
    body = render_kept(live, language, "storefront/draw.html", _context)
    first = own[0].order.hex if own else ""
    return body.fill({"own": _render_own(live, language, own), "entry": first})


def _context(live: LiveSale) -> dict[str, object]:
    lottery = live.card.lottery
    assert lottery
    return {
        "live": live,
        "card": live.card,
        "lottery": lottery,
        "zone": live.card.time_zone,
        "record": record_of(live),
        "own": placeholder("own"),
        "entry": placeholder("entry"),
    }


def _render_own(live: LiveSale, language: str, own: list[Included] | None) -> str:
    if own == []:
        return ""
    context = {
        "card": live.card,
        "lottery": live.card.lottery,
        "unknown": own is None,
        "own": [(mine, reference(mine.order)) for mine in own or ()],
    }
    return render("storefront/_own_lots.html", language, context).fill({}).decode()
