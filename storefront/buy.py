"""`POST /sales/<slug>/buy`: one click.

Each answer has three shapes: a fragment for a page, JSON for a program, a redirect for a form without
JavaScript. The table of them all is in `docs/purchase-path.md`.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl
from uuid import UUID

import redis
from django.conf import settings
from django.db import DatabaseError

from flashsale.http import shoppers
from flashsale.http.endpoint import BodyTooLarge, Header, Request, Response, json_response, redirect
from flashsale.observe import logs, telemetry, tracing
from flashsale.observe.tracing import Step
from flashsale.redis.pipe import NotSent
from inventory.gate import admission
from inventory.gate.entries import Answer, Verdict
from inventory.models import MOST_UNITS
from orders import bell, tickets
from orders.models import Order
from storefront import feed, fragments
from storefront.live_sale import LiveSale
from storefront.outcome import find_order, render_settled
from storefront.responses import RETRY, cookie_for, failure

MOST_BYTES = 4096
_FORM = "application/x-www-form-urlencoded"


class Refusal(Exception):
    """The request cannot be a click: a status and a code of the contract."""

    def __init__(self, status: int, code: str, *headers: Header) -> None:
        super().__init__(code)
        self.status, self.code, self.headers = status, code, headers


@dataclass(frozen=True, slots=True)
class Click:
    """A buy with a ticket that we have made for its shopper."""

    request: Request
    live: LiveSale
    purchase: UUID
    shopper: UUID
    ticket: str
    sku: str
    quantity: int

    def answer(self, status: str, reason: str = "") -> Answer:
        return Answer(status, reason, self.shopper.hex, self.sku, self.quantity)


async def buy(request: Request, slug: str) -> Response:
    """Decides one click and answers it."""
    clicked_at = time.perf_counter()
    try:
        fields = await _fields(request)
        live = await _watch(slug)
    except Refusal as refusal:
        telemetry.count_click(0, "invalid" if refusal.status < 500 else "error")
        return _no_click(request, refusal)
    click = _click(request, live, fields)
    if click is None:
        telemetry.count_click(live.card.id, "invalid")
        return _fresh_ticket(request, live, fields.get("product", ""))
    try:
        verdict = await _admit(click)
    except NotSent:
        telemetry.count_click(live.card.id, "error")
        logs.log_step("not asked", sale=live.card.id, status=503)
        return _try_again(click, {"error": "busy"}, "busy")
    except redis.RedisError:
        telemetry.count_click(live.card.id, "error")
        logs.log_step("unknown", sale=live.card.id, status=503)
        return _try_again(click, {"error": "unknown", "purchase": str(click.purchase)}, "unknown")
    if verdict.ring:
        bell.ring(live.card.id)
    response = await _answer(click, verdict)
    _count(click, verdict, response.status, clicked_at)
    return response


# --- Reading the request ------------------------------------------------------------------------


async def _fields(request: Request) -> dict[str, str]:
    """The form's fields, each once."""
    if request.method != "POST":
        raise Refusal(405, "method", (b"allow", b"POST"))
    if request.header(b"content-type").partition(";")[0].strip().lower() != _FORM:
        raise Refusal(415, "content_type")
    if request.foreign:
        raise Refusal(403, "origin")
    if not request.trustworthy:
        raise Refusal(403, "insecure")
    try:
        body = await request.body(MOST_BYTES)
        pairs = parse_qsl(
            body.decode(),
            keep_blank_values=True,
            strict_parsing=bool(body),
            max_num_fields=16,
            errors="strict",
        )
    except BodyTooLarge as error:
        raise Refusal(413, "too_large", (b"connection", b"close")) from error
    except ValueError as error:
        raise Refusal(422, "body") from error
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise Refusal(422, "body")
    return fields


async def _watch(slug: str) -> LiveSale:
    try:
        live = await feed.current().live_sale(slug)
    except (DatabaseError, TimeoutError) as error:
        raise Refusal(503, "busy", RETRY) from error
    if live is None:
        raise Refusal(404, "not_found")
    return live


