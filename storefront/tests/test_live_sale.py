"""A live sale pushes each outcome to the sockets of its shopper."""

import asyncio
from uuid import UUID, uuid4

from flashsale.http.shoppers import new_shopper
from flashsale.http.sockets import Subscriber
from inventory.gate.entries import Answer
from storefront.catalogue import SaleCard
from storefront.live_sale import LiveSale

SALE = SaleCard(7, "drop", "Drop", "live", 0, 2**41, "UTC", 1, 1, False, ())


class Socket:
    """A socket that takes each frame at once. Its first frame is the live state."""

    def __init__(self, live: LiveSale, shopper: UUID | None) -> None:
        self.frames: list[bytes] = []
        live.subscribe(Subscriber(self.send, shopper, "en", self.write))

    async def send(self, text: str) -> None:
        raise AssertionError("a free socket is written to")

    def write(self, wire: bytes) -> bool:
        self.frames.append(wire)
        return True


def outcome(shopper: UUID, quantity: object = 1) -> tuple[str, Answer]:
    answer = Answer("confirmed", "", shopper.hex, "shoe", quantity)  # type: ignore[arg-type]  # may be malformed
    return uuid4().hex, answer


def test_an_outcome_is_pushed_to_its_shoppers_sockets_only() -> None:
    async def push() -> list[int]:
        live, ada = LiveSale(SALE), new_shopper()
        sockets = [Socket(live, shopper) for shopper in (ada, ada, new_shopper(), None)]
        live.push_outcomes([outcome(ada)])
        return [len(socket.frames) for socket in sockets]

    assert asyncio.run(push()) == [2, 2, 1, 1]


def test_a_malformed_outcome_does_not_stop_the_next_one() -> None:
    async def push() -> list[bytes]:
        live, ada = LiveSale(SALE), new_shopper()
        socket = Socket(live, ada)
        live.push_outcomes([outcome(ada, quantity="many"), outcome(ada)])
        return socket.frames

    assert len(asyncio.run(push())) == 2
