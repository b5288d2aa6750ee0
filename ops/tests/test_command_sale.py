"""`manage.py sale`: an operator steers a sale, and sees what it does."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.db import transaction

from conftest import MakeSale
from inventory.models import Sale, Variant
from orders import confirmation, sale_lifecycle, settlement
from orders.models import AuditEntry
from tests.cast import queue_up, skus, stocked
from tests.operators import here, spawned, typed

AWAY = "redis://127.0.0.1:1/0"


def create(slug: str, *words: str, opens: str, closes: str) -> tuple[str, ...]:
    times = ("--opens", opens, "--closes", closes)
    return ("sale", "create", slug, "--name", "Evening", *times, "--no-input", *words)


def test_a_new_sale_is_a_draft_whose_times_are_read_in_its_zone() -> None:
    stocked("evening-shoe", 5)
    ran = here(
        *create("evening", opens="2035-07-01T18:00", closes="2035-07-01T20:00Z"),
        *("--zone", "Europe/Berlin", "--product", "evening-shoe", "--limit", "2"),
    )
    assert ran.code == 0
    assert "read in Europe/Berlin" in ran.err
    sale = Sale.objects.get(slug="evening")
    assert (sale.status, sale.limit, skus(sale)) == ("draft", 2, ["evening-shoe"])
    assert sale.opens_at == datetime(2035, 7, 1, 16, tzinfo=UTC)
    assert sale.closes_at == datetime(2035, 7, 1, 20, tzinfo=UTC)


@pytest.mark.parametrize(
    ("local", "said"),
    [
        ("2035-03-25T02:30", "Europe/Berlin never has 25 Mar 2035, 02:30:00"),
        ("2035-10-28T02:30", "2035-10-28T02:30:00+02:00 or 2035-10-28T02:30:00+01:00."),
    ],
)
def test_a_time_that_the_clocks_show_twice_or_never_is_asked_about(local: str, said: str) -> None:
    words = create("unclear", "--product", "x", opens=local, closes="2036-01-01T00:00")
    ran = here(*words, "--zone", "Europe/Berlin")
    assert ran.code == 2
    assert said in ran.err


def test_a_sale_of_an_unknown_variant_is_not_made() -> None:
    stocked("wellington-black", 1)  # like no other test's
    words = create("boots", "--product", "wellington-blak", opens="2035-01-01", closes="2035-01-02")
    ran = here(*words)
    assert ran.code == 1
    assert "Did you mean wellington-black" in ran.err
    assert not Sale.objects.filter(slug="boots").exists()


def test_each_step_of_an_evening_is_a_command(make_sale: MakeSale) -> None:
    sale = make_sale(opens_in=600, live=False)
    phases = []
    for step in ("schedule", "open", "pause", "resume"):
        ran = here("sale", step, sale.slug, "--no-input", "--json")
        assert (ran.code, ran.told["committed"], ran.told["told"]) == (0, True, True)
        phases.append(ran.told["sale"]["phase"])
    assert phases == ["upcoming", "open", "paused", "open"]


def test_a_sale_is_ended_for_good(make_sale: MakeSale) -> None:
    sale = make_sale()
    ran = here("sale", "end", sale.slug, "--no-input", "--json")
    assert (ran.code, ran.told["sale"]["phase"]) == (0, "ended")
    assert here("sale", "resume", sale.slug, "--no-input").code == 1


def test_the_audit_says_who_typed_it_and_why(make_sale: MakeSale) -> None:
    sale = make_sale()
    here("sale", "pause", sale.slug, "--no-input", "--by", "anna", "--reason", "wrong picture")
    here("sale", "resume", sale.slug, "--no-input")
    resumed, paused = AuditEntry.objects.filter(sale=sale)[:2]
    assert (paused.actor, paused.reason) == ("anna", "wrong picture")
    assert resumed.actor.endswith(" (manage.py)")


def test_what_is_not_possible_fails_and_says_why(make_sale: MakeSale) -> None:
    sale = make_sale()
    ran = here("sale", "resume", sale.slug, "--no-input", "--json")
    assert (ran.code, ran.told) == (1, {"error": "The sale is live."})
    assert "The sale is live." in ran.err


def test_a_dry_run_changes_nothing_and_says_what_it_would_do(make_sale: MakeSale) -> None:
    sale = make_sale()
    ran = here("sale", "pause", sale.slug, "--dry-run", "--json")
    assert (ran.code, ran.told["committed"]) == (0, False)
    assert f"Refuse every click in {sale.slug}" in ran.told["would"]
    sale.refresh_from_db()
    assert sale.status == "live"


def test_a_change_is_not_made_where_nobody_can_be_asked(make_sale: MakeSale) -> None:
    sale = make_sale()
    ran = typed("sale", "end", sale.slug)
    assert (ran.code, ran.out) == (2, "")
    assert "add --no-input" in ran.err
    sale.refresh_from_db()
    assert sale.status == "live"


def test_a_sale_holds_units_from_its_draft_on() -> None:
    stocked("held-shoe", 3)
    window = ("--opens", "2035-01-01T12:00", "--closes", "2035-01-01T13:00")
    made = ("sale", "create", "holding", "--name", "Holding", *window, "--product", "held-shoe")
    assert here(*made, "--hold", "10", "--no-input").code == 0
    assert Sale.objects.get(slug="holding").hold_minutes == 10
    assert here("sale", "hold", "holding", "5", "--no-input").code == 0
    assert here("sale", "schedule", "holding", "--no-input").code == 0
    assert here("sale", "hold", "holding", "4", "--no-input").code == 1
    told = here("sale", "hold", "holding", "6", "--no-input", "--json")
    assert json.loads(told.out)["sale"]["hold_minutes"] == 6
    assert "hold 6 min; 0 orders confirmed, 0 held" in here("sale", "show", "holding").out


def test_a_checkout_is_made_with_its_sale_and_shown(tmp_path: Path) -> None:
    stocked("paid-shoe", 3)
    terms = tmp_path / "terms.md"
    terms.write_text("Paid goods are sent, räsonabel soon.\n\nNo refunds of *luck*.\n")
    words = create("paid", "--product", "paid-shoe", opens="2035-01-01", closes="2035-01-02")
    checkout = ("--hold", "15", "--ask", "address", "--payment", "demo", "--contact-days", "30")
    note = ("--price-note", "incl. 19 % VAT", "--terms", str(terms))
    made = here(*words, *checkout, *note, "--json")
    assert made.code == 0, made.err
    rules = {
        "hold_minutes": 15,
        "ask": "address",
        "payment": "demo",
        "terms": "Paid goods are sent, räsonabel soon.\n\nNo refunds of *luck*.",
        "price_note": "incl. 19 % VAT",
        "contact_days": 30,
    }
    told = here("sale", "show", "paid", "--json").told
    [listed] = [each for each in here("sale", "list", "--json").told if each["slug"] == "paid"]
    for facts in (made.told["sale"], told, listed, told["audit"][0]["after"]):
        assert {rule: facts[rule] for rule in rules} == rules
    shown = here("sale", "show", "paid").out
    assert "hold 15 min, asks for e-mail and postal address, paid by demo;" in shown
    assert "price      incl. 19 % VAT\n" in shown
    assert "contacts   kept 30 days; terms of 59 characters\n" in shown


def test_the_audit_of_a_sale_without_a_checkout_is_short() -> None:
    stocked("plain-shoe", 3)
    words = create("plain", "--product", "plain-shoe", opens="2035-01-01", closes="2035-01-02")
    assert here(*words).code == 0
    [created] = here("sale", "show", "plain", "--json").told["audit"]
    assert not {"ask", "payment", "terms", "price_note"} & created["after"].keys()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--ask", "phone"), 2, "invalid choice: 'phone'"),
        (("--payment", "cheque"), 2, "No such payment provider; configured: demo."),
        (("--terms", "/nowhere/terms.md"), 2, "The terms cannot be read from /nowhere/terms.md"),
        (("--contact-days", "4000"), 1, "contact_days:"),
        (("--hold", "0", "--ask", "email"), 1, "needs a hold of some minutes"),
    ],
)
def test_a_checkout_that_makes_no_sense_is_not_made(
    words: tuple[str, ...], code: int, said: str
) -> None:
    if not Variant.objects.filter(sku="nonsense-shoe").exists():
        stocked("nonsense-shoe", 3)
    draft = create(
        "nonsense", "--product", "nonsense-shoe", opens="2035-01-01", closes="2035-01-02"
    )
    ran = typed(*draft, "--hold", "10", *words)
    assert ran.code == code
    assert said in ran.err
    assert not Sale.objects.filter(slug="nonsense").exists()


def test_the_limit_and_the_window_are_moved(make_sale: MakeSale) -> None:
    sale = make_sale(opens_in=600)
    assert here("sale", "limit", sale.slug, "3", "--no-input").code == 0
    ran = here("sale", "window", sale.slug, "--closes", "2035-01-01T12:00", "--no-input")
    assert ran.code == 0
    sale.refresh_from_db()
    assert (sale.limit, sale.closes_at) == (3, datetime(2035, 1, 1, 12, tzinfo=UTC))


def test_a_window_that_is_not_moved_is_a_slip(make_sale: MakeSale) -> None:
    assert here("sale", "window", make_sale().slug, "--no-input").code == 2


@pytest.mark.parametrize(
    "words",
    [
        ("sale",),
        ("sale", "begin"),
        ("sale", "pause"),
        ("sale", "limit", "x", "0"),
        ("sale", "window", "x", "--opens", "tomorrow"),
        ("sale", "create", "x", "--name", "X"),
        ("sale", "pause", "x", "--by", " "),
    ],
)
def test_malformed_words_are_exit_code_2(words: tuple[str, ...]) -> None:
    ran = typed(*words)
    assert (ran.code, ran.out) == (2, "")
    assert "Traceback" not in ran.err


@pytest.mark.parametrize("words", [("sale", "show"), ("verify", "--sale")])
def test_an_unknown_sale_fails_and_names_what_looks_alike(
    make_sale: MakeSale, words: tuple[str, ...]
) -> None:
    sale = make_sale()
    ran = here(*words, sale.slug.upper().replace("-", ""))
    assert (ran.code, ran.out) == (1, "")
    assert sale.slug in ran.err


def test_a_sale_is_shown_with_its_gate_and_its_line(make_sale: MakeSale) -> None:
    sale = make_sale(stock=10)
    queue_up(sale, 3)
    settlement.settle(sale.pk)
    queue_up(sale, 2)
    told = here("sale", "show", sale.slug, "--json").told
    [variant] = told["products"]
    shown = (variant["stock"], variant["in_flight"], variant["left"], variant["confirmed"])
    assert shown == (7, 2, 5, 3)
    assert (told["gate"]["ready"], told["gate"]["line"]) == (True, 2)
    assert told["gate"]["version"] == told["version"]
    assert [row["action"] for row in told["audit"]] == ["scheduled"]


def test_a_sale_is_shown_in_words_with_its_window_in_its_zone(make_sale: MakeSale) -> None:
    sale = make_sale(opens_in=600, live=False)
    Sale.objects.filter(pk=sale.pk).update(time_zone="Asia/Tokyo")
    shown = here("sale", "show", sale.slug).out
    assert "+09:00 Asia/Tokyo" in shown
    assert f"{sale.opens_at:%Y-%m-%d %H:%M}" in shown  # in UTC
    assert "€129.00" in shown


def test_the_list_has_every_sale_a_line(make_sale: MakeSale) -> None:
    sales_made = [make_sale(), make_sale(live=False)]
    lines = here("sale", "list").out.splitlines()
    for sale in sales_made:
        [line] = [line for line in lines if line.startswith(f"{sale.slug} ")]
        assert sale.phase(sale.opens_at) in line
    listed = {row["slug"] for row in here("sale", "list", "--json").told}
    assert {sale.slug for sale in sales_made} <= listed


def test_a_sale_is_shown_as_far_as_it_is_known_while_redis_is_away(make_sale: MakeSale) -> None:
    sale = make_sale(stock=4)
    ran = spawned("sale", "show", sale.slug, "--json", REDIS_URL=AWAY)
    assert ran.code == 1
    assert "Redis cannot be reached" in ran.err
    assert "Redis cannot be reached" in ran.told["gate"]["error"]
    assert ran.told["products"][0]["stock"] == 4


def test_a_change_that_the_gate_was_not_told_of_is_made_and_fails(make_sale: MakeSale) -> None:
    sale = make_sale()
    ran = spawned("sale", "pause", sale.slug, "--no-input", "--json", REDIS_URL=AWAY)
    assert (ran.code, ran.told["committed"], ran.told["told"]) == (1, True, False)
    assert "The change is made" in ran.err
    sale.refresh_from_db()
    assert sale.status == "paused"
    assert AuditEntry.objects.filter(sale=sale, action="paused").count() == 1


def test_a_sale_that_somebody_holds_is_left_alone(make_sale: MakeSale) -> None:
    sale = make_sale()
    with transaction.atomic():
        Sale.objects.select_for_update().get(pk=sale.pk)
        ran = spawned("sale", "pause", sale.slug, "--no-input")
    assert ran.code == 1
    assert "Somebody else is changing this" in ran.err
    sale_lifecycle.pause(sale.pk, by="staff")


@pytest.mark.parametrize("step", ["schedule", "open"])
def test_what_is_odd_about_a_sale_is_said_before_it_is_done(make_sale: MakeSale, step: str) -> None:
    sale = make_sale(opens_in=600, live=False)
    sale.variants.update(price=0)
    refused = here("sale", step, sale.slug)
    assert (refused.code, Sale.objects.get(pk=sale.pk).status) == (2, "draft")
    assert "costs nothing." in refused.err
    assert "all the same?" in refused.err
    done = here("sale", step, sale.slug, "--no-input")
    assert (done.code, Sale.objects.get(pk=sale.pk).status) == (0, "live")
    assert "costs nothing." in done.err


def test_what_is_held_is_counted_beside_what_is_confirmed(make_sale: MakeSale) -> None:
    sale = make_sale(stock=9, hold=10)
    first, *_ = queue_up(sale, 3)
    settlement.settle(sale.pk)
    confirmation.confirm_hold(first)
    [line] = [line for line in here("sale", "list").out.splitlines() if sale.slug in line]
    assert line.split()[-2:] == ["2", "1"]
    [product] = [line for line in here("sale", "show", sale.slug).out.splitlines() if "€" in line]
    assert product.split()[-2:] == ["2", "1"]
    assert "held 2, confirmed 1" in here("sale_watch", sale.slug, "--seconds", "1").out
