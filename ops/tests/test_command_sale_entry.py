"""`manage.py sale` sets who gets units, shows it, and switches standby on."""

from datetime import UTC, datetime

import pytest
from pytest_django import Settings

from conftest import MakeSale
from inventory.models import Sale
from orders.models import Draw
from tests.cast import stocked
from tests.operators import here

WINDOW = ("--opens", "2035-07-01T18:00", "--closes", "2035-07-02T18:00", "--no-input")
ZONE = ("--zone", "Europe/Berlin")


def create(slug: str, *words: str) -> tuple[str, ...]:
    stocked(f"{slug}-shoe", 5)
    return (
        "sale",
        "create",
        slug,
        "--name",
        slug,
        *WINDOW,
        *ZONE,
        "--product",
        f"{slug}-shoe",
        *words,
    )


def test_a_draw_is_made_with_its_sale_and_read_in_its_zone() -> None:
    rules = (
        "--draw",
        "2035-07-01T20:00",
        "--standby",
        "--entrants",
        "email",
        "--per-address",
        "20",
    )
    made = here(*create("lots", *rules), "--json")
    assert made.code == 0, made.err
    told = {"standby": True, "entrants": "email", "per_address": 20, "draw": "open", "waiting": {}}
    assert told.items() <= made.told["sale"].items()
    assert made.told["sale"]["draw_at"] == "2035-07-01T20:00:00+02:00"
    sale = Sale.objects.get(slug="lots")
    assert (sale.draw, sale.draw_at) == ("open", datetime(2035, 7, 1, 18, tzinfo=UTC))
    shown = here("sale", "show", "lots").out
    assert "limit 1, draw at 2035-07-01 20:00:00+02:00 (Open), standby" in shown
    assert "only people with a verified e-mail address, at most 20 per network" in shown


def test_the_audit_of_a_new_sale_names_its_draw() -> None:
    assert here(*create("audited-lots", "--draw", "2035-07-01T20:00")).code == 0
    shown = here("sale", "show", "audited-lots").out
    assert "draw 1 Jul 2035, 20:00" in shown


@pytest.mark.parametrize("draw", ["2035-07-01T18:00", "2035-07-02T18:01", "2035-07-01T17:00"])
def test_a_draw_outside_the_window_is_refused(draw: str) -> None:
    ran = here(*create(f"outside-{draw[8:].replace(':', '-')}", "--draw", draw))
    assert ran.code == 1
    assert "The draw must be after the opening, and not after the close." in ran.err


def test_a_sale_by_arrival_says_nothing_of_a_draw() -> None:
    assert here(*create("first-come")).code == 0
    shown = here("sale", "show", "first-come").out
    assert "draw  " not in shown
    assert "standby  " not in shown


def test_standby_is_switched_on(make_sale: MakeSale) -> None:
    sale = make_sale()
    ran = here("sale", "standby", sale.slug, "on", "--no-input", "--json")
    assert (ran.code, ran.told["sale"]["standby"]) == (0, True)
    assert "standby    0 wait" in here("sale", "show", sale.slug).out
    assert here("sale", "standby", sale.slug, "off", "--no-input").code == 1


def test_a_draw_is_bound_to_the_beacon_that_is_named(
    make_sale: MakeSale, settings: Settings
) -> None:
    settings.DRAW_BEACON = "quicknet"
    for words, beacon in (((), "quicknet"), (("--beacon", "none"), "")):
        sale = make_sale(live=False, draw_in=1800)
        assert here("sale", "schedule", sale.slug, *words, "--no-input").code == 0
        assert Draw.objects.get(pk=sale.pk).beacon == beacon
        shown = here("sale", "show", sale.slug).out
        assert (f"beacon {beacon} round" if beacon else "without a beacon") in shown
