"""Staff see what looks like one person, and set entries aside before the draw."""

import re
from typing import Any
from uuid import UUID

import pytest
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts import contacts
from accounts.contacts import Details
from conftest import MakeSale
from dashboard.tests.staff import LOOKS, RUNS, browser_of, employ
from flashsale.http.shoppers import new_shopper
from inventory.models import Sale
from orders import aside, networks, review, settlement
from orders.models import Order
from orders.review import Kind
from orders.tickets import new_purchase
from tests.cast import click
from tests.draws import enter, make_draw

SEES = (*LOOKS, "orders.view_order")
SETS_ASIDE = (*RUNS, "orders.view_order")
COMPARES = (*SETS_ASIDE, "accounts.view_contact")
HOME = {"street": "Lange Straße 5", "postcode": "10115", "city": "Berlin", "country": "DE"}


@pytest.fixture
def browser() -> Client:
    return browser_of(employ(COMPARES))


def page_of(sale: Sale) -> str:
    return reverse("review", args=[sale.pk])


def group_of(sale: Sale, kind: str, key: str) -> str:
    return reverse("review-group", args=[sale.pk, kind, key])


def read(browser: Client, address: str) -> str:
    page = browser.get(address)
    assert page.status_code == 200, (page.status_code, address)
    return page.content.decode()


def crowd(make_sale: MakeSale) -> tuple[Sale, list[UUID], str]:
    """A sale with three entries of one network, and two of others; the three, and their network."""
    sale = make_draw(make_sale, stock=5, hold=60)
    entries = enter(sale, ["192.0.2.1"] * 3 + ["192.0.2.2", "192.0.2.3"])
    return sale, entries[:3], networks.network_of(sale.pk, "192.0.2.1")


def give_contact(order: UUID, **details: str) -> None:
    with transaction.atomic():
        contacts.save(order, Details(**details), language="en", accepted_terms=False)


def test_a_network_with_several_shoppers_is_listed(browser: Client, make_sale: MakeSale) -> None:
    sale, entries, network = crowd(make_sale)
    [group] = review.list_networks(sale)
    assert (group.key, group.orders, group.shoppers, group.units) == (network, 3, 3, 3)
    page = read(browser, page_of(sale))
    assert re.findall(r"review/network/(\w+)/", page) == [network]
    shown = read(browser, group_of(sale, "network", network))
    assert re.findall(r'name="order" value="([0-9a-f-]+)"', shown) == [str(e) for e in entries]


def test_orders_of_one_shopper_are_no_group(make_sale: MakeSale) -> None:
    sale, shopper = make_sale(hold=60, limit=2), new_shopper()
    networked = {"shopper": shopper, "network": networks.network_of(sale.pk, "192.0.2.1")}
    for _ in range(2):
        _buy(sale, **networked)
    assert review.list_networks(sale) == []
    _buy(sale, network=networked["network"])
    [group] = review.list_networks(sale)
    assert (group.orders, group.shoppers) == (3, 2)


def _buy(sale: Sale, **clicked: Any) -> UUID:
    purchase = new_purchase(sale.pk)
    assert click(sale, purchase, **clicked).code == "queued"
    settlement.settle(sale.pk)
    return purchase


def test_contacts_are_compared_only_when_asked_and_each_look_is_audited(
    browser: Client, make_sale: MakeSale
) -> None:
    sale = make_sale(hold=60)
    for email, street in (
        ("Ada@Example.com", "Lange Str. 5"),
        ("ada@example.com", "Lange Straße 5"),
    ):
        give_contact(_buy(sale), **{**HOME, "street": street}, email=email)
    give_contact(_buy(sale), **{**HOME, "street": "Am Ring 1"}, email="bo@example.com")
    page = read(browser, page_of(sale))
    assert "review/email/" not in page
    assert not sale.audit.filter(action="looked").exists()
    page = read(browser, f"{page_of(sale)}?contacts")
    assert len(re.findall(r"review/email/\w+/", page)) == 1
    assert len(re.findall(r"review/address/\w+/", page)) == 1
    assert sale.audit.get(action="looked").reason == "compared contacts"
    for hidden in ("example.com", "Lange", "10115"):
        assert hidden not in page


def test_a_group_by_contact_is_a_look_too(browser: Client, make_sale: MakeSale) -> None:
    sale = make_sale(hold=60)
    orders = [_buy(sale), _buy(sale)]
    for order in orders:
        give_contact(order, **HOME)
    [group] = review.list_contacts(sale)[Kind.ADDRESS]
    page = read(browser, group_of(sale, "address", group.key))
    assert all(Order.objects.get(pk=order).reference in page for order in orders)
    assert "Lange" not in page
    assert sale.audit.filter(action="looked").count() == 1


