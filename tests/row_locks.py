"""The twins of race tests: what happens if no row is locked."""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from django.db.models import QuerySet

from flashsale.compiled import Compiled


@contextmanager
def without_row_locks() -> Iterator[None]:
    """No query of Django's locks, also none that was compiled before; and none that is compiled meanwhile
    stays."""
    with (
        patch.object(QuerySet, "select_for_update", lambda rows, **_: rows),
        patch.object(Compiled, "_ready", property(Compiled._compile)),
    ):
        yield
