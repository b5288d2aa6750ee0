"""What workers and commands do with the gate: read the line, apply deltas, look for trouble,
rebuild.

Everything here may block. Raises redis.RedisError; GateNotReady if Redis does not know a script;
CorruptGate if the gate holds data that no script writes.
"""

import logging
import re
import secrets
from collections.abc import Iterable
from typing import Any

import redis
from redis.exceptions import NoScriptError

from flashsale.redis import blocking_clients
from flashsale.redis.servers import NOT_HERE
from inventory.corruption import CorruptGate, parse_count, parse_epoch, raise_as_corrupt
from inventory.gate.entries import UNREADABLE, Answer, parse_answer, parse_line
from inventory.gate.scripts import SCRIPTS, GateNotReady, digest, former_keys, keys, source
from inventory.gate.state import Pulse, Snapshot, View, parse_view, view_commands

log = logging.getLogger(__name__)


def read_view(sale: int) -> View:
    """Read the gate's view in one transaction."""
    with blocking_clients.client_of(sale).pipeline(transaction=True) as pipe:
        _ask_view(pipe, sale)
        with raise_as_corrupt():
            return parse_view(pipe.execute())


def read_line(sale: int, most: int) -> tuple[str, int, list[tuple[str, dict[str, str]]]]:
    """The gate's epoch and version, and at most `most` of the oldest entries of the line: stream id
    and fields, for `parse_line`."""
    k = keys(sale)
    with blocking_clients.client_of(sale).pipeline(transaction=True) as pipe, raise_as_corrupt():
        pipe.hmget(k.gate, "epoch", "version")
        pipe.xrange(k.line, count=most)
        (epoch, version), entries = pipe.execute()
        return parse_epoch(epoch), parse_count(version), entries


def wait_for_line(sale: int, after: str, milliseconds: int) -> bool:
    """Wait for an entry after the entry `after`, at most so long. False if none came."""
    line = keys(sale).line
    with raise_as_corrupt():
        return bool(
            blocking_clients.client_of(sale).xread({line: after}, count=1, block=milliseconds)
        )


def read_pulses(sales: Iterable[int]) -> dict[int, Pulse]:
    """The pulses of these sales' gates, in one round trip per server.

    A corrupt gate has a pulse with the reason, so that it does not hide the others. A gate whose
    slot is moving to another server has none.
    """
    found = {}
    for server, share in blocking_clients.group_by_server(sales):
        if share:
            found.update(_pulses(server, share))
    return found


def _pulses(server: redis.Redis, sales: list[int]) -> dict[int, Pulse]:
    with server.pipeline(transaction=False) as pipe:
        pipe.time()
        for sale in sales:
            k = keys(sale)
            pipe.hmget(k.gate, "version", "epoch", "ready", "corrupt")
            pipe.xrange(k.line, count=1)
            pipe.exists(k.in_flight, k.in_flight_by_shopper)
        (seconds, microseconds), *replies = pipe.execute(raise_on_error=False)
    now = seconds * 1000 + microseconds // 1000
    each = zip(sales, replies[::3], replies[1::3], replies[2::3], strict=True)
    return {sale: _pulse(now, *seen) for sale, *seen in each if _is_here(seen)}


def read_pulse(sale: int) -> Pulse:
    """The pulse of one gate. Raises redis.RedisError."""
    found = read_pulses([sale])
    if not found:
        raise redis.ConnectionError("its keys are moving to another server")
    return found[sale]


def _is_here(replies: Iterable[Any]) -> bool:
    return not any(isinstance(reply, NOT_HERE) for reply in replies)


def _pulse(now: int, state: Any, head: Any, in_flight: Any) -> Pulse:
    try:
        with raise_as_corrupt():
            _raise_errors((state, head))
            version, epoch, ready, corrupt = state
            return Pulse(
                version=parse_count(version),
                epoch=parse_epoch(epoch),
                ready=ready == "1",
                # An entry from the future has waited too: the clock may have been set back.
                waited=abs(now - int(head[0][0].partition("-")[0])) if head else 0,
                corrupt="a reader has reported it" if corrupt else "",
                stuck=not head and bool(in_flight),
            )
    except CorruptGate as error:
        return Pulse(version=0, epoch="", ready=False, waited=0, corrupt=str(error))


def _raise_errors(replies: Iterable[Any]) -> None:
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply


def read_position(sale: int) -> tuple[int, str]:
    """The gate's version and epoch."""
    with raise_as_corrupt():
        version, epoch = blocking_clients.client_of(sale).hmget(keys(sale).gate, "version", "epoch")
        return parse_count(version), parse_epoch(epoch)


def apply_part(sale: int, part: str) -> tuple[bool, int]:
    """Apply one part of a delta. Returns whether it was applied, and the gate's version."""
    applied, version = _run(sale, "apply", keys(sale), part)
    return applied == 1, int(version)


def lower_bell(sale: int) -> bool:
    """Lower the bell if the line is empty, so that the next accepted purchase rings it.

    Raises CorruptGate if the line is empty and units are in flight: they could never be sold, and
    their shoppers would wait for ever.
    """
    k = keys(sale)
    lowered = int(_run(sale, "lower_bell", (k.line, k.bell, k.in_flight, k.in_flight_by_shopper)))
    if lowered > 1:
        raise CorruptGate("units are in flight without a purchase in line")
    return lowered > 0


def purge_gate(sale: int) -> bool:
    """Remove the gate of an ended sale whose line is empty. False if it must stay."""
    return bool(_run(sale, "purge", (*keys(sale), *former_keys(sale))))


