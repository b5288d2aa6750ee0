"""The mail server of a URL, as Django's and Anymail's settings.

django-environ reads the URL. Its `smtps` means STARTTLS; here it means TLS from the first byte, as RFC
8314 has it.
"""

from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import environ

FOLDER = "mail.folder.EmailBackend"
CONSOLE = "django.core.mail.backends.console.EmailBackend"
NONE = "django.core.mail.backends.dummy.EmailBackend"

_SMTP = {"smtp": ("smtp", 25), "smtp+tls": ("smtp+tls", 587), "smtps": ("smtp+ssl", 465)}
# The name under which each service's key is known to Anymail, and what else it may need.
_SERVICES = {
    "brevo": "API_KEY",
    "mailersend": "API_TOKEN",
    "mailgun": "API_KEY",
    "mailjet": "API_KEY",
    "mailtrap": "API_TOKEN",
    "mandrill": "API_KEY",
    "postal": "API_KEY",
    "postmark": "SERVER_TOKEN",
    "resend": "API_KEY",
    "scaleway": "SECRET_KEY",
    "sparkpost": "API_KEY",
}
_OPTIONS = {"API_URL", "SECRET_KEY", "SENDER_DOMAIN", "PROJECT_ID", "REGION", "MESSAGE_STREAM"}

EXPECTED = (
    "smtp[+tls]:// or smtps://user:password@host:port, anymail://key@service, file: or console:"
)


def parse(raw: str, folder: str) -> dict[str, Any]:
    """Django's settings for the mail server of a URL; `folder` is where `file:` alone writes mails to.
    Raises ValueError and ImproperlyConfigured."""
    parts = urlsplit(raw)
    if parts.scheme in _SMTP:
        return _of_smtp(raw, parts.scheme)
    if parts.scheme == "anymail":
        return _of_service(raw)
    if parts.scheme == "file" and not parts.netloc:
        return {"EMAIL_BACKEND": FOLDER, "EMAIL_FILE_PATH": unquote(parts.path) or folder}
    if raw == "console:":
        return {"EMAIL_BACKEND": CONSOLE}
    raise ValueError(parts.scheme)


def _of_smtp(raw: str, scheme: str) -> dict[str, Any]:
    known_as, port = _SMTP[scheme]
    parsed: dict[str, Any] = environ.Env.email_url_config(known_as + raw[len(scheme) :])
    if not parsed["EMAIL_HOST"] or urlsplit(raw).query:
        raise ValueError(scheme)
    parsed["EMAIL_PORT"] = parsed["EMAIL_PORT"] or port
    return {name: value for name, value in parsed.items() if value and name != "EMAIL_FILE_PATH"}


def _of_service(raw: str) -> dict[str, Any]:
    parts = urlsplit(raw)
    service, key = parts.hostname or "", unquote(parts.username or "")
    options = {name.upper(): values[-1] for name, values in parse_qs(parts.query).items()}
    if not key or not options.keys() <= _OPTIONS:
        raise ValueError(service)
    named = {_SERVICES[service]: key, **options}  # KeyError: not one of them
    return {
        "EMAIL_BACKEND": f"anymail.backends.{service}.EmailBackend",
        "ANYMAIL": {f"{service.upper()}_{name}": value for name, value in named.items()},
    }
