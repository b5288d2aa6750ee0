"""Find a provider by its name. `payments/providers/<name>.py` has a function `make` that returns it."""

import threading
from importlib import import_module

from django.conf import settings

from payments.providers.base import Provider
from payments.providers.guard import Guarded

_made: dict[str, Provider] = {}
_making = threading.Lock()

# Our own page: no other company's limit.
_UNLIMITED = ("demo",)


class UnknownProvider(LookupError):
    """No provider of this name is configured (PAYMENT_PROVIDERS)."""


def provider(name: str) -> Provider:
    """The provider with this name, one per process, behind its limiter and circuit. Raises
    UnknownProvider."""
    if name not in settings.PAYMENT_PROVIDERS:
        raise UnknownProvider(f"The payment provider {name!r} is not in PAYMENT_PROVIDERS.")
    with _making:
        if name not in _made:
            rate = 0 if name in _UNLIMITED else settings.PAYMENT_CALLS_PER_SECOND
            made: Provider = import_module(f"payments.providers.{name}").make()
            _made[name] = Guarded(made, rate)
        return _made[name]
