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
from flashsale.http.request import BodyTooLarge, Request
from flashsale.http.response import Header, Response, json_response, redirect
from flashsale.observe import logs, telemetry, tracing
from flashsale.observe.tracing import Step
from flashsale.redis.pipe import NotSent
from inventory.click_answers import BY_GATE_CODE, ClickAnswer
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
_IN_LINE, _DECIDED = ClickAnswer.QUEUED.status, ClickAnswer.KNOWN.status


class Refusal(Exception):
    """The request cannot be a click."""

    def __init__(self, answer: ClickAnswer, *headers: Header) -> None:
        super().__init__(answer.code)
        self.answer, self.headers = answer, headers


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
        telemetry.count_click(0, refusal.answer.counted)
        return _no_click(request, refusal)
    click = _click(request, live, fields)
    if click is None:
        telemetry.count_click(live.card.id, ClickAnswer.TICKET.counted)
        return _fresh_ticket(request, live, fields.get("product", ""))
    try:
        verdict = await _admit(click)
    except NotSent:
        return _unanswered(click, ClickAnswer.BUSY, "not asked")
    except redis.RedisError:
        return _unanswered(click, ClickAnswer.UNKNOWN, "unknown")
    if verdict.ring:
        bell.ring(live.card.id)
    decided = await _without_gate(click) if verdict.code == "not_ready" else verdict
    given = BY_GATE_CODE[decided.reason or decided.code]
    response = _answer(click, given, decided)
    _count(click, verdict, given, response.status, clicked_at)
    return response


# --- Reading the request ------------------------------------------------------------------------


async def _fields(request: Request) -> dict[str, str]:
    """The form's fields, each once."""
    if request.method != "POST":
        raise Refusal(ClickAnswer.METHOD, (b"allow", b"POST"))
    if request.header(b"content-type").partition(";")[0].strip().lower() != _FORM:
        raise Refusal(ClickAnswer.CONTENT_TYPE)
    if request.foreign:
        raise Refusal(ClickAnswer.ORIGIN)
    if not request.trustworthy:
        raise Refusal(ClickAnswer.INSECURE)
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
        raise Refusal(ClickAnswer.TOO_LARGE, (b"connection", b"close")) from error
    except ValueError as error:
        raise Refusal(ClickAnswer.BODY) from error
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise Refusal(ClickAnswer.BODY)
    return fields


async def _watch(slug: str) -> LiveSale:
    try:
        live = await feed.current().live_sale(slug)
    except (DatabaseError, TimeoutError) as error:
        raise Refusal(ClickAnswer.BUSY, RETRY) from error
    if live is None:
        raise Refusal(ClickAnswer.NOT_FOUND)
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


def _count(
    click: Click, verdict: Verdict, given: ClickAnswer, status: int, clicked_at: float
) -> None:
    """For the dashboard: how it was answered, and how soon."""
    telemetry.count_click(click.live.card.id, given.counted)
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
    return failure(request, refusal.answer, *headers)


def _unanswered(click: Click, given: ClickAnswer, step: str) -> Response:
    """503: the gate has not answered."""
    telemetry.count_click(click.live.card.id, given.counted)
    logs.log_step(step, sale=click.live.card.id, status=given.status)
    return _try_again(click, given)


async def _without_gate(click: Click) -> Verdict:
    """The gate of a finished sale is gone, and PostgreSQL knows every answer. Any other is cold."""
    if not click.live.card.finished:
        return Verdict("busy")
    try:
        order = await find_order(click.purchase)
    except (DatabaseError, TimeoutError):
        return Verdict("busy")
    if order is None:
        return Verdict("refused", reason="closed")
    answer = order.answer
    if answer.shopper != click.shopper.hex:
        return Verdict("foreign")
    same = (answer.sku, answer.quantity) == (click.sku, click.quantity)
    if not same and answer.reason != Order.Reason.ERROR:  # of a poison entry they were not kept
        return Verdict("reused", answer)
    return Verdict("known", answer)


