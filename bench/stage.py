"""The stage that all parts of a bench share: the private shop, the bare servers, the seconds of a load."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from bench.bare import READING, READING_LITTLE, TAG, WRITING
from bench.figures import Results
from bench.serving import serve_module
from drills.http import post
from drills.private_shop import HOST, make_sale, start_shop, wait_for

if TYPE_CHECKING:
    from inventory.models import Sale

# Rate limits are counted, as in a real shop, and never reached: all shoppers are on this machine.
_NEVER = "1000000"
FASTEST = 15_000  # clicks/s: more than any machine has answered so far


@dataclass
class Stage:
    """A running shop to measure, and where its results go."""

    folder: Path  # of the shop
    port: int
    bare: int  # of the bare servers
    seconds: float  # of each load
    results: Results
    units: int = 1_000_000
    variants: int = 1

    @property
    def site(self) -> str:
        return f"{HOST}:{self.port}"

    @contextmanager
    def open_sale(self, limit: int = 1) -> "Iterator[Sale]":
        """Open a sale; afterwards end and reconcile it. Raises SystemExit if that finds a fault."""
        from orders import reconciliation

        sale = make_sale(limit, self.variants, self.units)
        try:
            yield sale
        finally:
            end_sale(sale)
        report = reconciliation.verify(sale.pk)
        if not report.balanced:
            raise SystemExit(f"the reconciliation found faults: {report.as_json()['faults']}")

    def make_clicks(self, sale: "Sale", seconds: float) -> Iterator[bytes]:
        """Make enough clicks for so many seconds, each by another shopper."""
        from flashsale.http import shoppers

        sku = first_sku(sale)
        for _ in range(round(seconds * FASTEST)):
            yield self.make_click(sale, shoppers.new_shopper(), sku)

    def make_click(self, sale: "Sale", shopper: UUID, sku: str) -> bytes:
        from orders import tickets

        form = f"ticket={tickets.issue(sale.pk, shopper, shown_in(sale.pk))}&product={sku}"
        return post(f"/sales/{sale.slug}/buy", self.site, shopper_cookie(shopper), form)


@contextmanager
def start_stage(seconds: float, results: Results, web: int = 2) -> Iterator[Stage]:
    """Start the shop and the bare servers, and stop them at the end."""
    with (
        start_shop(f"--web={web}", RATE_PER_SHOPPER=_NEVER, RATE_PER_ADDRESS=_NEVER) as (
            folder,
            port,
        ),
        serve_module("bench.bare", web) as bare,
    ):
        yield Stage(folder, port, bare, seconds, results)


def prepare_bare() -> None:
    """Empty the bare servers' keys, and load their scripts into Redis."""
    from flashsale.redis import blocking_clients

    client = blocking_clients.client_of(0)
    for script in (WRITING, READING, READING_LITTLE):
        client.script_load(script)
    for key in client.scan_iter(match=f"{TAG}:*"):
        client.unlink(key)


def end_sale(sale: "Sale") -> None:
    """End a sale and wait until it is finished, so that it does not disturb the next measurement."""
    from orders import finishing, sale_lifecycle

    sale.refresh_from_db()
    if not sale.ended():
        sale_lifecycle.end(sale.pk, by="staff")
    wait_for(lambda: finishing.finish_sale(sale.pk))


def shopper_cookie(shopper: UUID) -> str:
    from flashsale.http import shoppers

    return f"shopper={shoppers.cookie_value(shopper)}"


def first_sku(sale: "Sale") -> str:
    return str(sale.variants.values_list("sku", flat=True).order_by("pk")[0])


@cache
def shown_in(sale: int) -> bytes:
    """What a program's ticket is bound to: the sale as it is shown. Read in a thread: some callers have
    a loop."""
    from storefront import catalogue

    with ThreadPoolExecutor(1) as pool:
        card = pool.submit(catalogue.card, pk=sale).result()
    assert card is not None
    return card.shown.sale


def percentile_ms(seconds: Iterable[float], share: int) -> float:
    """The percentile `share`, in milliseconds."""
    ordered = sorted(seconds)
    return ordered[min(len(ordered) - 1, len(ordered) * share // 100)] * 1000
