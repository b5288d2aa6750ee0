"""However many cookies and however many networks of IPv6 one machine has, it gets what one network may."""

from collections.abc import Iterator

import pytest

from conftest import MakeSale
from inventory.models import Sale
from tests import stack
from tests.contract.shapes import waiting
from tests.security.test_limits import Visitor, address, rush
from tests.security.test_personal_data import all_of_redis

BOUND = 9


@pytest.fixture(scope="module")
def web() -> Iterator[stack.Web]:
    """Without a rate per address, and behind a proxy."""
    with stack.Web.running(RATE_PER_ADDRESS="0", TRUSTED_PROXIES="1") as web:
        yield web


def accepted(web: stack.Web, sale: Sale, addresses: list[str]) -> int:
    """A cookie of its own clicks from each of these addresses."""
    crowd = [Visitor(1, forwarded) for forwarded in addresses]
    rush(web, sale, crowd)
    assert {status for visitor in crowd for status in visitor.answers} <= {202, 409}
    return sum(visitor.answers[202] for visitor in crowd)


@pytest.mark.parametrize("forged", [False, True], ids=["", "with a forged address each"])
def test_one_address_with_300_cookies_gets_what_one_network_may(
    forged: bool, web: stack.Web, make_sale: MakeSale
) -> None:
    sale = make_sale(stock=300, per_address=BOUND)
    own = [f"{address(n)}, 192.0.2.77" if forged else "192.0.2.77" for n in range(300)]
    assert accepted(web, sale, own) == BOUND == waiting(sale)
    assert accepted(web, sale, [address(n) for n in range(100)]) == 100


def test_its_twin_without_the_rule_takes_everything(web: stack.Web, make_sale: MakeSale) -> None:
    sale = make_sale(stock=300)
    assert accepted(web, sale, ["192.0.2.77"] * 300) == 300


def test_so_many_addresses_get_so_many_times_as_much(web: stack.Web, make_sale: MakeSale) -> None:
    sale = make_sale(stock=300, per_address=BOUND)
    assert accepted(web, sale, [address(n % 4) for n in range(300)]) == 4 * BOUND


@pytest.mark.parametrize(
    ("network", "times"),
    [("2001:db8:5:7::{:x}", 1), ("2001:db8:5:{:x}::1", 2), ("2001:db8:5:{:x}00::1", 4)],
    ids=["64 bits", "56 bits", "48 bits"],
)
def test_a_customer_with_a_network_of_ipv6_gets_little_more(
    network: str, times: int, web: stack.Web, make_sale: MakeSale
) -> None:
    sale = make_sale(stock=300, per_address=BOUND)
    own = [network.format(n % 256) for n in range(300)]
    assert accepted(web, sale, own) == times * BOUND


def test_no_address_is_in_redis(web: stack.Web, make_sale: MakeSale) -> None:
    sale = make_sale(stock=300, per_address=BOUND)
    assert accepted(web, sale, ["203.0.113.78", "2001:db8:5:7::1"]) == 2
    redis = all_of_redis()
    assert f"{{sale:{sale.pk}}}:networks" in redis
    assert "203.0.113.78" not in redis
    assert "2001:db8:5:7" not in redis
