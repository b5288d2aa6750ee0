"""A live sale pushes each outcome to the sockets of its shopper, and reads no more than it must."""

import asyncio
from dataclasses import replace
from unittest.mock import patch
from uuid import UUID, uuid4

import pytest

from flashsale.http.shoppers import new_shopper
from flashsale.http.sockets import Subscriber
from flashsale.redis import web_connections
from inventory.gate.entries import Answer
from storefront import live_sale
from storefront.catalogue import SaleCard
from storefront.live_sale import TICK, LiveSale

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


@pytest.mark.parametrize("finished", [False, True])
def test_a_sale_without_a_gate_is_read_each_second_until_it_is_finished(finished: bool) -> None:
    async def refresh() -> int:
        live = LiveSale(replace(SALE, finished=finished))
        await live.refresh()
        assert live.view
        assert live.view.version != SALE.version
        live._card_at -= TICK
        try:
            with patch("storefront.catalogue.card", return_value=None) as read:
                await live.refresh()
                await asyncio.gather(*live_sale._background)
                return read.call_count
        finally:
            await web_connections.close_pipes()

    assert asyncio.run(refresh()) == (0 if finished else 1)