def test_an_entry_is_known_by_the_contact_of_an_earlier_order(make_sale: MakeSale) -> None:
    """Before a draw nobody has been asked yet."""
    earlier, first, second = make_sale(hold=60), new_shopper(), new_shopper()
    for shopper in (first, second):
        give_contact(_buy(earlier, shopper=shopper), email="ada@example.com")
    sale = make_draw(make_sale)
    for shopper in (first, second, new_shopper()):
        enter(sale, ["192.0.2.1"], shopper=shopper)
    found = review.list_contacts(sale)
    [group] = found[Kind.EMAIL]
    assert (group.orders, group.shoppers, found[Kind.ADDRESS]) == (2, 2, [])
    members = review.list_members(sale, Kind.EMAIL, group.key)
    assert [order.shopper for order in members] == [first, second]


def test_an_erased_contact_is_compared_no_more(make_sale: MakeSale) -> None:
    sale = make_sale(hold=60)
    orders = [_buy(sale), _buy(sale)]
    for order in orders:
        give_contact(order, **HOME, email="ada@example.com")
    assert len(review.list_contacts(sale)[Kind.ADDRESS]) == 1
    contacts.erase(orders[:1])
    assert review.list_contacts(sale) == {Kind.EMAIL: [], Kind.ADDRESS: []}


def test_chosen_entries_are_set_aside_with_a_reason(browser: Client, make_sale: MakeSale) -> None:
    sale, entries, network = crowd(make_sale)
    chosen = {"order": [str(entry) for entry in entries[1:]], "reason": "One person, I think."}
    page = browser.post(group_of(sale, "network", network), chosen, follow=True).content.decode()
    assert "the chosen entries are set aside" in page
    aside_now = Order.objects.filter(sale=sale, reason="set_aside")
    assert set(aside_now.values_list("pk", flat=True)) == set(entries[1:])
    assert aside.reason_of(aside_now[0]) == "One person, I think."
    assert "2 entries. The published file" in read(browser, page_of(sale))


def test_all_but_the_earliest_are_set_aside_at_once(browser: Client, make_sale: MakeSale) -> None:
    sale, entries, network = crowd(make_sale)
    page = read(browser, group_of(sale, "network", network))
    [shown] = re.findall(r'name="shown" value="([^"]+)"', page)
    form = {"shown": shown, "which": "later", "reason": "one person"}
    browser.post(group_of(sale, "network", network), form)
    left = Order.objects.filter(pk__in=entries, status="waiting")
    assert list(left.values_list("pk", flat=True)) == entries[:1]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"reason": " "}, "Say why"),
        ({"reason": "why", "order": []}, "No entry was chosen."),
        ({"reason": "why", "order": ["x"]}, "no form of the shop"),
    ],
)
def test_a_form_that_says_too_little_changes_nothing(
    browser: Client, make_sale: MakeSale, fields: dict[str, Any], said: str
) -> None:
    sale, entries, network = crowd(make_sale)
    form = {"order": [str(entries[0])], **fields}
    page = browser.post(group_of(sale, "network", network), form, follow=True).content.decode()
    assert said in page
    assert not Order.objects.filter(sale=sale, reason="set_aside").exists()


def test_after_the_draw_began_there_is_no_form(browser: Client, make_sale: MakeSale) -> None:
    sale, entries, network = crowd(make_sale)
    Sale.objects.filter(pk=sale.pk).update(draw="closed")
    page = read(browser, group_of(sale, "network", network))
    assert 'name="reason"' not in page
    form = {"order": [str(entries[0])], "reason": "late"}
    told = browser.post(group_of(sale, "network", network), form, follow=True).content.decode()
    assert "only before the draw begins" in told


@pytest.mark.parametrize(
    ("permissions", "page", "email", "post"),
    [
        (LOOKS, 403, 403, 403),
        (SEES, 200, 403, 403),
        (SETS_ASIDE, 200, 403, 302),
        (("accounts.view_contact",), 403, 403, 403),
    ],
)
def test_each_part_has_its_permission(
    make_sale: MakeSale, permissions: tuple[str, ...], page: int, email: int, post: int
) -> None:
    sale, _, network = crowd(make_sale)
    browser = browser_of(employ(permissions))
    assert browser.get(page_of(sale)).status_code == page
    assert browser.get(group_of(sale, "network", network)).status_code == page
    assert browser.get(group_of(sale, "email", "0" * 64)).status_code == email
    assert browser.post(group_of(sale, "network", network), {"reason": ""}).status_code == post
    if page == 200:
        assert "Compare contacts" not in read(browser, f"{page_of(sale)}?contacts")
    assert not sale.audit.filter(action="looked").exists()


def test_what_is_no_kind_of_group_is_not_found(browser: Client, make_sale: MakeSale) -> None:
    sale = make_draw(make_sale)
    assert browser.get(group_of(sale, "age", "1")).status_code == 404
    assert "in this group any more" in read(browser, group_of(sale, "network", "0000"))


def test_a_page_takes_as_many_queries_whatever_the_crowd(
    browser: Client, make_sale: MakeSale
) -> None:
    counts = []
    for entries in (2, 12):
        sale = make_draw(make_sale, stock=5, hold=60)
        enter(sale, ["192.0.2.1"] * entries)
        with CaptureQueriesContext(connection) as asked:
            read(browser, f"{page_of(sale)}?contacts")
        counts.append(len(asked))
    assert counts[0] == counts[1]
