"""A sale's page knows what its shopper has bought, and tells nobody else."""

import httpx
import pytest

from conftest import MakeSale
from flashsale.redis import blocking_clients
from inventory.gate import replica
from inventory.models import Sale
from orders import finishing, replication, sale_lifecycle
from orders.settlement import settle
from tests import stack
from tests.cast import HTMX, PAGE, Shopper, run_caretaker
from tests.contract.conftest import Web
from tests.contract.shapes import boxes


def shown(shopper: Shopper, sale: Sale, headers: dict[str, str]) -> list[tuple[str, str]]:
    """Purchase and status of each box of a page that is no empty form."""
    page = shopper.client.get(f"/sales/{sale.slug}/", headers=headers)
    assert page.status_code == 200
    return [(purchase, status) for purchase, status in boxes(page) if status != "none"]


@pytest.mark.parametrize("headers", [PAGE, HTMX], ids=["page", "asking"])
def test_a_purchase_is_shown_from_its_acceptance_on(
    headers: dict[str, str], shopper: Shopper, make_sale: MakeSale
) -> None:
    sale = make_sale()
    assert shown(shopper, sale, headers) == []
    purchase = shopper.buy(sale).json()["purchase"]
    assert shown(shopper, sale, headers) == [(purchase, "queued")]
    settle(sale.pk)
    assert shown(shopper, sale, headers) == [(purchase, "confirmed")]


def test_the_five_latest_are_shown_the_newest_first(shopper: Shopper, make_sale: MakeSale) -> None:
    sale = make_sale(limit=7)
    bought = [shopper.buy(sale).json()["purchase"] for _ in range(7)]
    assert [purchase for purchase, _ in shown(shopper, sale, PAGE)] == bought[:1:-1]


def test_nobody_elses_purchase_is_shown(shopper: Shopper, narrow: Web, make_sale: MakeSale) -> None:
    sale, other = make_sale(), Shopper(narrow.url)
    shopper.buy(sale)
    settle(sale.pk)
    assert shown(other, sale, PAGE) == []  # without a cookie
    assert shown(other, sale, PAGE) == []  # with one
    assert shown(Shopper(narrow.url), sale, HTMX) == []


def test_it_is_shown_again_after_redis_was_wiped(
    shopper: Shopper, make_sale: MakeSale, monkeypatch: pytest.MonkeyPatch
) -> None:
    sale = make_sale(limit=2)
    bought = [shopper.buy(sale).json()["purchase"] for _ in range(2)]
    settle(sale.pk)
    replica.remove([sale.pk])
    monkeypatch.setattr(replication, "_PART", 1)
    run_caretaker()
    assert {purchase for purchase, _ in shown(shopper, sale, PAGE)} == set(bought)


def test_it_is_shown_when_the_sale_is_over_and_its_gate_is_gone(
    shopper: Shopper, make_sale: MakeSale
) -> None:
    sale = make_sale()
    purchase = shopper.buy(sale).json()["purchase"]
    settle(sale.pk)
    sale_lifecycle.end(sale.pk, by="staff")
    assert finishing.finish_sale(sale.pk)
    stack.wait_for(
        lambda: shown(shopper, sale, PAGE) == [(purchase, "confirmed")], "the order is shown"
    )


def test_a_page_without_valkey_says_that_it_does_not_know(
    shopper: Shopper, without_redis: Web, make_sale: MakeSale
) -> None:
    sale = make_sale()
    shopper.ticket(sale)
    page = httpx.get(
        f"{without_redis.url}/sales/{sale.slug}/", headers=PAGE, cookies=shopper.client.cookies
    )
    assert page.status_code == 200
    assert 'data-own="no"' in page.text
    asking = httpx.get(
        f"{without_redis.url}/sales/{sale.slug}/", headers=HTMX, cookies=shopper.client.cookies
    )
    assert asking.headers["x-own"] == "no"
    assert 'data-own="yes"' in shopper.client.get(f"/sales/{sale.slug}/", headers=PAGE).text


def test_an_answer_to_a_question_carries_the_shops_time(
    shopper: Shopper, make_sale: MakeSale
) -> None:
    reply = shopper.client.get(f"/sales/{make_sale().slug}/", headers=HTMX)
    seconds, microseconds = blocking_clients.client_of(0).time()
    assert abs(int(reply.headers["x-now"]) - (seconds * 1000 + microseconds / 1000)) < 5000
