"""A running shop, and simulated shoppers for it."""

import asyncio
import io
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.management import call_command

from drills.habits import SHARES
from drills.http import Site
from drills.shopper import Shopper
from drills.shopper_log import Log
from inventory.models import Sale
from tests import stack

Visit = Callable[..., Log]


async def until(condition: Callable[[], bool]) -> None:
    """The caller sets the deadline."""
    while not condition():  # noqa: ASYNC110  # a log is no event
        await asyncio.sleep(0.01)


def simulate_here(sale: Sale, *options: str) -> tuple[int, dict[str, Any]]:
    """Run `simulate` in this process, where a test can patch it. Return exit code and report."""
    out = io.StringIO()
    small = ("--shoppers", "3", "--seconds", "1", "--no-input", "--json")
    try:
        call_command("simulate", "--sale", sale.slug, *small, *options, stdout=out)
    except SystemExit as end:
        return int(end.code or 0), report_of(out.getvalue())
    return 0, report_of(out.getvalue())


def report_of(out: str) -> dict[str, Any]:
    return dict(json.loads(out))


def faults_of(report: dict[str, Any]) -> dict[str, Any]:
    """All faults of a report of `simulate`, by kind: compared first, so that a failure says what it is."""
    checkout = report.get("checkout", {}).get("faults", {})
    return {**report["faults"], **report["verify"]["faults"], **checkout}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with stack.Web.running() as web, stack.worker():
        yield web.url


@pytest.fixture
def visit(url: str) -> Visit:
    """Simulate one shopper, who leaves when `enough` holds and every outcome is known."""

    async def shop(habit: str, slug: str, enough: Callable[[Log], bool]) -> Log:
        shopper = Shopper(Site(url), slug, seed="7", habit=habit)
        visiting = asyncio.create_task(SHARES[habit][0](shopper))
        async with asyncio.timeout(stack.DEADLINE):
            await until(lambda: enough(shopper.log) or visiting.done())
            shopper.closing.set()
            await visiting
            await shopper.wait_for_outcomes()
            await shopper.leave()
        return shopper.log

    def start(
        habit: str, sale: Sale, enough: Callable[[Log], bool] = lambda log: bool(log.final)
    ) -> Log:
        return asyncio.run(shop(habit, sale.slug, enough))

    return start
