"""The proxy in front of the shop, as it is deployed: what it passes on, and what stays inside."""

import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from tests.machines.parts import Host, folder_for_all, nginx

pytestmark = pytest.mark.skipif(not shutil.which("nginx"), reason="needs the program nginx")


class Telling(BaseHTTPRequestHandler):
    """A shop that tells everybody everything."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"from inside")

    def log_message(self, *_: object) -> None:
        """Nothing is written down."""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Telling) as shop, folder_for_all() as folder:
        threading.Thread(target=shop.serve_forever, daemon=True).start()
        try:
            with nginx(Path(folder), [Host([], port=shop.server_port)]) as proxy:
                yield f"http://127.0.0.1:{proxy.port}"
        finally:
            shop.shutdown()


@pytest.mark.parametrize("path", ["metrics", "readyz", "metrics?x=1", "%6detrics", "/metrics"])
def test_figures_and_health_are_for_those_inside(url: str, path: str) -> None:
    reply = httpx.get(f"{url}/{path}")
    assert (reply.status_code, "from inside" in reply.text) == (404, False)


def test_pages_are_for_everybody(url: str) -> None:
    assert httpx.get(f"{url}/sales/any/").text == "from inside"


BIG = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.mark.parametrize(
    ("path", "size"), [("/sales/any/buy", 17_000), ("/admin/inventory/product/add/", 35_000_000)]
)
def test_a_form_that_is_too_large_is_answered_with_a_page(url: str, path: str, size: int) -> None:
    reply = httpx.post(f"{url}{path}", content=b"x" * size, headers=BIG)
    assert (reply.status_code, "choose smaller pictures" in reply.text) == (413, True)
    assert "<style>" in reply.text
    assert "style-src" in reply.headers["content-security-policy"]
    german = httpx.post(f"{url}{path}", content=b"x" * size, headers={"Accept-Language": "DE"})
    assert "wähle kleinere Bilder" in german.text


@pytest.mark.parametrize(
    ("accept", "json"),
    [
        ("application/json", True),
        ("APPLICATION/JSON", True),
        ("application/json, */*", True),
        ("text/html, application/json", False),
        ("application/json;q=0, */*", False),
        ("application/json; q=0.0", False),
        ("application/json;q=0.5", True),
        ("*/*", False),
    ],
)
def test_programs_read_json(url: str, accept: str, json: bool) -> None:
    reply = httpx.post(f"{url}/sales/any/buy", content=b"x" * 17_000, headers={"Accept": accept})
    assert reply.status_code == 413
    assert (reply.text == '{"error": "too_large"}') is json
