"""The gate: a sale's state in Redis, in front of PostgreSQL, and the scripts that change it.

Only scripts and Redis here, no rules of selling and no database. All keys of a sale carry the tag
`{sale:<id>}` and so share one slot of a cluster. The scripts live in `lua/`, each with its own
contract. They are only ever called by their digest: Redis forgets them when it is restarted, replaced
or restored, and `NOSCRIPT` is how everybody learns at once that the gate is cold. `load_scripts` is
for the caretaker, after it has marked every gate.
"""

import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from hashlib import sha1
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

from redis.exceptions import NoScriptError, OutOfMemoryError

from flashsale import redis_clients

_LUA = Path(__file__).parent / "lua"
SCRIPTS = ("admit", "own", "tell", "lower_bell", "purge", "empty", "drop")


class ColdGate(Exception):
    """Redis does not know our scripts: it was restarted, wiped or replaced."""


class Keys(NamedTuple):
    """The keys of a sale's gate, in the order in which every script takes them."""

    gate: str
    stock: str
    flight: str
    bought: str
    held: str
    answers: str
    line: str
    bell: str
    recent: str


@cache
def keys(sale: int) -> Keys:
    return Keys(*(f"{{sale:{sale}}}:{name}" for name in Keys._fields))


@cache
def _digest(script: str) -> str:
    return sha1(_source(script).encode(), usedforsecurity=False).hexdigest()


@cache
def _source(script: str) -> str:
    return (_LUA / f"{script}.lua").read_text()


# --- What the gate says ----------------------------------------------------------------------


class Answer(NamedTuple):
    """What is known of a purchase: `queued`, or the order's status."""

    status: str
    reason: str
    shopper: str
    sku: str
    quantity: int

    @classmethod
    def parse(cls, stored: str) -> "Answer":
        status, reason, shopper, sku, quantity = stored.split("|", 5)[:5]
        return cls(status, reason, shopper, sku, int(quantity))


class Verdict(NamedTuple):
    """What `admit` decided; the codes are listed in `lua/admit.lua`."""

    code: str
    answer: Answer | None = None
    reason: str = ""
    wait: int = 0  # ms until a rate allows another
    ring: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """An accepted, undecided purchase, as it stands in the line."""

    id: str
    purchase: UUID
    shopper: UUID
    sku: str
    quantity: int
    accepted_at: datetime

    @classmethod
    def parse(cls, entry_id: str, fields: dict[str, str]) -> "Entry":
        """Raises KeyError or ValueError for what `admit` never writes."""
        milliseconds = int(entry_id.partition("-")[0])
        return cls(
            entry_id,
            UUID(fields["purchase"]),
            UUID(fields["shopper"]),
            fields["sku"],
            int(fields["quantity"]),
            datetime.fromtimestamp(milliseconds / 1000, UTC),
        )


def parse_line(raw: Iterable[tuple[str, dict[str, str]]]) -> tuple[list[Entry], list[str]]:
    """The entries of a line as read, and the ids of those that cannot be."""
    entries, unreadable = [], []
    for entry, fields in raw:
        try:
            entries.append(Entry.parse(entry, fields))
        except (KeyError, ValueError):
            unreadable.append(entry)
    return entries, unreadable


@dataclass(frozen=True, slots=True)
class View:
    """The gate as read in one transaction. Times are Redis' clock in ms."""

    version: int
    warm: bool
    mark: str
    status: str
    opens_at: int
    closes_at: int
    limit: int
    stock: dict[str, int]
    flight: dict[str, int]
    waiting: int
    now: int

    def left(self, sku: str) -> int:
        """Units that can be bought now."""
        return max(0, self.stock.get(sku, 0) - self.flight.get(sku, 0))


WAITS_LONG = (
    2_000  # ms in the line, until staff are told: the caretaker takes what has waited for 1 s
)


