"""`manage.py draw` shows a draw, recomputes it, and writes the published file."""

import io
from pathlib import Path
from typing import Any

import pytest

from conftest import MakeSale
from inventory.models import Sale
from orders import aside, cancellation
from orders.draws import publication, record, verification
from orders.models import Draw, Order
from tests.cast import bring_draw_forward, run_caretaker
from tests.draws import change_past_rules, enter, make_draw
from tests.operators import here


def drawn(make_sale: MakeSale, **rules: Any) -> Sale:
    """A sale with two units, whose lots are drawn among five entries; another one is set aside."""
    sale = make_draw(make_sale, stock=2, **rules)
    entries = enter(sale, [f"192.0.2.{n}" for n in range(6)])
    aside.set_aside(sale.pk, entries[:1], by="anna", reason="one person")
    bring_draw_forward(sale)
    run_caretaker()
    sale.refresh_from_db()
    assert sale.draw == "done"
    return sale


def test_a_draw_is_shown_before_and_after_it(make_sale: MakeSale) -> None:
    sale = make_draw(make_sale, draw_in=1800)
    commitment = Draw.objects.get(pk=sale.pk).commitment
    enter(sale, ["192.0.2.1"])
    before = here("draw", "show", sale.slug)
    assert before.code == 0
    for said in ("draw        in 0:", f"commitment  {commitment}", "beacon      none"):
        assert said in before.out
    assert "seed" not in before.out
    told = here("draw", "show", sale.slug, "--json").told
    assert (told["draw"], told["seed"], sum(told["waiting"].values())) == ("open", "", 1)
    over = drawn(make_sale)
    shown = here("draw", "show", over.slug).out
    seed = Draw.objects.get(pk=over.pk).seed
    assert f"seed        {seed}" in shown
    assert "entries     6, 6 with their outcome" in shown


def test_a_sale_by_arrival_has_no_draw(make_sale: MakeSale) -> None:
    sale = make_sale()
    for command in ("show", "verify", "export"):
        ran = here("draw", command, sale.slug)
        assert (ran.code, "has no draw" in ran.err) == (1, True), command


def test_before_the_draw_there_is_nothing_to_verify(make_sale: MakeSale) -> None:
    sale = make_draw(make_sale)
    for command in ("verify", "export"):
        ran = here("draw", command, sale.slug)
        assert (ran.code, "not revealed yet" in ran.err) == (1, True)


def test_the_published_file_is_written_and_proves_itself(
    make_sale: MakeSale, tmp_path: Path
) -> None:
    sale, file = drawn(make_sale), tmp_path / "draw.txt"
    assert here("draw", "export", sale.slug, "--to", str(file)).code == 0
    read = record.read(io.BytesIO(file.read_bytes()))
    lots = list(read.lots)
    assert (read.header.sale, read.header.entries, len(lots)) == (sale.slug, 6, 6)
    assert sorted(lot.rank or 0 for lot in lots) == [0, 1, 2, 3, 4, 5]
    assert b"".join(record.write(read.header, lots)) == file.read_bytes()


def test_a_file_that_cannot_be_written_fails(make_sale: MakeSale, tmp_path: Path) -> None:
    sale = drawn(make_sale)
    ran = here("draw", "export", sale.slug, "--to", str(tmp_path / "none" / "draw.txt"))
    assert (ran.code, "cannot be written" in ran.err) == (1, True)


@pytest.mark.parametrize("standby", [False, True])
def test_a_draw_that_is_as_it_was_committed_to_is_verified(
    make_sale: MakeSale, standby: bool
) -> None:
    sale = drawn(make_sale, standby=standby)
    ran = here("draw", "verify", sale.slug, "--json")
    assert (ran.code, ran.told["faults"], ran.told["entries"]) == (0, [], 6)


def test_pieces_do_not_matter(make_sale: MakeSale, monkeypatch: pytest.MonkeyPatch) -> None:
    sale = drawn(make_sale)
    whole = b"".join(publication.write(sale))
    for piece in (1, 2, 3, 6):
        monkeypatch.setattr(publication, "_PIECE", piece)
        monkeypatch.setattr(verification, "_PIECE", piece)
        assert b"".join(publication.write(sale)) == whole
        assert verification.verify(sale).faults == []


@pytest.mark.parametrize(
    ("fault", "statement"),
    [
        ("commitment", "UPDATE orders_draw SET seed = repeat('0', 64) WHERE sale_id = %s"),
        ("root", "UPDATE orders_lot SET quantity = quantity + 1 WHERE sale_id = %s AND rank = 1"),
        ("ranks", "UPDATE orders_lot SET rank = 6 WHERE sale_id = %s AND rank = 5"),
        ("entries", "DELETE FROM orders_lot WHERE sale_id = %s AND rank = 5"),
        ("set_aside", "UPDATE orders_lot SET rank = NULL WHERE sale_id = %s AND rank = 5"),
        ("orders", "UPDATE orders_order SET place = 9 WHERE sale_id = %s AND place = 5"),
        (
            "winners",
            "UPDATE orders_order SET status = 'rejected', reason = 'not_drawn'"
            " WHERE sale_id = %s AND place = 1",
        ),
        (
            "winners",
            "UPDATE orders_order SET status = 'confirmed', reason = ''"
            " WHERE sale_id = %s AND place = 5",
        ),
    ],
)
def test_what_was_changed_in_postgresql_is_found(
    make_sale: MakeSale, fault: str, statement: str
) -> None:
    sale = drawn(make_sale)
    change_past_rules(statement.split()[1 if statement[0] == "U" else 2], statement, sale.pk)
    ran = here("draw", "verify", sale.slug, "--json")
    assert ran.code == 3
    assert fault in {each["check"] for each in ran.told["faults"]}
    assert "NOT as it was committed to" in here("draw", "verify", sale.slug).out


def test_a_unit_that_was_cancelled_later_is_no_fault(make_sale: MakeSale) -> None:
    sale = drawn(make_sale)
    cancellation.cancel_order(Order.objects.get(sale=sale, place=1).pk, by="anna")
    assert verification.verify(sale).faults == []
