"""Entries and keys in Redis that no script of ours has written: everybody behind them is served, and
what they have spoilt heals by itself."""

import asyncio
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis
from channels.layers import get_channel_layer

from conftest import MakeSale
from flashsale.http.shoppers import new_shopper
from flashsale.redis import blocking_clients
from inventory import announce
from inventory.corruption import CorruptGate
from inventory.gate import replica
from inventory.gate.entries import Answer
from inventory.gate.scripts import Keys, keys
from inventory.models import Sale
from orders import caretaker, reconciliation, settlement
from orders.models import Order
from orders.tickets import new_purchase
from tests import deadlines, stack
from tests.cast import JSON, PAGE, Shopper, click, queue_up, run_caretaker, skus
from tests.contract.conftest import Web

Fields = dict[Any, Any]

# Whatever the shop may say to a click while a gate is spoilt, by docs/purchase-path.md.
ANSWERS = {200, 202, 403, 409, 422, 429, 503}


@pytest.fixture(scope="module")
def web() -> Iterator[Web]:
    with Web.running() as web:
        yield web


@pytest.fixture(scope="module", autouse=True)
def worker() -> Iterator[stack.Process]:
    with stack.worker(LOG_LEVEL="CRITICAL") as process:
        yield process


@pytest.fixture(autouse=True)
def no_lingering(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a test settles in the worker's place, nobody comes meanwhile."""
    monkeypatch.setattr(settlement, "LINGER", 1)


@pytest.fixture(autouse=True)
def everybody_lives(web: Web, worker: stack.Process) -> Iterator[None]:
    """No process dies of what it reads, and the server has an answer prepared for it."""
    before = len(web.logged())
    yield
    assert worker.popen is not None
    assert worker.popen.poll() is None
    assert "Traceback" not in web.logged()[before:]


def put(sale: Sale, entry: Fields, number: str = "*") -> None:
    """An entry in the sale's line, by hand."""
    blocking_clients.client_of(0).xadd(keys(sale.pk).line, entry, id=number)


def entry(sale: Sale, fields: Fields) -> Fields:
    """One that looks like `admit`'s, but for these fields; without those that are None."""
    whole = {
        "purchase": new_purchase(sale.pk).hex,
        "shopper": new_shopper().hex,
        "sku": skus(sale)[0],
        "quantity": "1",
        **fields,
    }
    return {name: value for name, value in whole.items() if value is not None}


def drained(sale: Sale) -> bool:
    """Warm, nobody in line, and nothing held back."""
    try:
        seen = replica.read_snapshot(sale.pk)
    except CorruptGate:
        return False
    return seen.view.ready and not (
        seen.view.in_line or seen.view.in_flight or seen.in_flight_by_shopper
    )


def bought(shopper: Shopper, sale: Sale, ticket: str) -> str:
    """The purchase of this ticket, once it is in line or decided; each answer on the way is one of the
    contract's, and comes in time."""

    def asked() -> str:
        answer = shopper.buy(sale, ticket)
        assert answer.status_code in ANSWERS, answer.text
        accepted = answer.status_code in (200, 202)
        return str(answer.json()["purchase"]) if accepted else ""

    return stack.wait_for(asked, "the purchase is accepted")


def confirmed(shopper: Shopper, purchase: str) -> bool:
    answer = shopper.order(purchase)
    assert answer.status_code in (200, 503), answer.text
    return answer.status_code == 200 and answer.json()["status"] == "confirmed"


# --- Entries --------------------------------------------------------------------------------------

UNREADABLE: dict[str, Fields] = {
    "no purchase": {"purchase": None},
    "no shopper": {"shopper": None},
    "a purchase that is no id": {"purchase": "DROP TABLE"},
    "a purchase in another spelling": {"purchase": str(uuid.uuid4()).upper()},
    "a shopper that is no id": {"shopper": "\0" * 32},
    "bytes that are no text": {b"\xff\xfe": b"\xc3\x28", "shopper": b"\xff" * 32},
    "a purchase of 1 MB": {"purchase": "a" * 1_000_000},
    "a purchase of another sale": {"purchase": new_purchase(2**31).hex},
    "nothing of ours": {"purchase": None, "shopper": None, "what": "is this"},
}


def test_what_is_no_purchase_is_taken_out_and_holds_nobody_up(
    make_sale: MakeSale, web: Web
) -> None:
    sale, shopper = make_sale(), Shopper(web.url)
    for fields in UNREADABLE.values():
        put(sale, entry(sale, fields))
    purchase = shopper.buy(sale).json()["purchase"]
    stack.wait_for(lambda: confirmed(shopper, purchase), "the purchase behind them is settled")
    stack.wait_for(lambda: drained(sale), "they are out of the line")
    assert sale.orders.count() == 1
    assert reconciliation.verify(sale.pk).faults == {}


REBUILT_FROM = [
    pytest.param(
        UNREADABLE[name],
        id=name,
        marks=() if name in ("no shopper", "bytes that are no text") else pytest.mark.deep,
    )
    for name in UNREADABLE
]


@pytest.mark.parametrize("fields", REBUILT_FROM)
def test_it_is_taken_out_also_where_the_gate_was_rebuilt_from_its_line(
    make_sale: MakeSale, fields: Fields
) -> None:
    sale = make_sale()
    put(sale, entry(sale, fields))
    queue_up(sale, 1)
    replica.empty_gate(sale.pk)
    caretaker.heal_all()
    settlement.settle(sale.pk)
    stack.wait_for(lambda: drained(sale), "the line is settled")
    assert sale.orders.count() == 1
    assert reconciliation.verify(sale.pk).faults == {}


REJECTED: dict[str, Fields] = {
    "no product": {"sku": None},
    "a product of nobody": {"sku": "unheard-of"},
    "a product that no text can name": {"sku": "shoe\0"},
    "a product in other bytes": {"sku": b"\xff\xfe\xfd"},
    "a product of 1 MB": {"sku": "x" * 1_000_000},
    "no quantity": {"quantity": None},
    "no units": {"quantity": "0"},
    "less than nothing": {"quantity": "-3"},
    "more than anybody can count": {"quantity": "1" + "0" * 30},
    "digits of another script": {"quantity": "٣"},
    "half a unit": {"quantity": "0.5"},
    "words": {"quantity": "many"},
    "nothing that is a number": {"quantity": "nan"},
}


@pytest.mark.parametrize("rebuilt", [False, True], ids=["as it stands", "in a rebuilt gate"])
def test_a_purchase_that_cannot_be_processed_is_rejected_alone(
    make_sale: MakeSale, web: Web, rebuilt: bool
) -> None:
    sale, shopper = make_sale(), Shopper(web.url)
    poison = {name: new_purchase(sale.pk) for name in REJECTED}
    for name, fields in REJECTED.items():
        put(sale, entry(sale, {"purchase": poison[name].hex, **fields}))
    if rebuilt:
        replica.empty_gate(sale.pk)
        stack.wait_for(lambda: replica.read_view(sale.pk).ready, "the gate is rebuilt")
    purchase = shopper.buy(sale).json()["purchase"]
    stack.wait_for(lambda: confirmed(shopper, purchase), "the purchase behind them is settled")
    stack.wait_for(lambda: drained(sale), "they are out of the line")
    orders = Order.objects.in_bulk(list(poison.values()))
    found = {name: (orders[each].status, orders[each].reason) for name, each in poison.items()}
    assert found == dict.fromkeys(REJECTED, ("rejected", "error"))
    assert reconciliation.verify(sale.pk).faults == {}


def test_fields_that_nobody_knows_change_nothing(make_sale: MakeSale) -> None:
    sale = make_sale()
    purchase = new_purchase(sale.pk)
    put(sale, entry(sale, {"purchase": purchase.hex, "price": "0", b"\xff": b"\xff"}))
    settlement.settle(sale.pk)
    stack.wait_for(lambda: Order.objects.filter(pk=purchase).exists(), "it is settled")
    order = Order.objects.get(pk=purchase)
    assert (order.status, order.unit_price) == ("confirmed", sale.variants.get().price)


def test_one_purchase_many_times_is_one_order(make_sale: MakeSale) -> None:
    sale = make_sale(limit=9)
    again = entry(sale, {})
    for quantity in ("1", "1", "2", "many", "1"):
        put(sale, again | {"quantity": quantity})
    settlement.settle(sale.pk)
    stack.wait_for(lambda: sale.orders.exists() and drained(sale), "the line is settled")
    assert sale.orders.get().quantity == 1
    assert reconciliation.verify(sale.pk).faults == {}


def test_a_purchase_forged_in_another_sales_line_is_still_decided_in_its_own(
    make_sale: MakeSale,
) -> None:
    sale, other = make_sale(), make_sale()
    purchase, shopper = new_purchase(sale.pk), new_shopper()
    put(other, entry(other, {"purchase": purchase.hex, "shopper": shopper.hex}))
    settlement.settle(other.pk)
    stack.wait_for(lambda: drained(other), "the forgery is taken out")
    assert click(sale, purchase, shopper).code == "queued"
    settlement.settle(sale.pk)
    stack.wait_for(lambda: drained(sale), "the real one is settled")
    assert Order.objects.get(pk=purchase).sale_id == sale.pk


def last_number(sale: Sale) -> int:
    """The moment in the line's latest id, in ms; 0 where the next will be the clock's."""
    try:
        stream = blocking_clients.client_of(0).xinfo_stream(keys(sale.pk).line)
    except redis.ResponseError:  # there is none
        return 0
    return int(stream["last-generated-id"].partition("-")[0])


THE_LAST = f"{2**64 - 1}-{2**64 - 1}"


@pytest.mark.parametrize("number", ["9999999999999-0", "99999999999999999-0", THE_LAST])
def test_an_entry_from_the_far_future_takes_nobodys_place(
    make_sale: MakeSale, web: Web, number: str
) -> None:
    sale = make_sale()
    put(sale, {"what": "is this"}, number)
    shopper = Shopper(web.url)
    purchase = bought(shopper, sale, shopper.ticket(sale))
    stack.wait_for(lambda: confirmed(shopper, purchase), "whoever came after it has an answer")
    stack.wait_for(lambda: drained(sale), "the line is settled")
    stack.wait_for(lambda: last_number(sale) < 2 * replica.read_view(sale.pk).now, "ids begin anew")
    assert reconciliation.verify(sale.pk).faults == {}


@pytest.mark.deep
def test_a_thousand_poison_entries_are_worked_off(make_sale: MakeSale, web: Web) -> None:
    sale = make_sale()
    with blocking_clients.client_of(0).pipeline() as pipe:
        for number in range(1000):
            fields: Fields = {"what": str(number)} if number % 2 else entry(sale, {"sku": "x\0"})
            pipe.xadd(keys(sale.pk).line, fields)
        pipe.execute()
    shopper = Shopper(web.url)
    purchase = shopper.buy(sale).json()["purchase"]
    stack.wait_for(lambda: confirmed(shopper, purchase), "the purchase behind them is settled")
    stack.wait_for(lambda: drained(sale), "they are out of the line")
    assert sale.orders.filter(reason="error").count() == 500


# --- Keys -----------------------------------------------------------------------------------------


def spoil(sale: Sale, name: str, how: Callable[[str], object]) -> None:
    how(getattr(keys(sale.pk), name))


def another_type(key: str) -> None:
    valkey = blocking_clients.client_of(0)
    valkey.delete(key)
    if key.endswith(":bell"):
        valkey.hset(key, "not", "ours")
    else:
        valkey.set(key, "not ours")


def heals(make_sale: MakeSale, web: Web, spoilt: Callable[[Sale], object]) -> None:
    """A shop whose gate is spoilt while it sells answers everybody, and sells on."""
    sale = make_sale(stock=10)
    first, second = Shopper(web.url), Shopper(web.url)
    purchase = first.buy(sale).json()["purchase"]
    stack.wait_for(lambda: confirmed(first, purchase), "the first has bought")
    spoilt(sale)
    for headers in (JSON, PAGE):
        assert second.client.get(f"/sales/{sale.slug}/", headers=headers).status_code == 200
    assert confirmed(first, purchase)
    another = bought(second, sale, second.ticket(sale))
    stack.wait_for(lambda: confirmed(second, another), "the second has bought")
    left = {skus(sale)[0]: 8}
    # A report that was late has it rebuilt once more.
    stack.wait_for(
        lambda: drained(sale) and replica.read_view(sale.pk).stock == left, "the gate has healed"
    )
    assert reconciliation.verify(sale.pk).faults == {}


@pytest.mark.parametrize("name", Keys._fields)
def test_a_key_of_another_type_is_replaced(make_sale: MakeSale, web: Web, name: str) -> None:
    heals(make_sale, web, lambda sale: spoil(sale, name, another_type))


GARBAGE: list[tuple[str, str, object]] = [
    ("gate", "version", "letters"),
    ("gate", "version", "1_0"),  # ten for Python, and nothing for Lua
    ("gate", "status", "foo"),
    ("gate", "limit", "0"),
    ("gate", "opens_at", "letters"),
    ("gate", "epoch", b"\0\xff"),
    ("stock", "SKU", "many"),
    ("in_flight", "SKU", 999),  # sold out for ever, if nobody looked
]
MORE_GARBAGE: list[tuple[str, str, object]] = [
    ("gate", "version", "9" * 40),
    ("stock", "SKU", "٣"),
    ("gate", "closes_at", 10**18),
    ("gate", "limit", "nan"),
    ("gate", "epoch", "m" * 100_000),
    ("in_flight", "SKU", "many"),
    ("in_flight", "SKU", 10**30),
]


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [*GARBAGE, *(pytest.param(*each, marks=pytest.mark.deep) for each in MORE_GARBAGE)],
)
def test_garbage_in_a_gate_is_replaced(
    make_sale: MakeSale, web: Web, name: str, field: str, value: Any
) -> None:
    def spoilt(sale: Sale) -> None:
        key, of = getattr(keys(sale.pk), name), field.replace("SKU", skus(sale)[0])
        blocking_clients.client_of(0).hset(key, of, value)

    heals(make_sale, web, spoilt)


