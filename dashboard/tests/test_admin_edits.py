"""What staff write by hand in Django admin: checked, written down, and never stock or status."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from conftest import MakeSale
from dashboard.tests.admin_pages import LOOK, RUN, WRITE, Staff, form_of, listed, page_of
from inventory.gate import replica
from inventory.models import Listing, Sale, Variant
from orders import finishing, lifecycle, stock_changes
from orders.models import AuditEntry
from tests.cast import stocked


@pytest.fixture
def anna() -> Staff:
    return Staff.with_permissions(*LOOK, *WRITE)


def draft_form(*variants: Variant, **changed: Any) -> dict[str, Any]:
    """What the form of a new draft sends."""
    opens_at = timezone.now() + timedelta(hours=1)
    form = {
        "name": "A drop",
        "slug": f"admin-{timezone.now().timestamp():.6f}".replace(".", "-"),
        "opens_at_0": f"{opens_at:%Y-%m-%d}",
        "opens_at_1": f"{opens_at:%H:%M:%S}",
        "closes_at_0": f"{opens_at + timedelta(days=1):%Y-%m-%d}",
        "closes_at_1": f"{opens_at:%H:%M:%S}",
        "time_zone": "Europe/Berlin",
        "limit": 2,
        "initial-opens_at": "",
        "listings-TOTAL_FORMS": len(variants),
        "listings-INITIAL_FORMS": 0,
    }
    for position, variant in enumerate(variants):
        form[f"listings-{position}-variant"] = variant.pk
        form[f"listings-{position}-position"] = position
    return form | changed


def adds(staff: Staff, form: dict[str, Any]) -> str:
    """Sends the form of a new draft. Gives the page that follows."""
    return staff.browser.post(f"{listed(Sale)}add/", form, follow=True).content.decode()


def entries(subject: Sale | Variant) -> list[tuple[str, str]]:
    found = subject.audit.order_by("id")
    return [(entry.action, entry.actor) for entry in found]


# --- Drafts ------------------------------------------------------------------------------------


def test_a_draft_is_written_changed_and_deleted_and_the_audit_tells_all(anna: Staff) -> None:
    variant = stocked("edits-shoe", 3)
    form = draft_form(variant)
    adds(anna, form)
    sale = Sale.objects.get(slug=form["slug"])
    listing = sale.listings.get()
    assert (sale.status, sale.limit, listing.variant) == ("draft", 2, variant)
    kept = {"listings-INITIAL_FORMS": 1, "listings-0-id": listing.pk, "listings-0-sale": sale.pk}
    anna.sends(page_of(sale), **{**form, **kept, "limit": 3})
    entry = AuditEntry.objects.filter(sale=sale).first()
    assert entry
    assert (entry.before, entry.after) == ({"limit": 2}, {"limit": 3})
    anna.sends(f"{listed(Sale)}{sale.pk}/delete/", post="yes")
    assert not Sale.objects.filter(pk=sale.pk).exists()
    told = [(action, anna.name) for action in ("created", "edited", "deleted")]
    assert entries(sale) == told


def test_a_draft_saved_as_it_was_is_no_change(anna: Staff, make_sale: MakeSale) -> None:
    draft = make_sale(live=False)
    anna.sends(page_of(draft), **form_of(anna.opens(page_of(draft))))
    assert entries(draft) == []


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"closes_at_0": "2020-01-01"}, "It must close after it opens."),
        (
            {"opens_at_0": "2020-01-01", "closes_at_0": "2020-01-02"},
            "This is in the past: no shopper could buy.",
        ),
        ({"limit": 0}, "greater than or equal to 1"),
        ({"limit": 10_001}, "less than or equal to 10000"),
        ({"time_zone": "Europe/Atlantis"}, "No such time zone."),
    ],
)
def test_what_makes_no_sense_is_an_error_of_the_form(
    anna: Staff, wrong: dict[str, Any], said: str
) -> None:
    form = draft_form(**wrong)
    assert said in adds(anna, form)
    assert not Sale.objects.filter(slug=form["slug"]).exists()


def test_a_variant_is_in_one_unfinished_sale_only(anna: Staff, make_sale: MakeSale) -> None:
    sale = make_sale()
    form = draft_form(sale.variants.get())
    assert f"It is in “{sale}”, which has not finished." in adds(anna, form)
    assert not Sale.objects.filter(slug=form["slug"]).exists()


def test_the_prices_of_a_draft_are_in_one_currency(anna: Staff) -> None:
    euros = stocked("edits-euros", 1)
    yen = Variant.objects.create(sku="edits-yen", name="Shoe", price=100, currency="JPY")
    assert "The prices of a sale must be in one currency." in adds(anna, draft_form(euros, yen))


def test_what_only_postgresql_knows_is_an_error_of_the_form_too(
    anna: Staff, make_sale: MakeSale
) -> None:
    """The finished sale's window ends a day from now: another of its variant cannot begin in it."""
    over = make_sale(closes_in=100_000)
    Sale.objects.filter(pk=over.pk).update(status="ended", finished=True)
    page = adds(anna, draft_form(over.variants.get()))
    assert "Another sale of one of these products has a window in this one." in page
    assert "was added successfully" not in page


