"""The page of a draw, what programs read there, and the published record."""

import asyncio
import io
import re
from collections.abc import Callable
from functools import partial
from hashlib import sha256

import httpx
import pytest
from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.test import AsyncRequestFactory

from conftest import MakeSale
from flashsale.database import in_thread
from inventory.models import Sale
from orders.draws import merkle, publication, record
from orders.draws.record_check import Published, check
from orders.models import Draw
from storefront import draw_record
from tests import stack
from tests.cast import HTMX, JSON, PAGE, Shopper, in_loop
from tests.contract.test_drawn import close_entries, draw, enter, page_of, two_entries

NewShopper = Callable[[], Shopper]


def published(shopper: Shopper, sale: Sale) -> dict[str, object]:
    reply = shopper.client.get(f"/sales/{sale.slug}/draw/", headers=JSON)
    assert reply.status_code == 200
    return dict(reply.json())


def is_told(shopper: Shopper, sale: Sale, what: str) -> None:
    """A process reads what is published at most once a second."""
    stack.wait_for(lambda: what in published(shopper, sale), f"the page knows the {what}")


def test_the_commitment_is_published_before_the_opening(
    shopper: Shopper, make_sale: MakeSale
) -> None:
    sale = make_sale(opens_in=60, draw_in=120)
    known = published(shopper, sale)
    assert known["commitment"] == Draw.objects.get(pk=sale.pk).commitment
    assert known["beacon"] == ""
    assert not {"seed", "root", "record"} & known.keys()
    page = page_of(shopper, sale, "draw/")
    assert str(known["commitment"]) in page
    assert "could have tried several seeds" in page
    assert "data-draw" not in page


def test_a_beacon_is_named_with_its_round(shopper: Shopper, make_sale: MakeSale) -> None:
    sale = make_sale(opens_in=60, draw_in=120, beacon="quicknet")
    known = published(shopper, sale)
    assert (known["beacon"], known["round"]) == ("quicknet", Draw.objects.get(pk=sale.pk).round)
    page = page_of(shopper, sale, "draw/")
    assert f"drand quicknet, round {known['round']}" in page
    assert "could have tried several seeds" not in page


def test_a_sale_by_arrival_has_no_such_page(shopper: Shopper, make_sale: MakeSale) -> None:
    sale = make_sale()
    for headers in (JSON, HTMX, PAGE):
        assert shopper.client.get(f"/sales/{sale.slug}/draw/", headers=headers).status_code == 404
    assert shopper.client.get("/sales/nowhere/draw/", headers=JSON).status_code == 404


def test_nothing_secret_is_told_before_the_seed_is_revealed(
    shopper: Shopper, make_sale: MakeSale
) -> None:
    sale = make_sale(draw_in=60)
    enter(sale, shopper)
    close_entries(sale)
    assert record_of(shopper, sale).status_code == 404
    assert "seed" not in published(shopper, sale)


def record_of(shopper: Shopper, sale: Sale) -> httpx.Response:
    return shopper.client.get(f"/sales/{sale.slug}/draw/entries.txt")


def test_the_record_is_right_and_every_cache_may_keep_it(
    shopper: Shopper, new_shopper: NewShopper, make_sale: MakeSale
) -> None:
    sale, (_, won), (_, lost) = two_entries(make_sale, new_shopper)
    is_told(shopper, sale, "record")
    known = published(shopper, sale)
    reply = shopper.client.get(str(known["record"]))
    assert reply.status_code == 200
    assert reply.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert "set-cookie" not in reply.headers
    file = record.read(io.BytesIO(reply.content))
    assert (file.header.seed, file.header.root) == (known["seed"], known["root"])
    assert {lot.entry: lot.rank for lot in file.lots} == {won.pk: 1, lost.pk: 2}
    named = Published(str(known["commitment"]), "", None, str(known["root"]))
    assert check(record.read(io.BytesIO(reply.content)), named) == []
    assert sha256(bytes.fromhex(str(known["seed"]))).hexdigest() == known["commitment"]


def test_the_record_in_pieces_is_the_whole(
    shopper: Shopper, new_shopper: NewShopper, make_sale: MakeSale, monkeypatch: pytest.MonkeyPatch
) -> None:
    sale = make_sale(stock=1, draw_in=60)
    for _ in range(5):
        enter(sale, new_shopper())
    draw(sale)
    whole = record_of(shopper, sale).content
    monkeypatch.setattr(publication, "_PIECE", 2)
    assert in_loop(lambda: _collect(sale)) == whole


