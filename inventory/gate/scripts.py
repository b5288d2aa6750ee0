"""The gate's keys and Lua scripts.

All keys of a sale carry the tag `{sale:<id>}` and so share one slot of a cluster. Scripts are only ever
called by their digest: Redis forgets them when it is restarted, replaced or restored, and `NOSCRIPT` is how
every process learns at once that no gate there can be trusted. `replica.load_scripts` is for the caretaker,
after it has begun a new epoch in every gate.
"""

from functools import cache
from hashlib import sha1
from pathlib import Path
from typing import NamedTuple

_LUA = Path(__file__).parent.parent / "lua"


SCRIPTS = ("admit", "own_purchases", "apply", "lower_bell", "purge", "empty", "drop")


class GateNotReady(Exception):
    """Redis does not know our scripts: it was restarted, wiped or replaced."""


class Keys(NamedTuple):
    """The keys of a sale's gate, in the order in which every script takes them."""

    gate: str
    stock: str
    in_flight: str
    bought: str
    in_flight_by_shopper: str
    answers: str
    line: str
    bell: str
    recent: str


@cache
def keys(sale: int) -> Keys:
    return Keys(*(f"{{sale:{sale}}}:{name}" for name in Keys._fields))


@cache
def digest(script: str) -> str:
    return sha1(source(script).encode(), usedforsecurity=False).hexdigest()


@cache
def source(script: str) -> str:
    return (_LUA / f"{script}.lua").read_text()
