"""A malformed variable stops start-up with its name, and without its value: it may be a password."""

import traceback
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.mail import get_connection

from flashsale import mail_servers, variables
from tests.operators import spawned

NAME = "SHOP_VARIABLE"
POSTGRES = "postgres://anna:secret@db:5432/shop"
FERNET_KEY = "-" * 42 + "8="  # 32 bytes
REDIS = "redis://:secret@cache:6379/1"

Read = Callable[[], Any]


def read_words() -> list[str]:
    return variables.words(NAME, ["default"])


def read_origins() -> list[str]:
    return variables.origins(NAME)


def read_fernet_keys() -> list[str]:
    return variables.fernet_keys(NAME)


def read_flag() -> bool:
    return variables.flag(NAME)


def read_whole() -> int:
    return variables.whole(NAME, 5, least=1, most=10)


def read_choice() -> str:
    return variables.choice(NAME, "LOW", "LOW", "HIGH")


def read_currency() -> str:
    return variables.currency(NAME, "EUR")


def read_database() -> dict[str, Any]:
    return variables.database(NAME, POSTGRES)


def read_redis() -> str:
    return variables.redis(NAME, REDIS)


def read_http() -> str:
    return variables.http(NAME)


def read_share() -> float:
    return variables.share(NAME, 1)


def read_sentry() -> str:
    return variables.sentry(NAME)


@pytest.mark.parametrize(
    ("read", "raw", "value"),
    [
        (lambda: variables.text(NAME), " some text ", "some text"),
        (read_words, "a, b,,c ", ["a", "b", "c"]),
        (
            read_origins,
            "https://Shop.example:443/, http://a.b:80",
            ["https://shop.example", "http://a.b"],
        ),
        (
            read_origins,
            "https://*.b.example,http://[::1]:8000",
            ["https://*.b.example", "http://[::1]:8000"],
        ),
        (read_fernet_keys, f" {FERNET_KEY} ,{FERNET_KEY}", [FERNET_KEY, FERNET_KEY]),
        (read_flag, "1", True),
        (read_flag, "Yes", True),
        (read_flag, "off", False),
        (read_whole, "1", 1),
        (read_whole, "10", 10),
        (read_choice, "high", "HIGH"),
        (read_currency, "jpy", "JPY"),
        (read_redis, "redis://cache", "redis://cache"),
        (read_redis, "rediss://:p@cache:6380/2", "rediss://:p@cache:6380/2"),
        (read_redis, "unix:///run/redis.sock", "unix:///run/redis.sock"),
    ],
)
def test_a_variable_is_read(
    monkeypatch: pytest.MonkeyPatch, read: Read, raw: str, value: object
) -> None:
    monkeypatch.setenv(NAME, raw)
    assert read() == value


def test_a_database_url_is_taken_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NAME, "postgresql://anna:s%40cret@db:5433/shop")
    parts = {"NAME": "shop", "USER": "anna", "PASSWORD": "s@cret", "HOST": "db", "PORT": 5433}
    assert parts.items() <= read_database().items()


@pytest.mark.parametrize(
    ("read", "value"),
    [
        (lambda: variables.text(NAME, "default"), "default"),
        (read_words, ["default"]),
        (read_origins, []),
        (read_flag, False),
        (read_whole, 5),
        (read_choice, "LOW"),
        (read_currency, "EUR"),
        (lambda: read_database()["NAME"], "shop"),
        (read_redis, REDIS),
    ],
)
@pytest.mark.parametrize("raw", [None, "", "  "])
def test_a_missing_or_empty_variable_has_its_default(
    monkeypatch: pytest.MonkeyPatch, read: Read, value: object, raw: str | None
) -> None:
    monkeypatch.delenv(NAME, raising=False)
    if raw is not None:
        monkeypatch.setenv(NAME, raw)
    assert read() == value


@pytest.mark.parametrize(
    ("read", "raw"),
    [
        (read_fernet_keys, "hunter2"),
        (read_fernet_keys, FERNET_KEY + "hunter2="),
        (read_fernet_keys, FERNET_KEY[:-1]),
        (read_fernet_keys, f"{FERNET_KEY},{FERNET_KEY[4:]}"),
        (read_fernet_keys, FERNET_KEY.replace("8", "!")),
        (read_flag, "hunter2"),
        (read_currency, "hunter2"),
        (read_currency, "XAU"),
        (read_whole, "hunter2"),
        (read_whole, "1.5"),
        (read_whole, "0"),
        (read_whole, "11"),
        (read_choice, "hunter2"),
        (read_database, "hunter2"),
        (read_database, "mysql://anna:hunter2@db/shop"),
        (read_database, "postgress://anna:hunter2@db/shop"),
        (read_database, "postgres://anna:hunter2@db"),
        (read_database, "postgres://anna:hunter2@db:port/shop"),
        (read_database, "postgres://anna:hunter2@db:99999/shop"),
        (read_redis, "hunter2"),
        (read_redis, "http://:hunter2@cache"),
        (read_redis, "redis://:hunter2@cache:port/0"),
        (read_redis, "redis://:hunter2@cache:6379/0?protocol=3"),
        (read_redis, "rediss://:hunter2@cache:6379/0?socket_timeout=60"),
        (read_redis, "redis://:hunter2@cache:6379/0?ssl_cert_reqs=none"),
        (read_http, "hunter2:4318"),
        (read_http, "http://[::1/hunter2"),
        (read_http, "ftp://hunter2"),
        (read_origins, "hunter2.example"),
        (read_origins, "ftp://hunter2.example"),
        (read_origins, "https://"),
        (read_origins, "https://hunter2.example/path"),
        (read_origins, "https://hunter2.example?x"),
        (read_origins, "https://anna:hunter2@shop.example"),
        (read_origins, "https://hunter2.example:port"),
        (read_origins, "https://[::hunter2"),
        (read_share, "hunter2"),
        (read_share, "1.1"),
        (read_share, "nan"),
        (read_sentry, "hunter2"),
        (read_redis, "redis://:hunter2@cache:99999/0"),
    ],
)
def test_a_malformed_variable_is_named_and_its_value_kept_quiet(
    monkeypatch: pytest.MonkeyPatch, read: Read, raw: str
) -> None:
    monkeypatch.setenv(NAME, raw)
    with warnings.catch_warnings(record=True) as warned, pytest.raises(ImproperlyConfigured) as got:
        read()
    printed = "".join(traceback.format_exception(got.value, limit=0))
    assert f"{NAME} is malformed: expected " in printed
    assert "hunter2" not in printed
    assert not warned


