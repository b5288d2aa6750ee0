"""Frames that are made once for all sockets, and the two ways on which they go."""

import asyncio
import time
from collections import Counter
from dataclasses import replace

import pytest
from websockets.client import ClientProtocol
from websockets.frames import Frame as Received
from websockets.frames import Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from conftest import MakeSale
from flashsale.http.sockets import Frame, Subscriber
from storefront import catalogue, live_sale
from tests import deadlines


@pytest.mark.parametrize("length", [0, 1, 125, 126, 65_535, 65_536, 200_000])
def test_a_browser_reads_what_was_sent(length: int) -> None:
    text = "é" * (length // 2) + "e" * (length % 2)
    browser = ClientProtocol(parse_uri("ws://shop.example/"), state=State.OPEN, max_size=None)
    browser.receive_data(Frame.of(text).wire)
    [received] = browser.events_received()
    assert isinstance(received, Received)
    assert (received.opcode, received.fin, received.data) == (Opcode.TEXT, True, text.encode())


class Socket:
    """One that takes frames at once, or only when it is asked to wait."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.free = True
        self.waited_for = asyncio.Event()

    async def send(self, text: str) -> None:
        await self.waited_for.wait()
        self.heard.append(text)

    def write(self, wire: bytes) -> bool:
        if self.free:
            self.heard.append(wire[2:].decode())
        return self.free


def sent_by(*steps: str) -> list[str]:
    """What a socket hears of these: `s…` a stock, `o…` an outcome, `busy` and `free` what it is."""

    async def play() -> list[str]:
        socket = Socket()
        subscriber = Subscriber(socket.send, None, "en", socket.write)
        for step in steps:
            if step in ("busy", "free"):
                socket.free = step == "free"
            elif step.startswith("s"):
                subscriber.push_live(Frame.of(step))
            else:
                subscriber.push_outcome(Frame.of(step))
        socket.waited_for.set()
        if subscriber._sending:
            await subscriber._sending
        return socket.heard

    return asyncio.run(play())


def test_what_can_be_written_is_written_at_once() -> None:
    assert sent_by("s1", "o1", "s2") == ["s1", "o1", "s2"]


def test_a_busy_socket_gets_every_outcome_and_the_newest_stock() -> None:
    assert sent_by("s1", "busy", "s2", "o1", "s3", "o2") == ["s1", "o1", "o2", "s3"]


def test_nothing_overtakes_what_waits() -> None:
    assert sent_by("busy", "o1", "free", "o2", "s1") == ["o1", "o2", "s1"]


def test_in_a_rush_a_crowd_is_told_the_stock_as_seldom_as_it_is_large(
    make_sale: MakeSale, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two changes within such a pause are sent once."""
    crowd, pace = 20, 0.01
    monkeypatch.setattr(live_sale, "_PACE", pace)
    card = catalogue.card(pk=make_sale(stock=5).pk)
    assert card

    async def rush() -> tuple[float, int]:
        watch, counts, all_sent = live_sale.LiveSale(card), Counter[str](), asyncio.Event()

        def write(wire: bytes) -> bool:
            counts["frames"] += 1
            if counts["frames"] % crowd == 0:
                all_sent.set()
            return True

        for _ in range(crowd):
            watch.subscribe(Subscriber(Socket().send, None, "en", write))
        began = time.monotonic()
        for name in ("first", "second", "third"):
            all_sent.clear()
            watch.card = replace(watch.card, name=name)
            watch._push_if_changed()
            if name != "second":
                await asyncio.wait_for(all_sent.wait(), deadlines.seconds(30))
        return time.monotonic() - began, counts["frames"]

    took, frames = asyncio.run(rush())
    assert took > crowd * pace
    assert frames == 3 * crowd  # when they came, of the first, of the third
