"""Staff change sales and stock in admin by controls that ask first and show their results."""

import threading
from datetime import timedelta

import pytest
from django.db import connection, transaction

from conftest import MakeSale
from dashboard.admin import base
from dashboard.tests.admin_pages import CORRECT, RUN, Staff, asking, form_of, listed, page_of
from flashsale.redis import blocking_clients
from inventory.gate.scripts import keys
from inventory.models import Sale, Variant
from orders import reconciliation
from orders.models import AuditEntry
from tests import deadlines
from tests.cast import click, run_caretaker, stocked


@pytest.fixture
def anna() -> Staff:
    return Staff.with_permissions(*RUN, CORRECT)


def last_entry(sale: Sale) -> AuditEntry:
    entry = AuditEntry.objects.filter(sale=sale).first()
    assert entry
    return entry


# --- The life of a sale ------------------------------------------------------------------------


@pytest.mark.parametrize("narrowed", ["", "?status__exact=live"])
def test_an_action_of_the_list_is_done_to_every_row_that_was_ticked(
    anna: Staff, make_sale: MakeSale, narrowed: str
) -> None:
    ticked, left_alone = [make_sale() for _ in range(3)], make_sale()
    chosen = {"action": "pause", "_selected_action": [sale.pk for sale in ticked]}
    asked = anna.browser.post(listed(Sale) + narrowed, chosen)
    page = anna.opens(asked["Location"])
    assert len(anna.sends(asked["Location"], **form_of(page))) == 3
    assert [click(sale).reason for sale in (*ticked, left_alone)] == ["paused"] * 3 + [""]


def test_a_pause_holds_for_the_next_click_and_names_who_made_it(
    anna: Staff, make_sale: MakeSale
) -> None:
    sale = make_sale()
    assert anna.confirms("pause", sale, reason="wrong picture") == [f"{sale} is paused."]
    assert click(sale).reason == "paused"
    entry = last_entry(sale)
    assert (entry.action, entry.actor, entry.reason) == ("paused", anna.name, "wrong picture")


def test_a_draft_is_scheduled_opened_paused_and_resumed(anna: Staff, make_sale: MakeSale) -> None:
    sale = make_sale(live=False, opens_in=3600, closes_in=7200)
    for control in ("schedule", "open", "pause", "resume"):
        assert control in anna.opens(page_of(sale))  # its button
        [said] = anna.confirms(control, sale)
        assert said.startswith(str(sale)), said
        run_caretaker()
        sale.refresh_from_db()
    assert click(sale).code == "queued"
    actions = ["resumed", "paused", "opened", "scheduled"]
    assert [entry.action for entry in sale.audit.all()] == actions


def test_nothing_happens_before_it_is_confirmed(anna: Staff, make_sale: MakeSale) -> None:
    sale = make_sale()
    asked = anna.browser.post(
        listed(Sale), {"action": "pause", "_selected_action": [sale.pk], "index": 0}
    )
    assert asked.headers["Location"] == asking("pause", sale)
    assert str(sale) in anna.opens(asking("pause", sale))
    assert click(sale).code == "queued"


def test_a_control_in_the_wrong_state_says_why(anna: Staff, make_sale: MakeSale) -> None:
    sale = make_sale()
    assert anna.confirms("resume", sale) == [f"{sale}: The sale is live."]
    anna.confirms("end", sale)
    assert anna.confirms("pause", sale) == [f"{sale}: The sale has ended."]
    assert "pause" not in anna.opens(page_of(sale))


def test_of_several_each_has_its_own_answer(anna: Staff, make_sale: MakeSale) -> None:
    sale, paused, draft = make_sale(), make_sale(), make_sale(live=False)
    anna.confirms("pause", paused)
    assert anna.confirms("pause", sale, paused, draft) == [
        f"{sale} is paused.",
        f"{paused}: The sale is paused.",
        f"{draft}: The sale is draft.",
    ]


def test_the_close_is_moved_and_the_opening_stays(anna: Staff, make_sale: MakeSale) -> None:
    sale = make_sale()
    later = sale.closes_at.replace(microsecond=0) + timedelta(hours=1)
    moved = {"closes_at": f"{later:%Y-%m-%dT%H:%M:%S}"}
    assert anna.confirms("window", sale, **moved) == [f"{sale} has another window."]
    was, sale = sale, Sale.objects.get(pk=sale.pk)
    assert (sale.opens_at, sale.closes_at) == (was.opens_at, later)


def test_a_form_opened_before_somebody_elses_change_does_not_undo_it(
    anna: Staff, make_sale: MakeSale
) -> None:
    sale = make_sale(opens_in=3600, closes_in=7200)
    form = form_of(anna.opens(asking("window", sale)))
    closes = sale.closes_at.replace(microsecond=0) + timedelta(hours=2)
    anna.confirms("window", sale, closes_at=f"{closes:%Y-%m-%dT%H:%M:%S}")
    opens = sale.opens_at.replace(microsecond=0) + timedelta(minutes=5)
    anna.sends(asking("window", sale), **{**form, "opens_at": f"{opens:%Y-%m-%dT%H:%M:%S}"})
    sale.refresh_from_db()
    assert (sale.opens_at, sale.closes_at) == (opens, closes)


