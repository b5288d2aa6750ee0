"""The gate: a sale's state in Redis, in front of PostgreSQL, and the scripts that change it.

Only scripts and Redis here, no rules of selling and no database. All keys of a sale carry the tag
`{sale:<id>}` and so share one slot of a cluster. The scripts live in `lua/`, each with its own
contract. They are only ever called by their digest: Redis forgets them when it is restarted, replaced
or restored, and `NOSCRIPT` is how everybody learns at once that the gate is cold. `load_scripts` is
for the caretaker, after it has marked every gate.
"""

import json
import logging
import re
import secrets
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from hashlib import sha1
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import redis
from redis.exceptions import NoScriptError, OutOfMemoryError, RedisError, ResponseError

from flashsale.redis import clients
from flashsale.redis.servers import NOT_HERE
from inventory.corruption import OddGate, in_words, is_odd, plain, whole

log = logging.getLogger(__name__)

_LUA = Path(__file__).parent.parent / "lua"
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
        """Raises ValueError for what neither `admit` nor `tell` writes."""
        status, reason, shopper, sku, quantity = stored.split("|", 5)[:5]
        if status not in _STATUSES or not _UNITS.match(quantity):
            raise ValueError("no answer of ours")
        return cls(status, reason, shopper, sku, int(quantity))


_STATUSES = ("queued", "confirmed", "rejected", "cancelled")


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
        """Whose purchase it is must be readable; the rest, where it is not, becomes what settlement
        rejects: no product, no units. Raises KeyError or ValueError for what nobody can be told."""
        purchase, shopper = fields["purchase"], fields["shopper"]
        if not (_HEX.match(purchase) and _HEX.match(shopper)):
            raise ValueError("no purchase of ours")
        sku, quantity = fields.get("sku", ""), fields.get("quantity", "")
        return cls(
            entry_id,
            UUID(purchase),
            UUID(shopper),
            sku if _SKU.match(sku) else "",
            int(quantity) if _UNITS.match(quantity) else 0,
            _moment(entry_id),
        )


# As `admit` writes them. `lua/empty.lua` counts by the same.
_HEX = re.compile(r"\A[0-9a-f]{32}\Z")
_SKU = re.compile(r"\A[A-Za-z0-9._-]{1,40}\Z")
_UNITS = re.compile(r"\A[0-9]{1,5}\Z")
_AHEAD = 24 * 3600.0  # seconds


