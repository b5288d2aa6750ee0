"""Tells Sentry, or what speaks like it, of errors: where SENTRY_DSN says, and what harms nobody."""

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from django.conf import settings

from flashsale.observe import logs

if TYPE_CHECKING:
    from sentry_sdk.types import Event, Hint


def start(role: str) -> None:
    """From now on whatever is logged as an error is sent, with the purchase that it is about."""
    if settings.SENTRY_DSN:
        import sentry_sdk  # slow, and most shops do without it
        from sentry_sdk.integrations.logging import ignore_logger

        sentry_sdk.init(
            dsn=settings.SENTRY_DSN,
            before_send=_without_secrets,
            # In them are tickets and cookies.
            include_local_variables=False,
            max_request_body_size="never",
            send_default_pii=False,
            max_breadcrumbs=0,
            auto_session_tracking=False,
        )
        for harmless in ("opentelemetry.*", "django.security.DisallowedHost"):
            ignore_logger(harmless)  # a collector that is away; who asks for another host
        sentry_sdk.get_global_scope().set_tag("role", role)  # each request has a context of its own


def _without_secrets(event: "Event", hint: "Hint") -> "Event":
    event.get("extra", {}).pop("request", None)  # as text, with all of its address
    request = event.pop("request", None)
    if request:
        event["request"] = {
            "method": request.get("method"),
            "url": urlsplit(str(request.get("url", "")))._replace(query="", fragment="").geturl(),
        }
    if purchase := logs.bound_purchase():
        event.setdefault("tags", {})["purchase"] = purchase
    return event
