"""Subcommands of `manage.py order` for one shopper's parcel and personal data."""

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.management.base import CommandParser

from accounts import contacts, people
from ops.base_command import FAILED, Failed, UsageError
from ops.lifecycle_command import LifecycleCommand
from orders import shipping
from orders.changes import NotPossible
from orders.models import Order, Shipment
from payments import personal_data


class OrderServices(LifecycleCommand):
    """`ship`, `data`, `erase` and `rekey`. Subclasses say how an order is found."""

    @abstractmethod
    def find_order(self, name: str) -> Order:
        """Find an order by id or reference. Raises Failed unless there is exactly one."""

    def add_services(self) -> None:
        ship = self.add_command("ship", self._ship, "Marks a confirmed order as shipped.")
        ship.add_argument("order", metavar="ID|REFERENCE")
        ship.add_argument("--carrier", default="", metavar="NAME")
        ship.add_argument("--number", default="", metavar="TEXT", help="the tracking number")
        ship.add_argument("--url", default="", metavar="URL", help="the tracking link")
        self.add_change_arguments(ship)
        data = self.add_command(
            "data", self._data, "All that the shop knows of a shopper, as JSON; noted in the audit."
        )
        _add_whose(data)
        self.add_audit_arguments(data)
        erase = self.add_command(
            "erase", self._erase, "Erases the contact of orders. The orders stay, and balance."
        )
        _add_whose(erase)
        self.add_change_arguments(erase)

        forget = self.add_command(
            "forget", self._forget, "Forgets that an e-mail address has signed in. Orders stay."
        )
        forget.add_argument("email", metavar="ADDRESS")
        forget.add_argument("--dry-run", action="store_true", help="only say what would be done")
        forget.add_argument("--no-input", action="store_true", help="do it without asking")
        rekey = self.add_command(
            "rekey", self._rekey, "Encrypts all contacts with the first key of CONTACT_KEYS."
        )
        rekey.add_argument("--dry-run", action="store_true", help="only count")

    def _ship(self, *, order: str, carrier: str, number: str, url: str, **options: Any) -> int:
        found = self.find_order(order)
        parcel = shipping.Parcel.read(carrier, number, url)

        def work() -> None:
            audited = {"by": options["by"], "reason": options["reason"]}
            shipping.mark_shipped(found.pk, **parcel._asdict(), **audited)

        def done() -> tuple[dict[str, Any], str]:
            shipment = Shipment.objects.get(pk=found.pk)
            told = shipping.parcel_of(shipment)._asdict()
            named = f"{found.reference}: shipped"
            return {"order": found.pk, **told}, " ".join(filter(None, (named, *told.values())))

        return self.change(f"Mark {found.reference} as shipped?", work, done, **options)

    def _data(
        self, *, orders: Sequence[str], email: str | None, by: str, reason: str, **_: Any
    ) -> None:
        found = self._find_whose(orders, email)
        try:
            told = personal_data.hand_out(found, by=by, reason=reason)
        except contacts.Unreadable as missing:
            raise Failed(str(missing)) from missing
        self.as_json = True  # it has no other form
        self.tell({"orders": told}, "")

    def _erase(
        self,
        *,
        orders: Sequence[str],
        email: str | None,
        by: str,
        reason: str,
        dry_run: bool,
        no_input: bool,
        **_: Any,
    ) -> int:
        """Exit code 1 unless none of the orders has a contact any more."""
        found = Order.objects.filter(pk__in=self._find_whose(orders, email)).order_by("pk")
        if not self.confirmed(_question(found), dry_run=dry_run, no_input=no_input):
            if self.as_json:
                self.tell({"orders": []}, "")
            return 0
        results = [_erase_one(order, by, reason) for order in found]
        words = "\n".join(f"{each['reference']}: {each['outcome']}" for each in results)
        self.tell({"orders": results}, words)
        return 0 if all(each["erased"] for each in results) else FAILED

    def _forget(self, *, email: str, dry_run: bool, no_input: bool, **_: Any) -> int:
        """Exit code 1 if it never has signed in. Not in the audit, which names no shoppers."""
        if not self.confirmed("Forget this person?", dry_run=dry_run, no_input=no_input):
            return 0
        if not people.forget(email):
            raise Failed("This address has not signed in.")
        self.tell({"forgotten": True}, "Forgotten: their browsers are guests again.")
        return 0

    def _rekey(self, *, dry_run: bool, **_: Any) -> int:
        """Exit code 1 if there are contacts that none of the keys opens."""
        if not settings.CONTACT_KEYS:
            raise Failed("CONTACT_KEYS is empty: contacts are not encrypted.")
        found = contacts.Rekeyed()
        for found in contacts.encrypt_anew(really=not dry_run):
            self.note(f"{found.seen:,} contacts looked at")
        self.tell(found._asdict(), _describe_rekeyed(found, dry_run=dry_run))
        return FAILED if found.unreadable else 0

    def _find_whose(self, orders: Sequence[str], email: str | None) -> list[UUID]:
        """The orders that are named, or those of the address. Raises Failed and UsageError."""
        if bool(orders) == bool(email):
            raise UsageError("Name orders, or an address by --email.")
        if not email:
            return list(dict.fromkeys(self.find_order(name).pk for name in orders))
        if not (found := contacts.find_orders(email)):
            raise Failed("No order has this e-mail address.")
        return found


def _add_whose(parser: CommandParser) -> None:
    parser.add_argument("orders", nargs="*", metavar="ID|REFERENCE")
    parser.add_argument("--email", metavar="ADDRESS", help="all orders with this e-mail address")


def _describe_rekeyed(found: contacts.Rekeyed, *, dry_run: bool) -> str:
    """Say what the run did, and whether the older keys are needed any more."""
    anew = "would be encrypted" if dry_run else "are encrypted"
    lines = [
        f"Of {found.seen:,} contacts {found.old:,} were read by an older key and {found.plain:,} were"
        f" plain; they {anew} with the first key of CONTACT_KEYS."
    ]
    if found.unreadable:
        lines.append(f"{found.unreadable:,} contacts cannot be read by any key of CONTACT_KEYS.")
    if found.old or found.plain:
        lines.append(
            "Run it again until it finds none, after all processes were restarted with the first key."
        )
    else:
        lines.append(
            "The older keys may be removed, if all processes were restarted with the first key before."
        )
    return "\n".join(lines)


def _question(orders: Iterable[Order]) -> str:
    """Says what cannot be done any more afterwards."""
    shipped = set(Shipment.objects.filter(order__in=orders).values_list("pk", flat=True))
    confirmed = [each for each in orders if each.status == Order.Status.CONFIRMED]
    waiting = [each.reference for each in confirmed if each.pk not in shipped]
    names = ", ".join(each.reference for each in orders)
    warning = f" Not shipped yet: {', '.join(waiting)}." if waiting else ""
    return f"{warning} Erase the contact of {names} for good?".strip()


def _erase_one(order: Order, by: str, reason: str) -> dict[str, Any]:
    """One that cannot be erased does not keep the others."""
    try:
        newly = personal_data.erase(order.pk, by=by, reason=reason)
    except NotPossible as refusal:
        outcome, erased = f"not possible: {refusal}", False
    else:
        outcome, erased = ("erased" if newly else "has no contact"), True
    return {"id": order.pk, "reference": order.reference, "outcome": outcome, "erased": erased}
