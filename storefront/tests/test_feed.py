"""Sockets of pages: which frames each gets, and that none misses a change."""

import contextlib
import socket
from collections.abc import Iterator

import pytest
from websockets import Origin
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from conftest import MakeSale
from inventory import announce
from inventory.models import Sale
from orders import stock_changes
from tests import deadlines, stack
from tests.cast import PAGE, Shopper, promise_too_much

SOON = deadlines.seconds(10)  # the feed refreshes once a second


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with stack.Web.running(RATE_PER_SHOPPER="0") as web, stack.worker():
        yield web.url


def open_page(
    url: str,
    slug: str,
    shopper: Shopper | None = None,
    origin: str | None = "",
    line: socket.socket | None = None,
) -> ClientConnection:
    """Open the socket of a page. `origin` is the page's, by default the shop's."""
    cookies = shopper.client.cookies if shopper else {}
    cookie = "; ".join(f"{name}={value}" for name, value in cookies.items())
    return connect(
        f"ws{url.removeprefix('http')}/ws/sales/{slug}/",
        sock=line,
        origin=None if origin is None else Origin(origin or url),
        additional_headers={"Cookie": cookie} if cookie else {},
        proxy=None,
        ping_interval=None,
        max_queue=1,  # unread frames stay in the connection
        legacy=True,  # a connection, not a manager of one
    )


def read_until(page: ClientConnection, words: str) -> list[str]:
    """Read frames up to the one that contains `words`."""
    frames = [str(page.recv(SOON))]
    while words not in frames[-1]:
        frames.append(str(page.recv(SOON)))
    return frames


def restock(sale: Sale, units: int) -> None:
    stock_changes.restock(sale.variants.get().pk, units, by="tests")


def test_a_page_gets_the_present_state_when_it_connects(url: str, make_sale: MakeSale) -> None:
    with open_page(url, make_sale(stock=10).slug) as page:
        first = str(page.recv(SOON))
    assert "10 left" in first
    assert 'data-phase="open"' in first


def test_all_pages_get_the_stock_and_only_the_shoppers_the_outcome(
    url: str, make_sale: MakeSale
) -> None:
    sale = make_sale(stock=10)
    ada, bob = Shopper(url), Shopper(url)
    ticket = ada.ticket(sale)
    bob.ticket(sale)
    with open_page(url, sale.slug, ada) as adas, open_page(url, sale.slug, bob) as bobs:
        purchase = ada.buy(sale, ticket).json()["purchase"]
        assert purchase in read_until(adas, 'data-status="confirmed"')[-1]
        frames_of_bob = read_until(bobs, ">9 left")
        restock(sale, 40)
        frames_of_bob += read_until(bobs, "49 left")
    assert not any(purchase in frame or "outcome" in frame for frame in frames_of_bob)


def test_every_tab_of_a_shopper_gets_the_outcome(url: str, make_sale: MakeSale) -> None:
    sale, ada = make_sale(), Shopper(url)
    ticket = ada.ticket(sale)
    with open_page(url, sale.slug, ada) as one, open_page(url, sale.slug, ada) as other:
        ada.buy(sale, ticket)
        read_until(one, 'data-status="confirmed"')
        read_until(other, 'data-status="confirmed"')


@pytest.mark.parametrize("origin", ["https://evil.example", "http://127.0.0.1:1", "null", None])
def test_pages_of_other_sites_get_no_socket(
    url: str, make_sale: MakeSale, origin: str | None
) -> None:
    with pytest.raises(InvalidStatus) as refused:
        open_page(url, make_sale().slug, origin=origin)
    assert refused.value.response.status_code == 403


def test_an_unknown_sale_and_a_draft_get_no_socket(url: str, make_sale: MakeSale) -> None:
    for slug in ("nowhere", make_sale(live=False).slug):
        with pytest.raises(InvalidStatus):
            open_page(url, slug)


def test_a_change_without_an_announcement_is_found(url: str, make_sale: MakeSale) -> None:
    sale = make_sale(stock=10)
    with open_page(url, sale.slug) as page:
        read_until(page, "10 left")
        promise_too_much(sale, 42)
        read_until(page, "42 left")


def test_a_price_that_is_changed_before_the_opening_is_published(
    url: str, make_sale: MakeSale
) -> None:
    """The price is the only change: the new card alone must make a new state of the page."""
    sale, ada = make_sale(opens_in=600), Shopper(url)
    with open_page(url, sale.slug) as page:
        page.recv(SOON)
        sale.variants.update(price=9900)
        page.recv(stack.DEADLINE)
    assert "€99.00" in ada.client.get(f"/sales/{sale.slug}/", headers=PAGE).text


@pytest.mark.deep
def test_two_hundred_pages_get_one_change(url: str, make_sale: MakeSale) -> None:
    sale = make_sale(stock=10)
    with contextlib.ExitStack() as crowd:
        pages = [crowd.enter_context(open_page(url, sale.slug)) for _ in range(200)]
        restock(sale, 1)
        for page in pages:
            read_until(page, "11 left")


@pytest.mark.deep
def test_a_slow_reader_delays_no_other_and_ends_with_the_newest_stock(
    url: str, make_sale: MakeSale
) -> None:
    sale = make_sale(stock={f"shoe-{number}": 1 for number in range(60)})
    with open_page(url, sale.slug, line=_narrow(url)) as slow, open_page(url, sale.slug) as quick:
        for units in range(1000, 1060):  # few: a reader who answers no ping is dropped after 40 s
            promise_too_much(sale, units)
            announce.announce_change(sale.pk)
            read_until(quick, f"{units} left")
        frames = read_until(slow, "1059 left")
    assert len(frames) < 50  # it skipped states that were replaced before it could read them


def _narrow(url: str) -> socket.socket:
    """A connection with small buffers: the sender's buffers grow with the segments' size."""
    line = socket.socket()
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
    host, _, port = url.removeprefix("http://").partition(":")
    line.connect((host, int(port)))
    return line


def test_a_server_that_ends_closes_its_sockets(make_sale: MakeSale) -> None:
    sale = make_sale()
    with stack.Web.running() as web:
        pages = [open_page(web.url, sale.slug) for _ in range(20)]
        web.stop()
        for page in pages:
            with pytest.raises(ConnectionClosed) as closed:
                read_until(page, "no such words")
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1012  # service restart: pages reconnect at once
        assert web.wait() == 0
