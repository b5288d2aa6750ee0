"""Refusals of a Redis server: it answers, and cannot be written to.

Such an answer proves that nothing was carried out: the server refuses a write before it begins, and a
script at its first write (the scripts check before they write). So a refused command may be sent again.
"""

import re
from typing import NamedTuple

import redis


class Refusal(NamedTuple):
    """Why a server cannot be written to, in words, and what to do."""

    why: str
    advice: str


_TO_THE_PRIMARY = "Point the URL to its primary, or make it the primary."
_DISK = "Look at its log and its disk."

# By the first word of the server's error.
_REFUSALS = {
    "READONLY": Refusal("it is a replica", _TO_THE_PRIMARY),
    "UNBLOCKED": Refusal("it has become a replica", _TO_THE_PRIMARY),
    "MASTERDOWN": Refusal("it is a replica without its primary", _TO_THE_PRIMARY),
    "NOPERM": Refusal(
        "its user may not write", "Point the URL to its primary, or look at its ACL."
    ),
    "NOREPLICAS": Refusal(
        "it has fewer replicas than min-replicas-to-write",
        "Bring its replicas back, or lower min-replicas-to-write.",
    ),
    "MISCONF": Refusal("its last write to disk has failed", _DISK),
    "OOM": Refusal("its memory is full", "Give it more memory (maxmemory)."),
    "LOADING": Refusal("it still loads its data", "Wait until it has."),
    "BUSY": Refusal("a script runs for too long", "Look at its log; SCRIPT KILL ends the script."),
}

# At the beginning, or where redis-py names the command of a pipeline first.
_WORD = re.compile(r"(?:\A|caused error: )([A-Z]+) ")

# How the server words NOPERM for a command inside a script: for the first write, if its user may only read.
_ACL_IN_SCRIPT = "ACL failure in script: "

_KEY = "writable"  # does not exist


def refusal(error: BaseException) -> Refusal | None:
    """Why the server refuses to be written to; None if the error says something else."""
    if not isinstance(error, redis.RedisError):
        return None
    if _ACL_IN_SCRIPT in str(error):
        return _REFUSALS["NOPERM"]
    found = _WORD.search(str(error))
    return _REFUSALS.get(error.status_code or (found[1] if found else ""))


def describe(error: Exception) -> str:
    """Say in some words that a server is not reachable, or cannot be written to, and why."""
    if refused := refusal(error):
        return f"cannot be written to ({refused.why})"
    return f"not reachable ({type(error).__name__})"


def probe(tag: str = "", *, needs_memory: bool = True) -> tuple[str, ...]:
    """A command that the server refuses whenever it refuses writes: with `needs_memory` also when its
    memory is full. It changes nothing, and so costs no write to disk. A cluster has its key in the slot of
    `tag`."""
    key = f"{{{tag}}}:{_KEY}" if tag else _KEY
    return ("SET", key, "1", "XX", "PX", "1000") if needs_memory else ("DEL", key)


def send_probe(server: redis.Redis, tag: str = "", *, needs_memory: bool = True) -> None:
    """Send `probe`. Raises redis.RedisError."""
    command = probe(tag, needs_memory=needs_memory)
    server.execute_command(*command)  # type: ignore[no-untyped-call]  # redis-py
