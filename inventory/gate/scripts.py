"""The gate's keys, and its Lua scripts.

All keys of a sale carry the tag `{sale:<id>}` and so share one slot of a cluster. Scripts are only
called by their digest. Redis forgets them when it is restarted, replaced or restored, and
`NOSCRIPT` is how every process learns at once that no gate on that server can be trusted.
"""

from functools import cache
from hashlib import sha1
from pathlib import Path
from typing import NamedTuple

_LUA = Path(__file__).parent.parent / "lua"
SCRIPTS = ("admit", "own_purchases", "apply", "lower_bell", "purge", "empty", "drop")


class GateNotReady(Exception):
    """Redis does not know the scripts: it was restarted, wiped or replaced."""


class Keys(NamedTuple):
    """The keys of a sale's gate, in the order of `admit`, `apply`, `empty` and `purge`. The other
    scripts take fewer, in their own order."""

    gate: str  # hash: version, epoch, ready, the sale's rules
    stock: str  # hash: units in stock by sku
    in_flight: str  # hash: units of undecided entries by sku
    bought: str  # hash: units owned by shopper
    in_flight_by_shopper: str  # hash: units of undecided entries by shopper
    answers: str  # hash: the answer by purchase
    line: str  # stream: accepted, undecided entries, the oldest first
    bell: str  # string: set from the ring until the line is empty
    recent: str  # hash: the latest purchases by shopper
    networks: str  # hash: units accepted by network, in a sale with a bound per network


@cache
def keys(sale: int) -> Keys:
    """The names of the sale's keys in Redis."""
    return Keys(*(f"{{sale:{sale}}}:{name}" for name in Keys._fields))


@cache
def former_keys(sale: int) -> tuple[str, str]:
    """What version 0.1.0 called `in_flight` and `in_flight_by_shopper`: see `begin_epoch.lua`."""
    return f"{{sale:{sale}}}:flight", f"{{sale:{sale}}}:held"


@cache
def digest(script: str) -> str:
    """The name under which Redis knows the script."""
    return sha1(source(script).encode(), usedforsecurity=False).hexdigest()


@cache
def source(script: str) -> str:
    """The script's text, from `inventory/lua/`."""
    return (_LUA / f"{script}.lua").read_text()
