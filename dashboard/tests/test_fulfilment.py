"""Staff ship a sale's orders: what is to be picked, one parcel at a time, and a list of them."""

import re
from uuid import uuid4

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from conftest import MakeSale
from dashboard.tests.admin_pages import Staff
from dashboard.tests.staff import browser_of
from inventory.models import Sale
from orders import cancellation
from orders.models import AuditEntry, Order, Shipment
from orders.shipping import mark_shipped
from tests.shipped import ANNA, give_contact, sell

SEE, SHIP = "orders.view_order", "orders.add_shipment"


@pytest.fixture
def anna() -> Staff:
    return Staff.with_permissions(SEE, SHIP)


def page_of(sale: Sale) -> str:
    return reverse("fulfilment", args=[sale.pk])


def figures(html: str) -> dict[str, int]:
    found = re.findall(r'data-figure="([a-z-]+)">([\d,]+)<', html)
    return {name: int(number.replace(",", "")) for name, number in found}


def upload(staff: Staff, sale: Sale, text: str) -> HttpResponse:
    file = SimpleUploadedFile("parcels.csv", text.encode())
    return staff.browser.post(reverse("parcels", args=[sale.pk]), {"file": file})  # type: ignore[return-value]  # the client's own kind


def kinds(answer: HttpResponse) -> list[str]:
    return re.findall(r'<li data-kind="(\w+)"', answer.content.decode())


def confirm(staff: Staff, sale: Sale, preview: HttpResponse) -> HttpResponse:
    """Send the form of the preview as a browser does."""
    html = preview.content.decode()
    text = re.search(r"<textarea name=\"text\" hidden>\n(.*?)</textarea>", html, re.S)
    key = re.search(r'name="key" value="([^"]+)"', html)
    assert text
    assert key
    fields = {"text": text[1].replace("&#x27;", "'").replace("&quot;", '"'), "key": key[1]}
    return staff.browser.post(reverse("parcels", args=[sale.pk]), fields)  # type: ignore[return-value]  # the client's own kind


# --- The page ------------------------------------------------------------------------------------


def test_the_page_counts_and_lists_what_to_pick_and_to_ship(
    anna: Staff, make_sale: MakeSale
) -> None:
    sale = make_sale(stock=9, limit=2)
    pair, *others = sell(sale, quantity=2) + sell(sale, 2)
    cancellation.cancel_order(others[0].pk, by="staff")
    mark_shipped(pair.pk, by="staff")
    html = anna.opens(page_of(sale))
    assert figures(html) == {"confirmed": 2, "to-ship": 1, "shipped": 1}
    assert others[1].reference in html
    assert pair.reference not in html
    row = re.search(rf"<code>{others[1].sku}</code></th>.*?<b>(\d+)</b>.*?>(\d+)<", html, re.S)
    assert row
    assert row.groups() == ("1", "1")


def test_a_sale_that_has_shipped_everything_says_so(anna: Staff, make_sale: MakeSale) -> None:
    sale = make_sale()
    assert "No order is confirmed yet." in anna.opens(page_of(sale))
    [order] = sell(sale)
    mark_shipped(order.pk, by="staff")
    assert "Everything is shipped." in anna.opens(page_of(sale))


def test_the_page_shows_no_contact(anna: Staff, make_sale: MakeSale) -> None:
    sale = make_sale()
    [order] = sell(sale)
    give_contact(order.pk)
    html = anna.opens(page_of(sale))
    assert ANNA.name not in html
    assert "Addresses for shipping" not in html


def test_the_dashboard_leads_to_it(make_sale: MakeSale) -> None:
    sale = make_sale()
    staff = Staff.with_permissions("inventory.watch_sales", SEE)
    assert page_of(sale) in staff.opens(reverse("dashboard"))


def test_who_only_looks_at_orders_ships_none(make_sale: MakeSale) -> None:
    sale = make_sale()
    [order] = sell(sale)
    ben = Staff.with_permissions(SEE)
    html = ben.opens(page_of(sale))
    assert "Mark as shipped" not in html
    assert "List of parcels" not in html
    for address in (
        reverse("ship", args=[sale.pk, order.pk]),
        reverse("parcels", args=[sale.pk]),
        reverse("shipping-export", args=[sale.pk]),
    ):
        assert ben.browser.post(address, {"key": uuid4()}).status_code == 403
    assert not Shipment.objects.filter(pk=order.pk).exists()


def test_strangers_see_nothing(make_sale: MakeSale) -> None:
    sale = make_sale()
    looks = Staff.with_permissions("inventory.watch_sales")
    assert looks.browser.get(page_of(sale)).status_code == 403
    assert "/admin/login/" in browser_of(None).get(page_of(sale)).headers["Location"]


# --- One by one ----------------------------------------------------------------------------------


def test_an_order_is_marked_as_shipped(anna: Staff, make_sale: MakeSale) -> None:
    sale = make_sale()
    [order] = sell(sale)
    address, key = reverse("ship", args=[sale.pk, order.pk]), uuid4()
    fields = {"carrier": "DHL", "number": "00340434", "url": "https://dhl.example/1", "key": key}
    assert anna.sends(address, **fields) == [f"{order.reference} is marked as shipped."]
    assert "done only once" in anna.sends(address, **fields)[0]
    assert Shipment.objects.get(pk=order.pk).by == anna.name
    assert AuditEntry.objects.filter(order=order.pk, action="shipped").count() == 1