def test_units_that_nobody_in_line_holds_are_free_again(make_sale: MakeSale) -> None:
    sale, shopper = make_sale(), new_shopper()
    blocking_clients.client_of(0).hset(keys(sale.pk).in_flight_by_shopper, shopper.hex, 999)
    stack.wait_for(lambda: click(sale, shopper=shopper).code == "queued", "they may buy")


@pytest.mark.parametrize("name", ["bought", "in_flight_by_shopper"])
@pytest.mark.parametrize("value", ["many", b"\xff"])
def test_garbage_about_a_shopper_does_not_keep_them_from_buying(
    make_sale: MakeSale, name: str, value: Any
) -> None:
    sale, shopper = make_sale(limit=2), new_shopper()
    blocking_clients.client_of(0).hset(getattr(keys(sale.pk), name), shopper.hex, value)
    purchase = new_purchase(sale.pk)

    def accepted() -> bool:
        try:
            return click(sale, purchase, shopper).code in ("queued", "known")
        except redis.RedisError:
            return False

    stack.wait_for(accepted, "they may buy")
    settlement.settle(sale.pk)
    stack.wait_for(lambda: Order.objects.filter(pk=purchase).exists(), "it is settled")
    stack.wait_for(lambda: drained(sale), "nothing is held back")
    assert reconciliation.verify(sale.pk).faults == {}


