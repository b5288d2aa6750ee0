"""The gate: a sale's state in Redis, in front of PostgreSQL, and the scripts that change it.

Only scripts and Redis here, no rules of selling and no database. All keys of a sale carry the tag
`{sale:<id>}` and so share one slot of a cluster. The scripts live in `lua/`, each with its own
contract. They are only ever called by their digest: Redis forgets them when it is restarted, replaced
or restored, and `NOSCRIPT` is how everybody learns at once that the gate is cold. `load_scripts` is
for the caretaker, after it has marked every gate.
"""

import logging
import re
import secrets
from collections.abc import Iterable
from typing import Any

import redis
from redis.exceptions import NoScriptError

from flashsale.redis import clients
from flashsale.redis.servers import NOT_HERE
from inventory.corruption import OddGate, in_words, plain, whole
from inventory.gate.entries import UNREADABLE, Answer, parse_answer, parse_line
from inventory.gate.scripts import SCRIPTS, ColdGate, Keys, digest, keys, source
from inventory.gate.state import VIEW_REPLIES, Pulse, Snapshot, View, parse_view, view_commands

log = logging.getLogger(__name__)


# --- What the gate says ----------------------------------------------------------------------


# --- For the server processes ------------------------------------------------------------------


# --- For workers and commands --------------------------------------------------------------------


def view_now(sale: int) -> View:
    """`view`, for code that may block."""
    with clients.of(sale).pipeline(transaction=True) as pipe:
        _ask_view(pipe, sale)
        with in_words():
            return parse_view(pipe.execute())


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
    each = VIEW_REPLIES + len(_TYPES)
    shares = {sale: replies[n * each : (n + 1) * each] for n, sale in enumerate(sales)}
    return {sale: _oddity(share) for sale, share in shares.items() if _is_here(share)}


def _oddity(replies: list[Any]) -> str:
    try:
        with in_words():
            _raise_errors(replies)
            for name, found, ours in zip(Keys._fields, replies[VIEW_REPLIES:], _TYPES, strict=True):
                if found not in (ours, "none"):
                    raise ValueError(f"{name} is a {found}")
            parse_view(replies[:VIEW_REPLIES])
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
            return Snapshot(parse_view(view), held, line, unreadable)


def all_answers(sale: int) -> dict[str, Answer]:
    """Every answer by purchase, read in steps: not of one moment."""
    with in_words():
        found = clients.of(sale).hscan_iter(keys(sale).answers, count=1000)
        return {purchase: parse_answer(stored) or UNREADABLE for purchase, stored in found}


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
    answer = parse_answer(str(stored)) or UNREADABLE
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
    digests = [digest(script) for script in SCRIPTS]
    return all(all(server.script_exists(*digests)) for server in servers or _all())


def fresh_mark() -> str:
    return secrets.token_hex(8)


def cool(sales: Iterable[int], mark: str) -> None:
    """Puts a mark on these gates: none of them answers until it was told under it."""
    for sale in sales:
        clients.of(sale).eval(source("cool"), 1, keys(sale).gate, mark)


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
            server.script_load(source(script))


def _all() -> list[redis.Redis]:
    return [server for server, _ in clients.shared_out(())]


def _run(sale: int, script: str, script_keys: tuple[str, ...], *args: str | float) -> Any:
    try:
        with in_words():
            return clients.of(sale).evalsha(digest(script), len(script_keys), *script_keys, *args)
    except NoScriptError as error:
        raise ColdGate(script) from error


def _ask_view(pipe: Any, sale: int) -> None:
    for command in view_commands(sale):
        pipe.execute_command(*command)
