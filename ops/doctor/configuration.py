"""Check the settings: run Django's checks and ours (`flashsale/checks.py`), then judge what is unwise only
for this shop as it runs: its rates, its proxies, its hosts."""

from collections.abc import Iterable, Iterator

from django.conf import settings
from django.core import checks

from flashsale import variables
from ops.doctor.findings import Finding, State, ok, warning

_LOCAL = {"localhost", "127.0.0.1", "[::1]"}


def check_system() -> Iterator[Finding]:
    """Run all checks of `manage.py check`; in production those of `check --deploy`'s security, too."""
    messages = checks.run_checks()
    if settings.PRODUCTION:
        strict = checks.run_checks(tags=[checks.Tags.security], include_deployment_checks=True)
        messages += [message for message in strict if message not in messages]
    messages = [message for message in messages if not message.is_silenced()]
    findings = list(convert_messages("settings", messages))
    yield from findings or [ok("settings", "Django's checks and ours have nothing to object.")]


def convert_messages(about: str, messages: Iterable[checks.CheckMessage]) -> Iterator[Finding]:
    """Turn the warnings and errors of Django's checks into findings."""
    for message in messages:
        if message.level >= checks.WARNING:
            state = State.FAILED if message.is_serious() else State.WARNING
            yield Finding(about, state, f"{message.msg} ({message.id})", str(message.hint or ""))


def check_secret_key() -> Iterator[Finding]:
    """Say where the key comes from; `check_system` finds a guessable one."""
    origin = "given" if variables.text("SECRET_KEY") else f"generated, kept in {settings.VAR_DIR}"
    older = len(settings.SECRET_KEY_FALLBACKS)
    seen = f"{origin}, {len(settings.SECRET_KEY)} characters; older ones still honoured: {older}."
    yield ok("SECRET_KEY", seen)


def check_hosts() -> Iterator[Finding]:
    names = ", ".join(settings.ALLOWED_HOSTS)
    if settings.PRODUCTION and set(settings.ALLOWED_HOSTS) <= _LOCAL:
        seen = f"Only this machine's own names are answered to: {names}."
        yield warning("ALLOWED_HOSTS", seen, "Set it to the names under which shoppers come.")
    else:
        yield ok("ALLOWED_HOSTS", f"{names}.")


def check_rates() -> Iterator[Finding]:
    shopper, address = settings.RATE_PER_SHOPPER, settings.RATE_PER_ADDRESS
    seen = f"{shopper} per shopper, {address} per address and second are set here; 0 is no limit."
    if settings.PRODUCTION and not (shopper and address):
        yield warning("rates", seen, "Set RATE_PER_SHOPPER and RATE_PER_ADDRESS against bots.")
    else:
        yield ok("rates", seen)


def check_proxies() -> Iterator[Finding]:
    count = settings.TRUSTED_PROXIES
    if settings.PRODUCTION and count == 0:
        yield warning(
            "TRUSTED_PROXIES",
            "0: no X-Forwarded-Proto is believed, so no HTTPS can be seen.",
            "Nobody but this machine can buy. Say how many proxies stand in front.",
        )
        return
    trust = (
        "no X-Forwarded-For is believed" if count == 0 else "the addresses they add are believed"
    )
    yield ok("TRUSTED_PROXIES", f"{count}: {trust}.")


CHECKS = (check_system, check_secret_key, check_hosts, check_rates, check_proxies)