# --- Sales that are not drafts -----------------------------------------------------------------


def test_a_sale_that_is_no_draft_is_neither_edited_nor_deleted(make_sale: MakeSale) -> None:
    root, sale = Staff.superuser(), make_sale()
    forged = {"name": "Mine", "slug": sale.slug, "status": "ended", "limit": 9}
    assert root.browser.post(page_of(sale), forged).status_code == 403
    address = f"{listed(Sale)}{sale.pk}/delete/"
    assert root.browser.post(address, {"post": "yes"}).status_code == 403
    present = Sale.objects.get(pk=sale.pk)
    assert (present.name, present.status, present.limit) == (sale.name, "live", sale.limit)


def test_the_status_of_a_draft_is_not_among_what_can_be_sent(
    anna: Staff, make_sale: MakeSale
) -> None:
    draft = make_sale(live=False)
    form = form_of(anna.opens(page_of(draft)))
    anna.sends(page_of(draft), **{**form, "name": "New", "status": "live", "version": 99})
    draft.refresh_from_db()
    assert (draft.name, draft.status, draft.version) == ("New", "draft", 1)


def test_nothing_is_deleted_from_a_list(make_sale: MakeSale) -> None:
    root, draft = Staff.superuser(), make_sale(live=False)
    forged = {"action": "delete_selected", "_selected_action": [draft.pk], "post": "yes"}
    assert root.sends(listed(Sale), **forged) == ["No action selected."]
    assert Sale.objects.filter(pk=draft.pk).exists()


# --- Variants ----------------------------------------------------------------------------------


@pytest.mark.parametrize("price", ["-1", "0.001", "1.299", "99999999999", "NaN", ""])
def test_a_price_that_is_none_is_an_error_of_the_form(anna: Staff, price: str) -> None:
    form = {"sku": "edits-invalid", "name": "Shoe", "price": price, "currency": "EUR"}
    answer = anna.browser.post(f"{listed(Variant)}add/", form)
    assert answer.status_code == 200
    assert "errorlist" in answer.content.decode()
    assert not Variant.objects.filter(sku="edits-invalid").exists()


def test_a_price_is_changed_and_the_audit_tells_what_it_was(anna: Staff) -> None:
    variant = stocked("edits-bag", 3)
    form = form_of(anna.opens(page_of(variant)))
    anna.sends(page_of(variant), **{**form, "price": "99.00"})
    entry = variant.audit.get()
    assert (entry.action, entry.actor) == ("edited", anna.name)
    assert (entry.before, entry.after) == ({"price": 12900}, {"price": 9900})