def empty_gate(sale: int, version: float = float("-inf")) -> bool:
    """Empty a gate whose version is above `version`: it is not ready until it has been rebuilt. The
    line is kept if it is a stream. False if nothing was emptied."""
    return bool(_run(sale, "empty", keys(sale), version, new_epoch()))


def drop_entry(sale: int, entry: str, purchase: str) -> bool:
    """Remove an entry from the line if no queued answer of `purchase` refers to it. With "" remove
    it in any case: it is unreadable, or of another sale. Returns whether it was removed."""
    k = keys(sale)
    return bool(_run(sale, "drop", (k.answers, k.line), entry, purchase))


def read_snapshot(sale: int) -> Snapshot:
    """Read the gate's numbers and its whole line, atomically."""
    k = keys(sale)
    with blocking_clients.client_of(sale).pipeline(transaction=True) as pipe:
        _ask_view(pipe, sale)
        pipe.hgetall(k.in_flight_by_shopper)
        pipe.xrange(k.line)
        with raise_as_corrupt():
            *view, in_flight_by_shopper, entries = pipe.execute()
            line, unreadable = parse_line(entries)
            in_flight_by_shopper = {
                shopper: parse_count(units) for shopper, units in in_flight_by_shopper.items()
            }
            return Snapshot(parse_view(view), in_flight_by_shopper, line, unreadable)


def read_answers(sale: int) -> dict[str, Answer]:
    """All answers by purchase. Read in steps, so they may be of different moments."""
    with raise_as_corrupt():
        found = blocking_clients.client_of(sale).hscan_iter(keys(sale).answers, count=1000)
        return {purchase: parse_answer(stored) or UNREADABLE for purchase, stored in found}


def read_bought(sale: int) -> dict[str, int]:
    """Units owned by shopper. Read in steps, so they may be of different moments."""
    with raise_as_corrupt():
        found = blocking_clients.client_of(sale).hscan_iter(keys(sale).bought, count=1000)
        return {shopper: parse_count(units) for shopper, units in found}


def read_answer(sale: int, purchase: str) -> tuple[Answer | None, bool]:
    """The answer to a purchase, and whether the entry to which it refers is in the line."""
    k = keys(sale)
    stored = blocking_clients.client_of(sale).hget(k.answers, purchase)
    if stored is None:
        return None, False
    answer = parse_answer(str(stored)) or UNREADABLE
    entry = str(stored).rpartition("|")[2]
    if answer.status != "queued" or not _ENTRY.match(entry):
        return answer, False
    with raise_as_corrupt():
        return answer, bool(blocking_clients.client_of(sale).xrange(k.line, entry, entry))


_ENTRY = re.compile(r"\A[0-9]+-[0-9]+\Z")


def read_bought_by(sale: int, shopper: str) -> int:
    """Units owned by one shopper."""
    with raise_as_corrupt():
        return parse_count(blocking_clients.client_of(sale).hget(keys(sale).bought, shopper))


def knows_scripts(*servers: redis.Redis) -> bool:
    """Whether these servers, or all, know the scripts. The gates of one that does not cannot be
    trusted."""
    digests = [digest(script) for script in SCRIPTS]
    return all(all(server.script_exists(*digests)) for server in servers or _all())


def new_epoch() -> str:
    """A random epoch: the fencing token of a gate's life, between two rebuilds."""
    return secrets.token_hex(8)


def begin_epoch(sales: Iterable[int], epoch: str) -> None:
    """Begin an epoch in these gates: none of them is ready until it has been rebuilt in it."""
    for sale in sales:
        k = keys(sale)
        taken_over = (k.gate, k.in_flight, k.in_flight_by_shopper, *former_keys(sale))
        blocking_clients.client_of(sale).eval(
            source("begin_epoch"), len(taken_over), *taken_over, epoch
        )


def remove(sales: Iterable[int]) -> None:
    """Remove gates that no sale needs any more, whatever they contain."""
    for server, share in blocking_clients.group_by_server(sales):
        with server.pipeline(transaction=False) as pipe:
            for sale in share:
                pipe.unlink(*keys(sale), *former_keys(sale))
            pipe.execute()


def list_gates(*servers: redis.Redis) -> set[int]:
    """The sales that have a gate on these servers, or on any, including gates that an old copy
    brought back."""
    pattern = keys(0).gate.replace("{sale:0}", "{sale:*}")
    found = (key for server in servers or _all() for key in server.scan_iter(pattern, count=1000))
    numbers = {key[len("{sale:") : key.index("}")] for key in found}
    return {int(number) for number in numbers if _NUMBER.match(number)}


_NUMBER = re.compile(
    r"\A[1-9][0-9]{0,17}\Z"
)  # a sale's number; other programs may use similar keys


def load_scripts(*servers: redis.Redis) -> None:
    """Load the scripts on these servers, or on all. Only after `begin_epoch`: before it, stale
    gates would answer."""
    for server in servers or _all():
        for script in SCRIPTS:
            server.script_load(source(script))


def _all() -> list[redis.Redis]:
    return [server for server, _ in blocking_clients.group_by_server(())]


def _run(sale: int, script: str, script_keys: tuple[str, ...], *args: str | float) -> Any:
    try:
        with raise_as_corrupt():
            return blocking_clients.client_of(sale).evalsha(
                digest(script), len(script_keys), *script_keys, *args
            )
    except NoScriptError as error:
        raise GateNotReady(script) from error


def _ask_view(pipe: Any, sale: int) -> None:
    for command in view_commands(sale):
        pipe.execute_command(*command)
