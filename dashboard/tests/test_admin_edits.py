"""What staff write by hand in Django admin: checked, written down, and never stock or status."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from conftest import MakeSale
from dashboard.tests.admin_pages import LOOK, RUN, WRITE, Staff, form_of, listed, page_of
from inventory.models import Listing, Sale, Variant
from inventory.products import Product
from orders.models import AuditEntry
from tests.cast import skus, stocked


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
    assert f"is in “{sale}”, which has not finished." in adds(anna, form)
    assert not Sale.objects.filter(slug=form["slug"]).exists()


def test_the_prices_of_a_draft_are_in_one_currency(anna: Staff) -> None:
    euros = stocked("edits-euros", 1)
    yen = Variant.objects.create(sku="edits-yen", name="Shoe", price=100, currency="JPY")
    assert "The prices of a sale must be in one currency." in adds(anna, draft_form(euros, yen))
    for mixed in (
        draft_form(products=[euros.product_id, yen_shoe(yen)]),
        draft_form(euros, products=[yen_shoe(yen)]),
    ):
        assert "The prices of a sale must be in one currency." in adds(anna, mixed)
        assert not Sale.objects.filter(slug=mixed["slug"]).exists()


def test_what_only_postgresql_knows_is_an_error_of_the_form_too(
    anna: Staff, make_sale: MakeSale
) -> None:
    """The finished sale's window ends a day from now: another of its variant cannot begin in it."""
    over = make_sale(closes_in=100_000)
    Sale.objects.filter(pk=over.pk).update(status="ended", finished=True)
    page = adds(anna, draft_form(over.variants.get()))
    assert "Another sale of one of these products has a window in this one." in page
    assert "was added successfully" not in page


def yen_shoe(variant: Variant) -> int:
    return Product.objects.get(variants__sku=variant.sku).pk


def test_a_product_is_listed_with_all_its_variants_in_its_order(anna: Staff) -> None:
    hat = stocked("edits-hat", 1)
    shoes = Product.objects.create(name="Shoe")
    for sku, position in (("edits-l", 3), ("edits-s", 1), ("edits-m", 2)):
        stocked(sku, 1, shoes)
        Variant.objects.filter(sku=sku).update(position=position)
    form = draft_form(products=[shoes.pk, hat.product_id])
    adds(anna, form)
    sale = Sale.objects.get(slug=form["slug"])
    assert skus(sale) == ["edits-s", "edits-m", "edits-l", "edits-hat"]
    stocked("edits-xl", 1, shoes)
    anna.sends(page_of(sale), **{**form_of(anna.opens(page_of(sale))), "products": [shoes.pk]})
    assert skus(sale)[-1] == "edits-xl"
    assert len(skus(sale)) == 5


def test_a_product_without_variants_is_not_picked(anna: Staff) -> None:
    empty = Product.objects.create(name="Nothing yet")
    page = adds(anna, draft_form(products=[empty.pk]))
    assert f"{empty} has no variants." in page


def test_a_product_in_an_unfinished_sale_is_not_picked(anna: Staff, make_sale: MakeSale) -> None:
    sale = make_sale()
    form = draft_form(products=[sale.variants.get().product_id])
    assert f"is in “{sale}”, which has not finished." in adds(anna, form)
    assert not Sale.objects.filter(slug=form["slug"]).exists()


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


def test_two_who_edit_one_draft_keep_each_others_changes(anna: Staff, make_sale: MakeSale) -> None:
    draft, ben = make_sale(live=False), Staff.with_permissions(*LOOK, *WRITE)
    form = form_of(anna.opens(page_of(draft)))
    ben.sends(page_of(draft), **{**form, "limit": 3})
    anna.sends(page_of(draft), **{**form, "name": "Renamed"})
    draft.refresh_from_db()
    assert (draft.name, draft.limit) == ("Renamed", 3)


def test_a_listing_is_added_and_the_audit_names_it(anna: Staff, make_sale: MakeSale) -> None:
    draft, bag = make_sale(live=False), stocked("edits-late", 3)
    form = form_of(anna.opens(page_of(draft)))
    added = {"listings-1-variant": bag.pk, "listings-1-position": 1}
    anna.sends(page_of(draft), **{**form, "listings-TOTAL_FORMS": 2, **added})
    assert Listing.objects.filter(sale=draft, variant=bag).exists()
    assert str(bag) in draft.audit.get().reason


def test_staff_without_the_permission_write_nothing(make_sale: MakeSale) -> None:
    ben, draft = Staff.with_permissions(*RUN), make_sale(live=False)
    product = Product.objects.get(variants__sales=draft)
    for address in (page_of(draft), f"{listed(Sale)}add/", page_of(product)):
        assert ben.browser.post(address, {"name": "Mine"}).status_code == 403, address
