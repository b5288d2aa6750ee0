"""Answering a click: each answer as JSON, as an HTML fragment for htmx, or as a redirect (303).

`docs/purchase-path.md` lists all answers with their shapes.
"""

from collections.abc import Callable
from typing import Any

from flashsale.http.request import Request
from flashsale.http.response import Header, Response, json_response, redirect
from inventory.click_answers import ClickAnswer
from inventory.gate.entries import Answer, Verdict
from orders.models import Order
from storefront import entrants, fragments
from storefront.click_form import Click, EarlyAnswer
from storefront.live_sale import LiveSale
from storefront.outcome import render_settled
from storefront.outcome_fragment import render_outcome
from storefront.responses import RETRY, failure, shopper_and_cookie
from storefront.sale_json import describe_offer, moment_of

# Makes htmx put a notice inside the outcome's box, not in its place: the next click needs the box.
_INSIDE = (b"hx-reswap", b"innerHTML")

# Naming an enum's member costs Python 3.11 some 0.2 µs, and every click would pay it.
_QUEUED, _KNOWN, _TICKET = ClickAnswer.QUEUED, ClickAnswer.KNOWN, ClickAnswer.TICKET


def respond(click: Click, answer: ClickAnswer, verdict: Verdict) -> Response:
    """Shape the answer to a decided click. `verdict.answer` is set for KNOWN and TICKET_REUSED."""
    # Looked up by code: hashing an enum's member would cost more than the whole look-up.
    return _RESPONDERS.get(answer.code, _refuse)(click, answer, verdict)


def answer_early(request: Request, early: EarlyAnswer) -> Response:
    """Answer a request without asking the gate."""
    headers = (*early.headers, _INSIDE) if request.from_htmx else early.headers
    return failure(request, early.answer, *headers)


def ask_to_retry(click: Click, answer: ClickAnswer) -> Response:
    """503 with the same ticket: after BUSY nothing has happened; after UNKNOWN the purchase may be in
    the line, and sending the ticket again finds out."""
    request = click.request
    if request.wants_json:
        content = {"error": answer.code}
        if answer is ClickAnswer.UNKNOWN:
            content["purchase"] = str(click.purchase)
        return json_response(answer.status, content, RETRY)
    if request.from_htmx:  # the page keeps its form, and sends it again
        notice = fragments.render_notice(answer.code, request.language)
        return Response(answer.status, notice.encode(), headers=(RETRY, _INSIDE))
    page = fragments.render_retry_page(
        click.live, request.language, click.ticket, click.sku, click.quantity, answer.code
    )
    return Response(answer.status, page, headers=(RETRY,))


def give_fresh_ticket(
    request: Request, live: LiveSale, sku: str, answer: ClickAnswer = _TICKET
) -> Response:
    """403 for a ticket that is not this shopper's, or that came without a cookie. Says nothing about
    that ticket; a page gets a form with a new one, a browser without a cookie gets one once more."""
    code, status = answer.code, answer.status
    shopper, cookie = shopper_and_cookie(request)
    if request.wants_json:
        return json_response(status, {"error": code}, *cookie)
    if not request.from_htmx:
        return redirect(f"/sales/{live.card.slug}/?message={code}", *cookie)
    notice = fragments.render_notice(code, request.language)
    variant = live.card.variant(sku)
    if variant is None:
        return Response(status, notice.encode(), headers=(*cookie, _INSIDE))
    form = fragments.render_fresh_form(live, request.language, variant, shopper, before=notice)
    return Response(status, form, headers=cookie)


# --- Responders -----------------------------------------------------------------------------------


def _show_queued(click: Click, answer: ClickAnswer, verdict: Verdict) -> Response:
    return _show_purchase(click, click.make_answer("queued"))


def _repeat_known(click: Click, answer: ClickAnswer, verdict: Verdict) -> Response:
    assert verdict.answer is not None
    return _show_purchase(click, verdict.answer)