def test_start_up_stops_at_a_malformed_variable() -> None:
    ran = spawned("check", LOG_LEVEL="hunter2")
    assert ran.code != 0
    assert "LOG_LEVEL is malformed" in ran.err
    assert "hunter2" not in ran.err


@pytest.mark.parametrize(
    "variable", ["LINE_BOUND", "DATABASE_URL", "LOG_LEVEL", "CSRF_TRUSTED_ORIGINS"]
)
def test_a_malformed_variable_ends_every_command_with_one_line(variable: str) -> None:
    done = spawned("verify", **{variable: "-nonsense-"})
    assert done.code == 1
    [line] = done.err.strip().splitlines()
    assert variable in line
    assert "nonsense" not in line


SMTP = "django.core.mail.backends.smtp.EmailBackend"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("smtp://mx", {"EMAIL_BACKEND": SMTP, "EMAIL_HOST": "mx", "EMAIL_PORT": 25}),
        (
            "smtps://anna:p%40ss@mx",
            {
                "EMAIL_BACKEND": SMTP,
                "EMAIL_HOST": "mx",
                "EMAIL_PORT": 465,
                "EMAIL_USE_SSL": True,
                "EMAIL_HOST_USER": "anna",
                "EMAIL_HOST_PASSWORD": "p@ss",
            },
        ),
        (
            "smtp+tls://mx:2525",
            {"EMAIL_BACKEND": SMTP, "EMAIL_HOST": "mx", "EMAIL_PORT": 2525, "EMAIL_USE_TLS": True},
        ),
        (
            "anymail://Key%2F1@mailgun?sender_domain=mg.example",
            {
                "EMAIL_BACKEND": "anymail.backends.mailgun.EmailBackend",
                "ANYMAIL": {
                    "MAILGUN_API_KEY": "Key/1",
                    "MAILGUN_SENDER_DOMAIN": "mg.example",
                },
            },
        ),
        ("file:", {"EMAIL_BACKEND": "mail.folder.EmailBackend", "EMAIL_FILE_PATH": "/var/mail"}),
        ("file:///a%20b", {"EMAIL_BACKEND": "mail.folder.EmailBackend", "EMAIL_FILE_PATH": "/a b"}),
        ("console:", {"EMAIL_BACKEND": "django.core.mail.backends.console.EmailBackend"}),
    ],
)
def test_a_mail_server_is_read(
    monkeypatch: pytest.MonkeyPatch, url: str, expected: dict[str, Any]
) -> None:
    monkeypatch.setenv(NAME, url)
    assert variables.mail_server(NAME, "", "/var/mail") == expected


@pytest.mark.parametrize(
    "url",
    [
        "smtp://",
        "smtp://mx:port",
        "smtp://mx?tls=1",
        "http://mx",
        "mx",
        "anymail://postmark",
        "anymail://key@unknown",
        "anymail://key@postmark?debug_api_requests=1",
        "file://host/folder",
    ],
)
def test_a_malformed_mail_server_is_refused(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv(NAME, url)
    with pytest.raises(ImproperlyConfigured, match=NAME) as raised:
        variables.mail_server(NAME, "", "/var/mail")
    assert url not in str(raised.value).replace("smtp://,", "")


@pytest.mark.parametrize("service", ["brevo", "mailgun", "postmark", "resend"])
def test_a_mail_service_gets_the_key_that_it_needs(settings: Any, service: str) -> None:
    """Anymail refuses to start a service without its settings."""
    url = f"anymail://key@{service}?sender_domain=mg.example"
    for name, value in mail_servers.parse(url, "").items():
        setattr(settings, name, value)
    get_connection()


@pytest.mark.parametrize(
    ("raw", "address"),
    [
        ("shop@shop.example", "shop@shop.example"),
        ('"The Shop" <shop@shop.example>', "The Shop <shop@shop.example>"),
        ("", ""),
    ],
)
def test_a_mail_address_is_read(monkeypatch: pytest.MonkeyPatch, raw: str, address: str) -> None:
    monkeypatch.setenv(NAME, raw)
    assert variables.mail_address(NAME) == address


@pytest.mark.parametrize("raw", ["shop", "shop@", "a@b.example\nBcc: c@d.example"])
def test_a_malformed_mail_address_is_refused(monkeypatch: pytest.MonkeyPatch, raw: str) -> None:
    monkeypatch.setenv(NAME, raw)
    with pytest.raises(ImproperlyConfigured, match=NAME):
        variables.mail_address(NAME)
