"""Shoppers who come without end, each with a page in two tabs, and insist until they are answered."""

import contextlib
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from uuid import UUID

import httpx

from flashsale.http.shoppers import cookie_value, new_shopper
from inventory.models import Sale
from tests import deadlines, stack
from tests.cast import JSON, skus, ticket_of

_AT_ONCE = 6  # shoppers
_PAUSE = 0.03  # seconds before a shopper tries again, or the next one comes


@dataclass
class Visitor:
    """A shopper with two tickets, and what was said to them."""

    shopper: UUID
    tickets: list[str]
    accepted: dict[str, str] = field(default_factory=dict)  # purchase by ticket


@dataclass
class Rush:
    url: str
    sale: Sale
    visitors: list[Visitor] = field(default_factory=list)
    sold: list[tuple[float, float]] = field(default_factory=list)  # clicked and accepted, at
    sold_out: bool = False
    _over: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        [self._sku] = skus(self.sale)

    @contextlib.contextmanager
    def going_on(self) -> Iterator["Rush"]:
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            coming = [pool.submit(self._come_and_buy) for _ in range(_AT_ONCE)]
            try:
                yield self
            finally:
                self._over.set()
        for shopper in coming:
            shopper.result()  # raises what went wrong there

    def accepted_since(self, moment: float) -> list[float]:
        """When clicks were accepted that were made after it."""
        return [accepted for clicked, accepted in self.sold if clicked > moment]

    def click(self, client: httpx.Client, visitor: Visitor, ticket: str) -> httpx.Response:
        clicked = time.monotonic()
        form = {"ticket": ticket, "product": self._sku}
        answer = client.post(f"/sales/{self.sale.slug}/buy", data=form, headers=_who(visitor))
        assert answer.status_code != 503 or answer.headers["retry-after"]
        if answer.status_code in (200, 202):
            visitor.accepted[ticket] = answer.json()["purchase"]
            self.sold.append((clicked, time.monotonic()))
        return answer

    def fates(self) -> dict[str, str]:
        """What became of every accepted purchase. Those that were lost ask again with their tickets."""
        with httpx.Client(base_url=self.url, timeout=deadlines.seconds(30)) as client:
            return {
                purchase: self._fate(client, visitor, ticket, purchase)
                for visitor in self.visitors
                for ticket, purchase in list(visitor.accepted.items())
            }

    def _come_and_buy(self) -> None:
        with httpx.Client(base_url=self.url, timeout=deadlines.seconds(30)) as client:
            while not self._over.is_set():
                shopper = new_shopper()
                two = [ticket_of(self.sale.pk, shopper) for _ in range(2)]
                visitor = Visitor(shopper, two)
                self.visitors.append(visitor)
                for ticket in two:
                    self._insist(client, visitor, ticket)
                time.sleep(_PAUSE)

    def _insist(self, client: httpx.Client, visitor: Visitor, ticket: str) -> None:
        """Sends it again until the answer is none of "try again"."""
        answer = self.click(client, visitor, ticket)
        while answer.status_code == 503 and not self._over.is_set():
            time.sleep(_PAUSE)
            answer = self.click(client, visitor, ticket)
        if answer.json().get("reason") == "sold_out":
            self.sold_out = True

    def _fate(self, client: httpx.Client, visitor: Visitor, ticket: str, purchase: str) -> str:
        def asked() -> str:
            answer = client.get(f"/orders/{purchase}/", headers=_who(visitor))
            if answer.status_code == 404:  # lost with Redis' disk: the page sends its ticket again
                again = self.click(client, visitor, ticket)
                return "lost, and refused" if again.status_code == 409 else ""
            status = str(answer.json().get("status", "queued"))
            return "" if status == "queued" else status

        return stack.wait_for(asked, "a final answer")


def _who(visitor: Visitor) -> dict[str, str]:
    return {**JSON, "Cookie": f"shopper={cookie_value(visitor.shopper)}"}
