"""`manage.py purge`: removes what is of no use any more."""

from typing import Any

from django.core.management.base import CommandParser

from ops.base_command import OperatorCommand
from orders import retention


class Command(OperatorCommand):
    help = (
        "Removes gates of sales that are over, with what their guests did there, and logins of staff that "
        "have ended. Beat does the same by and by. Never touches orders, ledger or audit."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--dry-run", action="store_true", help="only count")

    def run(self, **options: Any) -> int:
        found = retention.purge(really=not options["dry_run"])
        verb = "Would remove" if options["dry_run"] else "Removed"
        words = f"{verb} {found.gates} gates of sales that are over, {found.sessions} ended logins."
        self.tell(found._asdict(), words)
        return 0
