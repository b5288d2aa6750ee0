"""`manage.py simulate`: a crowd of simulated shoppers buys in a running shop, and says how it was."""

import asyncio
import ipaddress
import secrets
from argparse import ArgumentTypeError
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser
from django.http.request import validate_host
from django.utils import timezone
from rich.console import Console

from drills import consistency
from drills.arguments import number, shoppers
from drills.crowd import Crowd, Say
from drills.habits import SHARES
from drills.report import WIDTH, Report
from drills.shopper import Shopper, Site
from flashsale import variables
from flashsale.http import listening
from inventory.models import Sale
from ops.base_command import INCONSISTENT, INTERRUPTED, Failed, OperatorCommand, UsageError
from orders import reconciliation

_LONGEST = 300.0  # seconds; each answer is kept until the report is written
_SHARES = ", ".join(f"{share} % {habit}" for habit, (_, share) in SHARES.items())


class Command(OperatorCommand):
    help = (
        "Sends a crowd of simulated shoppers into a running shop, over HTTP and sockets, and tells what"
        f" they experienced. They buy real units. Their habits: {_SHARES}."
        " Exit code 3 if what they were told, PostgreSQL and the books do not agree."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        self.add_change_arguments(parser)
        parser.add_argument("--shoppers", type=shoppers, required=True, metavar="N")
        parser.add_argument("--sale", metavar="SLUG", help="default: the one that is open")
        host = listening.reachable(variables.text("HOST", listening.LOOPBACK))
        here = listening.url(host, variables.whole("PORT", 8000, most=65535))
        parser.add_argument(
            "--url",
            type=_site,
            default=here,
            dest="site",
            metavar="URL",
            help="default: HOST and PORT, or those of the shop that runs in this folder",
        )
        parser.add_argument(
            "--seconds",
            type=number(1, _LONGEST),
            default=10.0,
            metavar="S",
            help="for how long they click; then they wait for their outcomes (default: %(default)g)",
        )
        parser.add_argument("--seed", type=int, metavar="S", help="for the same choices again")

    def run(self, **options: Any) -> int:
        site, seconds = options["site"], options["seconds"]
        _refuse_foreign(site)
        sale = _sale(options["sale"])
        _knock(site, sale.slug)
        question = (
            f"{options['shoppers']} simulated shoppers buy REAL units of {sale.slug} ({sale.name})"
            f" at {site.origin} for {seconds:g} s?"
        )
        if not self.confirmed(question, dry_run=options["dry_run"], no_input=options["no_input"]):
            if self.as_json:
                self.tell({"would": question}, "")
            return 0
        seed = secrets.randbelow(1_000_000) if options["seed"] is None else options["seed"]
        crowd = Crowd(site, sale.slug, options["shoppers"], seconds, seed)
        report = self._shop(crowd, sale)
        if not report.reached:
            raise Failed(f"{site.origin} was not reached by a single shopper.")
        run = {"sale": sale.slug, "url": site.origin, "seconds": seconds, "seed": seed}
        run["interrupted"] = crowd.interrupted
        self.tell({**run, **report.as_json()}, self._words(run, report))
        if not report.consistent:
            return INCONSISTENT
        return INTERRUPTED if crowd.interrupted else 0

    def _shop(self, crowd: Crowd, sale: Sale) -> Report:
        before = consistency.stock_of(sale)
        with self._progress() as say:
            logs = crowd.shop(say)
        told = consistency.Books.read(sale, before, logs)
        return Report(logs, consistency.faults_in(logs, told), reconciliation.verify(sale.pk))

    @contextmanager
    def _progress(self) -> Iterator[Say | None]:
        if not self.stderr.isatty():
            yield None
            return
        with Console(stderr=True).status("shopping") as status:
            yield status.update

    def _words(self, run: dict[str, Any], report: Report) -> str:
        interrupted = ", interrupted" if run["interrupted"] else ""
        head = (
            f"{run['sale']} at {run['url']}, {run['seconds']:g} s, seed {run['seed']}{interrupted}"
        )
        headings = (
            "MILLISECONDS",
            "COUNT",
            *(f"{cut:>{WIDTH}}" for cut in ("P50", "P95", "P99", "MAX")),
        )
        parts = [
            "\n".join([head, *report.story()]),
            self.table(("ANSWER TO A CLICK", "COUNT"), report.answers()),
            self.table(headings, report.times()),
            f"From the click to the outcome:\n{report.histogram()}" if report.histogram() else "",
            "\n".join(report.verdict()),
        ]
        return "\n\n".join(part for part in parts if part)


# --- What it is called with -----------------------------------------------------------------------


def _site(given: str) -> Site:
    try:
        return Site(given)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from error


def _refuse_foreign(site: Site) -> None:
    """A crowd is sent to our own shop only; "*" in ALLOWED_HOSTS names nobody."""
    named = [host for host in settings.ALLOWED_HOSTS if host != "*"]
    if not _is_loopback(site.host) and not validate_host(site.host, named):
        raise UsageError(f"{site.host} is neither this machine nor named in ALLOWED_HOSTS.")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _sale(slug: str | None) -> Sale:
    """The sale of that slug; without one, the only sale that is open."""
    now = timezone.now()
    sales = Sale.objects.exclude(status=Sale.Status.DRAFT)
    if slug is not None:
        found = [sale for sale in sales if sale.slug == slug]
        problem = f"There is no sale {slug!r} that shoppers can see."
    else:
        found = [sale for sale in sales if sale.phase(now) == "open"]
        problem = "No sale is open." if not found else "More than one sale is open."
    if len(found) != 1:
        named = ", ".join(
            f"{sale.slug} ({sale.phase(now)})" for sale in sales if not sale.ended(now)
        )
        raise UsageError(f"{problem} Name one with --sale: {named or 'there is none now'}.")
    return found[0]


def _knock(site: Site, slug: str) -> None:
    """Raises Failed where the shop cannot be reached, or is not the one of these settings."""

    async def look() -> Shopper:
        shopper = Shopper(site, slug)
        try:
            await shopper.look()
        finally:
            await shopper.leave()
        return shopper

    seen = asyncio.run(look()).log
    if not seen.pages:
        raise Failed(
            f"{site.origin}/sales/{slug}/ shows no page: {seen.instead}. Is the shop running there?"
        )
    if seen.shopper is None:
        raise Failed(
            f"{site.origin} signs with another key: it is not the shop of these settings."
            " See VAR_DIR, DATABASE_URL and SECRET_KEY."
        )
