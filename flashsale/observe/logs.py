"""Logging: one line for each record, as text in development and as JSON in production, with its purchase.

With LOG_PURCHASES, `purchase_steps` logs a line for each step of a purchase from click to commit.
"""

import logging
from collections.abc import Iterable
from contextvars import ContextVar
from typing import Any
from uuid import UUID

# The purchase of the current request. Each request has a context of its own.
_purchase: ContextVar[UUID | None] = ContextVar("purchase", default=None)

purchase_steps = logging.getLogger("flashsale.purchases")


def bind_purchase(purchase: UUID) -> None:
    """Add the purchase to the log lines of the current request from now on."""
    _purchase.set(purchase)


def bound_purchase() -> str:
    """The current request's purchase, or ""."""
    about = _purchase.get()
    return str(about) if about else ""


def log_step(what: str, purchase: UUID | None = None, **more: Any) -> None:
    """Log a step of this purchase, or (None) of the current request's."""
    if purchase_steps.isEnabledFor(logging.INFO):
        about = {"purchase": str(purchase)} if purchase else {}
        purchase_steps.info(what, extra=about | more)


def log_steps(decided: Iterable[tuple[UUID, str, dict[str, Any]]]) -> None:
    """Log steps of many purchases: (purchase, step, fields). If off, does not consume `decided`."""
    if purchase_steps.isEnabledFor(logging.INFO):
        for purchase, what, more in decided:
            log_step(what, purchase, **more)


def logging_configuration(level: str, *, as_json: bool, purchases: bool) -> dict[str, Any]:
    """The value of Django's LOGGING. `purchases` turns the steps of purchases on."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {
            "about": {"()": "flashsale.observe.logs.About"},
            "of_errors": {"()": "flashsale.observe.logs.OfErrors"},
        },
        "formatters": {
            "line": {"()": "flashsale.observe.logs.Line"},
            "json": {
                "()": "pythonjsonlogger.json.JsonFormatter",
                "format": "{asctime}{levelname}{name}{message}{process}",
                "style": "{",
                "rename_fields": {"asctime": "at", "levelname": "level", "name": "logger"},
            },
        },
        "handlers": {
            "console": {
                "class": "logging.StreamHandler",
                "filters": ["about"],
                "formatter": "json" if as_json else "line",
            }
        },
        "root": {"handlers": ["console"], "level": level},
        "loggers": {
            "django.request": {"filters": ["of_errors"]},
            "django.server": {"level": "WARNING"},
            "httpx": {"level": "WARNING"},
            "markdown_it": {"level": "WARNING"},  # at DEBUG ten lines for each text that it renders
            "stripe": {"level": "WARNING"},  # below that it logs what it sends, addresses included
            purchase_steps.name: {"level": "INFO" if purchases else "CRITICAL"},
        },
    }


class About(logging.Filter):
    """Adds the current purchase to a record, unless the record has one.

    Removes Django's request, whose URL may contain a ticket, and the traceback of a wrong Host header:
    anyone can send one at any rate.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        record.__dict__.pop("request", None)
        if record.name == "django.security.DisallowedHost":
            record.exc_info = None
        about = bound_purchase()
        if about and not hasattr(record, "purchase"):
            record.purchase = about
        return True


class OfErrors(logging.Filter):
    """Drops Django's error for a 503 of `/readyz`: its answer has the reason, and balancers poll it."""

    def filter(self, record: logging.LogRecord) -> bool:
        path = getattr(getattr(record, "request", None), "path", "")
        return not (path == "/readyz" and getattr(record, "status_code", 0) == 503)


class Line(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("{asctime} {levelname} {name}: {message}", style="{")

    def formatMessage(self, record: logging.LogRecord) -> str:  # logging's
        line = super().formatMessage(record)
        about = getattr(record, "purchase", "")
        return f"{line} [purchase {about}]" if about else line