class Pulse(NamedTuple):
    """As much of a gate as says whether somebody has to look after it."""

    version: int
    mark: str
    warm: bool
    waited: int  # ms for which the head of the line has stood there


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What must agree with itself at any moment."""

    view: View
    held: dict[str, int]  # units in flight by shopper
    line: list[Entry]
    unreadable: list[str]  # entries that are not of `admit`'s making


@dataclass(frozen=True, slots=True)
class Tale:
    """What `tell` tells; the fields are explained in `lua/tell.lua`."""

    since: int
    to: int
    rules: dict[str, Any]
    stock: dict[str, int]
    answers: list[list[Any]] = field(default_factory=list)
    bought: dict[str, int] = field(default_factory=dict)
    mark: str = ""
    opens: bool = False

    def parts(self, size: int) -> Iterator[str]:
        """The tale as JSON, in parts of at most `size` answers; the last one moves rules, stock and
        version. Only a cold gate may be told in several: a warm one would sell between them."""
        bought = list(self.bought.items())
        count = max(1, -(-max(len(self.answers), len(bought)) // size))
        for number in range(count):
            cut = slice(number * size, (number + 1) * size)
            last = number == count - 1
            yield json.dumps(
                {
                    "from": self.since,
                    "to": self.to,
                    "last": last,
                    "mark": self.mark or False,
                    "opens": last and self.opens,
                    "rules": self.rules if last else {},
                    "stock": self.stock if last else {},
                    "answers": self.answers[cut],
                    "bought": dict(bought[cut]),
                }
            )


# --- For the server processes ------------------------------------------------------------------


async def admit(
    sale: int,
    purchase: UUID,
    shopper: UUID,
    sku: str,
    quantity: int,
    address: str,
    *,
    per_shopper: int,
    per_address: int,
    bound: int,
) -> Verdict:
    """Decides one click, in one round trip. Idempotent by `purchase`.

    Raises NotSent where nothing has happened, and another redis.RedisError where the answer was lost:
    the purchase may be in the line or not.
    """
    tag = f"{{sale:{sale}}}:rate"
    buyer = shopper.hex
    try:
        reply = await redis_clients.send(
            "EVALSHA",
            _digest("admit"),
            11,
            *keys(sale),
            f"{tag}:{buyer}",
            f"{tag}:{address}",
            purchase.hex,
            buyer,
            sku,
            quantity,
            per_shopper,
            per_address,
            bound,
        )
    except NoScriptError:
        return Verdict("cold")
    except OutOfMemoryError:  # at the first write: nothing was written
        return Verdict("busy")
    code, *rest = reply
    if code in ("known", "reused"):
        return Verdict(code, answer=Answer.parse(rest[0]))
    if code == "queued":
        return Verdict(code, ring=rest[0] == 1)
    if code == "refused":
        return Verdict(code, reason=rest[0])
    if code == "rate_limited":
        return Verdict(code, wait=rest[0])
    return Verdict(code)


async def answer(sale: int, purchase: UUID) -> tuple[Answer | None, datetime | None, bool]:
    """What the gate knows of a purchase, when it was accepted (None after a rebuild), and whether the
    gate is warm."""
    k = keys(sale)
    async with redis_clients.nonblocking().pipeline(transaction=False) as pipe:
        pipe.hget(k.answers, purchase.hex)
        pipe.hget(k.gate, "warm")
        stored, warm = await pipe.execute()
    if not stored:
        return None, None, warm == "1"
    return Answer.parse(stored), _accepted_at(stored), warm == "1"


def _accepted_at(stored: str) -> datetime | None:
    entry = stored.split("|")[5:]
    milliseconds = entry[0].partition("-")[0] if entry else ""
    return datetime.fromtimestamp(int(milliseconds) / 1000, UTC) if milliseconds.isdigit() else None


async def own(sale: int, shopper: UUID) -> list[tuple[UUID, Answer]] | None:
    """The shopper's latest purchases in the sale, newest first; None of a gate that is cold or gone.

    Raises redis.RedisError.
    """
    k = keys(sale)
    try:
        found = await redis_clients.nonblocking().evalsha(
            _digest("own"), 3, k.gate, k.answers, k.recent, shopper.hex
        )
    except NoScriptError:
        return None
    if found is None:
        return None
    own = []
    for purchase, stored in zip(found[::2], found[1::2], strict=True):
        with suppress(ValueError):  # what is not of our making
            own.append((UUID(purchase), Answer.parse(stored)))
    return own


async def view(sale: int) -> View:
    """The gate as it stands."""
    async with redis_clients.nonblocking().pipeline(transaction=True) as pipe:
        _ask_view(pipe, sale)
        return _view(await pipe.execute())


# --- For workers and commands --------------------------------------------------------------------


def view_now(sale: int) -> View:
    """`view`, for code that may block."""
    with redis_clients.blocking().pipeline(transaction=True) as pipe:
        _ask_view(pipe, sale)
        return _view(pipe.execute())


def read_line(sale: int, most: int) -> tuple[str, int, list[tuple[str, dict[str, str]]]]:
    """The gate's mark and version, and the oldest undecided purchases in the order of their
    acceptance, raw: `parse_line` reads them."""
    k = keys(sale)
    with redis_clients.blocking().pipeline(transaction=True) as pipe:
        pipe.hmget(k.gate, "mark", "version")
        pipe.xrange(k.line, count=most)
        (mark, version), entries = pipe.execute()
    return mark or "", int(version or 0), entries


def wait_for_line(sale: int, after: str, milliseconds: int) -> bool:
    """Waits until something stands in the line behind the entry `after`, at most so long."""
    line = keys(sale).line
    return bool(redis_clients.blocking().xread({line: after}, count=1, block=milliseconds))


def pulses(sales: Iterable[int]) -> dict[int, Pulse]:
    """What the caretaker looks at, of each of these sales, in one round trip."""
    sales = list(sales)
    with redis_clients.blocking().pipeline(transaction=False) as pipe:
        pipe.time()
        for sale in sales:
            pipe.hmget(keys(sale).gate, "version", "mark", "warm")
            pipe.xrange(keys(sale).line, count=1)
        (seconds, microseconds), *replies = pipe.execute()
    now = seconds * 1000 + microseconds // 1000
    return {
        sale: Pulse(
            version=int(version or 0),
            mark=mark or "",
            warm=warm == "1",
            waited=now - int(head[0][0].partition("-")[0]) if head else 0,
        )
        for sale, (version, mark, warm), head in zip(
            sales, replies[::2], replies[1::2], strict=True
        )
    }


def stands_at(sale: int) -> tuple[int, str]:
    """The version at which the gate stands, and its mark."""
    version, mark = redis_clients.blocking().hmget(keys(sale).gate, "version", "mark")
    return int(version or 0), str(mark or "")


def tell(sale: int, part: str) -> tuple[bool, int]:
    """Applies one part of a tale. Gives whether it applied, and where the gate stands."""
    applied, stands = _run("tell", keys(sale), part)
    return applied == 1, int(stands)


def lower_bell(sale: int) -> bool:
    """Takes the bell down if the line is empty."""
    k = keys(sale)
    return bool(_run("lower_bell", (k.line, k.bell)))


def purge(sale: int) -> bool:
    """Removes the gate of an ended sale whose line is empty."""
    return bool(_run("purge", keys(sale)))


def empty(sale: int, version: int = -1) -> bool:
    """Makes a gate that stands ahead of `version` forget what it was told, and cold; its line is kept."""
    return bool(_run("empty", keys(sale), version))


def drop(sale: int, entry: str, purchase: str) -> bool:
    """Takes an entry out of the line that no queued answer refers to (a repeat, or garbage)."""
    k = keys(sale)
    return bool(_run("drop", (k.answers, k.line), entry, purchase))


def snapshot(sale: int) -> Snapshot:
    """The gate's numbers and its whole line, in one atomic look."""
    k = keys(sale)
    with redis_clients.blocking().pipeline(transaction=True) as pipe:
        _ask_view(pipe, sale)
        pipe.hgetall(k.held)
        pipe.xrange(k.line)
        *view, held, entries = pipe.execute()
    line, unreadable = parse_line(entries)
    held = {shopper: int(units) for shopper, units in held.items()}
    return Snapshot(_view(view), held, line, unreadable)