def test_a_window_that_is_not_moved_is_no_change(anna: Staff, make_sale: MakeSale) -> None:
    sale = make_sale()
    page = anna.browser.post(
        asking("window", sale), form_of(anna.opens(asking("window", sale)))
    ).content.decode()
    assert "Neither the opening nor the close was moved." in page
    assert last_entry(sale).action == "scheduled"


@pytest.mark.parametrize("limit", ["0", "10001", "many", ""])
def test_a_limit_is_a_sensible_number(anna: Staff, make_sale: MakeSale, limit: str) -> None:
    sale = make_sale(limit=2)
    assert anna.confirms("limit", sale, limit=limit) == []
    assert Sale.objects.get(pk=sale.pk).limit == 2


def test_the_limit_is_raised(anna: Staff, make_sale: MakeSale) -> None:
    sale = make_sale()
    assert anna.confirms("limit", sale, limit=3) == [f"{sale}: at most 3 units per shopper."]
    assert click(sale, quantity=3).code == "queued"


# --- Stock -------------------------------------------------------------------------------------


def test_a_restock_makes_a_sold_out_sale_buyable_again(anna: Staff, make_sale: MakeSale) -> None:
    sale = make_sale(stock=0)
    variant = sale.variants.get()
    assert click(sale).reason == "sold_out"
    assert anna.confirms("restock", variant, units=2) == [f"The stock of {variant} has grown by 2."]
    assert click(sale).code == "queued"


def test_the_same_form_sent_twice_adds_once(anna: Staff) -> None:
    shoe, bag = stocked("admin-shoe", 1), stocked("admin-bag", 1)
    form = {**form_of(anna.opens(asking("restock", shoe, bag))), "units": 5}
    assert len(anna.sends(asking("restock", shoe, bag), **form)) == 2
    again = anna.sends(asking("restock", shoe, bag), **form)
    assert [said.partition(": ")[2] for said in again] == [
        "this was done before, and is done only once."
    ] * 2
    assert [Variant.objects.get(pk=variant.pk).stock for variant in (shoe, bag)] == [6, 6]


def test_a_correction_needs_a_reason_and_is_explained_in_the_ledger(anna: Staff) -> None:
    variant = stocked("admin-vase", 5)
    assert anna.confirms("correct", variant, units=-2, reason="  ") == []
    anna.confirms("correct", variant, units=-2, reason="fell off the shelf")
    movement = variant.movements.first()
    assert movement
    assert (movement.balance, movement.note, movement.actor) == (3, "fell off the shelf", anna.name)
    assert anna.confirms("correct", variant, units=-4, reason="gone") == [
        f"{variant}: Only 3 units are in stock."
    ]


# --- Refusals and errors -----------------------------------------------------------------------


def test_a_gate_that_has_not_heard_of_it_is_told_to_staff(anna: Staff, make_sale: MakeSale) -> None:
    sale = make_sale()
    blocking_clients.client_of(0).hset(keys(sale.pk).gate, "version", 10**9)
    [said] = anna.confirms("pause", sale)
    assert "The change is made" in said
    assert Sale.objects.get(pk=sale.pk).status == "paused"


def test_a_sale_that_others_hold_is_told_to_staff(anna: Staff, make_sale: MakeSale) -> None:
    sale = make_sale()
    locked, done = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            Sale.objects.select_for_update().get(pk=sale.pk)
            locked.set()
            done.wait(deadlines.seconds(30))
        connection.close()

    holder = threading.Thread(target=hold)
    holder.start()
    assert locked.wait(deadlines.seconds(10))
    said = anna.confirms("pause", sale)
    done.set()
    holder.join(deadlines.seconds(10))
    assert said == [f"{sale}: others are changing it. Nothing was changed here; please try again."]


def test_who_waits_too_long_is_told_what_was_not_tried(
    anna: Staff, make_sale: MakeSale, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "PATIENCE", -1.0)
    said = anna.confirms("pause", make_sale(), make_sale())
    assert said == ["2 more were not tried: the others took too long."]


def test_what_is_gone_cannot_be_chosen(anna: Staff, make_sale: MakeSale) -> None:
    draft = make_sale(live=False)
    address, form = asking("schedule", draft), form_of(anna.opens(asking("schedule", draft)))
    draft.delete()
    assert anna.sends(address, **form) == ["Nothing was chosen that is still there."]
    assert anna.browser.get(f"{listed(Sale)}schedule/?id=many").status_code == 404


def test_the_books_balance_after_all_of_it(anna: Staff, make_sale: MakeSale) -> None:
    sale = make_sale(stock=2)
    variant = sale.variants.get()
    anna.confirms("restock", variant, units=3)
    anna.confirms("correct", variant, units=-1, reason="broken")
    anna.confirms("limit", sale, limit=2)
    anna.confirms("end", sale)
    assert reconciliation.verify(sale.pk).faults == {}
