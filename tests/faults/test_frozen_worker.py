"""A worker that stands still holds nobody up for long, and spoils nothing when it moves again."""

import signal
import sys
from pathlib import Path

import pytest

from conftest import MakeSale
from flashsale.database import IDLE_TIMEOUT
from flashsale.redis.web_connections import TIMEOUT
from inventory.models import Sale
from tests import stack
from tests.cast import Shopper, queue_up
from tests.faults.outages import final, settled_and_balanced, within

FREED_AFTER = float(IDLE_TIMEOUT.removesuffix("s"))


@pytest.mark.matrix("a worker", "frozen inside its transaction")
@pytest.mark.deep
def test_a_worker_frozen_in_its_transaction_is_passed_over_and_changes_nothing_later(
    make_sale: MakeSale,
) -> None:
    sale = make_sale(stock=20)
    queued = queue_up(sale, 10)
    freezing = [sys.executable, "-m", "tests.faults.freezing", *stack.WORKER[3:]]
    frozen = stack.Process(freezing).start()
    try:
        stack.wait_for(lambda: stopped(frozen), "it is frozen")
        with stack.Web.running() as web, stack.worker():
            shopper = Shopper(web.url)
            with within(FREED_AFTER + TIMEOUT):
                accepted = shopper.buy(sale)
                assert accepted.status_code == 202
                assert final(shopper, accepted.json()["purchase"]) == "confirmed"
            before = decided(sale)
            assert len(before) == len(queued) + 1
            frozen.signal(signal.SIGCONT)
            frozen.stop()
            assert settled_and_balanced(sale)
    finally:
        frozen.kill()
    assert decided(sale) == before


def decided(sale: Sale) -> list[tuple[object, ...]]:
    """All its orders, with everything that is kept of them."""
    return list(sale.orders.order_by("pk").values_list())


def stopped(process: stack.Process) -> bool:
    assert process.popen is not None
    state = Path(f"/proc/{process.popen.pid}/stat").read_text().rpartition(")")[2].split()[0]
    return state == "T"
