"""`POST /sales/<slug>/buy`: one click.

`click_form.py` reads it, `click_responses.py` answers it.
"""

import time
from collections.abc import Iterator
from functools import cache

import redis
from django.conf import settings
from django.db import DatabaseError

from flashsale.http.request import Request
from flashsale.http.response import Response
from flashsale.observe import logs, telemetry, tracing
from flashsale.observe.tracing import Step
from flashsale.redis.pipe import NotSent
from inventory.click_answers import BY_GATE_CODE, ClickAnswer
from inventory.gate import admission
from inventory.gate.entries import Answer, Verdict
from orders import bell, networks
from orders.models import Order
from storefront import click_responses, entrants, feed
from storefront.click_form import Click, EarlyAnswer, lacks_cookies, read_click, read_fields
from storefront.live_sale import LiveSale
from storefront.outcome import find_order
from storefront.responses import RETRY


async def buy(request: Request, slug: str) -> Response:
    """Decide one click and answer it."""
    clicked_at = time.perf_counter()
    try:
        fields = await read_fields(request)
        live = await _find_live_sale(slug)
    except EarlyAnswer as early:
        telemetry.count_click(0, early.answer.counted)
        return click_responses.answer_early(request, early)
    click = read_click(request, live, fields)
    if click is None:
        answer = ClickAnswer.COOKIES if lacks_cookies(request, fields) else ClickAnswer.TICKET
        telemetry.count_click(live.card.id, answer.counted)
        return click_responses.give_fresh_ticket(request, live, fields.get("product", ""), answer)
    lack = entrants.find_lack(request, live, click.shopper) if live.card.entrants else None
    try:
        verdict = await (_look_up(click) if lack else _admit(click))
    except NotSent:
        return _answer_without_verdict(click, ClickAnswer.BUSY, "not asked")
    except redis.RedisError:
        return _answer_without_verdict(click, ClickAnswer.UNKNOWN, "unknown")
    if verdict.ring:
        bell.ring(live.card.id)
    decided = await _decide_without_gate(click) if verdict.code == "not_ready" else verdict
    refused = lack if decided.code == "refused" else None
    answer = refused or BY_GATE_CODE[decided.reason or decided.code]
    response = click_responses.respond(click, answer, decided)
    _count(click, verdict, answer, response.status, clicked_at)
    return response


async def _find_live_sale(slug: str) -> LiveSale:
    try:
        live = await feed.current().live_sale(slug)
    except (DatabaseError, TimeoutError) as error:
        raise EarlyAnswer(ClickAnswer.BUSY, RETRY) from error
    if live is None:
        raise EarlyAnswer(ClickAnswer.NOT_FOUND)
    return live


async def _admit(click: Click) -> Verdict:
    card, address = click.live.card, click.request.address
    return await admission.admit(
        card.id,
        click.purchase,
        click.shopper,
        click.sku,
        click.quantity,
        address,
        **_bounds(),
        shown=click.shown,
        network=networks.network_of(card.id, address) if card.hold_minutes else "",
        networks=networks.list_networks(card.id, address) if click.live.bounds_networks else (),
    )


async def _look_up(click: Click) -> Verdict:
    """Refuse a click without the sale's proof. A ticket that was used while the browser had it gets its
    one answer. Raises as `_admit`."""
    found, _, ready = await admission.read_answer(click.live.card.id, click.purchase)
    if found is None:
        return Verdict("refused" if ready else "not_ready")
    return _repeat(click, found)


@cache
def _bounds() -> dict[str, int]:
    """Read once: each setting costs a click almost a microsecond."""
    return {
        "per_shopper": settings.RATE_PER_SHOPPER,
        "per_address": settings.RATE_PER_ADDRESS,
        "bound": settings.LINE_BOUND,
    }


def _answer_without_verdict(click: Click, answer: ClickAnswer, step: str) -> Response:
    telemetry.count_click(click.live.card.id, answer.counted)
    logs.log_step(step, sale=click.live.card.id, status=answer.status)
    return click_responses.ask_to_retry(click, answer)


async def _decide_without_gate(click: Click) -> Verdict:
    """Answer from PostgreSQL if the sale is finished: then its gate is purged, and every purchase is
    an order. In any other sale a gate that is not ready is busy."""
    if not click.live.card.finished:
        return Verdict("busy")
    try:
        order = await find_order(click.purchase)
    except (DatabaseError, TimeoutError):
        return Verdict("busy")
    if order is None:
        return Verdict("refused", reason="closed")
    return _repeat(click, order.answer)


def _repeat(click: Click, answer: Answer) -> Verdict:
    """The verdict on a ticket that was used, from its answer."""
    if answer.shopper != click.shopper.hex:
        return Verdict("foreign")
    same = (answer.sku, answer.quantity) == (click.sku, click.quantity)
    # The order of a corrupt entry lacks variant and quantity: there is nothing to compare.
    if not same and answer.reason != Order.Reason.ERROR:
        return Verdict("reused", answer)
    return Verdict("known", answer)


def _count(
    click: Click, verdict: Verdict, answer: ClickAnswer, status: int, clicked_at: float
) -> None:
    """Record the answer and its latency for the dashboard, the log and the traces."""
    telemetry.count_click(click.live.card.id, answer.counted)
    logs.log_step(verdict.code, sale=click.live.card.id, reason=verdict.reason, status=status)
    tracing.write_spans("click", _make_steps(click, verdict, status, clicked_at))
    if verdict.code == "queued":
        telemetry.count_accepted(click.purchase.hex, clicked_at)


def _make_steps(click: Click, verdict: Verdict, status: int, clicked_at: float) -> Iterator[Step]:
    about = {"answer": verdict.code, "reason": verdict.reason}
    took = time.perf_counter() - clicked_at
    yield Step(click.purchase, took, {**about, "sale": click.live.card.id, "status": status})
