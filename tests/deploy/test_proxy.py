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


asked: list[str] = []  # the paths, in order


class Telling(BaseHTTPRequestHandler):
    """A shop that tells everybody everything."""

    def do_GET(self) -> None:
        asked.append(self.path)
        self.send_response(503 if "busy" in self.path else 200)
        if self.path.startswith("/sales/drawn/draw/entries.txt"):
            self.send_header("Cache-Control", "public, max-age=31536000, immutable")
            self.send_header("ETag", '"lots"')
            self.send_header("Vary", "Accept-Language")
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


def test_the_record_of_a_draw_is_fetched_once_for_all(url: str) -> None:
    asked.clear()
    for query, language in (("", "en"), ("", "de"), ("?again=1", "de")):
        headers = {"Accept-Language": language}
        reply = httpx.get(f"{url}/sales/drawn/draw/entries.txt{query}", headers=headers)
        assert (reply.status_code, reply.text) == (200, "from inside")
        assert reply.headers["cache-control"] == "public, max-age=31536000, immutable"
    known = {"If-None-Match": '"lots"'}
    assert httpx.get(f"{url}/sales/drawn/draw/entries.txt", headers=known).status_code == 304
    assert asked == ["/sales/drawn/draw/entries.txt"]


def test_a_record_that_is_refused_for_now_is_asked_for_again(url: str) -> None:
    asked.clear()
    for _ in range(2):
        assert httpx.get(f"{url}/sales/busy/draw/entries.txt").status_code == 503
    assert len(asked) == 2


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
