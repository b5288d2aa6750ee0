"""Sends errors to Sentry, or a compatible server, at SENTRY_DSN: without tickets, cookies or form data."""

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from django.conf import settings

from flashsale.observe import logs

if TYPE_CHECKING:
    from sentry_sdk.types import Event, Hint


def start(role: str) -> None:
    """Send each logged error from now on, with its purchase. No-op without SENTRY_DSN."""
    if settings.SENTRY_DSN:
        import sentry_sdk  # slow, and most shops do without it
        from sentry_sdk.integrations.logging import ignore_logger

        sentry_sdk.init(
            dsn=settings.SENTRY_DSN,
            before_send=_without_secrets,
            # They contain tickets and cookies.
            include_local_variables=False,
            max_request_body_size="never",
            send_default_pii=False,
            max_breadcrumbs=0,
            auto_session_tracking=False,
        )
        for harmless in ("opentelemetry.*", "django.security.DisallowedHost"):
            ignore_logger(harmless)  # a collector that is down; a request with a wrong Host header
        # The global scope: each request has a context of its own.
        sentry_sdk.get_global_scope().set_tag("role", role)


def _without_secrets(event: "Event", hint: "Hint") -> "Event":
    event.get("extra", {}).pop("request", None)  # the request as text, with its whole URL
    request = event.pop("request", None)
    if request:
        event["request"] = {
            "method": request.get("method"),
            "url": urlsplit(str(request.get("url", "")))._replace(query="", fragment="").geturl(),
        }
    if purchase := logs.bound_purchase():
        event.setdefault("tags", {})["purchase"] = purchase
    return event
