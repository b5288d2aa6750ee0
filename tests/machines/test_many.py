"""The shop as several machines run it, down to the proxy: everything holds that holds on one, and each part
may go and come while a crowd buys."""

import asyncio
import contextlib
import os
import random
import shutil
import signal
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from urllib.parse import unquote, urlsplit

import httpx
import pytest
import redis
from pytest_django import Settings

from conftest import MakeSale
from drills import shopper as drill
from drills.http import Site
from drills.shopper_log import Log
from flashsale.database import drop_broken_connections
from flashsale.redis import servers as redis_servers
from flashsale.redis import servers as servers_module
from inventory.gate import scripts
from inventory.models import Sale
from orders import cancellation, settlement, stock_changes
from tests import deadlines, servers, stack
from tests.cast import JSON, PAGE, Shopper, at_once, owned_units
from tests.faults.outages import Crowd, bought_again, final, settled_and_balanced
from tests.load import CROWD, Load, Visitor
from tests.machines import parts
from tests.machines.parts import Host, Machines, Master

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.deep,
    pytest.mark.alone,  # it is some fifteen processes, and more than others' deadlines would bear
    pytest.mark.usefixtures("impatient_shoppers", "this_process"),
    pytest.mark.skipif(
        not (shutil.which("nginx") and shutil.which("pgbouncer")),
        reason="needs the programs nginx and pgbouncer",
    ),
]
UNITS = 5000  # more than they ask for
CHAOS = int(os.environ.get("CHAOS_SEED", "7"))
FAULTS = 12


@pytest.fixture(scope="module")
def shop() -> Iterator[Machines]:
    with parts.running() as machines:
        yield machines