LONG = "y" * 1_000_000


@pytest.mark.parametrize(
    "stored",
    [
        *("", b"\xff\xfe", "confirmed||SHOPPER|SKU|many"),
        *(
            pytest.param(more, marks=pytest.mark.deep)
            for more in ("queued|x", "confirmed||SHOPPER|SKU|-3", "sold||SHOPPER|SKU|1", LONG)
        ),
    ],
)
def test_an_answer_that_cannot_be_read_is_read_from_postgresql(
    make_sale: MakeSale, web: Web, stored: Any
) -> None:
    def spoilt(sale: Sale) -> None:
        order = sale.orders.get()
        text = stored
        if isinstance(text, str):
            text = text.replace("SHOPPER", order.shopper.hex).replace("SKU", skus(sale)[0])
        blocking_clients.client_of(0).hset(keys(sale.pk).answers, order.pk.hex, text)

    heals(make_sale, web, spoilt)


@pytest.mark.parametrize("stored", ["garbage", "queued|x", "queued||||", b"\xff"])
def test_a_purchase_in_line_whose_answer_is_spoilt_gets_its_order(
    make_sale: MakeSale, stored: Any
) -> None:
    sale = make_sale()
    purchases = queue_up(sale, 3)
    blocking_clients.client_of(0).hset(keys(sale.pk).answers, purchases[1].hex, stored)
    settlement.settle(sale.pk)
    stack.wait_for(lambda: drained(sale), "the line is settled")
    assert list(sale.orders.values_list("status", flat=True)) == ["confirmed"] * 3
    assert reconciliation.verify(sale.pk).faults == {}


