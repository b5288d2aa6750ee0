"""Addresses and forms of staff pages that make no sense, as crawlers, scanners and mangled bookmarks send
them: each is answered with a page, a redirect or a refusal, never with an error of the server."""

from collections.abc import Iterable, Iterator
from urllib.parse import quote
from uuid import uuid4

import pytest
from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.auth.models import Group
from django.contrib.contenttypes.models import ContentType
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db.models import Model
from django.test import Client
from django.utils.html import escape

from accounts import access_codes
from conftest import MakeSale
from dashboard import controls
from dashboard.admin.edited import BoundedRows
from dashboard.admin.listings import MOST_LISTED
from dashboard.admin.product_forms import MOST_PICTURES, MOST_VARIANTS
from dashboard.base_control import Control
from dashboard.tests.admin_pages import Staff, form_of, listed, page_of
from dashboard.tests.staff import RUNS, browser_of, employ
from inventory.models import Sale, Variant
from inventory.picture_limits import MOST_BYTES
from inventory.products import Product
from orders import settlement
from orders.models import Order
from payments.models import Attempt, ProviderEvent, Refund
from tests.cast import queue_up, stocked

MODELS = sorted(admin.site._registry, key=lambda model: model._meta.label)
# One is tried with every change, where there are many addresses; `./check deep` tries all.
USUAL = [pytest.param(m, marks=() if m is Variant else pytest.mark.deep) for m in MODELS]
VALUES = ["\0", "", "0", "-1", "nonsense", "é", "9" * 25, "9" * 5000, "1e999", "[", "1,x", "%"]
DATES = ["2026-02-30", "99999-01-01", "0001-01-01 00:00+14:00", "tomorrow", "2027-12-01", "24:61"]
LOOKUPS = ["", "__exact", "__in", "__range", "__isnull", "__gte", "__regex", "__contains"]
LOOKUPS += ["__year", "__date", "__nonsense", "__id__exact", "__"]
ODD = [*VALUES, *DATES]
SOME = ["\0", "-1", "é", "9" * 25, "99999-01-01"]  # as with models: all of them in `./check deep`
SOME_AND_ALL = [
    pytest.param(SOME, id="some"),
    pytest.param(ODD, id="all", marks=pytest.mark.deep),
]
# What the admin itself reads from an address.
PARAMETERS = ["o", "p", "e", "q", "all", "_facets", "_popup", "_to_field", "_changelist_filters"]
PARAMETERS += ["action", "id", "next", "sale", "__", "a__b__c", "\0", "user__password"]


@pytest.fixture(scope="module")
def root() -> Client:
    """A superuser's browser, which gets an error of the server as a browser does."""
    browser = Staff.superuser().browser
    browser.raise_request_exception = False
    return browser


def encoded(value: str) -> str:
    return quote(value, safe="")


def failed(browser: Client, addresses: Iterable[str]) -> dict[str, int]:
    statuses = {address: browser.get(address).status_code for address in addresses}
    return {address[:150]: status for address, status in statuses.items() if status >= 500}


def label(model: type[Model]) -> str:
    return model._meta.label


# --- Lists and empty forms ------------------------------------------------------------------------


def with_some_values(names: Iterable[str], each: int) -> Iterator[str]:
    """Each name with so many of the values; other ones for the next name."""
    for at, name in enumerate(names):
        for value in (ODD[(5 * at + 7 * shift) % len(ODD)] for shift in range(each)):
            yield f"{encoded(name)}={encoded(value)}"


def fields_of(model: type[Model]) -> list[str]:
    return [field.name for field in model._meta.get_fields()]


@pytest.mark.parametrize("model", USUAL, ids=label)
def test_a_list_with_odd_parameters_is_no_error(model: type[Model], root: Client) -> None:
    filters = [f"{name}{lookup}" for name in fields_of(model) for lookup in LOOKUPS]
    queries = [*with_some_values(PARAMETERS, 4), *with_some_values(filters, 1)]
    assert failed(root, (f"{listed(model)}?{query}" for query in queries)) == {}


@pytest.mark.parametrize("model", USUAL, ids=label)
def test_an_empty_form_with_odd_values_is_no_error(model: type[Model], root: Client) -> None:
    queries = [*with_some_values(fields_of(model), 5), *with_some_values(PARAMETERS, 1)]
    assert failed(root, (f"{listed(model)}add/?{query}" for query in queries)) == {}


def test_an_empty_form_takes_the_values_that_can_be_read(root: Client) -> None:
    address = f"{listed(Sale)}add/?name=Drop&opens_at=2027-12-01%2018:00&closes_at=tomorrow"
    form = form_of(root.get(address).content.decode())
    assert (form["name"], form["opens_at_0"], form["opens_at_1"]) == (
        *("Drop", "2027-12-01"),
        "18:00:00",
    )
    assert form["closes_at_0"] == ""


