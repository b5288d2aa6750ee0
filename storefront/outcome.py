"""`GET /orders/<id>/`: the outcome of a purchase, for its shopper, and for who has its link."""

import re
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import redis
from django.db import DatabaseError

from flashsale.database import in_thread
from flashsale.http.request import Request
from flashsale.http.response import Response, json_response, redirect
from flashsale.observe import logs
from inventory.click_answers import ClickAnswer
from inventory.gate import admission
from inventory.gate.entries import Answer
from orders.models import Order
from orders.tickets import sale_of
from storefront import feed, fragments, order_access
from storefront.bought import Bought, recall
from storefront.given_back import GIVEN_BACK, mark_given_back
from storefront.live_sale import LiveSale
from storefront.outcome_fragment import render_outcome
from storefront.own_purchases import answer_of
from storefront.parcels import as_json as parcel_as_json
from storefront.parcels import find_parcel
from storefront.queue_places import find_before
from storefront.responses import RETRY, failure
from storefront.sale_json import describe_draw, moment_of
from storefront.story import as_json as story_as_json
from storefront.story import find_story

_KEY = re.compile(rb"(?:\A|&)key=([A-Za-z0-9_-]{22})(?:&|\Z)")
_ORDER_PAGE = re.compile(r"\A[a-z]+://[^/?#]*/orders/")


async def outcome(request: Request, purchase: str) -> Response:
    """Show the outcome as a page, as the fragment that sockets also bring, or as JSON."""
    if request.method not in ("GET", "HEAD"):
        return failure(request, ClickAnswer.METHOD, (b"allow", b"GET, HEAD"))
    if not request.trustworthy:
        return failure(request, ClickAnswer.INSECURE)
    number = read_number(purchase)
    if number is None:
        return not_found(request)
    if opened := _open_by_link(request, number):
        return opened
    has_key = order_access.has_key(request, number)
    if request.shopper is None and not has_key:
        return not_found(request)
    try:
        live = await feed.current().live_sale_by_id(sale_of(number))
        logs.bind_purchase(number)  # not before: the feed may start tasks that serve all requests
        found = await _find(number, live) if live else None
    except (DatabaseError, TimeoutError, _NotKnownNow):
        return failure(request, ClickAnswer.BUSY, RETRY)
    if live is None or found is None or not (has_key or _is_of(found, request)):
        return not_found(request)  # as for an id that does not exist
    answer = found.answer
    if request.wants_json:
        parcel = await find_parcel(number, answer.status, found.accepted_at)
        story = await find_story(live, number, answer)
        about = as_json(number, found) | parcel_as_json(parcel)
        return json_response(200, about | describe_draw(live) | story_as_json(story))
    answer = (await mark_given_back({number: answer}))[number]
    if request.from_htmx:
        if answer.status == "queued":
            return Response(204)  # nothing to swap: the box polls on
        before = await find_before({number: answer})
        return render_settled(
            request, live, number, answer, bought=found.bought, before=before.get(number)
        )
    parcel = await find_parcel(number, answer.status, found.accepted_at)
    page = fragments.render_order_page(
        live,
        request.language,
        number,
        answer,
        found.bought,
        found.accepted_at,
        parcel,
        await find_story(live, number, answer),
    )
    return Response(200, page)


def read_number(purchase: str) -> UUID | None:
    """The id of a purchase, however it is spelt; None if it is none, such as one of a cut-off link."""
    try:
        return UUID(purchase)
    except ValueError:
        return None


def not_found(request: Request) -> Response:
    """404, the same for another shopper's purchase and for an id that does not exist. It must not say that
    nothing was bought: its shopper may be asking from another device."""
    code = "not_on_this_device"
    if not request.wants_json:
        return failure(request, ClickAnswer.NOT_FOUND, text_code=code)
    content = {
        "error": ClickAnswer.NOT_FOUND.code,
        "message": fragments.render_reason(code, request.language),
    }
    return json_response(ClickAnswer.NOT_FOUND.status, content)


