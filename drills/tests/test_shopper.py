"""A simulated shopper behaves like the sale's page in a browser."""

import asyncio
import signal
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest

from conftest import MakeSale
from drills import shopper as drill
from drills.http import Site
from drills.shopper import Shopper
from drills.shopper_log import LOST
from drills.tests.conftest import until
from inventory.models import Sale
from orders.settlement import settle
from tests import stack
from tests.cast import promise_too_much, skus


def shop(url: str, sale: Sale, work: Callable[[Shopper], Awaitable[None]]) -> Shopper:
    """Simulate a shopper who does `work` and waits for all outcomes."""

    async def visit() -> Shopper:
        shopper = Shopper(Site(url), sale.slug)
        async with asyncio.timeout(stack.DEADLINE):
            await work(shopper)
            await shopper.wait_for_outcomes()
            await shopper.leave()
        return shopper

    return asyncio.run(visit())


def test_the_page_gives_a_form_with_a_ticket_of_its_own_per_variant(
    url: str, make_sale: MakeSale
) -> None:
    sale = make_sale(stock={"shoe": 7, "bag": 0}, limit=3)
    pages = []

    async def look(shopper: Shopper) -> None:
        pages.append(await shopper.load_page())

    shop(url, sale, look)
    [page] = pages
    assert page is not None
    assert [form.sku for form in page.forms] == skus(sale)
    assert len({form.purchase for form in page.forms}) == 2
    assert {form.most for form in page.forms} == {3}
    assert list(page.left.values()) == [7, 0]


@pytest.mark.deep
def test_a_click_whose_reply_was_lost_is_sent_again_with_the_same_ticket(
    make_sale: MakeSale, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drill, "RETRY", 0.2)
    sale = make_sale()
    with stack.Web.running() as web, stack.worker():

        async def lose_a_reply(shopper: Shopper) -> None:
            page = await shopper.load_page()
            assert page is not None
            web.signal(signal.SIGSTOP)
            buying = asyncio.create_task(shopper.buy(page.forms[0]))
            await until(lambda: bool(shopper.log.sent))
            web.kill()
            web.start()
            await buying

        log = shop(web.url, sale, lose_a_reply).log
    assert log.replies[0].code == LOST
    assert log.replies[-1].code in ("queued", "confirmed")  # the worker may decide first
    assert {reply.form for reply in log.replies} == {str(sale.orders.get().pk)}


def test_a_click_that_was_too_fast_is_repeated_after_retry_after(
    url: str, make_sale: MakeSale
) -> None:
    sale = make_sale(stock=10, limit=10)

    async def hurry(shopper: Shopper) -> None:
        pages = [await shopper.load_page() for _ in range(5)]  # the rate allows three at once
        await asyncio.gather(*(shopper.buy(page.forms[0]) for page in pages if page))

    log = shop(url, sale, hurry).log
    refused = [reply for reply in log.replies if reply.status == 429]
    assert refused
    assert {reply.wait for reply in refused} == {1.0}
    assert len(log.accepted) == sale.orders.filter(status="confirmed").count() == 5


def test_a_lost_socket_is_opened_again(make_sale: MakeSale) -> None:
    sale = make_sale()

    with stack.Web.running() as web:

        async def lose_the_socket(shopper: Shopper) -> None:
            await shopper.load_page()
            shopper.open_socket()
            await until(lambda: shopper.log.sockets_opened == 1)
            web.kill()
            web.start()
            await until(lambda: shopper.log.sockets_opened == 2)

        assert shop(web.url, sale, lose_the_socket).log.sockets_lost == 1


def test_a_shopper_rejected_on_the_socket_asks_for_the_reason(make_sale: MakeSale) -> None:
    sale = make_sale(stock=0)
    promise_too_much(sale, 1)

    async def buy(shopper: Shopper) -> None:
        page = await shopper.load_page()
        assert page is not None
        shopper.open_socket()
        await until(lambda: shopper.log.sockets_opened == 1)
        await shopper.buy(page.forms[0])
        await asyncio.to_thread(settle, sale.pk)

    with stack.Web.running() as web:
        log = shop(web.url, sale, buy).log
    reasons = {update.reason for update in log.updates if update.status == "rejected"}
    assert reasons - {None} == {"sold_out"}


def test_after_closing_a_refused_click_is_not_repeated(url: str, make_sale: MakeSale) -> None:
    sale = make_sale(stock=10, limit=10)

    async def come_late(shopper: Shopper) -> None:
        pages = [await shopper.load_page() for _ in range(5)]  # the rate allows three at once
        shopper.closing.set()
        await asyncio.gather(*(shopper.buy(page.forms[0]) for page in pages if page))

    log = shop(url, sale, come_late).log
    assert Counter(reply.code for reply in log.replies) == {"queued": 3, "rate_limited": 2}


@pytest.mark.parametrize(
    "address", ["ftp://x", "127.0.0.1:8000", "http://", "http://x/y", "http://a@x"]
)
def test_an_invalid_address_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="is not like"):
        Site(address)