def test_a_filter_that_postgresql_refuses_leads_back_to_the_list(root: Client) -> None:
    for query in ("sku__regex=%5B", "price__range=0"):
        answer = root.get(f"{listed(Variant)}?{query}")
        assert (answer.status_code, answer["Location"]) == (302, f"{listed(Variant)}?e=1")


def test_a_nul_character_is_refused_with_a_page(root: Client) -> None:
    answer = root.get(f"{listed(Variant)}?sku__exact=%00")
    assert answer.status_code == 400
    assert escape("This request cannot be understood.") in answer.content.decode()


# --- Pages of one row -----------------------------------------------------------------------------

PAGES = ["change/", "history/", "delete/", "", "password/", "nonsense/"]


@pytest.mark.parametrize("model", USUAL, ids=label)
def test_a_page_of_no_row_is_no_error(model: type[Model], root: Client) -> None:
    keys = [encoded(value) or "0" for value in (*VALUES, "..", "1/2", "_00", "a_2Fb")]
    tried = [f"{listed(model)}{key}/{page}" for key in keys for page in PAGES]
    assert failed(root, tried) == {}


@pytest.fixture
def paid(make_sale: MakeSale) -> Iterator[None]:
    """An order with a payment that was given back. Removed again: it is in no provider's books. And an
    access code of its sale."""
    sale = make_sale()
    access_codes.generate(1, [sale.pk])
    [order] = queue_up(sale, 1)
    settlement.settle(sale.pk)
    attempt = Attempt.objects.create(
        order_id=order, provider="demo", amount=100, currency="EUR", state="refunded", due=None
    )
    refund = Refund.objects.create(attempt=attempt, amount=100, state="done", due=None)
    event = ProviderEvent.objects.create(provider="demo", event_id=str(attempt.pk), due=None)
    yield
    for row in (event, refund, attempt):
        row.delete()


@pytest.mark.usefixtures("paid")
@pytest.mark.parametrize("model", USUAL, ids=label)
def test_a_page_of_a_row_with_odd_parameters_is_no_error(model: type[Model], root: Client) -> None:
    Group.objects.get_or_create(name="drivers")
    row = model._default_manager.first()
    assert row
    pages = [page_of(row).removesuffix("change/") + page for page in PAGES]
    names = ("p", "_popup", "_to_field", "_changelist_filters", "e")
    tried = [f"{page}?{query}" for page in pages for query in with_some_values(names, 2)]
    assert failed(root, tried) == {}


# The choices of a sale's form: its variants, and its products.
CHOICES_OF = [
    f"/admin/autocomplete/?app_label=inventory&model_name={model}&field_name={field}"
    for model, field in (("listing", "variant"), ("variant", "product"))
]


@pytest.mark.parametrize("address", CHOICES_OF)
def test_the_choices_of_a_form_are_found(address: str, root: Client) -> None:
    stocked(f"choice-{uuid4().hex[:8]}", 0)
    assert root.get(address).json()["results"]


OF_NOTHING = [
    *(
        "/admin/r/{type}/{value}/",
        "/admin/r/{value}/1/",
        "/admin/{value}/",
        "/admin/inventory/{value}/",
    ),
    *(f"{choices}&term={{value}}" for choices in CHOICES_OF),
    *(f"{choices}&page={{value}}" for choices in CHOICES_OF),
    "/admin/autocomplete/?app_label={value}&model_name=listing&field_name=variant",
    "/admin/autocomplete/?app_label=inventory&model_name={value}&field_name=variant",
    "/admin/autocomplete/?app_label=inventory&model_name=listing&field_name={value}",
    *("/admin/jsi18n/?{value}", "/admin/?next={value}", "/admin/password_change/?next={value}"),
    *("/admin/login/?next={value}", "/admin/logout/?next={value}"),
    *("/dashboard/?e={value}", "/dashboard/live/?sale={value}", "/dashboard/{value}/"),
    "/dashboard/history/?page={value}",
]


@pytest.mark.parametrize("address", OF_NOTHING)
@pytest.mark.parametrize("values", SOME_AND_ALL)
def test_what_surrounds_the_lists_is_no_error_either(
    address: str, values: list[str], root: Client
) -> None:
    of_orders = ContentType.objects.get_for_model(Order).pk
    tried = [address.format(type=of_orders, value=encoded(value)) for value in values]
    assert failed(root, tried) == {}


# --- Controls and forms ---------------------------------------------------------------------------


OFFERED: dict[type[Model], tuple[type[Control], ...]] = {
    Sale: controls.OF_SALES,
    Variant: controls.OF_VARIANTS,
    Order: controls.OF_ORDERS,
}
CONTROLS = [(model, control.name) for model, offered in OFFERED.items() for control in offered]