def render_settled(
    request: Request,
    live: LiveSale,
    purchase: UUID,
    answer: Answer,
    status: int = 200,
    bought: Bought | None = None,
    before: int | None = None,
) -> Response:
    """Render an outcome for htmx. A rejection used up the page's form, so it comes with a fresh one, and so
    does an entry that was taken back before the draw."""
    if answer.reason == Order.Reason.CHANGED:
        live.read_card_soon()  # this process accepted it, and so is behind
    box = render_outcome(
        live.card,
        request.language,
        purchase,
        answer,
        bought=bought,
        stage=live.stage,
        before=before,
    )
    variant = live.card.variant(answer.sku)
    again = answer.reason == GIVEN_BACK and live.stage == "entering"
    if (
        not (answer.status == Order.Status.REJECTED or again)
        or variant is None
        or request.shopper is None
    ):
        return Response(status, box)
    if _has_no_form(request):
        return Response(status, box)
    form = fragments.render_fresh_form(
        live, request.language, variant, request.shopper, before=box.decode()
    )
    return Response(status, form)


class Found(NamedTuple):
    """An answer with what it bought, None if that is unknown, and when it was accepted: None if the
    gate was rebuilt since."""

    answer: Answer
    bought: Bought | None
    accepted_at: datetime | None = None


async def find_order(purchase: UUID) -> Found | None:
    """Read the order of a purchase from PostgreSQL. Raises DatabaseError or TimeoutError."""
    return await in_thread(_find_order, purchase)


# --- Whose it is ----------------------------------------------------------------------------------


def _open_by_link(request: Request, purchase: UUID) -> Response | None:
    """Keep the key of a mailed link in a cookie that opens this order alone, and take it out of the
    address. None without a key, or with a wrong one, which says nothing."""
    found = _KEY.search(request.scope["query_string"])
    key = found[1].decode() if found else ""
    cookie = order_access.cookie_for(purchase, key, request.secure)
    if not cookie:
        return None
    return redirect(f"/orders/{purchase}/", (b"set-cookie", cookie.encode()))


def _is_of(found: Found, request: Request) -> bool:
    return any(found.answer.shopper == shopper.hex for shopper in request.own_shoppers)


# --- Finding the purchase -------------------------------------------------------------------------


class _NotKnownNow(Exception):
    """PostgreSQL has no order and the gate is not ready: the purchase may be in the line."""


async def _find(purchase: UUID, live: LiveSale) -> Found | None:
    """Ask the gate, then PostgreSQL. None if neither has the purchase. Raises _NotKnownNow,
    DatabaseError or TimeoutError."""
    try:
        answer, accepted_at, ready = await admission.read_answer(live.card.id, purchase)
    except (redis.RedisError, OSError):
        answer, accepted_at, ready = None, None, False
    if answer is not None:
        bought = await recall(live.card, {purchase: answer})
        return Found(answer, bought[purchase], accepted_at)
    order = await find_order(purchase)
    if order is None and not ready and not live.card.finished:
        raise _NotKnownNow
    return order


def _find_order(purchase: UUID) -> Found | None:
    order = Order.objects.filter(pk=purchase).first()
    if order is None:
        return None
    return Found(answer_of(order), Bought.of(order) if order.sku else None, order.accepted_at)


def _has_no_form(request: Request) -> bool:
    """Whether the box that asks has no form to replace: on the order's page, or in the list of the
    shopper's earlier purchases (`?own`)."""
    on_order_page = _ORDER_PAGE.match(request.header(b"hx-current-url")) is not None
    return on_order_page or request.scope["query_string"] == b"own"


def as_json(purchase: UUID, found: Found) -> dict[str, object]:
    """The outcome for programs."""
    answer, bought = found.answer, found.bought
    price = bought.unit_price if bought else 0
    held: dict[str, str] = {}
    if answer.hold_until:
        held["hold_until"] = moment_of(answer.hold_until)
        held["checkout"] = f"/orders/{purchase}/checkout/"
    return {
        "purchase": str(purchase),
        "status": answer.status,
        **held,
        "reason": answer.reason,
        "product": answer.sku,
        "quantity": answer.quantity,
        "unit_price": price,
        "total": price * answer.quantity,
        "currency": bought.currency if bought else "",
    }