def _show_purchase(click: Click, found: Answer) -> Response:
    """202 for a queued purchase, 200 for a decided one: the same ticket always gets its one answer."""
    queued = found.status == "queued"
    content = {"purchase": str(click.purchase), "status": found.status}
    if not queued:
        content["reason"] = found.reason
    if found.hold_until:
        content["hold_until"] = moment_of(found.hold_until)
    if found.status == Order.Status.REJECTED and _wants_fragment(click.request):
        return render_settled(click.request, click.live, click.purchase, found)
    status = _QUEUED.status if queued else _KNOWN.status
    # The fragment of a queued purchase holds its form: the page sends it again if Redis lost the entry.
    ticket = click.ticket if queued else ""
    return _shape(
        click, status, content, lambda: _outcome(click, found, ticket), _order_page(click)
    )


def _answer_reused_ticket(click: Click, answer: ClickAnswer, verdict: Verdict) -> Response:
    found, code, status = verdict.answer, answer.code, answer.status
    assert found is not None
    content = {"error": code, "purchase": str(click.purchase), "status": found.status}
    reused = found._replace(reason=code)
    if found.status == Order.Status.REJECTED and _wants_fragment(click.request):
        return render_settled(click.request, click.live, click.purchase, reused, status)
    return _shape(click, status, content, lambda: _outcome(click, reused), _order_page(click))


def _answer_foreign_ticket(click: Click, answer: ClickAnswer, verdict: Verdict) -> Response:
    return give_fresh_ticket(click.request, click.live, click.sku)


def _say_busy(click: Click, answer: ClickAnswer, verdict: Verdict) -> Response:
    return ask_to_retry(click, answer)


def _refuse(click: Click, answer: ClickAnswer, verdict: Verdict) -> Response:
    """A refusal leaves the ticket unused; after RATE_LIMITED it may be sent again in `verdict.wait` ms."""
    code, status = answer.code, answer.status
    seconds = -(-verdict.wait // 1000)
    headers = ((b"retry-after", str(seconds).encode()),) if seconds else ()
    content = {"status": "refused", "reason": code} if status == 409 else {"error": code}
    if see := entrants.page_for(answer, click.live.card):
        content["see"] = see
    # Without variant and quantity, one cached fragment serves all refusals of a kind.
    refused = click.make_answer("refused", code)._replace(sku="", quantity=0)
    to = f"/sales/{click.live.card.slug}/?message={code}"
    return _shape(click, status, content, lambda: _outcome(click, refused), to, *headers)


def _show_change(click: Click, answer: ClickAnswer, verdict: Verdict) -> Response:
    """Refuse a form that showed something else than is sold now, with the present offer and a fresh
    form: the old ticket stays bound to what its form showed."""
    click.live.read_card_soon()  # this process may be the one that is behind
    variant = click.live.card.variant(click.sku)
    if click.request.wants_json:
        content = {"status": "refused", "reason": answer.code}
        return json_response(answer.status, content | describe_offer(click.live, click.shopper))
    if not click.request.from_htmx or variant is None:
        return _refuse(click, answer, verdict)
    refusal = click.make_answer("refused", answer.code)._replace(sku="", quantity=0)
    form = fragments.render_fresh_form(
        click.live, click.request.language, variant, click.shopper, refusal=refusal
    )
    return Response(answer.status, form)


# Any other answer is a refusal.
_RESPONDERS: dict[str, Callable[[Click, ClickAnswer, Verdict], Response]] = {
    ClickAnswer.QUEUED.code: _show_queued,
    ClickAnswer.KNOWN.code: _repeat_known,
    ClickAnswer.TICKET_REUSED.code: _answer_reused_ticket,
    ClickAnswer.TICKET.code: _answer_foreign_ticket,
    ClickAnswer.CHANGED.code: _show_change,
    ClickAnswer.BUSY.code: _say_busy,
}


# --- Shapes ---------------------------------------------------------------------------------------


def _shape(
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
    return render_outcome(
        click.live.card,
        click.request.language,
        click.purchase,
        answer,
        ticket=ticket,
        stage=click.live.stage if answer.status != "queued" else "",
    )


def _order_page(click: Click) -> str:
    return f"/orders/{click.purchase}/"


def _wants_fragment(request: Request) -> bool:
    return request.from_htmx and not request.wants_json