def test_stock_is_not_among_what_can_be_sent(anna: Staff) -> None:
    variant = stocked("edits-mug", 3)
    form = form_of(anna.opens(page_of(variant)))
    anna.sends(page_of(variant), **{**form, "name": "Mug", "stock": 1000, "sku": "other"})
    variant.refresh_from_db()
    assert (variant.name, variant.stock, variant.sku) == ("Mug", 3, "edits-mug")
    assert variant.audit.get().after == {"name": "Mug"}


def test_a_new_variant_has_no_stock(anna: Staff) -> None:
    new = {"sku": "edits-new", "name": "New", "price": 100, "currency": "EUR", "stock": 50}
    anna.sends(f"{listed(Variant)}add/", **new)
    variant = Variant.objects.get(sku="edits-new")
    assert variant.stock == 0
    assert entries(variant) == [("created", anna.name)]


OFFERED: dict[str, Any] = {"name": "Toaster", "option": "43", "price": 1, "currency": "USD"}
STORED = {**OFFERED, "price": 100}


def saves(staff: Staff, variant: Variant, **changed: Any) -> str:
    """Changes the form of a variant. Gives the page that follows."""
    form = form_of(staff.opens(page_of(variant)))
    page = staff.browser.post(page_of(variant), {**form, **changed}, follow=True)
    return page.content.decode()


@pytest.mark.parametrize("then", [None, lifecycle.pause, lifecycle.end])
@pytest.mark.parametrize("field", OFFERED)
def test_what_a_sale_that_has_opened_offers_stands(
    field: str, then: Any, anna: Staff, make_sale: MakeSale
) -> None:
    sale = make_sale()
    if then:
        then(sale.pk, by="staff")
    variant, version = sale.variants.get(), Sale.objects.get(pk=sale.pk).version
    page = saves(anna, variant, although_public="on", **{field: OFFERED[field]})
    assert f"what it sells ({field}) cannot change" in page
    assert getattr(Variant.objects.get(pk=variant.pk), field) == getattr(variant, field)
    assert entries(variant) == []
    assert Sale.objects.get(pk=sale.pk).version == version


@pytest.mark.parametrize("field", OFFERED)
def test_what_a_sale_that_will_open_offers_is_asked_about(
    field: str, anna: Staff, make_sale: MakeSale
) -> None:
    sale = make_sale(opens_in=3600, closes_in=7200)
    variant, changed = sale.variants.get(), {field: OFFERED[field]}
    page = saves(anna, variant, **changed)
    assert f"is public. If you change this ({field})" in page
    assert 'name="although_public"' in page
    assert getattr(Variant.objects.get(pk=variant.pk), field) == getattr(variant, field)
    assert "was changed successfully" in saves(anna, variant, although_public="on", **changed)
    assert getattr(Variant.objects.get(pk=variant.pk), field) == STORED[field]
    raised = Sale.objects.get(pk=sale.pk)
    assert raised.version == sale.version + 1
    assert replica.read_view(sale.pk).version == raised.version  # pages learn of it by the gate


def test_a_sale_that_opens_while_its_product_is_edited_refuses_the_change(
    anna: Staff, make_sale: MakeSale
) -> None:
    sale = make_sale(opens_in=3600, closes_in=7200)
    variant = sale.variants.get()
    form = form_of(anna.opens(page_of(variant)))
    lifecycle.go_live(sale.pk, by="staff")
    changed = {**form, "price": 1, "although_public": "on"}
    assert "has opened" in anna.browser.post(page_of(variant), changed).content.decode()
    assert Variant.objects.get(pk=variant.pk).price == variant.price


@pytest.mark.parametrize("opens_in", [-60, 3600])
def test_texts_may_change_at_any_time_and_open_pages_learn_of_it(
    opens_in: float, anna: Staff, make_sale: MakeSale
) -> None:
    sale = make_sale(opens_in=opens_in, closes_in=7200)
    page = saves(anna, sale.variants.get(), description="It is blue.")
    assert "was changed successfully" in page
    version = Sale.objects.get(pk=sale.pk).version
    assert version == sale.version + 1
    assert replica.read_view(sale.pk).version == version