def test_what_cannot_be_shipped_says_why(anna: Staff, make_sale: MakeSale) -> None:
    sale = make_sale()
    [order] = sell(sale)
    address = reverse("ship", args=[sale.pk, order.pk])
    [refused] = anna.sends(address, url="javascript:alert(1)", key=uuid4())
    assert "https://" in refused
    [refused] = anna.sends(address, number="1" * 61, key=uuid4())
    assert "60" in refused
    cancellation.cancel_order(order.pk, by="staff")
    [refused] = anna.sends(address, key=uuid4())
    assert "this one is cancelled" in refused
    other = make_sale()
    elsewhere = reverse("ship", args=[other.pk, order.pk])
    assert anna.browser.post(elsewhere, {"key": uuid4()}).status_code == 404
    assert not Shipment.objects.filter(pk=order.pk).exists()


def test_another_site_cannot_have_it_shipped(anna: Staff, make_sale: MakeSale) -> None:
    sale = make_sale()
    [order] = sell(sale)
    careful = Client(enforce_csrf_checks=True)
    careful.cookies = anna.browser.cookies
    address = reverse("ship", args=[sale.pk, order.pk])
    assert careful.post(address, {"key": uuid4()}).status_code == 403
    assert not Shipment.objects.filter(pk=order.pk).exists()


def test_the_admin_page_of_an_order_ships_it_too(make_sale: MakeSale) -> None:
    [order] = sell(make_sale())
    carl = Staff.with_permissions(SEE, SHIP)
    said = carl.confirms("ship", order, carrier="DHL", number="1")
    assert said == [f"{order.reference} is marked as shipped."]
    assert "DHL 1" in carl.opens(f"/admin/orders/order/{order.pk}/change/")


# --- A list --------------------------------------------------------------------------------------


def test_a_list_is_previewed_then_carried_out_line_by_line(
    anna: Staff, make_sale: MakeSale
) -> None:
    sale = make_sale(stock=5)
    first, second, third, fourth, fifth = sell(sale, 5)
    mark_shipped(second.pk, carrier="DHL", number="2", by="staff")
    mark_shipped(third.pk, carrier="DHL", number="3", by="staff")
    cancellation.cancel_order(fourth.pk, by="staff")
    [elsewhere] = sell(make_sale())
    text = "\n".join(
        [
            "order;carrier;number;link",
            f'{first.reference};DHL;1;https://dhl.example/?a=1&b=%22"',
            f"{second.pk};DHL;2;",
            f"{third.pk};DHL;33;",
            f"{fourth.pk};DHL;4;",
            f"{fifth.pk};;;",
            f"{elsewhere.pk};DHL;5;",
            f"{first.pk};UPS;6;",
            "nonsense;DHL;7;",
        ]
    ).replace('%22"', "%22")
    preview = upload(anna, sale, text)
    planned = ["ship", "same", "correct", "refused", "empty", "refused", "refused", "refused"]
    assert kinds(preview) == planned
    assert "Ship 2 of 8" in preview.content.decode()
    assert not Shipment.objects.filter(pk=first.pk).exists()

    done = confirm(anna, sale, preview)
    assert kinds(done) == [{"ship": "done", "correct": "done"}.get(kind, kind) for kind in planned]
    assert numbers(sale) == {first.pk: "1", second.pk: "2", third.pk: "33"}

    again = confirm(anna, sale, preview)
    assert "done" not in kinds(again)
    assert AuditEntry.objects.filter(order=first.pk, action="shipped").count() == 1


def numbers(sale: Sale) -> dict[object, str]:
    return dict(Shipment.objects.filter(order__sale=sale).values_list("pk", "tracking_number"))


def test_the_preview_writes_what_a_file_says_as_text(anna: Staff, make_sale: MakeSale) -> None:
    sale = make_sale()
    [order] = sell(sale)
    evil = "</textarea><script>alert(1)</script>"
    html = upload(anna, sale, f"order,carrier\n{order.pk},{evil}\n").content.decode()
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert" in html


@pytest.mark.parametrize(
    ("text", "why"), [("", "empty"), ("name\nAnna\n", "reference"), ("order\n\x00", "CSV")]
)
def test_a_file_that_is_no_list_says_why(
    anna: Staff, make_sale: MakeSale, text: str, why: str
) -> None:
    answer = upload(anna, make_sale(), text)
    [message] = anna.browser.get(answer.headers["Location"]).context["messages"]
    assert why in str(message)


def test_a_list_that_takes_too_long_says_what_was_not_tried(
    anna: Staff, make_sale: MakeSale, monkeypatch: pytest.MonkeyPatch
) -> None:
    sale = make_sale()
    [order] = sell(sale)
    preview = upload(anna, sale, f"order\n{order.pk}\n")
    with monkeypatch.context() as patch:
        patch.setattr("dashboard.parcel_list.PATIENCE", -1)
        assert "Not tried" in confirm(anna, sale, preview).content.decode()
    assert kinds(confirm(anna, sale, preview)) == ["done"]


def test_a_reference_of_two_orders_ships_none(anna: Staff, make_sale: MakeSale) -> None:
    sale = make_sale()
    [order] = sell(sale)
    twin = Order.objects.get(pk=order.pk)
    twin.pk = type(order.pk)(int=order.pk.int ^ 1)
    twin.save(force_insert=True)
    preview = upload(anna, sale, f"order\n{order.reference}\n")
    assert kinds(preview) == ["refused"]
    assert "several orders" in preview.content.decode()
