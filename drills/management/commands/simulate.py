"""`manage.py simulate`: sends a crowd of simulated shoppers into a running shop, and reports. With `--bots`
it lets bots play against people in a private shop."""

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

from drills import fair_arguments, log_check, payers
from drills.arguments import number_between, shopper_count
from drills.checkout_report import settle_checkouts
from drills.crowd import DEADLINE, Crowd, Say
from drills.habits import SHARES
from drills.http import Site
from drills.payers import Payers
from drills.report import WIDTH, Report
from drills.shopper import Shopper
from flashsale import variables
from flashsale.http import listening
from inventory.models import Sale
from inventory.names import find_in_any_case
from ops.base_command import INCONSISTENT, INTERRUPTED, Failed, OperatorCommand, UsageError
from payments import reconciliation
from payments.providers import demo

_LONGEST = 300.0  # seconds; each answer is kept until the report is written
_SHARES = ", ".join(f"{share} % {habit}" for habit, (_, share) in SHARES.items())


class Command(OperatorCommand):
    help = (
        "Sends a crowd of simulated shoppers into a running shop, over HTTP and sockets, and reports"
        f" their experience. They buy real units. Their habits: {_SHARES}."
        " Exit code 3 if their answers and PostgreSQL disagree, or the reconciliation finds a fault."
        " With --bots it is the drill of fair entry: in a private shop in a temporary folder, a bot with so"
        " many identities plays against people, by arrival and with draws. It touches no other shop."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        self.add_change_arguments(parser)
        crowd = parser.add_mutually_exclusive_group(required=True)
        crowd.add_argument("--shoppers", type=shopper_count, metavar="N")
        fair_arguments.add_bots(crowd)
        fair_arguments.add(parser)
        parser.add_argument("--sale", metavar="SLUG", help="default: the only open sale")
        host = listening.reachable(variables.text("HOST", listening.LOOPBACK))
        here = listening.url(host, variables.whole("PORT", 8000, most=65535))
        parser.add_argument(
            "--url",
            type=_parse_site,
            default=here,
            dest="site",
            metavar="URL",
            help="default: HOST and PORT, or those of the shop that runs in this folder",
        )
        parser.add_argument(
            "--seconds",
            type=number_between(1, _LONGEST),
            default=10.0,
            metavar="S",
            help="of clicking; then they wait for their outcomes (default: %(default)g)",
        )
        parser.add_argument(
            "--seed", type=int, metavar="S", help="repeats the choices of an earlier crowd"
        )
        parser.add_argument(
            "--paying",
            type=_parse_paying,
            metavar="HABIT=N,...",
            help="shares of what shoppers do with a hold, in a sale with a checkout"
            f" (default: {','.join(f'{habit}={share}' for habit, share in payers.SHARES.items())})",
        )

    def run(self, **options: Any) -> int:
        if options["bots"]:
            fair_arguments.become_drill(options)
        site, seconds = options["site"], options["seconds"]
        _check_host(site)
        sale = _find_sale(options["sale"])
        _check_payment(sale, options["paying"])
        _check_shop(site, sale.slug)
        question = (
            f"{options['shoppers']} simulated shoppers buy REAL units of {sale.slug} ({sale})"
            f" at {site.origin} for {seconds:g} s?"
        )
        if not self.confirmed(question, dry_run=options["dry_run"], no_input=options["no_input"]):
            if self.as_json:
                self.tell({"would": question}, "")
            return 0
        seed = secrets.randbelow(1_000_000) if options["seed"] is None else options["seed"]
        paying = Payers(site, options["paying"] or payers.SHARES) if sale.has_checkout else None
        crowd = Crowd(site, sale.slug, options["shoppers"], seconds, seed, paying)
        report = self._send_crowd(crowd, sale, paying)
        if not report.reached:
            raise Failed(f"{site.origin} could not be reached by any shopper.")
        run = {"sale": sale.slug, "url": site.origin, "seconds": seconds, "seed": seed}
        run["interrupted"] = crowd.interrupted
        self.tell({**run, **report.as_json()}, self._as_text(run, report))
        if not report.consistent:
            return INCONSISTENT
        return INTERRUPTED if crowd.interrupted else 0

    def _send_crowd(self, crowd: Crowd, sale: Sale, paying: Payers | None) -> Report:
        before = log_check.read_stock(sale)
        with self._progress() as say:
            logs = crowd.shop(say)
        checkout = settle_checkouts(sale, paying.log, DEADLINE) if paying else None
        state = log_check.DatabaseState.read(sale, before, logs)
        faults = log_check.find_faults(logs, state)
        return Report(logs, faults, reconciliation.verify(sale.pk), checkout)

    @contextmanager
    def _progress(self) -> Iterator[Say | None]:
        if not self.stderr.isatty():
            yield None
            return
        with Console(stderr=True).status("shopping") as status:
            yield status.update

    def _as_text(self, run: dict[str, Any], report: Report) -> str:
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
            "\n".join([head, *report.summary_lines()]),
            self.table(("ANSWER TO A CLICK", "COUNT"), report.answers()),
            self.table(headings, report.times()),
            f"From the click to the outcome:\n{report.histogram()}" if report.histogram() else "",
            "\n".join(report.verdict_lines()),
        ]
        return "\n\n".join(part for part in parts if part)


# --- Arguments --------------------------------------------------------------------------------------


def _parse_site(given: str) -> Site:
    try:
        return Site(given)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from error


def _parse_paying(given: str) -> dict[str, int]:
    try:
        return payers.parse_shares(given)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from error


def _check_payment(sale: Sale, paying: dict[str, int] | None) -> None:
    """Raises UsageError if the shoppers cannot pay in this sale, or `paying` is given and it has no
    checkout."""
    if paying and not sale.has_checkout:
        raise UsageError(f"{sale.slug} has no checkout, so --paying says nothing.")
    if sale.payment not in ("", demo.Demo.name):
        raise UsageError(
            f"{sale.slug} is paid at {sale.payment}. Simulated shoppers pay at the demo provider only."
        )


def _check_host(site: Site) -> None:
    """Raises UsageError unless the host is this machine or named in ALLOWED_HOSTS. "*" names no host."""
    named = [host for host in settings.ALLOWED_HOSTS if host != "*"]
    if not _is_loopback(site.host) and not validate_host(site.host, named):
        raise UsageError(f"{site.host} is neither this machine nor named in ALLOWED_HOSTS.")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _find_sale(slug: str | None) -> Sale:
    """Find the sale by its slug, or the only open sale. Raises UsageError if there is no such one."""
    now = timezone.now()
    sales = Sale.objects.exclude(status=Sale.Status.DRAFT)
    if slug is not None:
        named_so = find_in_any_case(sales, "slug", slug)
        found = [named_so] if named_so else []
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


def _check_shop(site: Site, slug: str) -> None:
    """Load one page. Raises Failed if that fails, or if the shop's SECRET_KEY is another."""

    async def visit() -> Shopper:
        shopper = Shopper(site, slug)
        try:
            await shopper.load_page()
        finally:
            await shopper.leave()
        return shopper

    log = asyncio.run(visit()).log
    if not log.pages:
        raise Failed(
            f"{site.origin}/sales/{slug}/ shows no page: {log.page_error}. Is the shop running there?"
        )
    if log.shopper is None:
        raise Failed(
            f"{site.origin} signs with another key: it is not the shop of these settings."
            " See VAR_DIR, DATABASE_URL and SECRET_KEY."
        )
