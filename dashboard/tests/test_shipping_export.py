"""The file for shipping: everything that a parcel needs, for staff who may see contacts."""

import asyncio
import csv
import io
from collections.abc import Iterator
from dataclasses import replace

import httpx
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import override_settings
from django.urls import reverse

from conftest import MakeSale
from dashboard import shipping_export
from dashboard.shipping_export import COLUMNS, start_export
from dashboard.tests.staff import browser_of, employ, session_of
from inventory.models import Sale
from orders import cancellation
from orders.models import AuditEntry, Shipment
from orders.shipping import mark_shipped
from tests import deadlines, stack
from tests.shipped import ANNA, give_contact, pay, personal, sell

SEE_CONTACTS, SHIP = "accounts.view_contact", "orders.add_shipment"


def read(sale: Sale, *, shipped_too: bool = False) -> str:
    """The whole file."""

    async def run() -> bytes:
        return b"".join(
            [chunk async for chunk in await start_export(sale, shipped_too=shipped_too)]
        )

    return asyncio.run(run()).decode()


def rows(text: str) -> list[dict[str, str]]:
    assert text.startswith("\ufeffreference,order,")
    return list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"))))


def test_a_row_has_all_that_a_parcel_needs(make_sale: MakeSale) -> None:
    sale = make_sale(hold=10, limit=2)
    [order] = sell(sale, quantity=2)
    give_contact(order.pk)
    pay(order, "pi_12345")
    [row] = rows(read(sale))
    assert tuple(row) == COLUMNS
    assert row == {
        "reference": order.reference,
        "order": str(order.pk),
        "name": ANNA.name,
        "company": ANNA.company,
        "street": "Krähenwinkel 12b",
        "street_2": "Hinterhaus",
        "district": "",
        "city": "Buxtehude",
        "region": "",
        "postcode": "21614",
        "sorting_code": "",
        "country": "DE",
        "email": ANNA.email,
        "phone": ANNA.phone,
        "sku": order.sku,
        "product": order.product_name,
        "option": order.option,
        "quantity": "2",
        "unit_price": "129.00",
        "total": "258.00",
        "currency": "EUR",
        "payment_provider": "demo",
        "payment_reference": "pi_12345",
        "carrier": "",
        "tracking_number": "",
        "tracking_url": "",
    }


def test_what_is_not_to_be_shipped_is_left_out(make_sale: MakeSale) -> None:
    sale = make_sale()
    here, gone, cancelled = sell(sale, 3)
    mark_shipped(gone.pk, carrier="DHL", number="1", by="staff")
    cancellation.cancel_order(cancelled.pk, by="staff")
    assert [row["order"] for row in rows(read(sale))] == [str(here.pk)]
    everything = {row["order"]: row["carrier"] for row in rows(read(sale, shipped_too=True))}
    assert everything == {str(here.pk): "", str(gone.pk): "DHL"}


def test_no_cell_is_a_formula(make_sale: MakeSale) -> None:
    sale = make_sale()
    [order] = sell(sale)
    give_contact(order.pk, replace(ANNA, name='=HYPERLINK("x")', city="@SUM(A1)", street="-1\n+2"))
    pay(order, "=1+1")
    [row] = rows(read(sale))
    for column in ("name", "city", "street", "street_2", "payment_reference"):
        assert row[column][0] == "'"


@pytest.mark.parametrize(
    ("typed", "cell"),
    [
        ("+4930123456", "+4930123456"),
        ("+49 30 123456", "+49 30 123456"),
        ("+49+1", "'+49+1"),
        ("+A1", "'+A1"),
        ("+49;=1+1", "'+49;'=1+1"),
        ("+49\n", "'+49\n"),
        ("+\u0661", "'+\u0661"),  # a digit, but of another script
        ("=1", "'=1"),
    ],
)
def test_a_telephone_number_stays_plain_unless_it_could_be_a_formula(
    typed: str, cell: str, make_sale: MakeSale
) -> None:
    sale = make_sale()
    [order] = sell(sale)
    give_contact(order.pk, replace(ANNA, phone=typed))
    [row] = rows(read(sale))
    assert row["phone"] == cell


def test_many_orders_are_read_in_batches_each_once(
    make_sale: MakeSale, monkeypatch: pytest.MonkeyPatch
) -> None:
    sale = make_sale(stock=10)
    orders = sell(sale, 7)
    for batch in (1, 2, 7, 100):
        monkeypatch.setattr(shipping_export, "BATCH", batch)
        found = [row["order"] for row in rows(read(sale))]
        assert found == [str(order.pk) for order in orders]


def test_the_file_filled_in_is_a_list_of_parcels(make_sale: MakeSale) -> None:
    sale = make_sale()
    first, second = sell(sale, 2)
    give_contact(first.pk)
    listed = rows(read(sale))
    listed[0] |= {"carrier": "DHL", "tracking_number": "0034"}
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, delimiter=";")
    writer.writeheader()
    writer.writerows(listed)
    file = SimpleUploadedFile("shipping.csv", text.getvalue().encode("utf-8-sig"))
    browser = browser_of(employ([SHIP]))
    preview = browser.post(reverse("parcels", args=[sale.pk]), {"file": file})
    shown = preview.content.decode()
    assert "Ship 1 of 2" in shown
    assert second.reference in shown
    assert not Shipment.objects.filter(pk=first.pk).exists()


# --- Over HTTP -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def web() -> Iterator[stack.Web]:
    with stack.Web.running() as web:
        yield web


def test_a_download_is_the_file_and_is_audited(web: stack.Web, make_sale: MakeSale) -> None:
    sale = make_sale()
    [order] = sell(sale)
    give_contact(order.pk)
    anna = employ([SEE_CONTACTS])
    cookie = f"{session_of(anna)}; csrftoken={'a' * 32}"
    headers = {"Cookie": cookie, "Origin": web.url}
    address = f"{web.url}{reverse('shipping-export', args=[sale.pk])}"
    form = {"which": "to-ship", "csrfmiddlewaretoken": "a" * 32}
    answer = httpx.post(address, data=form, headers=headers, timeout=deadlines.seconds(30))
    assert answer.status_code == 200, answer.text
    assert answer.text == read(sale)
    assert answer.headers["Cache-Control"] == "private, no-store"
    assert f"shipping-{sale.slug}-" in answer.headers["Content-Disposition"]
    [entry] = AuditEntry.objects.filter(sale=sale, action="exported")
    assert (entry.actor, entry.reason) == (anna.username, "orders to ship")
    written = f"{entry.subject}{entry.before}{entry.after}{entry.reason}"
    assert [text for text in personal() if text in written] == []


def test_who_may_not_see_contacts_downloads_none(make_sale: MakeSale) -> None:
    sale = make_sale()
    ben = browser_of(employ(["orders.view_order", SHIP]))
    address = reverse("shipping-export", args=[sale.pk])
    assert ben.post(address, {"which": "all"}).status_code == 403
    assert ben.get(address).status_code == 405
    assert not AuditEntry.objects.filter(sale=sale, action="exported").exists()


def test_contacts_without_their_key_are_a_message(make_sale: MakeSale) -> None:
    sale = make_sale()
    [order] = sell(sale)
    with override_settings(CONTACT_KEYS=["0" * 43 + "="]):
        give_contact(order.pk)
    anna = browser_of(employ([SEE_CONTACTS, SHIP]))
    page = anna.post(reverse("shipping-export", args=[sale.pk]), {"which": "all"}, follow=True)
    [message] = page.context["messages"]
    assert "CONTACT_KEYS" in str(message)
