"""A private shop for a drill or a bench: `manage.py up` in a temporary folder.

Call `start_shop` in a process that has not set Django up: it points the settings of the process at the
shop that it starts.
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import django

from flashsale.local.child_process import end_with_parent

if TYPE_CHECKING:
    from inventory.models import Sale

ROOT = Path(__file__).resolve().parent.parent
HOST = "127.0.0.1"
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
DEADLINE = 60.0  # seconds, for any condition that a drill waits for
_STARTED = 240.0  # seconds until the shop is open, on a machine that is busy

# Variables that could name the servers, or the key, of a shop in use.
_ELSEWHERE = (
    *("DATABASE_URL", "REDIS_URL", "CELERY_BROKER_URL", "CACHE_URL", "CHANNEL_URL"),
    *("REDIS_CLUSTER", "SENTRY_DSN"),
    *("SECRET_KEY", "SECRET_KEY_FALLBACKS", "HOST", "TRUSTED_PROXIES", "ALLOWED_HOSTS"),
)


@contextmanager
def start_shop(*options: str, **settings: str) -> Iterator[tuple[Path, int]]:
    """Start an open shop, and yield its folder and its port. `options` are those of `manage.py up`,
    `settings` are environment variables of the shop and of this process.

    Raises SystemExit if the shop does not start. The shop ends with this process, whatever ends it.
    """
    with tempfile.TemporaryDirectory(prefix="flashsale-drill-") as name, socket.socket() as free:
        folder = Path(name)
        free.bind((HOST, 0))
        port = int(free.getsockname()[1])
        free.close()
        for variable in _ELSEWHERE:
            os.environ.pop(variable, None)
        os.environ |= {
            "VAR_DIR": name,
            "PORT": str(port),
            "RATE_PER_ADDRESS": "0",  # unlimited: all shoppers come from this machine
            "DJANGO_SETTINGS_MODULE": "flashsale.settings",
            **settings,
        }
        with _run_up(folder / "up.log", *options):
            django.setup()
            yield folder, port


@contextmanager
def _run_up(log: Path, *options: str) -> Iterator[None]:
    with log.open("wb") as output:
        up = subprocess.Popen(
            [sys.executable, "manage.py", "up", "--unlisted", *options],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C reaches only the drill, which ends the shop last
            preexec_fn=end_with_parent(),
        )
    try:
        wait_for(
            lambda: "is open" in log.read_text(errors="replace") or _has_ended(up, log), _STARTED
        )
        yield
    finally:
        for number in _ENDING:  # a second Ctrl-C must not interrupt the clean-up
            signal.signal(number, signal.SIG_IGN)
        up.send_signal(signal.SIGTERM)
        up.wait(DEADLINE)


def _has_ended(up: "subprocess.Popen[bytes]", log: Path) -> bool:
    if up.poll() is not None:
        raise SystemExit(f"The shop did not start:\n{log.read_text(errors='replace')}")
    return False


def make_sale(
    limit: int,
    variants: int = 1,
    units: int = 1_000_000,
    *,
    hold: int = 0,
    wait: bool = True,
    opens_at: datetime | None = None,
    **rules: Any,
) -> "Sale":
    """Make a sale of so many variants, with so many units of each, which are held for `hold` minutes (0:
    sold at once). It is open unless `opens_at` is given. `rules` are those of its checkout and of entry.
    With `wait`, its gate is ready when this returns."""
    from django.db import transaction
    from django.utils import timezone

    from inventory import stock
    from inventory.gate import replica
    from inventory.models import Listing, Sale, StockMovement, Variant
    from inventory.products import Product
    from orders import sale_lifecycle

    now = timezone.now()
    name = f"drill-{time.time_ns()}"
    with transaction.atomic():
        sale = Sale.objects.create(
            slug=name,
            name=name,
            opens_at=opens_at or now - timedelta(minutes=1),
            closes_at=now + timedelta(hours=3),
            limit=limit,
            hold_minutes=hold,
            **rules,
        )
        for number in range(variants):
            sku = f"{name}-{number}"
            product = Product.objects.create(name=sku)
            variant = Variant.objects.create(product=product, sku=sku, price=100, currency="EUR")
            stock.move(variant, units, StockMovement.Reason.RECEIVED, actor="drill")
            Listing.objects.create(sale=sale, variant=variant, position=number)
    sale_lifecycle.schedule(sale.pk, by="drill")
    if wait:
        wait_for(lambda: replica.read_view(sale.pk).ready)
    sale.refresh_from_db()
    return sale


TOKEN = "t" * 32  # the CSRF token, in the cookie and in the form


def make_staff_cookie() -> str:
    """Log a new superuser in, and return the Cookie header: session and CSRF token."""
    from django.conf import settings
    from django.contrib.auth.models import User
    from django.test import Client

    browser = Client()
    browser.force_login(User.objects.create_superuser(f"drill-{time.time_ns()}"))
    session = browser.cookies[settings.SESSION_COOKIE_NAME].value
    return f"{settings.SESSION_COOKIE_NAME}={session}; csrftoken={TOKEN}"


class BackgroundWork:
    """Work in a thread of its own. `stop` raises the work's error: a drill with a failed part proves
    nothing."""

    def __init__(self, work: Callable[[threading.Event], None], name: str) -> None:
        self._stopping = threading.Event()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._done = self._pool.submit(work, self._stopping)

    def stop(self) -> None:
        self._stopping.set()
        self._pool.shutdown()
        self._done.result()


def wait_for(condition: Callable[[], bool], seconds: float = DEADLINE) -> None:
    """Poll until the condition holds. Raises SystemExit after `seconds`."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise SystemExit("waited too long")
        time.sleep(0.005)


def ending_signals() -> list[signal.Signals]:
    """The signals that ask this process to end: without SIGHUP if it was started with nohup."""
    nohup = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    return [number for number in _ENDING if number != signal.SIGHUP or not nohup]


def say(line: str) -> None:
    print(line, flush=True)
