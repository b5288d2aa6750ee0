"""The processes that the contract is tried on, shared by its tests.

Nobody settles unless a test says so: `settle(sale.pk)` runs in the test's own process, so that what
is undecided stays undecided for as long as a test needs it.
"""

import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import pytest

from flashsale.local.valkey import Valkey
from orders import settlement
from tests import servers, stack
from tests.cast import Shopper, shoppers_of
from tests.contract.wire import Wire


@dataclass
class Web(stack.ForgetfulWeb):
    """A web process whose standard error is kept."""

    stderr: IO[bytes] | None = field(default_factory=tempfile.TemporaryFile)

    def logged(self) -> str:
        assert self.stderr is not None
        # Its position in the file is the process' own: `seek` would move it.
        return os.pread(self.stderr.fileno(), 1 << 20, 0).decode()


@pytest.fixture(scope="package")
def web() -> Iterator[Web]:
    """No limit on rates, and a host that is not the machine itself."""
    hosts = "localhost,127.0.0.1,example.com"
    with Web.running(RATE_PER_SHOPPER="0", ALLOWED_HOSTS=hosts) as web:
        yield web


@pytest.fixture(scope="package")
def strict() -> Iterator[Web]:
    """One buy a second, per shopper and per address; browsers reach it directly."""
    with Web.running(RATE_PER_SHOPPER="1", RATE_PER_ADDRESS="1") as web:
        yield web


@pytest.fixture(scope="package")
def proxied() -> Iterator[Web]:
    """The same behind one proxy that it trusts."""
    with Web.running(RATE_PER_SHOPPER="1", RATE_PER_ADDRESS="1", TRUSTED_PROXIES="1") as web:
        yield web


@pytest.fixture(scope="package")
def wire() -> Iterator[Wire]:
    with Wire(servers.VALKEY.url) as wire:
        yield wire


@pytest.fixture(scope="package")
def narrow(wire: Wire) -> Iterator[Web]:
    """A line of one place, and a wire to Valkey that can be cut."""
    with Web.running(RATE_PER_SHOPPER="0", LINE_BOUND="1", REDIS_URL=wire.url) as web:
        yield web


@pytest.fixture(scope="package")
def without_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """Its Valkey has died after it had started."""
    valkey = Valkey(Path(tmp_path_factory.mktemp("valkey")))
    valkey.start()
    try:
        with Web.running(REDIS_URL=valkey.url) as web:
            valkey.stop()
            yield web
    finally:
        valkey.stop()


@pytest.fixture(autouse=True)
def no_lingering(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody comes while a test settles: there is nothing to wait for."""
    monkeypatch.setattr(settlement, "LINGER", 1)


@pytest.fixture(autouse=True)
def no_traceback(web: Web) -> Iterator[None]:
    """Whatever a test sends, the server never stumbles."""
    before = len(web.logged())
    yield
    assert "Traceback" not in web.logged()[before:]


@pytest.fixture
def new_shopper(web: Web) -> Iterator[Callable[..., Shopper]]:
    with shoppers_of(web) as make:
        yield make


@pytest.fixture
def shopper(new_shopper: Callable[..., Shopper]) -> Shopper:
    return new_shopper()
