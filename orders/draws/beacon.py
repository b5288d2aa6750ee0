"""drand's beacon "quicknet": a public random number every three seconds, not known before its time.

Rounds are numbered from 1. A round's signature is 48 bytes; anybody can verify it with drand's public key,
so it does not matter which server it came from. Source of the constants: drand's chain information.
"""

import json
import queue
import threading
import time
from datetime import UTC, datetime
from hashlib import sha256

import requests
import urllib3
from django.conf import settings
from py_arkworks_bls12381 import GT, G1Point, G2Point

NAME = "quicknet"
CHAIN = "52db9ba70e0cc0f6eaf7803dd07447a1f5477735fd3f661792ba94600c84e971"
GENESIS, PERIOD = 1_692_803_367, 3  # UNIX time of round 1, seconds between rounds
PUBLIC_KEY = bytes.fromhex(
    "83cf0f2896adee7eb8b5f01fcad3912212c437e0073e911fb90022d3e760183c8c4b450b6a0a6c3ac6a5776a2d106451"
    "0d1fec758c921cc22b0e17e63aaf4bcb5ed66304de9cf809bd274ca73bab4af5a6e9c76a4bc09e76eae8991ef5ece45a"
)
DOMAIN = b"BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_"
LENGTH = 48  # bytes of a signature
PATIENCE = 8.0  # seconds for all servers together
_CONNECT, _READ = 3.0, 4.0  # seconds
_MOST = 4096  # bytes of an answer


class BeaconAway(Exception):
    """No server has given the round's signature. The draw waits, and asks again."""


class NotYet(BeaconAway):
    """The round's time is still to come."""


def round_at(moment: datetime) -> int:
    """The newest round at a time; 0 before the first. The time is aware."""
    return max(0, (int(moment.timestamp()) - GENESIS) // PERIOD + 1)


def first_round_after(moment: datetime) -> int:
    """The first round whose signature is not known at a time, nor in the second of it."""
    return round_at(moment) + 1


def time_of(number: int) -> datetime:
    """When the round's signature becomes known, in UTC."""
    return datetime.fromtimestamp(GENESIS + (number - 1) * PERIOD, UTC)


def is_valid(number: int, signature: bytes) -> bool:
    """Whether drand has signed the round so. Takes some 5 ms."""
    if not 0 < number < 1 << 64:
        return False
    try:
        point = G1Point.from_compressed_bytes(signature)
    except ValueError:
        return False
    if point.to_compressed_bytes() != signature:  # another spelling would be another random number
        return False
    message = G1Point.hash_to_curve(sha256(number.to_bytes(8, "big")).digest(), DOMAIN)
    key = G2Point.from_compressed_bytes(PUBLIC_KEY)
    return GT.pairing_check([message, -point], [key, G2Point()])


def randomness_of(signature: bytes) -> bytes:
    """The random number of a round, 32 bytes, from its signature; empty without a beacon."""
    return sha256(signature).digest() if signature else b""


def fetch(number: int) -> bytes:
    """Fetch the round's signature from the first of DRAND_URLS that has a valid one.

    Takes at most PATIENCE seconds; a thread of each slow server ends later, so pause between two calls.
    Raises NotYet and BeaconAway.
    """
    due = time_of(number)
    if due > datetime.now(UTC):
        raise NotYet(f"Round {number} of {NAME} is due at {due:%Y-%m-%d %H:%M:%S} UTC.")
    answers: queue.SimpleQueue[tuple[bytes, str]] = queue.SimpleQueue()
    for server in settings.DRAND_URLS:
        asked = (server, number, answers)
        threading.Thread(target=_ask, args=asked, name=f"drand {server}", daemon=True).start()
    return _first_valid(number, answers, len(settings.DRAND_URLS))


def _first_valid(
    number: int, answers: queue.SimpleQueue[tuple[bytes, str]], expected: int
) -> bytes:
    deadline, faults = time.monotonic() + PATIENCE, []
    for _ in range(expected):
        try:
            signature, fault = answers.get(timeout=max(0, deadline - time.monotonic()))
        except queue.Empty:
            faults.append("no answer in time")
            break
        if signature:
            return signature
        faults.append(fault)
    said = "; ".join(faults) or "DRAND_URLS is empty"
    raise BeaconAway(f"Round {number} of {NAME} could not be fetched: {said}.")


def _ask(server: str, number: int, answers: queue.SimpleQueue[tuple[bytes, str]]) -> None:
    """Put the signature, or the reason why there is none, into `answers`."""
    try:
        signature = _signature_in(_download(f"{server}/{CHAIN}/public/{number}"))
        fault = "" if is_valid(number, signature) else "the signature is wrong"
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        fault = type(error).__name__
    except (ValueError, RecursionError):  # it is no JSON, or nested without end
        fault = "the answer is no round"
    answers.put((b"", f"{server}: {fault}") if fault else (signature, ""))


def _download(url: str) -> bytes:
    """The start of what a server answers. A slow server is given up while it still sends."""
    deadline, body = time.monotonic() + PATIENCE, b""
    limits = (_CONNECT, _READ)
    with requests.get(url, timeout=limits, stream=True, allow_redirects=False) as answer:
        answer.raise_for_status()
        while time.monotonic() < deadline and len(body) < _MOST:
            if not (part := answer.raw.read1(_MOST, decode_content=True)):
                break
            body += part
    return body


def _signature_in(body: bytes) -> bytes:
    """The signature in drand's JSON. Raises ValueError."""
    answer = json.loads(body)
    if not isinstance(answer, dict) or not isinstance(answer.get("signature"), str):
        raise ValueError
    return bytes.fromhex(answer["signature"])
