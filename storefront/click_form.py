"""Reading a click: the form of `POST /sales/<slug>/buy`, its ticket and its shopper."""

from typing import NamedTuple
from urllib.parse import parse_qsl
from uuid import UUID

from flashsale.http import shoppers
from flashsale.http.request import BodyTooLarge, Request
from flashsale.http.response import Header
from flashsale.observe import logs
from inventory.click_answers import ClickAnswer
from inventory.gate.entries import Answer
from inventory.models import MOST_UNITS
from orders import tickets
from orders.tickets import Ticket
from storefront.live_sale import LiveSale

_MOST_BYTES = 4096
_MOST_FIELDS = 16
_FORM = "application/x-www-form-urlencoded"


class EarlyAnswer(Exception):
    """The request is answered without asking the gate: with `answer` and `headers`."""

    def __init__(self, answer: ClickAnswer, *headers: Header) -> None:
        super().__init__(answer.code)
        self.answer, self.headers = answer, headers


class Click(NamedTuple):
    """A click with a valid ticket, sent by the shopper of the ticket. `quantity` is 0 if invalid."""

    request: Request
    live: LiveSale
    purchase: UUID
    shopper: UUID
    ticket: str
    sku: str
    quantity: int
    shown: str  # for `admission.admit`

    def make_answer(self, status: str, reason: str = "") -> Answer:
        """The answer with that status to this click."""
        return Answer(status, reason, self.shopper.hex, self.sku, self.quantity)


async def read_fields(request: Request) -> dict[str, str]:
    """Read the form's fields. Raises EarlyAnswer, also if a field occurs twice."""
    _check_headers(request)
    pairs = await _read_pairs(request)
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise EarlyAnswer(ClickAnswer.BODY)
    return fields


def read_click(request: Request, live: LiveSale, fields: dict[str, str]) -> Click | None:
    """Verify the ticket; None if it is missing, forged, or made for another shopper or sale."""
    ticket, shopper = fields.get("ticket", ""), request.shopper
    if shopper is None:
        return None
    found = tickets.read_ticket(ticket, live.card.id, shopper)
    if found is None:
        found = _find_on_first_pages(request, live, ticket)
    if found is None:
        return None
    quantity = _parse_quantity(fields.get("quantity", "1"))
    sku = fields.get("product", "")
    shown = live.card.shown.at_click(sku, found.shown)
    logs.bind_purchase(found.purchase)
    return Click(request, live, found.purchase, shopper, ticket, sku, quantity, shown)


def lacks_cookies(request: Request, fields: dict[str, str]) -> bool:
    """Whether a page made this form, and its browser did not keep the cookie that came with the page."""
    return request.sent_no_shopper and tickets.looks_like_one(fields.get("ticket", ""))


def _find_on_first_pages(request: Request, live: LiveSale, ticket: str) -> Ticket | None:
    """The ticket on the form of a first page that this browser opened at the same time as another: the
    form was made for the id in that page's own cookie. Its shopper is the one of all these pages."""
    for shopper in shoppers.shoppers_of_first_pages(request.cookies, request.secure):
        if found := tickets.read_ticket(ticket, live.card.id, shopper):
            return found
    return None


def _check_headers(request: Request) -> None:
    if request.method != "POST":
        raise EarlyAnswer(ClickAnswer.METHOD, (b"allow", b"POST"))
    if request.header(b"content-type").partition(";")[0].strip().lower() != _FORM:
        raise EarlyAnswer(ClickAnswer.CONTENT_TYPE)
    if request.foreign:
        raise EarlyAnswer(ClickAnswer.ORIGIN)
    if not request.trustworthy:
        raise EarlyAnswer(ClickAnswer.INSECURE)


async def _read_pairs(request: Request) -> list[tuple[str, str]]:
    try:
        body = await request.body(_MOST_BYTES)
        return parse_qsl(
            body.decode(),
            keep_blank_values=True,
            strict_parsing=bool(body),
            max_num_fields=_MOST_FIELDS,
            errors="strict",
        )
    except BodyTooLarge as error:
        raise EarlyAnswer(ClickAnswer.TOO_LARGE, (b"connection", b"close")) from error
    except ValueError as error:
        raise EarlyAnswer(ClickAnswer.BODY) from error


def _parse_quantity(quantity: str) -> int:
    """Units; 0 if invalid: the gate answers `quantity`, after the idempotency check."""
    plain = quantity.isascii() and quantity.isdigit() and len(quantity) < 9
    return int(quantity) if plain and int(quantity) <= MOST_UNITS else 0
