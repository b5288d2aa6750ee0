"""The processes that strangers try themselves on, shared by these tests."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import httpx
import pytest

from tests import deadlines, stack
from tests.cast import Shopper, shoppers_of

# As where others run the servers. The one proxy in front ends TLS.
PRODUCTION = {
    "FLASHSALE_EMBEDDED": "0",
    "ALLOWED_HOSTS": "shop.example,localhost,127.0.0.1",
    "TRUSTED_PROXIES": "1",
}


@dataclass
class Hasty(stack.Web):
    """A server process that waits for nobody long."""

    def start(self) -> stack.Process:
        self.command[2] = "tests.security.hasty"
        return super().start()


@pytest.fixture(scope="package")
def web() -> Iterator[stack.Web]:
    """Browsers reach it directly."""
    with stack.ForgetfulWeb.running(RATE_PER_SHOPPER="0") as web:
        yield web


@pytest.fixture(scope="package")
def hasty() -> Iterator[Hasty]:
    with Hasty.running(RATE_PER_SHOPPER="0") as web:
        yield web


@pytest.fixture(scope="package")
def production() -> Iterator[stack.Web]:
    """Behind a proxy; with room for one purchase in line."""
    with stack.ForgetfulWeb.running(RATE_PER_SHOPPER="0", LINE_BOUND="1", **PRODUCTION) as web:
        yield web


@pytest.fixture
def new_shopper(web: stack.Web) -> Iterator[Callable[..., Shopper]]:
    with shoppers_of(web) as make:
        yield make


@pytest.fixture
def shopper(new_shopper: Callable[..., Shopper]) -> Shopper:
    return new_shopper()


@pytest.fixture
def stranger(web: stack.Web) -> Iterator[httpx.Client]:
    """A browser that keeps no cookies; a test sends its own."""
    with httpx.Client(base_url=web.url, timeout=deadlines.seconds(15)) as client:
        client.event_hooks["request"] = [lambda request: client.cookies.clear()]
        yield client
