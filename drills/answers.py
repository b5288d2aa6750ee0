"""Parses the shop's answers: a sale's page, the JSON reply to a click, a frame of the socket."""

import json
import re
import time
from typing import NamedTuple
from uuid import UUID

from drills.http import Answer
from drills.shopper_log import LOST, Reply

_SECTION = re.compile(r'<section id="buy-.*?</section>', re.S)
_TICKET = re.compile(r'name="ticket" value="([^"]+)"')
_PRODUCT = re.compile(r'name="product" value="([^"]+)"')
_PURCHASE = re.compile(r'id="purchase-([0-9a-f-]{36})"')
_MOST = re.compile(r' max="(\d+)"')
_LEFT = re.compile(r'id="stock-([^"]+)" class="stock" data-left="(\d+)"')
_OUTCOME = re.compile(r'id="purchase-([0-9a-f-]{36})" class="outcome" data-status="(\w+)"')


class Form(NamedTuple):
    """A variant that a page sells, with the ticket to buy it."""

    purchase: str
    ticket: str
    sku: str
    most: int  # units that one shopper may buy


class Page(NamedTuple):
    forms: list[Form]
    left: dict[str, int]  # units by sku


def parse_page(html: str) -> Page:
    """Parse the forms of a sale's page and the units left of each variant."""
    forms = [form for section in _SECTION.findall(html) for form in _parse_forms(section)]
    return Page(forms, {sku: int(left) for sku, left in _LEFT.findall(html)})


def _parse_forms(section: str) -> list[Form]:
    """One form per variant: a section may offer several on one ticket."""
    ticket, purchase = _TICKET.search(section), _PURCHASE.search(section)
    most = _MOST.search(section)
    if not (ticket and purchase and most):
        return []
    skus = _PRODUCT.findall(section)
    return [Form(purchase[1], ticket[1], sku, int(most[1])) for sku in skus]


def parse_frame(frame: str) -> list[tuple[str, str]]:
    """Parse purchase and status of each outcome in a socket's frame."""
    return _OUTCOME.findall(frame)


def parse_reply(answer: Answer, sent: float) -> Reply:
    """Parse the answer to a click that was sent at `sent`. LOST if it is not JSON: a proxy whose server
    is gone answers with a page of its own."""
    took = time.monotonic() - sent
    content = parse_json(answer)
    if not content:
        return Reply("", sent, took, answer.status, LOST)
    became, reason = content.get("status"), content.get("reason")
    wait = answer.header("retry-after")
    return Reply(
        "",
        sent,
        took,
        answer.status,
        code=str(content.get("error") or (reason if became == "refused" else became)),
        wait=float(wait) if wait.isdigit() else 0.0,
        purchase=_parse_uuid(content.get("purchase")),
        became=str(became or ""),
        reason=None if reason is None else str(reason),
    )


def parse_json(answer: Answer) -> dict[str, object]:
    """Parse a JSON object. Empty if the body is anything else."""
    try:
        content = json.loads(answer.body)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _parse_uuid(given: object) -> str:
    """Empty if it is no UUID."""
    try:
        return str(UUID(str(given)))
    except ValueError:
        return ""
