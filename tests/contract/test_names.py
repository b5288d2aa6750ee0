"""A sale's address in any case, and names that reorder nothing around them."""

from collections.abc import Callable
from html import unescape

from conftest import MakeSale
from inventory.models import Sale
from orders.settlement import settle
from tests.cast import HTMX, JSON, PAGE, Shopper, forms, rename

ARABIC = "\u0645\u0631\u062d\u0628\u0627"


def called(sale: Sale, name: str, option: str = "") -> Sale:
    Sale.objects.filter(pk=sale.pk).update(name=name)
    rename(sale, name)
    sale.variants.update(option=option)
    return sale


def test_an_address_is_good_in_any_case(shopper: Shopper, make_sale: MakeSale) -> None:
    sale = make_sale()
    for slug in (sale.slug.upper(), sale.slug, sale.slug.title()):
        reply = shopper.client.get(f"/sales/{slug}/", headers=JSON)
        assert (reply.status_code, reply.json()["sale"]) == (200, sale.slug)
    page = shopper.client.get(f"/sales/{sale.slug.upper()}/", headers=PAGE).text
    assert f'action="/sales/{sale.slug}/buy"' in page
    assert f'ws-connect="/ws/sales/{sale.slug}/"' in page


def test_a_click_at_an_address_in_capitals_buys(shopper: Shopper, make_sale: MakeSale) -> None:
    sale = make_sale()
    form = {"ticket": shopper.ticket(sale), "product": sale.variants.get().sku}
    reply = shopper.client.post(f"/sales/{sale.slug.upper()}/buy", data=form, headers=JSON)
    assert reply.status_code == 202
    settle(sale.pk)
    assert shopper.order(reply.json()["purchase"]).json()["status"] == "confirmed"


def test_an_unknown_sale_is_unknown_in_any_case(shopper: Shopper, make_sale: MakeSale) -> None:
    draft = make_sale(live=False)
    for slug in (draft.slug.upper(), "NO-SUCH-SALE"):
        assert shopper.client.get(f"/sales/{slug}/", headers=JSON).status_code == 404


def test_names_are_isolated_on_each_page(
    new_shopper: Callable[..., Shopper], make_sale: MakeSale
) -> None:
    shopper, sale = new_shopper(), called(make_sale(limit=2), ARABIC, "42 - 43")
    page = shopper.client.get(f"/sales/{sale.slug}/", headers=PAGE).text
    assert f"<title>\u2068{ARABIC}\u2069 · " in page
    assert f"<h1><bdi>{ARABIC}</bdi></h1>" in page
    assert f'<bdi>{ARABIC}</bdi> <bdi class="option">42 - 43</bdi>' in page
    [form] = forms(page)
    box = shopper.client.post(f"/sales/{sale.slug}/buy", data=form, headers=HTMX).text
    assert f"<bdi>{ARABIC}</bdi> <bdi>42 - 43</bdi>" in box
    settle(sale.pk)
    own = shopper.client.get("/orders/", headers=PAGE).text
    assert f'<bdi>{ARABIC}</bdi> <bdi class="option">42 - 43</bdi>' in own
    order = shopper.client.get(f"/orders/{sale.orders.get().pk}/", headers=PAGE).text
    assert f"<bdi>{ARABIC}</bdi> <bdi>42 - 43</bdi>" in order
    assert ARABIC not in order.replace(f"<bdi>{ARABIC}</bdi>", "")


def test_a_name_is_escaped_within_its_isolation(shopper: Shopper, make_sale: MakeSale) -> None:
    sale = called(make_sale(), "<b>Shoe</b> & more")
    page = shopper.client.get(f"/sales/{sale.slug}/", headers=PAGE).text
    assert "<b>Shoe" not in page
    assert "<bdi><b>Shoe</b> & more</bdi>" in unescape(page)


def test_a_calendar_puts_a_name_between_times(shopper: Shopper, make_sale: MakeSale) -> None:
    sale = called(make_sale(opens_in=600), f"\u202e{ARABIC}")
    reply = shopper.client.get(f"/sales/{sale.slug.upper()}/calendar.ics")
    assert f"SUMMARY:\u2068{ARABIC}\u2069" in reply.text
    assert f'filename="{sale.slug}.ics"' in reply.headers["content-disposition"]