def _click(request: Request, live: LiveSale, fields: dict[str, str]) -> Click | None:
    """The click, if the ticket is ours and its shopper's."""
    ticket, shopper = fields.get("ticket", ""), request.shopper
    purchase = tickets.purchase_on(ticket, live.card.id, shopper) if shopper else None
    if shopper is None or purchase is None:
        return None
    units = _units(fields.get("quantity", "1"))
    logs.bind_purchase(purchase)
    return Click(request, live, purchase, shopper, ticket, fields.get("product", ""), units)


def _units(quantity: str) -> int:
    """A whole number from 1 up; 0 for what is none, or absurd: the gate refuses it, but only where the
    ticket has not bought something already."""
    plain = quantity.isascii() and quantity.isdigit() and len(quantity) < 9
    return int(quantity) if plain and int(quantity) <= MOST_UNITS else 0


async def _admit(click: Click) -> Verdict:
    return await admission.admit(
        click.live.card.id,
        click.purchase,
        click.shopper,
        click.sku,
        click.quantity,
        click.request.address,
        per_shopper=settings.RATE_PER_SHOPPER,
        per_address=settings.RATE_PER_ADDRESS,
        bound=settings.LINE_BOUND,
    )


_COUNTED = {
    "queued": "accepted",
    "known": "repeated",
    "reused": "invalid",
    "rate_limited": "rate",
    "product": "invalid",
    "quantity": "invalid",
    "foreign": "invalid",
    "sold_out": "sold_out",
    "not_enough": "sold_out",
    "limit": "limit",
    "closed": "closed",
    "not_open": "closed",
    "paused": "closed",
}


_COUNTED_WITHOUT_GATE = {
    200: "repeated",
    303: "closed",
    409: "closed",
    403: "invalid",
    422: "invalid",
}


def _count(click: Click, verdict: Verdict, status: int, clicked_at: float) -> None:
    """For the dashboard: how it was answered, and how soon."""
    counted = _COUNTED.get(verdict.reason or verdict.code, "error")
    if verdict.code == "not_ready":  # decided by PostgreSQL, where the sale is finished
        counted = _COUNTED_WITHOUT_GATE.get(status, "error")
    telemetry.count_click(click.live.card.id, counted)
    logs.log_step(verdict.code, sale=click.live.card.id, reason=verdict.reason, status=status)
    tracing.write_spans("click", _clicked(click, verdict, status, clicked_at))
    if verdict.code == "queued":
        telemetry.count_accepted(click.purchase.hex, clicked_at)


def _clicked(click: Click, verdict: Verdict, status: int, clicked_at: float) -> Iterator[Step]:
    about = {"answer": verdict.code, "reason": verdict.reason}
    took = time.perf_counter() - clicked_at
    yield Step(click.purchase, took, {**about, "sale": click.live.card.id, "status": status})


# --- Answering ----------------------------------------------------------------------------------


def _no_click(request: Request, refusal: Refusal) -> Response:
    headers = (*refusal.headers, fragments.INSIDE) if request.from_htmx else refusal.headers
    return failure(request, refusal.status, refusal.code, *headers)


