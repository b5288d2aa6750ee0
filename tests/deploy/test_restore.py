"""The drill of docs/operations.md: a dump, taken while the shop sells, becomes a shop again."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from conftest import MakeSale
from flashsale.local.ordinary_user import runner_for
from flashsale.local.postgres import Postgres
from flashsale.local.valkey import Valkey
from inventory.models import Sale
from tests import servers, stack
from tests.cast import Shopper
from tests.faults.outages import final
from tests.load import CROWD, Load
from tests.operators import spawned

STOCK = 5000
pytestmark = [
    pytest.mark.usefixtures("impatient_shoppers"),
    pytest.mark.timeout(600),
    pytest.mark.deep,
]


def program(name: str, url: str, *arguments: str | Path) -> None:
    """One of PostgreSQL's own, that finds its database by the environment: command lines can be read."""
    where = urlsplit(url)
    environment = {
        "PGHOST": where.hostname or "",
        "PGPORT": str(where.port),
        "PGUSER": where.username or "",
        "PGPASSWORD": unquote(where.password or ""),
        "PGDATABASE": where.path[1:],
    }
    command = [runner_for(servers.POSTGRES.folder).programs / name, *arguments]
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@contextmanager
def new_servers(folder: Path) -> Iterator[dict[str, str]]:
    """PostgreSQL and Redis that know nothing."""
    folder.mkdir()
    postgres, valkey = Postgres(folder / "postgres"), Valkey(folder / "valkey")
    try:
        postgres.start()
        valkey.start()
        yield {
            "DATABASE_URL": postgres.url,
            **dict.fromkeys(
                ("REDIS_URL", "CELERY_BROKER_URL", "CACHE_URL", "CHANNEL_URL"), valkey.url
            ),
        }
    finally:
        valkey.stop()
        postgres.stop()


def test_a_dump_becomes_a_shop_again(make_sale: MakeSale, tmp_path: Path) -> None:
    sale, dump = make_sale(stock=STOCK), tmp_path / "shop.dump"
    with (
        stack.Web.running(RATE_PER_SHOPPER="0") as web,
        stack.worker(),
        Load(web.url, sale) as load,
    ):
        stack.wait_for(lambda: sale.orders.count() >= CROWD, "they buy")
        program("pg_dump", servers.POSTGRES.url, "--format=custom", f"--file={dump}")
        so_far = sale.orders.count()
        stack.wait_for(lambda: sale.orders.count() >= so_far + CROWD, "they buy on")
        assert load.faults() == {}
    with new_servers(tmp_path / "new") as given:
        options = ("--no-owner", "--role=flashsale", "--exit-on-error", "--single-transaction")
        program("pg_restore", given["DATABASE_URL"], *options, "--dbname=flashsale", dump)
        prepared = spawned("prepare", "--database", **given)
        assert prepared.code == 0, prepared
        with stack.worker(**given), stack.Web.running(**given, RATE_PER_SHOPPER="0") as web:
            verified = spawned("verify", "--json", **given)
            assert verified.code == 0, verified
            sells_what_is_left(web, sale, given)


def sells_what_is_left(web: stack.Web, sale: Sale, given: dict[str, str]) -> None:
    """It has forgotten what was bought after the dump, and nothing else."""
    kept = confirmed(sale, given)
    assert CROWD <= kept < sale.orders.count()
    shopper = Shopper(web.url)
    bought = shopper.buy(sale)
    assert bought.status_code == 202
    assert final(shopper, bought.json()["purchase"]) == "confirmed"
    assert confirmed(sale, given) == kept + 1
    assert spawned("verify", "--sale", sale.slug, **given).code == 0


def confirmed(sale: Sale, given: dict[str, str]) -> int:
    """Units, as an operator is told."""
    [variant] = spawned("sale", "show", sale.slug, "--json", **given).told["products"]
    return int(variant["confirmed"])