def test_what_somebody_else_has_bought_is_not_shown_by_a_spoilt_list(
    make_sale: MakeSale, web: Web
) -> None:
    sale = make_sale()
    first, second = Shopper(web.url), Shopper(web.url)
    theirs, mine = (uuid.UUID(each.buy(sale).json()["purchase"]) for each in (first, second))
    stack.wait_for(lambda: sale.orders.count() == 2, "both are settled")
    recent = keys(sale.pk).recent
    shopper = Order.objects.get(pk=mine).shopper.hex
    blocking_clients.client_of(0).hset(
        recent, shopper, "\0zz" + theirs.hex + mine.hex + "é" * 100_000
    )
    page = second.client.get(f"/sales/{sale.slug}/", headers=PAGE).text
    assert str(theirs) not in page


RATES = ["letters", "inf", "nan", "-inf", "1e300", "-1", "", b"\xff", "a hash"]


def test_a_spoilt_rate_stops_nobody(make_sale: MakeSale) -> None:
    sale = make_sale(limit=9)
    stored: Any
    for stored in RATES:
        shopper = new_shopper()
        key = f"{{sale:{sale.pk}}}:rate:{shopper.hex}"
        if stored == "a hash":
            blocking_clients.client_of(0).hset(key, "not", "ours")
        else:
            blocking_clients.client_of(0).set(key, stored)
        assert click(sale, shopper=shopper, per_shopper=1).code == "queued"
        again = click(sale, shopper=shopper, per_shopper=1)
        assert (again.code, 0 < again.wait <= 1000) == ("rate_limited", True)