def _moment(entry_id: str) -> datetime:
    """When the entry was put in line. One far ahead of the clock says nothing, and may be later than any
    moment that can be written down: it counts as of now."""
    seconds, now = int(entry_id.partition("-")[0]) / 1000, time.time()
    return datetime.fromtimestamp(now if seconds > now + _AHEAD else seconds, UTC)


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
    odd: str = ""  # why it has to be built anew
    stuck: bool = False  # something is held back, and nobody stands in line for it


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
    rules: dict[str, Any] = field(default_factory=dict)
    stock: dict[str, int] = field(default_factory=dict)
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
        reply = await clients.send(
            sale,
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
    except ResponseError as error:
        if is_odd(error):
            await _report(sale)
        raise
    code, *rest = reply
    if code in ("known", "reused") and (found := _answer_in(rest[0])):
        return Verdict(code, answer=found)
    if code in ("known", "reused", "odd"):
        await _report(sale)
        return Verdict("busy")
    if code == "queued":
        return Verdict(code, ring=rest[0] == 1)
    if code == "refused":
        return Verdict(code, reason=rest[0])
    if code == "rate_limited":
        return Verdict(code, wait=rest[0])
    return Verdict(code)


async def answer(sale: int, purchase: UUID) -> tuple[Answer | None, datetime | None, bool]:
    """What the gate knows of a purchase, when it was accepted (None after a rebuild), and whether it can
    be believed if it knows nothing."""
    k = keys(sale)
    stored = await clients.send(sale, "HGET", k.answers, purchase.hex)
    if stored is None:
        return None, None, await clients.send(sale, "HGET", k.gate, "warm") == "1"
    found = _answer_in(stored)
    if found is None:
        await _report(sale)
        return None, None, False
    return found, _accepted_at(stored), True


_UNREADABLE = Answer("unreadable", "", "", "", 0)


def _answer_in(stored: str) -> Answer | None:
    try:
        return Answer.parse(stored)
    except ValueError:
        return None


def _accepted_at(stored: str) -> datetime | None:
    entry = stored.split("|")[5:]
    try:
        return _moment(entry[0]) if entry else None
    except (ValueError, OverflowError):  # it was told in a rebuild, which does not know
        return None


async def _report(sale: int) -> None:
    """Has the caretaker rebuild the gate: its own look finds nothing wrong with what one answer holds."""
    log.error("sale %s: an answer in its gate cannot be read; it is to be rebuilt", sale)
    with suppress(RedisError, OSError):  # it will be met again
        await clients.send(sale, "HSET", keys(sale).gate, "odd", "1")


async def own(sale: int, shopper: UUID) -> list[tuple[UUID, Answer]] | None:
    """The shopper's latest purchases in the sale, newest first; None of a gate that is cold or gone.

    Raises redis.RedisError.
    """
    k = keys(sale)
    try:
        found = await clients.send(
            sale, "EVALSHA", _digest("own"), 3, k.gate, k.answers, k.recent, shopper.hex
        )
    except NoScriptError:
        return None
    if found is None:
        return None
    own = []
    for purchase, stored in zip(found[::2], found[1::2], strict=True):
        answer = _answer_in(stored)
        if answer and answer.shopper == shopper.hex:  # and what is of our making
            own.append((UUID(purchase), answer))
    return own


async def view(sale: int) -> View:
    """The gate as it stands. Raises OddGate and redis.RedisError."""
    with in_words():
        *hashes, waiting, now = await clients.send_together(sale, *_view_commands(sale))
        return _view([*map(_pairs, hashes), waiting, map(int, now)])


# --- For workers and commands --------------------------------------------------------------------


def view_now(sale: int) -> View:
    """`view`, for code that may block."""
    with clients.of(sale).pipeline(transaction=True) as pipe:
        _ask_view(pipe, sale)
        with in_words():
            return _view(pipe.execute())


def read_line(sale: int, most: int) -> tuple[str, int, list[tuple[str, dict[str, str]]]]:
    """The gate's mark and version, and the oldest undecided purchases in the order of their
    acceptance, raw: `parse_line` reads them."""
    k = keys(sale)
    with clients.of(sale).pipeline(transaction=True) as pipe, in_words():
        pipe.hmget(k.gate, "mark", "version")
        pipe.xrange(k.line, count=most)
        (mark, version), entries = pipe.execute()
        return plain(mark), whole(version), entries


def wait_for_line(sale: int, after: str, milliseconds: int) -> bool:
    """Waits until something stands in the line behind the entry `after`, at most so long."""
    line = keys(sale).line
    with in_words():
        return bool(clients.of(sale).xread({line: after}, count=1, block=milliseconds))


def pulses(sales: Iterable[int]) -> dict[int, Pulse]:
    """What the caretaker looks at, of each of these sales, in one round trip per server. An odd gate has a
    pulse that says so: it takes nobody else's away. One whose slot is on the way to another server has
    none."""
    found = {}
    for server, share in clients.shared_out(sales):
        if share:
            found.update(_pulses(server, share))
    return found


def _pulses(server: redis.Redis, sales: list[int]) -> dict[int, Pulse]:
    with server.pipeline(transaction=False) as pipe:
        pipe.time()
        for sale in sales:
            k = keys(sale)
            pipe.hmget(k.gate, "version", "mark", "warm", "odd")
            pipe.xrange(k.line, count=1)
            pipe.exists(k.flight, k.held)
        (seconds, microseconds), *replies = pipe.execute(raise_on_error=False)
    now = seconds * 1000 + microseconds // 1000
    each = zip(sales, replies[::3], replies[1::3], replies[2::3], strict=True)
    return {sale: _pulse(now, *seen) for sale, *seen in each if _is_here(seen)}


def pulse(sale: int) -> Pulse:
    """The same of one. Raises redis.RedisError."""
    found = pulses([sale])
    if not found:
        raise redis.ConnectionError("its keys are on the way to another server")
    return found[sale]


def _is_here(replies: Iterable[Any]) -> bool:
    return not any(isinstance(reply, NOT_HERE) for reply in replies)


def _pulse(now: int, state: Any, head: Any, held: Any) -> Pulse:
    try:
        with in_words():
            _raise_errors((state, head))
            version, mark, warm, odd = state
            return Pulse(
                version=whole(version),
                mark=plain(mark),
                warm=warm == "1",
                # One from the future counts as well: the clock may have been put back.
                waited=abs(now - int(head[0][0].partition("-")[0])) if head else 0,
                odd="somebody has met what cannot be read" if odd else "",
                stuck=not head and bool(held),
            )
    except OddGate as error:
        return Pulse(version=0, mark="", warm=False, waited=0, odd=str(error))


# Of another type than ours, a key makes every script fail.
_TYPES = (*["hash"] * 6, "stream", "string", "hash")


def oddities(sales: Iterable[int]) -> dict[int, str]:
    """Those of these sales whose gate is of other types or numbers than ours, and why: a close look, which
    costs ten times as much as a pulse."""
    found = {}
    for server, share in clients.shared_out(sales):
        found.update(_oddities(server, share))
    return {sale: why for sale, why in found.items() if why}


def _oddities(server: redis.Redis, sales: list[int]) -> dict[int, str]:
    with server.pipeline(transaction=False) as pipe:
        for sale in sales:
            _ask_view(pipe, sale)
            for key in keys(sale):
                pipe.type(key)
        replies = pipe.execute(raise_on_error=False)
    each = _VIEW + len(_TYPES)
    shares = {sale: replies[n * each : (n + 1) * each] for n, sale in enumerate(sales)}
    return {sale: _oddity(share) for sale, share in shares.items() if _is_here(share)}


def _oddity(replies: list[Any]) -> str:
    try:
        with in_words():
            _raise_errors(replies)
            for name, found, ours in zip(Keys._fields, replies[_VIEW:], _TYPES, strict=True):
                if found not in (ours, "none"):
                    raise ValueError(f"{name} is a {found}")
            _view(replies[:_VIEW])
    except OddGate as error:
        return str(error)
    return ""


def _raise_errors(replies: Iterable[Any]) -> None:
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply


def stands_at(sale: int) -> tuple[int, str]:
    """The version at which the gate stands, and its mark."""
    with in_words():
        version, mark = clients.of(sale).hmget(keys(sale).gate, "version", "mark")
        return whole(version), plain(mark)


def tell(sale: int, part: str) -> tuple[bool, int]:
    """Applies one part of a tale. Gives whether it applied, and where the gate stands."""
    applied, stands = _run(sale, "tell", keys(sale), part)
    return applied == 1, int(stands)


def lower_bell(sale: int) -> bool:
    """Takes the bell down if the line is empty. Raises OddGate where something is in flight all the
    same: it would be sold out for ever, and whose it was would wait for ever."""
    k = keys(sale)
    lowered = int(_run(sale, "lower_bell", (k.line, k.bell, k.flight, k.held)))
    if lowered > 1:
        raise OddGate("units are in flight without a purchase in line")
    return lowered > 0


def purge(sale: int) -> bool:
    """Removes the gate of an ended sale whose line is empty."""
    return bool(_run(sale, "purge", keys(sale)))


def empty(sale: int, version: float = float("-inf")) -> bool:
    """Makes a gate that stands ahead of `version` forget what it was told, and cold; its line is kept,
    unless it is none."""
    return bool(_run(sale, "empty", keys(sale), version, fresh_mark()))


def drop(sale: int, entry: str, purchase: str) -> bool:
    """Takes an entry out of the line that no queued answer refers to (a repeat, or garbage)."""
    k = keys(sale)
    return bool(_run(sale, "drop", (k.answers, k.line), entry, purchase))


def snapshot(sale: int) -> Snapshot:
    """The gate's numbers and its whole line, in one atomic look."""
    k = keys(sale)
    with clients.of(sale).pipeline(transaction=True) as pipe:
        _ask_view(pipe, sale)
        pipe.hgetall(k.held)
        pipe.xrange(k.line)
        with in_words():
            *view, held, entries = pipe.execute()
            line, unreadable = parse_line(entries)
            held = {shopper: whole(units) for shopper, units in held.items()}
            return Snapshot(_view(view), held, line, unreadable)


def all_answers(sale: int) -> dict[str, Answer]:
    """Every answer by purchase, read in steps: not of one moment."""
    with in_words():
        found = clients.of(sale).hscan_iter(keys(sale).answers, count=1000)
        return {purchase: _answer_in(stored) or _UNREADABLE for purchase, stored in found}


def all_bought(sale: int) -> dict[str, int]:
    """Units confirmed by shopper, read in steps."""
    with in_words():
        found = clients.of(sale).hscan_iter(keys(sale).bought, count=1000)
        return {shopper: whole(units) for shopper, units in found}


def one_answer(sale: int, purchase: str) -> tuple[Answer | None, bool]:
    """The answer to a purchase, and whether the entry that it names stands in the line."""
    k = keys(sale)
    stored = clients.of(sale).hget(k.answers, purchase)
    if stored is None:
        return None, False
    answer = _answer_in(str(stored)) or _UNREADABLE
    entry = str(stored).rpartition("|")[2]
    if answer.status != "queued" or not _ENTRY.match(entry):
        return answer, False
    with in_words():
        return answer, bool(clients.of(sale).xrange(k.line, entry, entry))


_ENTRY = re.compile(r"\A[0-9]+-[0-9]+\Z")


def one_bought(sale: int, shopper: str) -> int:
    with in_words():
        return whole(clients.of(sale).hget(keys(sale).bought, shopper))


def scripts_known(*servers: redis.Redis) -> bool:
    """Whether these, or all, know our scripts; of one that does not, no gate may be believed."""
    digests = [_digest(script) for script in SCRIPTS]
    return all(all(server.script_exists(*digests)) for server in servers or _all())


def fresh_mark() -> str:
    return secrets.token_hex(8)


def cool(sales: Iterable[int], mark: str) -> None:
    """Puts a mark on these gates: none of them answers until it was told under it."""
    for sale in sales:
        clients.of(sale).eval(_source("cool"), 1, keys(sale).gate, mark)


def forget(sales: Iterable[int]) -> None:
    """Removes gates that nobody may ask any more."""
    for server, share in clients.shared_out(sales):
        with server.pipeline(transaction=False) as pipe:
            for sale in share:
                pipe.unlink(*keys(sale))
            pipe.execute()


def standing(*servers: redis.Redis) -> set[int]:
    """The sales that have a gate in these, or in any, also those that an old copy brought back."""
    pattern = keys(0).gate.replace("{sale:0}", "{sale:*}")
    found = (key for server in servers or _all() for key in server.scan_iter(pattern, count=1000))
    numbers = {key[len("{sale:") : key.index("}")] for key in found}
    return {int(number) for number in numbers if _NUMBER.match(number)}


_NUMBER = re.compile(r"\A[1-9][0-9]{0,17}\Z")  # of a sale; others name their keys as they like


def load_scripts(*servers: redis.Redis) -> None:
    """Makes these, or all, know the scripts. Only after `cool`: before it, stale gates would answer."""
    for server in servers or _all():
        for script in SCRIPTS:
            server.script_load(_source(script))


def _all() -> list[redis.Redis]:
    return [server for server, _ in clients.shared_out(())]


def _run(sale: int, script: str, script_keys: tuple[str, ...], *args: str | float) -> Any:
    try:
        with in_words():
            return clients.of(sale).evalsha(_digest(script), len(script_keys), *script_keys, *args)
    except NoScriptError as error:
        raise ColdGate(script) from error


_VIEW = 5  # replies to `_ask_view`


def _ask_view(pipe: Any, sale: int) -> None:
    for command in _view_commands(sale):
        pipe.execute_command(*command)


def _view_commands(sale: int) -> tuple[tuple[str, ...], ...]:
    k = keys(sale)
    hashes = (("HGETALL", key) for key in (k.gate, k.stock, k.flight))
    return (*hashes, ("XLEN", k.line), ("TIME",))


def _pairs(flat: list[str]) -> dict[str, str]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _view(replies: list[Any]) -> View:
    """Raises ValueError and TypeError for what is not of our making."""
    gate, stock, flight, waiting, (seconds, microseconds) = replies
    moments = [whole(gate.get(name)) for name in ("opens_at", "closes_at")]
    if not all(0 <= moment < _LATEST for moment in moments):
        raise ValueError(f"{moments} are no moments")
    if gate.get("warm") == "1" and (
        gate.get("status") not in _RULED or whole(gate.get("limit")) < 1
    ):
        raise ValueError("no rules of ours")
    return View(
        version=whole(gate.get("version")),
        warm=gate.get("warm") == "1",
        mark=plain(gate.get("mark")),
        status=gate.get("status", ""),
        opens_at=moments[0],
        closes_at=moments[1],
        limit=whole(gate.get("limit")),
        stock={sku: whole(units) for sku, units in stock.items()},
        flight={sku: whole(units) for sku, units in flight.items()},
        waiting=waiting,
        now=seconds * 1000 + microseconds // 1000,
    )


_RULED = ("live", "paused", "ended")
_LATEST = 32_503_680_000_000  # ms: the year 3000, which no sale reaches