def _answer(click: Click, given: ClickAnswer, verdict: Verdict) -> Response:
    if given.status in (409, 429):  # most of a rush; to name a member costs Python 3.11 some 0.2 µs
        return _refused(click, given, verdict.wait)
    match given:
        case ClickAnswer.QUEUED:
            return _accepted(click, click.answer("queued"))
        case ClickAnswer.KNOWN:
            assert verdict.answer is not None
            return _accepted(click, verdict.answer)
        case ClickAnswer.TICKET_REUSED:
            assert verdict.answer is not None
            return _reused(click, verdict.answer)
        case ClickAnswer.TICKET:
            return _fresh_ticket(click.request, click.live, click.sku)
        case ClickAnswer.BUSY:
            return _try_again(click, given)
    return _refused(click, given)


def _accepted(click: Click, answer: Answer) -> Response:
    """In line, or what has become of it: the same ticket gets the same answer for ever."""
    content = {"purchase": str(click.purchase), "status": answer.status}
    if answer.status != "queued":
        content["reason"] = answer.reason
    if answer.status == Order.Status.REJECTED and _wants_fragment(click.request):
        return render_settled(click.request, click.live, click.purchase, answer)
    status = _IN_LINE if answer.status == "queued" else _DECIDED
    ticket = click.ticket if answer.status == "queued" else ""
    return _shaped(click, status, content, lambda: _outcome(click, answer, ticket), _order(click))


def _reused(click: Click, answer: Answer) -> Response:
    code, status = ClickAnswer.TICKET_REUSED.code, ClickAnswer.TICKET_REUSED.status
    content = {"error": code, "purchase": str(click.purchase), "status": answer.status}
    reused = answer._replace(reason=code)
    if answer.status == Order.Status.REJECTED and _wants_fragment(click.request):
        return render_settled(click.request, click.live, click.purchase, reused, status)
    return _shaped(click, status, content, lambda: _outcome(click, reused), _order(click))


def _refused(click: Click, given: ClickAnswer, wait: int = 0) -> Response:
    """Nothing is used up: the same form may be sent again, where `wait` is given after so many ms."""
    headers = ((b"retry-after", str(-(-wait // 1000)).encode()),) if wait else ()
    code, status = given.code, given.status
    content = {"status": "refused", "reason": code} if status == 409 else {"error": code}
    # The notice is the same for every product and quantity, and kept as one.
    refused = click.answer("refused", code)._replace(sku="", quantity=0)
    to = f"/sales/{click.live.card.slug}/?message={code}"
    return _shaped(click, status, content, lambda: _outcome(click, refused), to, *headers)


def _try_again(click: Click, given: ClickAnswer) -> Response:
    """503: whether it was accepted is for the same ticket to find out."""
    request = click.request
    if request.wants_json:
        content = {"error": given.code}
        if given is ClickAnswer.UNKNOWN:
            content["purchase"] = str(click.purchase)
        return json_response(given.status, content, RETRY)
    if request.from_htmx:  # the page keeps its form, and sends it again
        notice = fragments.notice(given.code, request.language)
        return Response(given.status, notice.encode(), headers=(RETRY, fragments.INSIDE))
    page = fragments.retry_page(
        click.live, request.language, click.ticket, click.sku, click.quantity, given.code
    )
    return Response(given.status, page, headers=(RETRY,))


def _fresh_ticket(request: Request, live: LiveSale, sku: str) -> Response:
    """403: nothing is said about a ticket that is not this shopper's, but a page gets a new one."""
    code, status = ClickAnswer.TICKET.code, ClickAnswer.TICKET.status
    if request.wants_json:
        return json_response(status, {"error": code})
    cookie: tuple[Header, ...] = ()
    shopper = request.shopper
    if shopper is None:
        shopper = shoppers.new_shopper()
        cookie = (cookie_for(request, shopper),)
    if not request.from_htmx:
        return redirect(f"/sales/{live.card.slug}/?message={code}", *cookie)
    notice = fragments.notice(code, request.language)
    product = live.card.product(sku)
    if product is None:
        return Response(status, notice.encode(), headers=(*cookie, fragments.INSIDE))
    form = fragments.fresh_form(live, request.language, product, shopper, notice)
    return Response(status, form, headers=cookie)


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
