"""Log lines name their purchase, as text and as JSON."""

import json
import logging
import socket
from logging.config import DictConfigurator
from typing import Any
from uuid import UUID

import httpx
import pytest

from conftest import MakeSale
from flashsale.http.shoppers import cookie_value, new_shopper
from flashsale.observe import logs
from tests import stack
from tests.cast import Shopper
from tests.faults.outages import final

PURCHASE = UUID(int=7)


@pytest.fixture(autouse=True)
def no_purchase() -> None:
    logs._purchase.set(None)


def record(message: str = "it went wrong", **more: Any) -> logging.LogRecord:
    made = logging.makeLogRecord({"name": "orders", "msg": message, "levelname": "ERROR", **more})
    logs.About().filter(made)
    return made


def test_a_line_names_the_purchase_that_is_being_answered() -> None:
    assert logs.Line().format(record()).endswith("ERROR orders: it went wrong")
    logs.bind_purchase(PURCHASE)
    line = logs.Line().format(record())
    assert line.endswith(f"ERROR orders: it went wrong [purchase {PURCHASE}]")
    assert f"[purchase {UUID(int=8)}]" in logs.Line().format(record(purchase=str(UUID(int=8))))


def test_json_holds_what_a_machine_looks_for() -> None:
    configured = logs.logging_configuration("INFO", as_json=True, purchases=False)
    formatter = DictConfigurator(configured).configure_formatter(configured["formatters"]["json"])
    logs.bind_purchase(PURCHASE)
    try:
        raise ValueError("of two\nlines")
    except ValueError as error:
        written = formatter.format(record(exc_info=(ValueError, error, error.__traceback__)))
    line = json.loads(written)
    assert "\n" not in written
    assert (line["level"], line["logger"], line["message"]) == ("ERROR", "orders", "it went wrong")
    assert line["purchase"] == str(PURCHASE)
    assert "of two\nlines" in line["exc_info"]
    assert line["at"]


def test_a_purchase_can_be_followed_from_click_to_commit(
    make_sale: MakeSale, capfd: pytest.CaptureFixture[str]
) -> None:
    settings = {"LOG_FORMAT": "json", "LOG_PURCHASES": "1"}
    sale = make_sale()
    with stack.Web.running(**settings) as web, stack.worker(**settings):
        shopper = Shopper(web.url)
        purchase = shopper.buy(sale).json()["purchase"]
        assert final(shopper, purchase) == "confirmed"
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines() if line[:1] == "{"]
    steps = [line for line in lines if line.get("purchase") == purchase]
    # A worker may be quicker with its line than the web process with its own.
    steps.sort(key=lambda step: step["message"], reverse=True)
    assert [step["message"] for step in steps] == ["queued", "confirmed"]
    assert {step["sale"] for step in steps} == {sale.pk}
    assert steps[0]["process"] != steps[1]["process"]


def test_steps_are_logged_only_on_request(
    make_sale: MakeSale, capfd: pytest.CaptureFixture[str]
) -> None:
    sale = make_sale()
    with stack.Web.running(LOG_LEVEL="INFO") as web, stack.worker(LOG_LEVEL="INFO"):
        shopper = Shopper(web.url)
        purchase = shopper.buy(sale).json()["purchase"]
        assert final(shopper, purchase) == "confirmed"
    assert purchase not in "".join(capfd.readouterr())


def test_a_request_is_not_about_the_purchase_of_the_one_before(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Also where both came in one packet."""
    cookie = f"shopper={cookie_value(new_shopper())}"
    head = f"GET {{}} HTTP/1.1\r\nHost: localhost\r\nCookie: {cookie}\r\n{{}}\r\n"
    asked = head.format(f"/orders/{PURCHASE}/", "") + head.format("/none", "Connection: close\r\n")
    with (
        stack.Web.running(LOG_FORMAT="json") as web,
        socket.create_connection(("127.0.0.1", httpx.URL(web.url).port or 0)) as connection,
    ):
        connection.sendall(asked.encode())
        answers = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answers.count(b"HTTP/1.1 404") == 2
    [line] = [line for line in capfd.readouterr().err.splitlines() if "Not Found: /none" in line]
    assert "purchase" not in json.loads(line)


def test_a_wrong_host_is_one_short_line(capfd: pytest.CaptureFixture[str]) -> None:
    with stack.Web.running() as web:
        assert httpx.get(f"{web.url}/admin/", headers={"Host": "evil.example"}).status_code == 400
    said = capfd.readouterr().err
    assert "evil.example" in said
    assert "Traceback" not in said
