"""Whatever happens to a sale, in whatever order: the promises hold after every step.

The sales are the same in each run. `MODEL_EXAMPLES=2000 pytest tests/model -s` plays so many others, and
`--hypothesis-seed` repeats them.
"""

import os

import pytest

from conftest import MakeSale
from tests.model.machine import play

OTHERS = int(os.environ.get("MODEL_EXAMPLES", "0"))
EXAMPLES = [OTHERS] if OTHERS else [10, pytest.param(150, marks=pytest.mark.deep)]


@pytest.mark.timeout(0 if OTHERS else 1800)  # a failure is tried again and again to make it short
@pytest.mark.parametrize("examples", EXAMPLES)
def test_the_promises_hold_after_every_step(
    make_sale: MakeSale, capsys: pytest.CaptureFixture[str], examples: int
) -> None:
    taken = play(make_sale, examples=examples, by_chance=bool(OTHERS))
    with capsys.disabled():
        print(f"\n{taken.total()} steps: {dict(taken.most_common())}")
    assert taken.total() > 35 * examples