def all_answers(sale: int) -> dict[str, Answer]:
    """Every answer by purchase, read in steps: not of one moment."""
    found = redis_clients.blocking().hscan_iter(keys(sale).answers, count=1000)
    return {purchase: Answer.parse(stored) for purchase, stored in found}


def all_bought(sale: int) -> dict[str, int]:
    """Units confirmed by shopper, read in steps."""
    found = redis_clients.blocking().hscan_iter(keys(sale).bought, count=1000)
    return {shopper: int(units) for shopper, units in found}


def one_answer(sale: int, purchase: str) -> tuple[Answer | None, bool]:
    """The answer to a purchase, and whether the entry that it names stands in the line."""
    k = keys(sale)
    stored = str(redis_clients.blocking().hget(k.answers, purchase) or "")
    if not stored:
        return None, False
    if not stored.startswith("queued|"):
        return Answer.parse(stored), False
    entry = stored.rpartition("|")[2]
    return Answer.parse(stored), bool(redis_clients.blocking().xrange(k.line, entry, entry))


def one_bought(sale: int, shopper: str) -> int:
    return int(redis_clients.blocking().hget(keys(sale).bought, shopper) or 0)


def scripts_known() -> bool:
    """Whether Redis knows our scripts; where it does not, no gate may be believed."""
    digests = [_digest(script) for script in SCRIPTS]
    return all(redis_clients.blocking().script_exists(*digests))


