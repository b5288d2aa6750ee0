"""What a public sale offers changes under locks only, and its pages learn of it."""

from functools import partial
from unittest.mock import patch

import pytest
from django.db import transaction
from django.db.transaction import TransactionManagementError

from conftest import MakeSale
from inventory.gate import replica
from inventory.models import Listing, Sale, Variant
from inventory.shown import FIELDS
from orders import changes, offer_changes, sale_lifecycle
from orders.changes import NotPossible
from orders.offer_changes import (
    AskFirst,
    OnSale,
    announce_to_pages,
    check_change,
    lock_product_for_change,
)
from tests.cast import at_once, stocked
from tests.row_locks import without_row_locks


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("confirmed", [True, False])
def test_an_open_offer_stands(field: str, confirmed: bool, make_sale: MakeSale) -> None:
    with pytest.raises(NotPossible, match="has opened"):
        check_change({field}, [make_sale()], confirmed=confirmed)


@pytest.mark.parametrize("field", FIELDS)
def test_a_public_offer_is_asked_about(field: str, make_sale: MakeSale) -> None:
    sale = make_sale(opens_in=60)
    with pytest.raises(AskFirst, match="is public"):
        check_change({field}, [sale], confirmed=False)
    check_change({field}, [sale], confirmed=True)


@pytest.mark.parametrize("field", ["description", "size_guide", "pictures", "stock"])
def test_the_rest_changes_at_any_time(field: str, make_sale: MakeSale) -> None:
    check_change({field}, [make_sale(), make_sale(opens_in=60)], confirmed=False)


def test_a_change_needs_a_transaction(make_sale: MakeSale) -> None:
    with pytest.raises(TransactionManagementError):
        locked(make_sale().variants.get())


def test_nothing_is_replicated_before_the_commit_nor_after_a_rollback(make_sale: MakeSale) -> None:
    sale = make_sale()
    with transaction.atomic():
        sales = locked(sale.variants.get()).sales()
        announce_to_pages({"description"}, sales)
        assert replica.read_view(sale.pk).version == sale.version
    assert replica.read_view(sale.pk).version == sale.version + 1
    with transaction.atomic():
        sales = locked(sale.variants.get()).sales()
        announce_to_pages({"description"}, sales)
        transaction.set_rollback(True)
    assert replica.read_view(sale.pk).version == sale.version + 1


def test_a_replication_that_fails_leaves_the_change(
    make_sale: MakeSale, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(sale: int) -> None:
        raise changes.NotReplicated("Redis cannot be reached")

    sale = make_sale()
    monkeypatch.setattr(changes, "replicate_change", fail)
    with transaction.atomic():
        sales = locked(sale.variants.get()).sales()
        announce_to_pages({"description"}, sales)
    assert Sale.objects.get(pk=sale.pk).version == sale.version + 1
    assert "Redis cannot be reached" in caplog.text


def locked(variant: Variant) -> OnSale:
    assert variant.product_id
    return lock_product_for_change(variant.product_id)


def edit(variant: Variant, price: int) -> None:
    """As admin does, without a confirmation."""
    with transaction.atomic():
        on_sale = locked(variant)
        present, sales = on_sale.variants[variant.pk], on_sale.sales(variant.pk)
        check_change({"price"}, sales, confirmed=False)
        present.price = price
        present.save(update_fields=["price"])
        announce_to_pages({"price"}, sales)


def test_a_variant_is_in_its_own_sales_only(make_sale: MakeSale) -> None:
    sale, other = make_sale(), make_sale()
    variant, late = sale.variants.get(), other.variants.get()
    Variant.objects.filter(pk=late.pk).update(product=variant.product)
    with transaction.atomic():
        on_sale = locked(variant)
        assert on_sale.variants.keys() == {variant.pk, late.pk}
        assert (on_sale.sales(variant.pk), on_sale.sales(late.pk)) == ([sale], [other])
        assert on_sale.sales() == sorted([sale, other], key=lambda each: each.pk)


@pytest.mark.parametrize("round_", range(3))
def test_a_sale_opens_with_the_price_of_before_or_after_a_change_which_is_then_refused(
    make_sale: MakeSale, round_: int
) -> None:
    draft = make_sale(live=False)
    variant = draft.variants.get()
    edited, opened = at_once(
        partial(edit, variant, 1), partial(sale_lifecycle.schedule, draft.pk, by="staff")
    )
    assert opened is None
    assert edited is None or isinstance(edited, NotPossible)
    with pytest.raises(NotPossible):
        edit(variant, 2)


def test_what_joins_a_sale_meanwhile_is_not_changed(make_sale: MakeSale) -> None:
    """A sale that lists the variant between the look-up and the lock would not be asked."""
    variant, draft = stocked("joins-shoe", 3), make_sale(live=False)
    find = offer_changes._listings_of

    def find_then_list(product: int) -> frozenset[tuple[int, int]]:
        found = find(product)
        if not found:
            Listing.objects.create(sale=draft, variant=variant)
        return found

    refused = pytest.raises(NotPossible, match="put into a sale just now")
    with patch.object(offer_changes, "_listings_of", find_then_list), refused:
        edit(variant, 1)
    assert Variant.objects.get(pk=variant.pk).price == variant.price


def opened_amid_an_edit(draft: Sale) -> tuple[object, Sale]:
    """What a change comes to that has looked at the sale's status just before it is scheduled."""
    variant, results, check = draft.variants.get(), list[object](), offer_changes.check_change

    def schedule_then_check(*args: object, **how: bool) -> None:
        check(*args, **how)  # type: ignore[arg-type]  # passed on
        results.extend(at_once(partial(sale_lifecycle.schedule, draft.pk, by="staff")))

    with patch(f"{__name__}.check_change", schedule_then_check):
        edit(variant, 1)
    draft.refresh_from_db()
    return results[0], draft


def test_a_sale_is_not_scheduled_between_the_look_and_the_change(make_sale: MakeSale) -> None:
    error, draft = opened_amid_an_edit(make_sale(live=False))
    assert error is not None  # its locks are held, and it does not wait for ever
    assert draft.status == "draft"


def test_its_twin_without_locks_changes_what_is_public(make_sale: MakeSale) -> None:
    with without_row_locks():
        error, draft = opened_amid_an_edit(make_sale(live=False, opens_in=60))
    assert error is None
    assert draft.status == "live"
