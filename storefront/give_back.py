"""`POST /orders/<id>/give-back`: a shopper gives a hold back, takes an entry back, or leaves a queue."""

from uuid import UUID

from django.db import DatabaseError

from flashsale.database import in_thread
from flashsale.http.request import Request
from flashsale.http.response import Response, json_response, redirect
from flashsale.observe import logs
from inventory.click_answers import ClickAnswer
from orders import cancellation, tickets
from orders.changes import NotPossible, NotReplicated
from orders.models import Order
from storefront import click_responses, feed, order_access
from storefront.click_form import EarlyAnswer, lacks_cookies, read_fields
from storefront.given_back import mark_given_back
from storefront.outcome import (
    Found,
    as_json,
    find_order,
    not_found,
    read_number,
    render_settled,
)
from storefront.responses import RETRY, failure

_CONFLICT = 409


async def give_back(request: Request, purchase: str) -> Response:
    """Give the hold back, or the entry, and show the outcome. The ticket of the purchase proves whose it
    is, or the key of the order's link; sent twice, the form gets the same answer. 409 with the outcome if
    the order is neither held nor waiting any more, or while it is drawn."""
    try:
        fields = await read_fields(request)
    except EarlyAnswer as early:
        return click_responses.answer_early(request, early)
    number = read_number(purchase)
    if number is None:
        return not_found(request)
    if not _is_proven(request, number, fields.get("ticket", "")):
        lost = lacks_cookies(request, fields)
        return failure(request, ClickAnswer.COOKIES if lost else ClickAnswer.TICKET)
    logs.bind_purchase(number)
    try:
        given = await in_thread(_give_back, number)
        found = await find_order(number)
    except (DatabaseError, TimeoutError):
        return failure(request, ClickAnswer.BUSY, RETRY)
    if found is None:
        return not_found(request)
    return await _show(request, number, found, 200 if given else _CONFLICT)


def _is_proven(request: Request, purchase: UUID, ticket: str) -> bool:
    """Browsers send the key's cookie with forms of the shop's own pages only (SameSite)."""
    if order_access.has_key(request, purchase):
        return True
    sale = tickets.sale_of(purchase)
    found = (tickets.read_ticket(ticket, sale, shopper) for shopper in request.own_shoppers)
    return any(each is not None and each.purchase == purchase for each in found)


def _give_back(purchase: UUID) -> bool:
    """Whether the order is cancelled now."""
    try:
        cancellation.give_back(purchase)
    except (NotPossible, Order.DoesNotExist):
        return False
    except NotReplicated:
        pass  # it is committed, and the caretaker replicates it
    return True


async def _show(request: Request, purchase: UUID, found: Found, status: int) -> Response:
    if request.wants_json:
        drawing = found.answer.status == Order.Status.WAITING
        error = {} if status == 200 else {"error": "drawing" if drawing else "not_held"}
        return json_response(status, error | as_json(purchase, found))
    live = await feed.current().live_sale_by_id(tickets.sale_of(purchase))
    if request.from_htmx and live:
        answer = (await mark_given_back({purchase: found.answer}))[purchase]
        return render_settled(request, live, purchase, answer, status, found.bought)
    return redirect(f"/orders/{purchase}/")