# --- Other sales ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["gate", "line", "stock", "in_flight"])
def test_one_spoilt_gate_leaves_the_caretaker_to_the_others(
    make_sale: MakeSale, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    sick, well = make_sale(), make_sale()
    queue_up(well, 1)
    replica.empty_gate(well.pk)
    monkeypatch.setattr(replica, "empty_gate", lambda *_: False)  # it stays sick
    monkeypatch.setattr(caretaker, "_WAITED_TOO_LONG", -1)
    spoil(sick, name, another_type)
    run_caretaker()
    assert replica.read_view(well.pk).ready
    stack.wait_for(lambda: well.orders.count() == 1, "the other sale's line is settled")


@pytest.mark.parametrize("key", ["{sale:letters}:gate", "{sale:}:gate", "{sale:-1}:gate"])
def test_a_name_that_only_looks_like_ours_is_nobodys_gate(make_sale: MakeSale, key: str) -> None:
    sale = make_sale()
    valkey = blocking_clients.client_of(0)
    valkey.set(key, "another program's")
    try:
        valkey.script_flush()
        stack.wait_for(lambda: replica.knows_scripts() and drained(sale), "the gates are rebuilt")
        assert valkey.get(key) == "another program's"
    finally:
        valkey.delete(key)


def test_a_spoilt_gate_is_rebuilt_also_when_redis_was_replaced(make_sale: MakeSale) -> None:
    sick, well = make_sale(), make_sale()
    spoil(sick, "gate", another_type)
    blocking_clients.client_of(0).script_flush()
    stack.wait_for(lambda: replica.knows_scripts() and drained(well), "the one is rebuilt")
    stack.wait_for(lambda: drained(sick), "the other as well")


# --- Messages -------------------------------------------------------------------------------------


def packed(message: object) -> bytes:
    layer: Any = get_channel_layer()
    return bytes(layer.serialize(message))


NO_SALE = 2**31 - 1
NOISE: list[Any] = [
    b"",
    b"\xc1\xff",
    b"words",
    packed({"sale": "x"}),
    packed({"sale": NO_SALE, "outcomes": [["no id", "confirmed", "", "", "", 1]]}),
    packed({"sale": NO_SALE, "outcomes": [[None] * 9]}),
    packed([1, 2]),
]


def test_noise_among_what_is_announced_is_passed_over(make_sale: MakeSale) -> None:
    heard: list[tuple[int, list[tuple[str, Answer]]]] = []
    sale, purchase = make_sale(), new_purchase(1)

    async def listen() -> None:
        async for change in announce.receive():
            heard.append(change)
            if change[0] == sale.pk:
                return

    def say() -> bool:
        for noise in NOISE:
            blocking_clients.client_of(0).publish("channels__group__feeds", noise)
        announce.announce_change(sale.pk, [[purchase.hex, "confirmed", "", "s" * 32, "shoe", 1]])
        return bool(heard)

    with ThreadPoolExecutor(1) as pool:
        listening = pool.submit(asyncio.run, listen())
        stack.wait_for(say, "the change behind the noise is heard")
        listening.result(deadlines.seconds(10))
    answer = Answer("confirmed", "", "s" * 32, "shoe", 1)
    assert heard[-1] == (sale.pk, [(purchase.hex, answer)])
