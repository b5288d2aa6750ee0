"""The options of `manage.py sale create` about a sale's checkout."""

from argparse import ArgumentTypeError
from pathlib import Path
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandParser

from inventory.models import Sale, known_provider
from ops.base_command import UsageError
from ops.lifecycle_command import whole_number

_RULES = ("ask", "payment", "terms", "price_note", "contact_days")


def add_checkout_arguments(parser: CommandParser) -> None:
    parser.add_argument(
        "--ask",
        default="",
        choices=[value for value in Sale.Ask.values if value],
        help="what the checkout asks: e-mail, or e-mail and postal address (default: nothing)",
    )
    parser.add_argument(
        "--payment",
        default="",
        type=_provider,
        metavar="PROVIDER",
        help="a provider of PAYMENT_PROVIDERS (default: nothing is paid here)",
    )
    parser.add_argument(
        "--terms",
        type=Path,
        metavar="FILE",
        help="Markdown in UTF-8, which the shopper accepts at the checkout",
    )
    parser.add_argument(
        "--price-note",
        default="",
        metavar="TEXT",
        help="beside the prices, such as: incl. 19 %% VAT, free shipping",
    )
    parser.add_argument(
        "--contact-days",
        default=Sale._meta.get_field("contact_days").default,
        type=whole_number(0),
        metavar="DAYS",
        help="days after the end until names and addresses are erased; 0: never"
        " (default: %(default)s)",
    )


def read_checkout(options: dict[str, Any]) -> dict[str, Any]:
    """The rules that were given, as fields of a sale. Raises UsageError if the file cannot be read."""
    return {**{rule: options[rule] for rule in _RULES}, "terms": _read_terms(options["terms"])}


def _read_terms(path: Path | None) -> str:
    try:
        return path.read_text(encoding="utf-8") if path else ""
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"The terms cannot be read from {path}: {error}.") from error


def _provider(name: str) -> str:
    try:
        known_provider(name)
    except ValidationError as refusal:
        raise ArgumentTypeError(refusal.message) from None
    return name
