"""Run checks in bounded time, and keep secrets out of their findings.

A check is a function that returns findings. Checks of one group run one after the other, and an error
ends the group as a finding; groups run at the same time, none for longer than SECONDS.
"""

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from urllib.parse import unquote, urlsplit

import redis
from django.conf import settings
from django.db import DatabaseError, InterfaceError, connections

from ops.base_command import complaint, first_line, is_away

SECONDS = 5.0  # the command, which also has to start, ends within ten
NEARLY_FULL = 0.8  # share of a bound above which its use is a warning

_WHILE_AWAY = "See to it that it runs and that this machine reaches it; then ask again."


class State(StrEnum):
    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    about: str
    state: State
    seen: str  # and its effect
    advice: str = ""  # empty if nothing has to be done


Check = Callable[[], Iterable[Finding]]
Groups = Mapping[str, Iterable[Check]]


def ok(about: str, seen: str) -> Finding:
    return Finding(about, State.OK, seen)


def warning(about: str, seen: str, advice: str) -> Finding:
    return Finding(about, State.WARNING, seen, advice)


def failed(about: str, seen: str, advice: str) -> Finding:
    return Finding(about, State.FAILED, seen, advice)


def examine(groups: Groups) -> list[Finding]:
    """Run all checks and return their findings in the order of the groups, without any secret."""
    found: dict[str, list[Finding]] = {about: [] for about in groups}
    threads = {
        about: threading.Thread(target=_run, args=(about, group, found[about]), daemon=True)
        for about, group in groups.items()
    }
    for thread in threads.values():
        thread.start()
    end = time.monotonic() + SECONDS
    for about, thread in threads.items():
        thread.join(max(0.0, end - time.monotonic()))
        if thread.is_alive():
            silent = f"There was no answer within {SECONDS:g} s."
            found[about] = [*found[about], failed(about, silent, _WHILE_AWAY)]
    return [_without_secrets(finding) for findings in found.values() for finding in findings]


def _run(about: str, group: Iterable[Check], found: list[Finding]) -> None:
    try:
        for check in group:
            found.extend(check())
    except (DatabaseError, InterfaceError, redis.RedisError) as error:
        advice = _WHILE_AWAY if is_away(error) else "See its log, and what its user may do."
        found.append(failed(about, complaint(error), advice))
    except Exception as error:  # a fault of one check must not hide the other findings
        seen = f"This could not be looked at: {type(error).__name__}: {first_line(error)}."
        found.append(failed(about, seen, "This is a mistake in the program; please report it."))
    finally:
        connections.close_all()


def _without_secrets(finding: Finding) -> Finding:
    """Replace secrets by `***`: no check prints one, but errors of libraries might."""
    texts = [finding.about, finding.seen, finding.advice]
    for secret in _secrets():
        texts = [text.replace(secret, "***") for text in texts]
    about, seen, advice = texts
    return replace(finding, about=about, seen=seen, advice=advice)


def _secrets() -> set[str]:
    urls = [
        settings.REDIS_URL,
        settings.CELERY_BROKER_URL,
        settings.CACHE_URL,
        settings.CHANNEL_URL,
    ]
    passwords = [urlsplit(url).password or "" for url in urls]
    passwords.append(settings.DATABASES["default"].get("PASSWORD") or "")
    mail_keys = [key for name, key in settings.ANYMAIL.items() if name.endswith(("KEY", "TOKEN"))]
    passwords += [settings.EMAIL_HOST_PASSWORD, *mail_keys]
    keys = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS, *settings.CONTACT_KEYS]
    # Shorter ones would only garble the text around them.
    return {secret for secret in (*keys, *passwords, *map(unquote, passwords)) if len(secret) > 4}
