"""Servers of one's own for each task, reached over TLS, with passwords: a purchase passes through all."""

import asyncio
import contextlib
import re
import shutil
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import httpx
import pytest

from conftest import MakeSale
from flashsale.local.server import free_port
from flashsale.local.valkey import Valkey
from tests import servers, stack
from tests.cast import Shopper
from tests.faults.outages import final, settled_and_balanced
from tests.machines.parts import Host, folder_for_all, nginx, pgbouncer, through
from tests.operators import spawned

pytestmark = pytest.mark.skipif(
    not all(map(shutil.which, ("openssl", "pgbouncer", "nginx"))),
    reason="needs the programs openssl, pgbouncer and nginx",
)


@contextmanager
def certified() -> Iterator[tuple[Path, Path]]:
    """A folder that others may look into, a certificate for this machine, and its key."""
    with folder_for_all() as name:
        certificate, key = Path(name) / "certificate.pem", Path(name) / "key.pem"
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt"),
                *("ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=tests"),
                *("-addext", "subjectAltName=IP:127.0.0.1", "-out", certificate, "-keyout", key),
            ],
            check=True,
            capture_output=True,
        )
        key.chmod(0o644)  # PgBouncer runs as nobody; it is of no use to anybody
        yield certificate, key


@contextmanager
def encrypted(url: str, certificate: Path, key: Path) -> Iterator[int]:
    """A port that takes TLS, and nothing else, and leads to the server at `url`."""
    where = urlsplit(url)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def lead(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(where.hostname, where.port)
        await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    listening = asyncio.run_coroutine_threadsafe(
        asyncio.start_server(lead, "127.0.0.1", 0, ssl=context), loop
    ).result(stack.DEADLINE)
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(stack.DEADLINE)


@pytest.mark.deep
def test_a_purchase_over_tls_to_a_server_for_each_task(make_sale: MakeSale) -> None:
    sale = make_sale(stock=1)
    with contextlib.ExitStack() as running:
        certificate, key = running.enter_context(certified())
        given = {}
        for name in ("REDIS_URL", "CELERY_BROKER_URL", "CACHE_URL", "CHANNEL_URL"):
            plain = servers.VALKEY.url
            if name != "REDIS_URL":
                own = Valkey(certificate.parent / name)
                running.callback(own.stop)
                own.start()
                plain = own.url
            port = running.enter_context(encrypted(plain, certificate, key))
            query = {"ssl_ca_certs": str(certificate)}
            given[name] = through(port, plain, scheme="rediss", query=urlencode(query))
        bouncer = running.enter_context(
            pgbouncer(
                certificate.parent,
                "client_tls_sslmode = require",
                f"client_tls_cert_file = {certificate}",
                f"client_tls_key_file = {key}",
            )
        )
        query = {"sslmode": "verify-full", "sslrootcert": str(certificate)}
        pooled = through(bouncer.port, servers.POSTGRES.url, query=urlencode(query))
        given["DATABASE_URL"] = pooled
        prepared = spawned("prepare", "--database", **given)
        assert prepared.code == 0, prepared
        web = running.enter_context(stack.Web.running(**given))
        running.enter_context(stack.worker(**given))
        shopper = Shopper(web.url)
        bought = shopper.buy(sale)
        assert bought.status_code == 202
        assert final(shopper, bought.json()["purchase"]) == "confirmed"
        assert settled_and_balanced(sale)
        plainly = through(bouncer.port, servers.POSTGRES.url, query="sslmode=disable")
        refused = spawned("verify", **(given | {"DATABASE_URL": plainly}))
        assert refused.code not in (0, 3), refused


@pytest.mark.deep
def test_the_proxy_speaks_https_with_the_lines_of_the_document(make_sale: MakeSale) -> None:
    sale = make_sale(stock=1)
    said = (stack.ROOT / "docs" / "deploy.md").read_text()
    [lines] = re.findall(r"```\n(listen 8443 ssl .*?)```", said, re.S)
    with contextlib.ExitStack() as running:
        certificate, key = running.enter_context(certified())
        port = free_port()
        for ours, here in {
            "8443": f"127.0.0.1:{port}",
            "/etc/nginx/tls/certificate.pem": str(certificate),
            "/etc/nginx/tls/key.pem": str(key),
        }.items():
            assert ours in lines
            lines = lines.replace(ours, here)
        given = {"TRUSTED_PROXIES": "1", "FLASHSALE_EMBEDDED": "0"}  # as in production
        host = Host(
            [sys.executable, "-m", "flashsale.web"],
            given | {"HOST": "127.0.0.1", "PORT": str(free_port())},
        )
        host.port = int(host.env["PORT"])
        running.callback(host.stop)
        running.enter_context(stack.worker())  # without one a web process is not ready
        host.back()
        proxy = running.enter_context(nginx(certificate.parent, [host], lines))
        shopper = Shopper(f"https://127.0.0.1:{port}")
        bought = shopper.buy(sale)
        assert bought.status_code == 202
        assert final(shopper, bought.json()["purchase"]) == "confirmed"
        page = httpx.get(
            f"{shopper.url}/sales/{sale.slug}/",
            verify=ssl.create_default_context(cafile=certificate),
        )
        assert "Secure" in page.headers["set-cookie"]
        plain = f"http://127.0.0.1:{proxy.port}"
        sent_on = httpx.get(f"{plain}/sales/{sale.slug}/?x=1")
        assert (sent_on.status_code, sent_on.headers["location"]) == (
            308,
            f"https://127.0.0.1/sales/{sale.slug}/?x=1",
        )
        assert httpx.get(f"{plain}/.well-known/acme-challenge/x").status_code == 404
        assert httpx.get(f"{plain}/proxy").status_code == 204  # whether it is there is asked inside
