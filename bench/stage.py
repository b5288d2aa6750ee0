"""What all parts of a bench share: the private shop, the bare servers, and how long each load lasts."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from bench.bare import READING, READING_LITTLE, TAG, WRITING
from bench.figures import Results
from bench.serving import serving
from drills.http import post
from drills.private_shop import HOST, make_sale, shop, wait_for

if TYPE_CHECKING:
    from inventory.models import Sale

# Counted, as in a shop that is open to the world, and never reached: all shoppers are on this machine.
_NEVER = "1000000"
FASTEST = 15_000  # clicks a second: more than any machine answered so far


@dataclass
class Stage:
    """Where it is measured."""

    folder: Path  # of the shop
    port: int
    bare: int  # of the bare servers
    seconds: float  # of each load
    results: Results
    units: int = 1_000_000
    products: int = 1

    @property
    def site(self) -> str:
        return f"{HOST}:{self.port}"

    @contextmanager
    def sale(self, limit: int = 1) -> "Iterator[Sale]":
        """An open sale. Afterwards its books are verified, and it is out of the way."""
        from orders import reconciliation

        sale = make_sale(limit, self.products, self.units)
        try:
            yield sale
        finally:
            end(sale)
        report = reconciliation.verify(sale.pk)
        if not report.balanced:
            raise SystemExit(f"the books do not balance: {report.as_json()['faults']}")

    def clicks(self, sale: "Sale", seconds: float) -> Iterator[bytes]:
        """Enough clicks for so many seconds, each by a shopper of its own."""
        from flashsale.http import shoppers

        sku = first_sku(sale)
        for _ in range(round(seconds * FASTEST)):
            yield self.click(sale, shoppers.new_shopper(), sku)

    def click(self, sale: "Sale", shopper: UUID, sku: str) -> bytes:
        from orders import tickets

        form = f"ticket={tickets.issue(sale.pk, shopper)}&product={sku}"
        return post(f"/sales/{sale.slug}/buy", self.site, cookie(shopper), form)


@contextmanager
def stage(seconds: float, results: Results, web: int = 2) -> Iterator[Stage]:
    """Everything started, and stopped in the end."""
    with (
        shop(f"--web={web}", RATE_PER_SHOPPER=_NEVER, RATE_PER_ADDRESS=_NEVER) as (folder, port),
        serving("bench.bare", web) as bare,
    ):
        yield Stage(folder, port, bare, seconds, results)


def prepare_bare() -> None:
    """An empty line for the bare servers, and scripts that Redis knows."""
    from flashsale.redis import clients

    client = clients.client_of(0)
    for script in (WRITING, READING, READING_LITTLE):
        client.script_load(script)
    for key in client.scan_iter(match=f"{TAG}:*"):
        client.unlink(key)


def end(sale: "Sale") -> None:
    """Out of the way of what is measured next."""
    from orders import finishing, lifecycle

    sale.refresh_from_db()
    if not sale.ended():
        lifecycle.end(sale.pk, by="staff")
    wait_for(lambda: finishing.finish_sale(sale.pk))


def cookie(shopper: UUID) -> str:
    from flashsale.http import shoppers

    return f"shopper={shoppers.cookie_value(shopper)}"


def first_sku(sale: "Sale") -> str:
    return str(sale.products.values_list("sku", flat=True).order_by("pk")[0])


def percentile(seconds: Iterable[float], share: int) -> float:
    """In ms."""
    ordered = sorted(seconds)
    return ordered[min(len(ordered) - 1, len(ordered) * share // 100)] * 1000
