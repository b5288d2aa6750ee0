"""Payments that cannot be found: their provider does not know them, or is not configured any more.

Nothing about money follows from that: the account or the key may be the wrong one, or the provider reads an
old copy. So they are asked about for ever, at growing pauses, and staff are told (`payments/figures.py`).
"""

import logging
from datetime import timedelta
from uuid import UUID

from django.db.models import Q
from django.utils import timezone

from payments import transitions
from payments.advance import advance
from payments.models import Attempt
from payments.providers import registry
from payments.providers.base import NOT_KNOWN, NotKnown

log = logging.getLogger(__name__)

LONGEST_PAUSE = 3600  # seconds between two questions
ANSWERS = 5  # in a row, within about half a minute, after which a payment counts as lost

# As `transitions.postpone` writes it. Any other answer writes another text.
_SAYS_SO = Q(problem__startswith=f"No answer: {NOT_KNOWN}")
LOST = _SAYS_SO & Q(tries__gte=ANSWERS, due__isnull=False)


def advance_or_wait(attempt: UUID) -> None:
    """`advance` of `payments/advance.py`, with longer and longer pauses while the payment cannot be found.
    An unknown provider is no error here. Raises its other errors."""
    try:
        advance(attempt)
    except registry.UnknownProvider as error:
        log.warning("attempt %s: %s", attempt, error)
        transitions.postpone(attempt, NotKnown(str(error)))
    lost = Attempt.objects.filter(LOST, pk=attempt)
    for tries in lost.values_list("tries", flat=True):
        later = timezone.now() + timedelta(seconds=min(2 ** min(tries, 12), LONGEST_PAUSE))
        # An event that has come meanwhile has made it due: that stays.
        lost.filter(due__gt=timezone.now()).update(due=later)