def cool(sales: Iterable[int], mark: str) -> None:
    """Puts a mark on these gates: none of them answers until it was told under it."""
    for sale in sales:
        redis_clients.blocking().eval(_source("cool"), 1, keys(sale).gate, mark)


def forget(sales: Iterable[int]) -> None:
    """Removes gates that nobody may ask any more."""
    with redis_clients.blocking().pipeline(transaction=False) as pipe:
        for sale in sales:
            pipe.unlink(*keys(sale))
        pipe.execute()


def standing() -> set[int]:
    """The sales that have a gate in Redis, also those that an old copy brought back."""
    pattern = keys(0).gate.replace("{sale:0}", "{sale:*}")
    found = redis_clients.blocking().scan_iter(match=pattern, count=1000)
    return {int(key[len("{sale:") : key.index("}")]) for key in found}


def load_scripts() -> None:
    """Makes Redis know the scripts. Only after `cool`: before it, stale gates would answer."""
    for script in SCRIPTS:
        redis_clients.blocking().script_load(_source(script))


def _run(script: str, script_keys: Iterable[str], *args: str | int) -> Any:
    script_keys = tuple(script_keys)
    try:
        return redis_clients.blocking().evalsha(
            _digest(script), len(script_keys), *script_keys, *args
        )
    except NoScriptError as error:
        raise ColdGate(script) from error


_VIEW = 5  # replies to `_ask_view`


def _ask_view(pipe: Any, sale: int) -> None:
    k = keys(sale)
    pipe.hgetall(k.gate)
    pipe.hgetall(k.stock)
    pipe.hgetall(k.flight)
    pipe.xlen(k.line)
    pipe.time()


def _view(replies: list[Any]) -> View:
    gate, stock, flight, waiting, (seconds, microseconds) = replies
    return View(
        version=int(gate.get("version", 0)),
        warm=gate.get("warm") == "1",
        mark=gate.get("mark", ""),
        status=gate.get("status", ""),
        opens_at=int(gate.get("opens_at", 0)),
        closes_at=int(gate.get("closes_at", 0)),
        limit=int(gate.get("limit", 0)),
        stock={sku: int(units) for sku, units in stock.items()},
        flight={sku: int(units) for sku, units in flight.items()},
        waiting=waiting,
        now=seconds * 1000 + microseconds // 1000,
    )
