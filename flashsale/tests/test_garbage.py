"""Objects loaded at the start are never collected; later garbage is, however old."""

import gc
from collections.abc import Iterator

import pytest

from flashsale import garbage

CROWD = 20_000  # objects that live as long as a crowd watches a sale
CLICKS = 100_000  # objects that come and go meanwhile


class Cycle:
    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def collector_is_again_as_it_was() -> Iterator[None]:
    thresholds = gc.get_threshold()
    gc.unfreeze()  # `tests.servers` has frozen what was loaded
    yield
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*thresholds)


def test_what_was_loaded_is_not_looked_at_again() -> None:
    garbage.freeze_loaded_objects()
    assert gc.get_freeze_count() > 10 * len(gc.get_objects())


def a_days_sales(crowds: int) -> int:
    """Gives how many crowds' objects are there when the last has gone."""
    for _ in range(crowds):
        crowd = [Cycle() for _ in range(CROWD)]
        for _ in range(CLICKS):
            Cycle()
        assert len(crowd) == CROWD
        del crowd
    return sum(type(one) is Cycle for one in gc.get_objects()) // CROWD


def test_a_crowd_that_has_left_is_forgotten() -> None:
    garbage.freeze_loaded_objects()
    assert a_days_sales(10) <= 3


def test_its_twin_with_thresholds_for_speed_alone_keeps_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(garbage, "_YOUNG", 20)
    monkeypatch.setattr(garbage, "_OLD", 50)
    garbage.freeze_loaded_objects()
    assert a_days_sales(10) > 3
