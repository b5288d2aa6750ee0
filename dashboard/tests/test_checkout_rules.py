"""Staff write the rules of a sale's checkout, and see them once the sale is public."""

import re
from typing import Any

import pytest
from pytest_django import Settings

from conftest import MakeSale
from dashboard.tests.admin_pages import RUN, WRITE, Staff, form_of, listed, page_of
from dashboard.tests.staff import LOOKS, browser_of, employ
from inventory.models import Sale
from orders import sale_lifecycle

RULES = {
    "hold_minutes": "15",
    "ask": "address",
    "payment": "demo",
    "terms": "No *luck* is refunded.",
    "price_note": "incl. 19 % VAT",
    "contact_days": "30",
}


@pytest.fixture
def anna() -> Staff:
    return Staff.with_permissions(*RUN, *WRITE)


def send(anna: Staff, sale: Sale, **fields: Any) -> str:
    """Send the page's form with these fields. Give the page that follows."""
    form = {**form_of(anna.opens(page_of(sale))), **fields}
    return anna.browser.post(page_of(sale), form, follow=True).content.decode()


def test_a_draft_gets_a_checkout(anna: Staff, make_sale: MakeSale) -> None:
    sale = make_sale(live=False)
    page = anna.opens(page_of(sale))
    assert re.search(r'<h2[^>]*class="fieldset-heading"[^>]*>\s*Checkout\s*</h2>', page)
    send(anna, sale, **RULES)
    sale.refresh_from_db()
    assert {rule: str(getattr(sale, rule)) for rule in RULES} == RULES
    entry = sale.audit.latest("id")
    assert (entry.action, entry.after["ask"], entry.after["contact_days"]) == (
        "edited",
        "address",
        30,
    )


def test_a_new_sale_has_none_and_keeps_contacts_for_half_a_year(anna: Staff) -> None:
    form = form_of(anna.opens(f"{listed(Sale)}add/"))
    told = {rule: form[rule] for rule in RULES}
    assert told == dict.fromkeys(RULES, "") | {"hold_minutes": "0", "contact_days": "180"}


def test_what_is_asked_without_a_hold_is_said_beside_it(anna: Staff, make_sale: MakeSale) -> None:
    sale = make_sale(live=False)
    page = send(anna, sale, ask="email")
    assert re.search(r'id="id_hold_minutes_error".*?needs a hold', page, re.S)
    sale.refresh_from_db()
    assert sale.ask == ""


def test_a_provider_that_is_configured_no_more_is_named_and_refused(
    anna: Staff, make_sale: MakeSale, settings: Settings
) -> None:
    sale = make_sale(live=False, hold=10)
    Sale.objects.filter(pk=sale.pk).update(payment="stripe")
    page = send(anna, sale, name="Renamed")
    assert "No such payment provider; configured: demo." in page
    settings.PAYMENT_PROVIDERS = ["demo", "stripe"]
    send(anna, sale, name="Renamed")
    sale.refresh_from_db()
    assert (sale.name, sale.payment) == ("Renamed", "stripe")


def test_a_page_of_the_last_release_changes_no_rule(anna: Staff, make_sale: MakeSale) -> None:
    sale = make_sale(live=False)
    send(anna, sale, **RULES)
    form = form_of(anna.opens(page_of(sale)))
    old = {
        name: value for name, value in form.items() if name.removeprefix("initial-") not in RULES
    }
    anna.browser.post(page_of(sale), old | {"name": "Renamed"})
    sale.refresh_from_db()
    assert sale.name == "Renamed"
    assert {rule: str(getattr(sale, rule)) for rule in RULES} == RULES


def test_a_number_that_is_emptied_stays(anna: Staff, make_sale: MakeSale) -> None:
    sale = make_sale(live=False)
    send(anna, sale, **RULES)
    send(anna, sale, name="Renamed", hold_minutes="", contact_days="")
    sale.refresh_from_db()
    assert (sale.name, sale.hold_minutes, sale.contact_days) == ("Renamed", 15, 30)


def test_a_public_sale_shows_its_rules_to_be_read(anna: Staff, make_sale: MakeSale) -> None:
    sale = make_sale(live=False)
    send(anna, sale, **RULES)
    sale_lifecycle.schedule(sale.pk, by="staff")
    page = anna.opens(page_of(sale))
    for shown in ("e-mail and postal address", "demo", "No *luck* is refunded.", "incl. 19 % VAT"):
        assert shown in page
    assert not re.findall(rf'name="({"|".join(RULES)})"', page)
    assert anna.browser.post(page_of(sale), {**RULES, "ask": ""}).status_code == 403


def test_the_dashboard_says_what_a_checkout_asks(make_sale: MakeSale) -> None:
    sale, plain = make_sale(live=False, hold=10), make_sale()
    Sale.objects.filter(pk=sale.pk).update(ask="email", payment="demo", terms="Some.")
    sale_lifecycle.schedule(sale.pk, by="staff")
    page = browser_of(employ(LOOKS)).get("/dashboard/").content.decode()
    assert "asks for e-mail" in figures_of(page, sale)
    assert "paid by demo, with terms" in figures_of(page, sale)
    assert "asks for" not in figures_of(page, plain)


def figures_of(page: str, sale: Sale) -> str:
    _, _, rest = page.partition(f'id="figures-{sale.pk}"')
    return rest.partition("</div>")[0]