@pytest.fixture
def this_process(shop: Machines, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes and checks sales where the shop has its gates."""
    settings.REDIS_URL = shop.settings["REDIS_URL"]
    settings.REDIS_CLUSTER = True
    monkeypatch.setattr(redis_servers, "_last", redis_servers._UNSEEN)
    monkeypatch.setattr(redis_servers, "_order", ())


def test_a_purchase_goes_all_the_way(shop: Machines, make_sale: MakeSale) -> None:
    for sale in on_each_master(shop, make_sale, stock=1).values():
        shopper = Shopper(shop.url)
        accepted = shopper.buy(sale)
        assert accepted.status_code == 202
        assert final(shopper, accepted.json()["purchase"]) == "confirmed"
        assert Shopper(shop.url).buy(sale).json()["reason"] == "sold_out"
        assert settled_and_balanced(sale)


def test_everybody_at_once_and_the_staff(shop: Machines, make_sale: MakeSale) -> None:
    sale = make_sale(stock=50)
    early = Crowd(shop.url, sale, 20).click()
    assert {answer.status_code for answer in early} == {202}
    assert settled_and_balanced(sale)
    variant, orders = sale.variants.get(), list(sale.orders.all())
    crowd = Crowd(shop.url, sale, 200)
    clicks, *results = at_once(
        crowd.click,
        *[partial(settlement.settle, sale.pk)] * 2,
        *[partial(stock_changes.restock, variant.pk, 3, by="staff")] * 3,
        *[partial(cancellation.cancel_order, order.pk, by="staff") for order in orders[:2] * 2],
    )
    assert isinstance(clicks, list)
    assert {click.status_code for click in clicks} <= {202, 409}
    assert not [result for result in results if isinstance(result, Exception)]
    assert results[-4:].count(True) == 2  # cancelled twice, returned once
    assert settled_and_balanced(sale)
    variant.refresh_from_db()
    accepted = sum(click.status_code == 202 for click in clicks)
    assert sale.orders.count() == 20 + accepted
    assert variant.stock + owned_units(sale) == 50 + 9
    # A ticket that was accepted is known, by whatever host.
    assert Counter(answer.status_code for answer in crowd.click())[200] == accepted


def test_a_web_host_may_die_and_shoppers_notice_a_reconnect(
    shop: Machines, make_sale: MakeSale
) -> None:
    sale = make_sale(stock=UNITS)
    with Load(shop.url, sale, sockets=True) as load, OpenPages(shop.url, sale, 10) as pages:
        comes_a_crowd(load)
        stack.wait_for(lambda: pages.count("opened") == 10, "pages are open")
        shop.hosts[0].kill()
        try:
            comes_a_crowd(load)
            stack.wait_for(lambda: 0 < pages.count("lost") < 10, "some pages lose their socket")
            back = 10 + pages.count("lost")
            stack.wait_for(lambda: pages.count("opened") == back, "and have another")
        finally:
            shop.hosts[0].back()
        assert load.faults() == {}
    # A click whose answer died with the host is sent again, and may be decided by then.
    assert {reply.code for log in load.logs for reply in log.replies} <= {"queued", "confirmed"}
    assert sum(log.pages_lost for log in load.logs) == 0


def test_where_no_host_is_left_the_proxy_says_when_to_come_again(shop: Machines) -> None:
    for host in shop.hosts:
        host.kill()
    try:
        for ask, language, words in (
            (httpx.get, "en", "One moment"),
            (httpx.get, "de-AT", "Einen Moment"),
            (httpx.post, "en", "One moment"),
        ):
            told = ask(f"{shop.url}/sales/any/buy", headers={"Accept-Language": language})
            assert (told.status_code, told.headers["retry-after"]) == (503, "2")
            assert words in told.text
            assert ("refresh" in told.text) is (ask is httpx.get)  # a form is not sent again
        told = httpx.post(f"{shop.url}/sales/any/buy", headers=JSON)
        assert (told.status_code, told.json()) == (503, {"error": "unknown"})  # it may be bought
        assert told.headers["retry-after"] == "2"
    finally:
        for host in shop.hosts:
            host.back()
        front = partial(httpx.get, shop.url, headers=PAGE)
        stack.wait_for(
            lambda: front().status_code == 200 and all(map(is_connected, shop.hosts)),
            "the proxy tries each of them again",
        )


def test_a_host_that_stands_still_is_passed_over(shop: Machines, make_sale: MakeSale) -> None:
    sale = make_sale()
    frozen = shop.hosts[0].popen
    assert frozen
    os.kill(frozen.pid, signal.SIGSTOP)
    try:
        page = partial(
            httpx.get, f"{shop.url}/sales/{sale.slug}/", headers=PAGE, timeout=deadlines.seconds(30)
        )
        clicks = partial(Crowd(shop.url, sale, 4).click)
        *pages, clicked = at_once(*[page] * 4, clicks)
    finally:
        os.kill(frozen.pid, signal.SIGCONT)
    assert isinstance(clicked, list)
    seen = Counter(getattr(answer, "status_code", answer) for answer in [*pages, *clicked])
    assert seen == {200: 4, 202: 4}
    assert settled_and_balanced(sale)


def test_a_server_of_the_cluster_that_is_away_takes_only_its_own_sales(
    shop: Machines, make_sale: MakeSale
) -> None:
    sold = on_each_master(shop, make_sale, stock=20)
    away, here = shop.masters[1], shop.masters[2]
    shoppers = {url: Shopper(shop.url) for url in sold}
    accepted = {url: shoppers[url].buy(sale).json()["purchase"] for url, sale in sold.items()}
    away.kill()
    stack.wait_for(lambda: not away.alive(), "it is away")
    with at_last_back(shop, away):
        [refused] = Crowd(shop.url, sold[away.url], 1).click()
        assert (refused.status_code, "retry-after" in refused.headers) == (503, True)
        shopper = Shopper(shop.url)
        clicked = shopper.buy(sold[here.url])
        assert clicked.status_code == 202
        assert final(shopper, clicked.json()["purchase"]) == "confirmed"
        told = httpx.get(f"http://127.0.0.1:{shop.hosts[0].port}/readyz")
        assert told.status_code == 200
        assert told.json()["redis"].startswith("1 of 3 are away: 127.0.0.1:")
    for url, sale in sold.items():
        assert final(shoppers[url], accepted[url]) == "confirmed"
        assert settled_and_balanced(sale)


def test_a_replica_that_takes_over_sells_on(
    shop: Machines, make_sale: MakeSale, replica: Master
) -> None:
    """What had not reached it is lost, as with a disk; here all had, and was decided."""
    master = shop.masters[0]
    sale = on_each_master(shop, make_sale, stock=20)[master.url]
    assert {answer.status_code for answer in Crowd(shop.url, sale, 5).click()} == {202}
    assert settled_and_balanced(sale)
    master.kill()
    replica.cluster("FAILOVER", "TAKEOVER")
    try:
        shopper = Shopper(shop.url)
        ticket = shopper.ticket(sale)
        assert final(shopper, bought_again(shopper, sale, ticket)) == "confirmed"
        assert settled_and_balanced(sale)
    finally:
        master.start()
        stack.wait_for(lambda: master.replicating, "the old one follows")
        stack.wait_for(lambda: leads(master), "the roles are changed again")
        stack.wait_for(lambda: replica.replicating, "the new one follows")
    each_host_sells(shop, sale)
    assert settled_and_balanced(sale)


def test_a_sale_is_found_where_its_slot_has_moved(shop: Machines, make_sale: MakeSale) -> None:
    sold = on_each_master(shop, make_sale, stock=20)
    source, target = shop.masters[0], shop.masters[1]
    sale = sold[source.url]
    assert {answer.status_code for answer in Crowd(shop.url, sale, 5).click()} == {202}
    assert settled_and_balanced(sale)
    moved = move_slot_of(sale, source, target, shop)
    try:
        stack.wait_for(lambda: servers_module.current().of(sale.pk) == target.url, "it is known")
        shopper = Shopper(shop.url)
        ticket = shopper.ticket(sale)
        assert final(shopper, bought_again(shopper, sale, ticket)) == "confirmed"
        assert settled_and_balanced(sale)
        assert target.client.exists(scripts.keys(sale.pk).gate)
    finally:
        move_slot_of(sale, target, source, shop)
        stack.wait_for(lambda: servers_module.current().of(sale.pk) == source.url, "it is back")
    each_host_sells(shop, sale)
    assert moved > 1


def test_everything_is_restarted_under_load_one_after_the_other(
    shop: Machines, make_sale: MakeSale
) -> None:
    sale = make_sale(stock=UNITS)
    with Load(shop.url, sale, sockets=True) as load, Visitor(shop.url, sale.slug) as visitor:
        comes_a_crowd(load)
        for restart in restarts(shop):
            for step in restart:
                step()
            comes_a_crowd(load)
        stack.wait_for(shop.whole, "the cluster is one again")
        assert load.faults() == {}
    assert visitor.seen[200] > 0
    assert visitor.odd == []


def test_parts_die_and_stand_still_in_any_order(shop: Machines, make_sale: MakeSale) -> None:
    chance = random.Random(CHAOS)  # protects nothing
    sale = make_sale(stock=UNITS)
    with Load(shop.url, sale, sockets=True) as load:
        comes_a_crowd(load)
        for _ in range(FAULTS):
            for step in chance.choice(accidents(shop, chance)):
                step()
            comes_some(load)
        stack.wait_for(shop.whole, "the cluster is one again")
        assert load.faults() == {}


@pytest.fixture
def replica(shop: Machines) -> Iterator[Master]:
    """Of the first master."""
    with tempfile.TemporaryDirectory(prefix="flashsale-replica-") as folder:
        server = Master.made(Path(folder) / "valkey")
        try:
            server.meet(shop.masters[0])
            master = shop.masters[0].cluster("MYID")
            stack.wait_for(lambda: master in server.cluster("NODES"), "it knows its master")
            server.cluster("REPLICATE", master)
            stack.wait_for(lambda: server.replicating, "it has everything")
            yield server
        finally:
            name = server.cluster("MYID")
            server.stop()
            for other in shop.masters:
                other.cluster("FORGET", name)


def each_host_sells(shop: Machines, sale: Sale) -> None:
    """A host that nobody has asked since the cluster changed refuses once: its map is from before."""
    for host in shop.hosts:
        shopper = Shopper(f"http://127.0.0.1:{host.port}")
        purchase = bought_again(shopper, sale, shopper.ticket(sale))
        assert final(shopper, purchase) == "confirmed"


def leads(server: Master) -> bool:
    """Whether it is a master again; asks it to be one."""
    with contextlib.suppress(redis.ResponseError):  # it does not know of the other one yet
        server.cluster("FAILOVER")
    return bool(server.client.info("replication")["role"] == "master")


def move_slot_of(sale: Sale, source: Master, target: Master, shop: Machines) -> int:
    """The slot with its keys, of which there are so many; nobody sells meanwhile."""
    slot = int(source.cluster("KEYSLOT", scripts.keys(sale.pk).gate))
    target.cluster("SETSLOT", slot, "IMPORTING", source.cluster("MYID"))
    source.cluster("SETSLOT", slot, "MIGRATING", target.cluster("MYID"))
    where = urlsplit(target.url)
    keys = list(source.client.scan_iter(f"*{{sale:{sale.pk}}}*", count=1000))
    assert where.hostname
    assert where.port
    source.client.migrate(
        where.hostname, where.port, keys, 0, 5000, auth=unquote(where.password or "")
    )
    for server in (target, source, *shop.masters):
        server.cluster("SETSLOT", slot, "NODE", target.cluster("MYID"))
    return len(keys)


# --- What happens to parts ----------------------------------------------------------------------


Steps = tuple[Callable[[], object], ...]


def restarts(shop: Machines) -> Iterator[Steps]:
    assert shop.nginx
    for host in shop.hosts:
        yield host.stop, host.back, partial(is_asked_again, host)
    for process in (*shop.workers, *shop.beats):
        yield process.stop, process.start
    yield (partial(shop.nginx.signal, signal.SIGHUP),)
    yield shop.bouncer.leave, shop.bouncer.back
    for server in (*shop.masters, servers.VALKEY, servers.POSTGRES):
        yield server.stop, server.start, drop_broken_connections  # this process' own, too


def is_asked_again(host: Host) -> None:
    """The proxy passes over a host for two seconds after it has refused; then the next one may go."""
    stack.wait_for(partial(is_connected, host), "the proxy asks the host again")


def is_connected(host: Host) -> bool:
    """Whether the proxy, which is asked for pages meanwhile, has a connection to the host."""
    here = f":{host.port:04X}"
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return any(local.endswith(here) and state == "01" for _, local, _, state, *_ in rows)


def accidents(shop: Machines, chance: random.Random) -> list[Steps]:
    """One of each kind."""
    process = chance.choice([*shop.workers, *shop.beats])
    host, master = chance.choice(shop.hosts), chance.choice(shop.masters)
    frozen = chance.choice([*shop.hosts, *shop.workers]).popen
    assert frozen
    return [
        (host.kill, host.back),
        (process.kill, process.start),
        (shop.bouncer.kill, shop.bouncer.back),
        (master.kill, partial(gone, master), master.start),
        (partial(stand_still, frozen.pid, chance.uniform(0.5, 3)),),
        (partial(stand_still, master.pid, chance.uniform(0.5, 3)),),
    ]


def gone(master: Master) -> None:
    stack.wait_for(lambda: not master.alive(), "the server is gone")


def stand_still(pid: int | None, seconds: float) -> None:
    assert pid
    os.kill(pid, signal.SIGSTOP)
    time.sleep(seconds)  # what is tested is that it stands still so long
    os.kill(pid, signal.SIGCONT)


@contextmanager
def at_last_back(shop: Machines, master: Master) -> Iterator[None]:
    try:
        yield
    finally:
        master.start()
        stack.wait_for(shop.whole, "the cluster is one again")


# --- Those who come meanwhile -------------------------------------------------------------------


def comes_a_crowd(load: Load) -> None:
    comes_some(load, CROWD)


def comes_some(load: Load, shoppers: int = CROWD // 4) -> None:
    """And so many learn what became of their purchases."""
    before = answered(load)
    stack.wait_for(lambda: answered(load) >= before + shoppers, "shoppers come and are answered")


def answered(load: Load) -> int:
    return sum(bool(log.final) for log in list(load.logs))


class OpenPages:
    """Shoppers who have the page open with its socket, and wait."""

    def __init__(self, url: str, sale: Sale, shoppers: int) -> None:
        self._shoppers = [(Site(url), sale.slug)] * shoppers
        self._over = threading.Event()
        self.logs: list[Log] = []

    def __enter__(self) -> "OpenPages":
        self._thread = ThreadPoolExecutor(1)
        self._waiting = self._thread.submit(asyncio.run, self._wait())
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.shutdown()
        self._waiting.result()

    def count(self, what: str) -> int:
        """Sockets that were opened or lost so far."""
        return sum(getattr(log, f"sockets_{what}") for log in self.logs)

    async def _wait(self) -> None:
        await asyncio.gather(*(self._wait_as(*one) for one in self._shoppers))

    async def _wait_as(self, site: Site, slug: str) -> None:
        shopper = drill.Shopper(site, slug)
        self.logs.append(shopper.log)
        await shopper.load_page()
        shopper.open_socket()
        await asyncio.to_thread(self._over.wait)
        await shopper.leave()


def on_each_master(shop: Machines, make_sale: MakeSale, stock: int) -> dict[str, Sale]:
    """A sale on each of the cluster's servers, by its URL."""
    found: dict[str, Sale] = {}
    while len(found) < len(shop.masters):
        sale = make_sale(stock=stock)
        found[servers_module.current().of(sale.pk)] = sale
    return found
