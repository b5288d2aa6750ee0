"""Ask the provider about an attempt and do what follows, until nothing is left to do now.

Any process may call this at any time, also several at once: each call to the provider has its key, each
change its lock. A process that is killed here leaves an attempt that is due soon.
"""

import logging
from uuid import UUID

from payments import refunds, transitions
from payments.models import Attempt, Refund
from payments.providers import registry
from payments.providers.base import Provider, ProviderError, Refused, Seen, Stage
from payments.verdicts import Step

log = logging.getLogger(__name__)

_STEPS = 4  # calls in a row: authorised, captured, refunded, and one more


def advance(attempt: UUID) -> None:
    """Fetch the payment and apply it; capture, void or refund as it needs. Blocks for a few calls.

    A fault of the provider postpones the attempt. Raises registry.UnknownProvider,
    transitions.Unsettled, Attempt.DoesNotExist and django.db.DatabaseError.
    """
    advance_row(Attempt.objects.get(pk=attempt))


def advance_row(row: Attempt) -> bool:
    """Like `advance`, for an attempt that was just read. True if the shopper may still pay it."""
    if not row.reference:
        transitions.forget_start(row.pk)
        return False
    provider = registry.provider(row.provider)
    try:
        return _drive(provider, row)
    except ProviderError as error:
        log.warning("attempt %s at %s: %s: %s", row.pk, row.provider, type(error).__name__, error)
        transitions.postpone(row.pk, error)
        return False


def _drive(provider: Provider, row: Attempt) -> bool:
    seen = provider.fetch(row.reference)
    if row.state == Attempt.State.REFUNDED:
        refunds.look_again(provider, row)
    step = Step.NONE
    for _ in range(_STEPS):
        captured = step is Step.CAPTURE and seen.stage is Stage.CAPTURED
        step = transitions.apply(row.pk, seen, just_captured=captured)
        if not step:
            break
        if step is Step.REFUND:
            refunds.push(Refund.objects.values_list("pk", flat=True).get(attempt=row))
            break
        seen = _call(step, provider, row)
    return seen.stage is Stage.OPEN


def _call(step: Step, provider: Provider, row: Attempt) -> Seen:
    """Capture or void, and return what the provider says then."""
    key = transitions.key_of(row.pk, step)
    try:
        if step is Step.CAPTURE:
            return provider.capture(row.reference, row.amount, row.currency, key)
        return provider.void(row.reference, key)
    except Refused as refusal:
        # It may be captured or voided already: by whom does not matter.
        seen = provider.fetch(row.reference)
        if step is Step.VOID and seen.stage in (Stage.OPEN, Stage.AUTHORISED):
            raise
        if step is Step.CAPTURE and seen.stage is Stage.AUTHORISED:
            transitions.give_up_capture(row.pk, f"The capture was refused: {refusal}")
        return seen
