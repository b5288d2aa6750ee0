"""`manage.py verify`: check that stock, ledger, orders, payments, gate and line agree, at any moment."""

from typing import Any

from django.core.management.base import CommandParser

from ops.base_command import INCONSISTENT, OperatorCommand
from ops.lifecycle_command import find_sale
from orders.reconciliation import Report
from payments import reconciliation


class Command(OperatorCommand):
    help = "Checks that stock, ledger, orders, payments, gate and line agree. Exit code 3 if they do not."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--sale", metavar="SLUG", help="check one sale only")

    def run(self, **options: Any) -> int:
        slug = options["sale"]
        report = reconciliation.verify(None if slug is None else find_sale(slug).pk)
        self.tell(report.as_json(), _describe(report))
        return 0 if report.balanced else INCONSISTENT


def _describe(report: Report) -> str:
    counted = ", ".join(f"{what}: {count}" for what, count in sorted(report.counted.items()))
    if report.balanced:
        return f"The books balance ({counted or 'nothing sold yet'})."
    lines = [f"The books do NOT balance ({counted})."]
    for kind, found in report.as_json()["faults"].items():
        lines.append(f"{kind}: {found['count']}")
        lines += [f"    {fault}" for fault in found["first"]]
    return "\n".join(lines)
