"""The three shapes of every answer to a click, and what each of them must hold."""

import base64
import re
from dataclasses import replace
from uuid import UUID

import httpx
import pytest

from inventory.gate import replica
from inventory.gate.state import View
from inventory.models import Sale
from tests.cast import HTMX, JSON, PAGE, Shopper

SHAPES = {"json": JSON, "htmx": HTMX, "form": PAGE}
in_each_shape = pytest.mark.parametrize("shape", SHAPES)

# A few words of what a shopper reads.
WORDS = {
    "sold_out": "Sold out",
    "not_enough": "Fewer are left",
    "paused": "paused",
    "not_open": "not opened yet",
    "closed": "over",
    "changed": "has changed since",
    "entered": "in the draw already",
    "drawing": "takes no more entries",
    "limit": "more than one shopper may buy",
    "network": "more than this sale allows from one network",
    "rate_limited": "too fast",
    "product": "not part of the sale",
    "quantity": "whole number",
    "ticket": "fresh one",
    "cookies": "needs a cookie",
    "sign_in": "with a verified e-mail address",
    "no_code": "with an access code",
    "ticket_reused": "bought something else already",
}


def buy(
    shopper: Shopper, sale: Sale, shape: str, ticket: str | None = None, **fields: object
) -> httpx.Response:
    return shopper.buy(sale, ticket, SHAPES[shape], **fields)


def purchase_in(ticket: str) -> UUID:
    """The purchase id that a ticket carries, readable for everybody."""
    return UUID(bytes=base64.urlsafe_b64decode(ticket + "==")[:16])


def answered(reply: httpx.Response, shape: str, ticket: str, status: str, reason: str = "") -> None:
    """In line (202) or decided (200); a plain form is sent to the order's page."""
    code = 202 if status == "queued" else 200
    purchase = str(purchase_in(ticket))
    decided = {} if status == "queued" else {"reason": reason}
    if shape == "json":
        assert reply.json() == {"purchase": purchase, "status": status, **decided}
    elif shape == "htmx":
        assert boxes(reply)[0] == (purchase, status)
        assert WORDS.get(reason, "") in reply.text
    if shape == "form":
        assert location(reply) == f"/orders/{purchase}/"
    else:
        assert reply.status_code == code


def refused(reply: httpx.Response, shape: str, sale: Sale, status: int, code: str) -> None:
    """Nothing was used up; a plain form is sent back to the sale, which says why."""
    if shape == "json":
        content = {"status": "refused", "reason": code} if status == 409 else {"error": code}
        given = reply.json()
        if code == "changed":  # says what is sold now
            assert given.pop("ticket")
            assert given.pop("products")
        assert (reply.status_code, given) == (status, content)
    elif shape == "htmx":
        assert (reply.status_code, boxes(reply)[0][1]) == (status, "refused")
        assert WORDS[code] in reply.text
    else:
        assert location(reply) == f"/sales/{sale.slug}/?message={code}"


def failed(reply: httpx.Response, shape: str, status: int, code: str) -> None:
    """The request was no click at all; everybody gets its own status."""
    assert reply.status_code == status
    if shape == "json":
        assert reply.json() == {"error": code}
    else:
        assert f'data-code="{code}"' in reply.text
        assert ("<!doctype html>" in reply.text) == (shape == "form")


def not_on_this_device(reply: httpx.Response, shape: str) -> None:
    """An order that this browser may not see, or that does not exist: where to look, and no claim that
    nothing was bought."""
    assert reply.status_code == 404
    if shape == "json":
        assert reply.json()["error"] == "not_found"
        text = reply.json()["message"]
    else:
        assert 'data-code="not_on_this_device"' in reply.text
        assert ('href="/orders/"' in reply.text) == (shape == "form")
        text = reply.text
    assert "not found on this device" in text
    assert "“Your orders”" in text
    assert "othing was bought" not in text


def boxes(reply: httpx.Response) -> list[tuple[str, str]]:
    """Purchase and status of each outcome in a fragment or page."""
    return re.findall(
        r'id="purchase-([0-9a-f-]{36})" class="outcome" data-status="(\w+)"', reply.text
    )


def location(reply: httpx.Response) -> str:
    assert reply.status_code == 303
    return reply.headers["location"]


def state(sale: Sale) -> tuple[View, int]:
    """All that a click could change."""
    return replace(replica.read_view(sale.pk), now=0), sale.orders.count()


def waiting(sale: Sale) -> int:
    """Purchases in line."""
    return replica.read_view(sale.pk).in_line
