"""An attack on stock is seen on the dashboard, and the addresses of the clicks are nowhere."""

import re
from html import unescape

import httpx
import pytest

from conftest import MakeSale
from dashboard.tests.staff import LOOKS, employ, session_of
from inventory.gate import replica
from inventory.models import Sale
from orders import networks, settlement
from orders.models import Order
from tests import deadlines, stack
from tests.cast import JSON, Shopper
from tests.operators import here
from tests.security.test_personal_data import DEBUG, all_of_redis, rows_of_postgresql

ATTACKER, NEIGHBOUR = "203.0.113.77", "198.51.100.4"
# One customer of a provider has a whole network of IPv6.
IPV6 = ("2001:db8:5:77::1", "2001:db8:5:77:ffff::2", "2001:db8:5:78::1")
SETTINGS = {**DEBUG, "TRUSTED_PROXIES": "1", "RATE_PER_ADDRESS": "50"}
ADDRESSES = re.compile(r"203\.0\.113\.77|198\.51\.100\.4|2001:db8:5:7")


def hold(web: stack.Web, sale: Sale, *addresses: str) -> None:
    """A cookie of its own clicks from each of these addresses."""
    for address in addresses:
        shopper = Shopper(web.url)
        with shopper.client:
            answer = shopper.buy(sale, headers={**JSON, "X-Forwarded-For": address})
        assert answer.status_code == 202, answer.text


def all_held(sale: Sale, orders: int) -> None:
    held = sale.orders.filter(status="held")
    stack.wait_for(lambda: held.count() == orders, "all are held")


def staff(web: stack.Web) -> httpx.Client:
    headers = {"Cookie": session_of(employ((*LOOKS, "orders.view_order")))}
    return httpx.Client(base_url=web.url, headers=headers, timeout=deadlines.seconds(30))


def test_staff_see_who_holds_much_and_no_address_is_kept(
    capfd: pytest.CaptureFixture[str], make_sale: MakeSale
) -> None:
    sale = make_sale(stock=50, hold=10)
    with stack.Web.running(**SETTINGS) as web, stack.worker(**DEBUG):
        hold(web, sale, *[ATTACKER] * 5, NEIGHBOUR, *IPV6)
        redis = all_of_redis()
        held = sale.orders.filter(status="held")
        stack.wait_for(lambda: held.count() == 9, "all are held")
        by_network = sorted(sale.orders.values_list("network", flat=True))
        assert sorted(by_network.count(each) for each in set(by_network)) == [1, 1, 2, 5]
        attacker = networks.network_of(sale.pk, ATTACKER)
        assert by_network.count(attacker) == 5
        page, listed = look(web, sale, attacker)
    for order in Order.objects.filter(sale=sale):
        assert (order.reference in listed) is (order.network == attacker)
    told = here("sale", "show", sale.slug, "--json").told["open_holds"]
    assert told["addresses"][0] == {"label": attacker[:4], "holds": 5, "units": 5, "expired": 0}
    assert f"by address: {attacker[:4]} 5" in here("sale", "show", sale.slug).out

    written = "".join(capfd.readouterr())
    assert "DEBUG" in written
    texts = {"Redis": redis, "Redis afterwards": all_of_redis(), "logs": written, "page": page}
    for where, text in {**texts, **rows_of_postgresql()}.items():
        assert not ADDRESSES.search(text), where
    assert attacker in redis


def look(web: stack.Web, sale: Sale, attacker: str) -> tuple[str, str]:
    """The dashboard, and the list of orders to which it links for the attacker."""
    headers = {"Cookie": session_of(employ((*LOOKS, "orders.view_order")))}
    with httpx.Client(base_url=web.url, headers=headers, timeout=deadlines.seconds(30)) as staff:
        page = staff.get("/dashboard/live/").text
        desk = of_sale(page, sale)
        for figure, value in {"of-shopper": 1, "of-network": 5, "crowded": 1, "kept": 5}.items():
            assert f'data-figure="{figure}">{value}<' in desk, figure
        [link] = re.findall(rf'<a id="network-{sale.pk}-{attacker}" href="([^"]+)">(\w+)</a>', desk)
        assert link[1] == attacker[:4]
        return page, staff.get(unescape(link[0])).text


def of_sale(page: str, sale: Sale) -> str:
    return page.partition(f'id="figures-{sale.pk}"')[2].partition("\n</div>")[0]


def test_a_sale_without_a_hold_carries_no_network_and_says_nothing(make_sale: MakeSale) -> None:
    sale = make_sale(stock=50)
    with stack.Web.running(**SETTINGS) as web:
        hold(web, sale, ATTACKER)
        _, _, [(_, entry)] = replica.read_line(sale.pk, 10)
        settlement.settle(sale.pk)
        with httpx.Client(base_url=web.url, headers={"Cookie": session_of(employ(LOOKS))}) as staff:
            desk = of_sale(staff.get("/dashboard/live/").text, sale)
    assert list(entry) == ["purchase", "shopper", "sku", "quantity", "shown"]
    assert [(o.status, o.network) for o in sale.orders.all()] == [("confirmed", "")]
    assert 'data-figure="confirmed">1<' in desk
    assert "open-holds" not in desk
    assert "open_holds" not in here("sale", "show", sale.slug, "--json").told