async def _collect(sale: Sale) -> bytes:
    found = await in_thread(publication.find_published, sale.slug)
    assert found
    pieces = await publication.start_download(sale.pk, found[1])
    return b"".join([piece async for piece in pieces])


def test_a_cache_that_has_the_record_is_told_so(
    shopper: Shopper, new_shopper: NewShopper, make_sale: MakeSale
) -> None:
    sale, _, _ = two_entries(make_sale, new_shopper)
    whole = record_of(shopper, sale)
    known = {"If-None-Match": whole.headers["etag"]}
    reply = shopper.client.get(f"/sales/{sale.slug}/draw/entries.txt", headers=known)
    assert (reply.status_code, reply.content) == (304, b"")
    for name in ("etag", "cache-control"):
        assert reply.headers[name] == whole.headers[name]


def test_more_downloads_than_a_process_serves_are_asked_to_wait(
    shopper: Shopper, new_shopper: NewShopper, make_sale: MakeSale
) -> None:
    sale, _, _ = two_entries(make_sale, new_shopper)

    async def crowd() -> None:
        found = await in_thread(publication.find_published, sale.slug)
        assert found
        download = partial(publication.start_download, sale.pk, found[1])
        running = [await download() for _ in range(publication.MOST_AT_ONCE)]
        with pytest.raises(publication.DownloadsRunning):
            await download()
        reply = await _ask(sale)
        assert reply.status_code == 503
        assert int(reply.headers["Retry-After"]) > 0
        assert "immutable" not in reply.headers.get("Cache-Control", "")
        await running.pop().aclose()
        reply = await _ask(sale)
        assert isinstance(reply, StreamingHttpResponse)
        assert reply.status_code == 200
        whole = b"".join([piece async for piece in aiter(reply)])
        assert whole.count(b"\n") == 4
        await running.pop().aclose()

    in_loop(crowd)


async def _ask(sale: Sale) -> HttpResponseBase:
    """In this process, whose places the test has taken."""
    asked = AsyncRequestFactory().get(f"/sales/{sale.slug}/draw/entries.txt", headers=JSON)
    return await draw_record.record(asked, sale.slug)


def test_a_client_that_does_not_read_frees_its_place(
    new_shopper: NewShopper, make_sale: MakeSale, monkeypatch: pytest.MonkeyPatch
) -> None:
    sale, _, _ = two_entries(make_sale, new_shopper)
    monkeypatch.setattr(publication, "UNREAD", 0.0)

    async def read_late() -> None:
        found = await in_thread(publication.find_published, sale.slug)
        assert found
        pieces = await publication.start_download(sale.pk, found[1])
        assert publication._running
        await anext(pieces)
        freed = asyncio.Event()
        asyncio.get_running_loop().call_later(0, freed.set)  # after the timer, which is due
        await freed.wait()
        assert not publication._running
        with pytest.raises(TimeoutError):
            await anext(pieces)

    in_loop(read_late)


def test_a_shopper_sees_the_own_entry_with_its_proof(
    shopper: Shopper, new_shopper: NewShopper, make_sale: MakeSale
) -> None:
    sale, (winner, won), _ = two_entries(make_sale, new_shopper)
    is_told(shopper, sale, "seed")
    page = page_of(winner, sale, "draw/")
    assert "Its rank: 1 of 2." in page
    leaf = won.lot.leaf + 1
    assert f"<dd>{leaf} of 3, counted from 0." in page
    proof = [bytes.fromhex(node) for node in re.findall(r"<li><code>([0-9a-f]{64})</code>", page)]
    data = f"{won.pk.hex},{won.sku},1,0"
    assert data in page
    root = bytes.fromhex(str(published(shopper, sale)["root"]))
    assert merkle.is_included(data.encode(), leaf, 3, proof, root)
    assert f'data-entry="{won.pk.hex}"' in page
    assert won.pk.hex not in page_of(shopper, sale, "draw/")


def test_the_page_needs_no_cookie(new_shopper: NewShopper, make_sale: MakeSale) -> None:
    sale, _, _ = two_entries(make_sale, new_shopper)
    stranger = new_shopper()
    reply = stranger.client.get(f"/sales/{sale.slug}/draw/", headers=PAGE)
    assert reply.status_code == 200
    assert "set-cookie" not in reply.headers
    assert "own-lots" not in reply.text