async def _answer(click: Click, verdict: Verdict) -> Response:
    match verdict.code:
        case "queued":
            return _accepted(click, click.answer("queued"))
        case "known":
            assert verdict.answer is not None
            return _accepted(click, verdict.answer)
        case "reused":
            assert verdict.answer is not None
            return _reused(click, verdict.answer)
        case "refused":
            content = {"status": "refused", "reason": verdict.reason}
            return _refused(click, 409, content, verdict.reason)
        case "rate_limited":
            wait = str(-(-verdict.wait // 1000)).encode()
            content = {"error": "rate_limited"}
            return _refused(click, 429, content, "rate_limited", (b"retry-after", wait))
        case "product" | "quantity":
            return _refused(click, 422, {"error": verdict.code}, verdict.code)
        case "foreign":
            return _fresh_ticket(click.request, click.live, click.sku)
        case "not_ready":
            return await _without_gate(click)
    return _try_again(click, {"error": "busy"}, "busy")


async def _without_gate(click: Click) -> Response:
    """The gate of a finished sale is gone, and PostgreSQL knows every answer. Any other is cold."""
    if not click.live.card.finished:
        return _try_again(click, {"error": "busy"}, "busy")
    try:
        order = await find_order(click.purchase)
    except (DatabaseError, TimeoutError):
        return _try_again(click, {"error": "busy"}, "busy")
    if order is None:
        return _refused(click, 409, {"status": "refused", "reason": "closed"}, "closed")
    answer = order.answer
    if answer.shopper != click.shopper.hex:
        return _fresh_ticket(click.request, click.live, click.sku)
    same = (answer.sku, answer.quantity) == (click.sku, click.quantity)
    if not same and answer.reason != Order.Reason.ERROR:  # of a poison entry they were not kept
        return _reused(click, answer)
    return _accepted(click, answer)


def _accepted(click: Click, answer: Answer) -> Response:
    """In line, or what has become of it: the same ticket gets the same answer for ever."""
    content = {"purchase": str(click.purchase), "status": answer.status}
    if answer.status != "queued":
        content["reason"] = answer.reason
    if answer.status == Order.Status.REJECTED and _wants_fragment(click.request):
        return render_settled(click.request, click.live, click.purchase, answer)
    status = 202 if answer.status == "queued" else 200
    ticket = click.ticket if answer.status == "queued" else ""
    return _shaped(click, status, content, lambda: _outcome(click, answer, ticket), _order(click))


def _reused(click: Click, answer: Answer) -> Response:
    content = {
        "error": "ticket_reused",
        "purchase": str(click.purchase),
        "status": answer.status,
    }
    reused = answer._replace(reason="ticket_reused")
    if answer.status == Order.Status.REJECTED and _wants_fragment(click.request):
        return render_settled(click.request, click.live, click.purchase, reused, 422)
    return _shaped(click, 422, content, lambda: _outcome(click, reused), _order(click))


def _refused(
    click: Click, status: int, content: dict[str, Any], code: str, *headers: Header
) -> Response:
    """Nothing is used up: the same form may be sent again."""
    # The notice is the same for every product and quantity, and kept as one.
    refused = click.answer("refused", code)._replace(sku="", quantity=0)
    to = f"/sales/{click.live.card.slug}/?message={code}"
    return _shaped(click, status, content, lambda: _outcome(click, refused), to, *headers)


def _try_again(click: Click, content: dict[str, Any], code: str) -> Response:
    """503: whether it was accepted is for the same ticket to find out."""
    request = click.request
    if request.wants_json:
        return json_response(503, content, RETRY)
    if request.from_htmx:  # the page keeps its form, and sends it again
        notice = fragments.notice(code, request.language)
        return Response(503, notice.encode(), headers=(RETRY, fragments.INSIDE))
    page = fragments.retry_page(
        click.live, request.language, click.ticket, click.sku, click.quantity, code
    )
    return Response(503, page, headers=(RETRY,))


def _fresh_ticket(request: Request, live: LiveSale, sku: str) -> Response:
    """403: nothing is said about a ticket that is not this shopper's, but a page gets a new one."""
    if request.wants_json:
        return json_response(403, {"error": "ticket"})
    cookie: tuple[Header, ...] = ()
    shopper = request.shopper
    if shopper is None:
        shopper = shoppers.new_shopper()
        cookie = (cookie_for(request, shopper),)
    if not request.from_htmx:
        return redirect(f"/sales/{live.card.slug}/?message=ticket", *cookie)
    notice = fragments.notice("ticket", request.language)
    product = live.card.product(sku)
    if product is None:
        return Response(403, notice.encode(), headers=(*cookie, fragments.INSIDE))
    form = fragments.fresh_form(live, request.language, product, shopper, notice)
    return Response(403, form, headers=cookie)


def _shaped(
    click: Click,
    status: int,
    content: dict[str, Any],
    fragment: Callable[[], bytes],
    to: str,
    *headers: Header,
) -> Response:
    if click.request.wants_json:
        return json_response(status, content, *headers)
    if click.request.from_htmx:
        return Response(status, fragment(), headers=headers)
    return redirect(to)


def _outcome(click: Click, answer: Answer, ticket: str = "") -> bytes:
    return fragments.outcome(click.live, click.request.language, click.purchase, answer, ticket)


def _order(click: Click) -> str:
    return f"/orders/{click.purchase}/"


def _wants_fragment(request: Request) -> bool:
    return request.from_htmx and not request.wants_json
