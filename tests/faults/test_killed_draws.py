"""A large draw whose worker is killed again and again comes to what its record says.

`test_crash_points.py` kills a small draw at each of its steps. Here time decides: inside a statement, too.
"""

import io
import random

import pytest

from bench.draws import write_entries
from conftest import MakeSale
from inventory.gate import replica
from inventory.models import Sale
from orders import reconciliation
from orders.draws import publication, ranking, record, verification
from orders.models import Draw
from tests import stack
from tests.cast import bring_draw_forward
from tests.faults import crashing

ENTRIES, UNITS = 100_000, 9_000  # winners are several batches, too
KILLS = 7
LONGEST = 0.6  # seconds that a worker lives after it got further
PATIENCE = 60.0


@pytest.mark.deep
@pytest.mark.timeout(300)
@pytest.mark.parametrize("chance", [18], ids="seed {}".format)
def test_a_draw_of_100_000_whose_worker_is_killed_goes_on_to_the_same_ranks(
    make_sale: MakeSale, chance: int
) -> None:
    sale = make_sale(stock=UNITS, limit=3, hold=10, draw_in=3600)
    version = write_entries(sale, ENTRIES, most=3)
    with crashing.worker():
        stack.wait_for(lambda: told(sale) >= version, "the gate has the entries", PATIENCE)
    bring_draw_forward(sale)
    killed_at = [kill_a_worker(sale, moment) for moment in moments(chance)]
    assert Sale.Draw.DONE not in {state for state, *_ in killed_at}
    assert len(set(killed_at)) == KILLS  # each got further

    with crashing.worker():
        stack.wait_for(lambda: progress(sale)[0] == Sale.Draw.DONE, "the draw is done", PATIENCE)
        stack.wait_for(lambda: told(sale) == sale.version, "the gate knows", PATIENCE)
    ranked, won = as_the_record_says(sale)
    assert list(sale.orders.order_by("place").values_list("pk", flat=True)) == ranked
    assert set(sale.orders.filter(owned__gt=0).values_list("pk", flat=True)) == won
    assert verification.verify(sale) == ([], ENTRIES)
    assert reconciliation.verify(sale.pk).faults == {}


def moments(chance: int) -> list[float]:
    rolled = random.Random(chance)  # repeatable on purpose
    return [rolled.uniform(0, LONGEST) for _ in range(KILLS)]


def kill_a_worker(sale: Sale, moment: float) -> tuple[object, ...]:
    """Let a worker take the draw further, and kill it so many seconds later. Gives where the draw is."""
    before = progress(sale)
    with crashing.worker() as doomed:
        stack.wait_for(lambda: progress(sale) != before, "the draw goes on", PATIENCE)
        doomed.join(moment)
        doomed.kill()
        assert crashing.killed(doomed)
    return progress(sale)


def progress(sale: Sale) -> tuple[object, ...]:
    sale.refresh_from_db()
    draw = Draw.objects.get(pk=sale.pk)
    waiting = sale.orders.filter(status="waiting").count()
    return sale.draw, bool(draw.seed), draw.allotted, waiting


def told(sale: Sale) -> int:
    """The version of the sale that its gate has; 0 while it is not ready."""
    view = replica.read_view(sale.pk)
    return view.version if view.ready else 0


def as_the_record_says(sale: Sale) -> tuple[list[object], set[object]]:
    """The entries by rank, and those that win, by seed, entries and stock of the published record alone."""
    header, lots = record.read(io.BytesIO(b"".join(publication.write(sale))))
    wishes = {lot.entry: (lot.sku, lot.quantity) for lot in lots}
    assert len(wishes) == header.entries == ENTRIES
    ranked = ranking.order_by_rank(bytes.fromhex(header.seed), b"", wishes)
    won = ranking.winners(((entry, *wishes[entry]) for entry in ranked), header.stock)
    return list(ranked), set(won)
