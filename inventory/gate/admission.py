"""The gate for web processes: decide a click, read its answer, read what can still be bought.

Raises NotSent if nothing was sent to Redis, and another redis.RedisError if the reply was lost or, in all
but `admit`, if Redis refuses.
"""

import logging
from contextlib import suppress
from datetime import datetime
from uuid import UUID

from redis.exceptions import NoScriptError, RedisError, ResponseError

from flashsale.redis import web_connections
from flashsale.redis.refusals import refusal
from inventory.corruption import CorruptGate, is_corrupt, raise_as_corrupt
from inventory.gate.entries import Answer, Verdict, accepted_at_of, parse_answer
from inventory.gate.scripts import digest, keys
from inventory.gate.state import View, pairs, parse_view, view_commands

log = logging.getLogger(__name__)


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
    shown: str = "",
    network: str = "",
    networks: tuple[str, ...] = (),
) -> Verdict:
    """Decide one click, in one round trip. Idempotent by `purchase`.

    `shown` goes into the entry, for settlement (`Entry.shown`); CHANGED refuses a new purchase.
    `network` goes there too, if there is one (`Entry.network`). `networks` are those whose units the sale
    bounds, the narrowest first (`orders/networks.py` `list_networks`): a sale with that bound is busy
    without them. With either, Redis counts the rate under a hash: it never sees `address`.
    `per_shopper` and `per_address` are accepted clicks per second (0: no limit), `bound` the most
    entries in the line. After NotSent nothing has happened; after another redis.RedisError the
    purchase may be in the line.
    """
    tag = f"{{sale:{sale}}}:rate"
    buyer = shopper.hex
    try:
        reply = await web_connections.send(
            sale,
            "EVALSHA",
            digest("admit"),
            12,
            *keys(sale),
            f"{tag}:{buyer}",
            f"{tag}:{network or (networks[0] if networks else address)}",
            purchase.hex,
            buyer,
            sku,
            quantity,
            per_shopper,
            per_address,
            bound,
            shown,
            *((network, *networks) if network or networks else ()),
        )
    except NoScriptError:
        return Verdict("not_ready")
    except RedisError as error:
        if refusal(error):  # nothing was written
            return Verdict("busy")
        if isinstance(error, ResponseError) and is_corrupt(error):
            await _report(sale)
        raise
    code, *rest = reply
    if code in ("known", "reused") and (found := parse_answer(rest[0])):
        return Verdict(code, answer=found)
    if code in ("known", "reused", "corrupt"):
        await _report(sale)
        return Verdict("busy")
    if code == "queued":
        return Verdict(code, ring=rest[0] == 1)
    if code == "refused":
        return Verdict(code, reason=rest[0])
    if code == "rate_limited":
        return Verdict(code, wait=rest[0])
    return Verdict(code)


async def read_answer(sale: int, purchase: UUID) -> tuple[Answer | None, datetime | None, bool]:
    """The answer to a purchase, when it was accepted (None after a rebuild), and whether the gate
    is ready.

    Only a ready gate's "no answer" can be trusted.
    """
    k = keys(sale)
    stored = await web_connections.send(sale, "HGET", k.answers, purchase.hex)
    if stored is None:
        return None, None, await web_connections.send(sale, "HGET", k.gate, "ready") == "1"
    found = parse_answer(stored)
    if found is None:
        await _report(sale)
        return None, None, False
    return found, accepted_at_of(stored), True


async def _report(sale: int) -> None:
    """Ask the caretaker to rebuild the gate: the caretaker's own look reads too few fields to see
    this."""
    log.error("sale %s: its gate is corrupt and will be rebuilt", sale)
    with suppress(RedisError, OSError):  # the next reader reports it again
        await web_connections.send(sale, "HSET", keys(sale).gate, "corrupt", "1")


async def read_own_purchases(sale: int, shopper: UUID) -> list[tuple[UUID, Answer]] | None:
    """The shopper's latest purchases in the sale, newest first; None if the gate is not ready or
    gone."""
    k = keys(sale)
    try:
        found = await web_connections.send(
            sale, "EVALSHA", digest("own_purchases"), 3, k.gate, k.answers, k.recent, shopper.hex
        )
    except NoScriptError:
        return None
    if found is None:
        return None
    own = []
    for purchase, stored in zip(found[::2], found[1::2], strict=True):
        answer = parse_answer(stored)
        if answer and answer.shopper == shopper.hex:  # a corrupt list may name others'
            own.append((UUID(purchase), answer))
    return own


async def read_view(sale: int) -> View:
    """Read the gate, and report it if it is corrupt. Raises CorruptGate too."""
    try:
        with raise_as_corrupt():
            *hashes, waiting, now = await web_connections.send_together(sale, *view_commands(sale))
            return parse_view([*map(pairs, hashes), waiting, map(int, now)])
    except CorruptGate:
        await _report(sale)
        raise
