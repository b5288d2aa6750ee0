"""`manage.py purge`: remove data that has no use any more."""

from typing import Any

from django.core.management.base import CommandParser

from ops.base_command import OperatorCommand
from orders import purging


class Command(OperatorCommand):
    help = (
        "Removes the gates (Redis data) of sales that are over, with their shoppers' purchases there, "
        "expired logins of staff, and pictures that have been out of use for a day. "
        "Beat does the same in time. Never touches orders, ledger or audit."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--dry-run", action="store_true", help="only count")

    def run(self, **options: Any) -> int:
        found = purging.purge(really=not options["dry_run"])
        verb = "Would remove" if options["dry_run"] else "Removed"
        words = (
            f"{verb} {found.gates} gates of sales that are over, {found.sessions} ended logins, "
            f"{found.pictures} files of pictures out of use."
        )
        self.tell(found._asdict(), words)
        return 0
