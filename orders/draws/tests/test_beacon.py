"""A round of the beacon is known by its time, and taken from any server, if drand has signed it."""

import gzip
import json
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import sha256
from http.server import BaseHTTPRequestHandler

import pytest
from py_arkworks_bls12381 import G1Point
from pytest_django import Settings

from orders.draws import beacon
from orders.draws.tests.drand import (
    ROUND,
    SIGNATURE,
    Answer,
    answer_round,
    answer_text,
    serving,
)

FIRST = datetime(2023, 8, 23, 15, 9, 27, tzinfo=UTC)


def test_a_round_comes_every_three_seconds() -> None:
    assert beacon.time_of(1) == FIRST
    assert beacon.time_of(101) == FIRST + timedelta(minutes=5)


@pytest.mark.parametrize(("after", "number"), [(-0.1, 0), (0, 1), (2.9, 1), (3, 2), (300, 101)])
def test_a_round_is_the_newest_from_its_time_on(after: float, number: int) -> None:
    assert beacon.round_at(FIRST + timedelta(seconds=after)) == number


@pytest.mark.parametrize("after", [-4, 0, 1.5, 2.99, 3])
def test_the_round_after_a_moment_is_not_known_at_it(after: float) -> None:
    moment = FIRST + timedelta(seconds=after)
    number = beacon.first_round_after(moment)
    assert beacon.time_of(number) > moment
    assert number == 1 or beacon.time_of(number - 1) <= moment


def test_drands_signature_is_valid_for_its_round_alone() -> None:
    assert beacon.is_valid(ROUND, SIGNATURE)
    assert not beacon.is_valid(ROUND + 1, SIGNATURE)


@pytest.mark.parametrize("number", [0, -1, 1 << 64])
def test_a_number_that_is_no_round_has_no_signature(number: int) -> None:
    assert not beacon.is_valid(number, SIGNATURE)


@pytest.mark.parametrize(
    "signature",
    [
        b"",
        SIGNATURE[:-1],
        SIGNATURE + b"\0",
        bytes(48),
        b"\xff" * 48,
        G1Point().to_compressed_bytes(),
        G1Point.identity().to_compressed_bytes(),
        (-G1Point.from_compressed_bytes(SIGNATURE)).to_compressed_bytes(),
    ],
)
def test_another_signature_is_invalid(signature: bytes) -> None:
    assert not beacon.is_valid(ROUND, signature)


def test_randomness_is_the_signatures_hash() -> None:
    assert beacon.randomness_of(SIGNATURE) == sha256(SIGNATURE).digest()
    assert beacon.randomness_of(b"") == b""


# --- Fetch ----------------------------------------------------------------------------------------


def fetch_from(settings: Settings, *answers: Answer, number: int = ROUND) -> bytes:
    with ExitStack() as servers:
        settings.DRAND_URLS = [servers.enter_context(serving(answer)) for answer in answers]
        return beacon.fetch(number)


def hang(until: threading.Event, handler: BaseHTTPRequestHandler) -> None:
    until.wait(60)


def drip_header(until: threading.Event, handler: BaseHTTPRequestHandler) -> None:
    """Send a byte now and then, so that no single read times out."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
    while not until.wait(0.05):
        handler.wfile.write(b"x")


def drip_body(until: threading.Event, handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
    with suppress(OSError):
        while not until.wait(0.05):
            handler.wfile.write(b" ")


def test_a_round_is_fetched_by_its_number_and_chain(settings: Settings) -> None:
    asked = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        asked.append(handler.path)
        answer_round(handler)

    assert fetch_from(settings, answer) == SIGNATURE
    assert asked == [f"/{beacon.CHAIN}/public/{ROUND}"]


def test_one_good_server_is_enough(settings: Settings) -> None:
    until = threading.Event()
    broken = partial(answer_text, text="{}", status=500)
    assert fetch_from(settings, broken, partial(hang, until), answer_round) == SIGNATURE
    until.set()


def test_a_compressed_answer_is_read(settings: Settings) -> None:
    body = gzip.compress(json.dumps({"signature": SIGNATURE.hex()}).encode())
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n"
    assert fetch_from(settings, lambda handler: handler.wfile.write(head + body)) == SIGNATURE


def test_a_redirect_is_not_followed(settings: Settings) -> None:
    with serving(answer_round) as other:
        head = f"HTTP/1.1 302 Found\r\nLocation: {other}/{ROUND}\r\n\r\n".encode()
        with pytest.raises(beacon.BeaconAway):
            fetch_from(settings, lambda handler: handler.wfile.write(head))


@pytest.mark.parametrize(
    "answer",
    [
        partial(answer_round, signature=G1Point().to_compressed_bytes()),
        partial(answer_text, text="", status=404),
        partial(answer_text, text=""),
        partial(answer_text, text="null"),
        partial(answer_text, text='{"signature": 7}'),
        partial(answer_text, text='{"signature": "xy"}'),
        partial(answer_text, text="[" * 4096),
        partial(answer_text, text=" " * 20_000 + json.dumps({"signature": SIGNATURE.hex()})),
        lambda handler: handler.wfile.write(b"\0\0\n\n"),
        lambda handler: handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"),
        lambda handler: handler.wfile.write(
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\nno gzip"
        ),
        lambda handler: None,
    ],
)
def test_an_answer_without_the_signature_is_a_beacon_away(
    settings: Settings, answer: Answer
) -> None:
    with pytest.raises(beacon.BeaconAway, match=r"127\.0\.0\.1"):
        fetch_from(settings, answer)


def test_a_server_that_is_not_there_is_a_beacon_away(settings: Settings) -> None:
    for urls in ([], ["http://127.0.0.1:1"], ["https://no host"], ["http://drand.invalid"]):
        settings.DRAND_URLS = urls
        with pytest.raises(beacon.BeaconAway):
            beacon.fetch(ROUND)


@pytest.mark.parametrize("slow", [hang, drip_header, drip_body])
def test_a_slow_server_is_given_up(
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    slow: Callable[[threading.Event, BaseHTTPRequestHandler], None],
) -> None:
    monkeypatch.setattr(beacon, "PATIENCE", 0.5)
    until, begun = threading.Event(), time.monotonic()
    with pytest.raises(beacon.BeaconAway):
        fetch_from(settings, partial(slow, until))
    assert time.monotonic() - begun < 30
    until.set()


def test_a_server_that_sends_without_end_is_left(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beacon, "PATIENCE", 0.5)
    until = threading.Event()
    with serving(partial(drip_body, until)) as url:
        settings.DRAND_URLS = [url]
        with pytest.raises(beacon.BeaconAway):
            beacon.fetch(ROUND)
        asking = [thread for thread in threading.enumerate() if url in thread.name]
        for thread in asking:
            thread.join(30)
        until.set()
        assert not any(thread.is_alive() for thread in asking)


def test_no_server_is_asked_before_the_rounds_time(settings: Settings) -> None:
    settings.DRAND_URLS = ["http://127.0.0.1:1"]
    due = beacon.first_round_after(datetime.now(UTC) + timedelta(hours=1))
    with pytest.raises(beacon.NotYet, match="UTC"):
        beacon.fetch(due)
