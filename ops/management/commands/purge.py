"""`manage.py purge`: remove data that has no use any more."""

from typing import Any

from django.core.management.base import CommandParser

from ops.base_command import OperatorCommand
from orders import networks, purging
from payments import personal_data, retention


class Command(OperatorCommand):
    help = (
        "Removes the gates (Redis data) of sales that are over, with their shoppers' purchases there, "
        "expired logins of staff, pictures that have been out of use for a day, contacts of "
        "orders as many days after the sale as it says, the hashes of networks of held orders, and "
        "finished rows of the outbox and events of payment providers after 90 days. "
        "Beat does the same in time. Never touches orders, ledger or audit."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--dry-run", action="store_true", help="only count")

    def run(self, **options: Any) -> int:
        really = not options["dry_run"]
        found = purging.purge(really=really)
        contacts = personal_data.erase_overdue() if really else personal_data.count_overdue()
        hashes = networks.erase_overdue() if really else networks.count_overdue()
        if really:
            news, events = retention.remove_old()
        else:
            news, events = retention.old_news().count(), retention.old_events().count()
        verb = "Removed" if really else "Would remove"
        words = (
            f"{verb} {found.gates} gates of sales that are over, {found.sessions} ended logins, "
            f"{found.pictures} files of pictures out of use, {hashes} networks, {contacts} contacts, "
            f"{news} rows of the outbox, {events} events of payment providers."
        )
        counted = {"contacts": contacts, "networks": hashes, "outbox": news, "events": events}
        self.tell({**found._asdict(), **counted}, words)
        return 0