@pytest.mark.parametrize("draft", [True, False], ids=["in a draft", "in a sale that is finished"])
def test_what_no_shopper_can_buy_changes_freely(
    draft: bool, anna: Staff, make_sale: MakeSale
) -> None:
    sale = make_sale(live=not draft)
    if not draft:
        lifecycle.end(sale.pk, by="staff")
        assert finishing.finish_sale(sale.pk)
    page = saves(anna, sale.variants.get(), name="Toaster")
    assert "was changed successfully" in page
    assert "although_public" not in page


def test_a_refused_change_is_not_announced_as_made(anna: Staff, make_sale: MakeSale) -> None:
    """PostgreSQL looks at the currencies of a sale only when the transaction ends."""
    sale = make_sale(stock={"shoe": 1, "bag": 1}, opens_in=3600, closes_in=7200)
    variant = sale.variants.all()[0]
    form = form_of(anna.opens(page_of(variant)))
    usd = {"currency": "USD", "although_public": "on"}
    page = anna.browser.post(page_of(variant), {**form, **usd}).content.decode()
    assert "in several currencies" in page
    assert "was changed successfully" not in page


def test_two_who_edit_one_variant_keep_each_others_changes(anna: Staff) -> None:
    variant, ben = stocked("edits-hat", 3), Staff.with_permissions(*LOOK, *WRITE)
    form = form_of(anna.opens(page_of(variant)))
    ben.sends(page_of(variant), **{**form, "price": "99,00"})
    anna.sends(page_of(variant), **{**form, "name": "Hat"})
    variant.refresh_from_db()
    assert (variant.name, variant.price) == ("Hat", 9900)
    told = variant.audit.all()[0]
    assert (told.actor, told.after) == (anna.name, {"name": "Hat"})


def test_a_page_made_before_a_restock_takes_nothing_back(anna: Staff) -> None:
    variant = stocked("edits-cup", 3)
    form = form_of(anna.opens(page_of(variant)))
    stock_changes.restock(variant.pk, 4, by="ben")
    anna.sends(page_of(variant), **{**form, "name": "Cup"})
    variant.refresh_from_db()
    assert (variant.name, variant.stock) == ("Cup", 7)


def test_two_who_edit_one_draft_keep_each_others_changes(anna: Staff, make_sale: MakeSale) -> None:
    draft, ben = make_sale(live=False), Staff.with_permissions(*LOOK, *WRITE)
    form = form_of(anna.opens(page_of(draft)))
    ben.sends(page_of(draft), **{**form, "limit": 3})
    anna.sends(page_of(draft), **{**form, "name": "Renamed"})
    draft.refresh_from_db()
    assert (draft.name, draft.limit) == ("Renamed", 3)


def test_a_variant_with_a_history_is_not_deleted() -> None:
    root, variant = Staff.superuser(), stocked("edits-cap", 3)
    page = root.browser.post(f"{listed(Variant)}{variant.pk}/delete/", {"post": "yes"})
    assert "Cannot delete" in page.content.decode()
    assert Variant.objects.filter(pk=variant.pk).exists()


def test_a_listing_is_added_and_the_audit_names_it(anna: Staff, make_sale: MakeSale) -> None:
    draft, bag = make_sale(live=False), stocked("edits-late", 3)
    form = form_of(anna.opens(page_of(draft)))
    added = {"listings-1-variant": bag.pk, "listings-1-position": 1}
    anna.sends(page_of(draft), **{**form, "listings-TOTAL_FORMS": 2, **added})
    assert Listing.objects.filter(sale=draft, variant=bag).exists()
    assert str(bag) in draft.audit.get().reason


def test_staff_without_the_permission_write_nothing(make_sale: MakeSale) -> None:
    ben, draft = Staff.with_permissions(*RUN), make_sale(live=False)
    variant = draft.variants.get()
    for address in (page_of(draft), f"{listed(Sale)}add/", page_of(variant)):
        assert ben.browser.post(address, {"name": "Mine"}).status_code == 403, address