@pytest.mark.parametrize(("model", "name"), CONTROLS)
def test_a_question_about_nothing_is_no_error(model: type[Model], name: str, root: Client) -> None:
    tried = [f"{listed(model)}{name}/?id={encoded(value)}" for value in VALUES]
    assert failed(root, [*tried, f"{listed(model)}{name}/"]) == {}


@pytest.mark.parametrize("model", USUAL, ids=label)
def test_an_action_on_no_row_is_no_error(model: type[Model], root: Client) -> None:
    action = OFFERED[model][0].name if model in OFFERED else "delete_selected"
    for key in VALUES:
        fields = {"action": action, ACTION_CHECKBOX_NAME: key, "index": key}
        assert root.post(listed(model), fields).status_code < 500, key


@pytest.mark.parametrize("model", [Sale, Product], ids=label)
@pytest.mark.parametrize("values", SOME_AND_ALL)
def test_a_form_with_odd_values_is_shown_again(
    model: type[Model], values: list[str], root: Client
) -> None:
    form = form_of(root.get(f"{listed(model)}add/").content.decode())
    for value in values:
        answer = root.post(f"{listed(model)}add/", dict.fromkeys(form, value))
        assert answer.status_code < 500, value


@pytest.mark.parametrize(
    ("model", "rows", "most"),
    [
        (Sale, "listings", MOST_LISTED),
        (Product, "variants", MOST_VARIANTS),
        (Product, "pictures", MOST_PICTURES),
    ],
)
def test_a_form_with_more_rows_than_it_may_have_is_shown_again(
    model: type[Model], rows: str, most: int, root: Client
) -> None:
    form = form_of(root.get(f"{listed(model)}add/").content.decode())
    answer = root.post(f"{listed(model)}add/", {**form, f"{rows}-TOTAL_FORMS": "9" * 25})
    page = answer.content.decode()
    assert f"at most {most} forms" in page
    assert f'name="{rows}-{most - 1}-' in page
    assert f'name="{rows}-{most}-' not in page


def test_the_rows_of_every_form_are_bounded() -> None:
    """Otherwise one small request makes a thousand forms, while a transaction waits."""
    inlines = [inline for page in admin.site._registry.values() for inline in page.inlines]
    assert inlines
    assert [i for i in inlines if not (issubclass(i, BoundedRows) and i.max_num)] == []


def test_a_file_that_is_too_large_is_a_form_with_the_status_413(root: Client) -> None:
    huge = SimpleUploadedFile("huge.png", b"x" * (MOST_BYTES + 1), "image/png")
    form = form_of(root.get(f"{listed(Product)}add/").content.decode())
    typed = {**form, "name": "typed", "pictures-0-file": huge}
    answer = root.post(f"{listed(Product)}add/", typed)
    page = answer.content.decode()
    assert (answer.status_code, 'value="typed"' in page, "errorlist" in page) == (413, True, True)


@pytest.mark.parametrize("values", SOME_AND_ALL)
def test_the_dashboards_controls_take_odd_values_without_an_error(
    values: list[str], make_sale: MakeSale
) -> None:
    browser, sale = browser_of(employ(RUNS)), make_sale()
    browser.raise_request_exception = False
    for value in values:
        fields = dict.fromkeys(("units", "limit", "opens_at", "closes_at", "reason", "key"), value)
        for number in (sale.pk, "9" * 25):
            for name in ("limit", "window", "nonsense"):
                address = f"/dashboard/sales/{number}/{name}/"
                assert browser.post(address, fields).status_code < 500, (name, value)
            address = f"/dashboard/sales/{number}/products/{number}/restock/"
            assert browser.post(address, fields).status_code < 500, value


# --- Addresses without their last slash -----------------------------------------------------------


@pytest.mark.parametrize("model", MODELS, ids=label)
def test_pages_are_found_without_their_last_slash(model: type[Model], root: Client) -> None:
    for path in (listed(model), f"{listed(model)}1/change/"):
        answer = root.get(f"{path.removesuffix('/')}?o=1")
        assert (answer.status_code, answer["Location"]) == (301, f"{path}?o=1")


def test_forms_without_the_last_slash_are_taken(make_sale: MakeSale) -> None:
    browser, sale = browser_of(employ(RUNS)), make_sale()
    browser.post(f"/dashboard/sales/{sale.pk}/pause", {})
    sale.refresh_from_db()
    assert sale.status == Sale.Status.PAUSED
    root = Staff.superuser().browser
    question = f"{listed(Sale)}resume/?id={sale.pk}"
    form = form_of(root.get(question).content.decode())
    assert root.post(question.replace("/?", "?"), form).status_code == 302
    sale.refresh_from_db()
    assert sale.status == Sale.Status.LIVE
