"""`POST /payments/<provider>/events`: a provider tells that a payment has news."""

import logging

from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from flashsale.database import in_thread
from flashsale.observe import telemetry
from payments import events
from payments.providers.base import Forged
from payments.providers.registry import UnknownProvider

log = logging.getLogger(__name__)

LARGEST_EVENT = 256 * 1024  # bytes


@csrf_exempt  # the provider's signature proves who sends it
@require_POST
async def receive_event(request: HttpRequest, provider: str) -> HttpResponse:
    """200 once the event is in PostgreSQL, new or not; the payment is asked about afterwards. 400 if the
    provider did not sign it, 404 for a provider that is not configured, 413 if it is too large."""
    body = request.read(LARGEST_EVENT + 1)
    if len(body) > LARGEST_EVENT:
        return _answer("too large", 413)
    try:
        await in_thread(events.receive, provider, body, request.headers)
    except UnknownProvider:
        return _answer("no such provider", 404)
    except Forged as error:
        telemetry.count_payment("forged")
        log.warning("an event for %s is refused: %s", provider, error)
        return _answer("not signed by the provider", 400)
    return _answer("ok", 200)


def _answer(text: str, status: int) -> HttpResponse:
    return HttpResponse(f"{text}\n", status=status, content_type="text/plain")
