"""Answer addresses and forms of admin that make no sense with a page or a refusal, where Django's own admin
fails with 500."""

import logging
import unicodedata
from typing import Any

from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import BadRequest, FieldDoesNotExist, ValidationError
from django.db import InterfaceError, OperationalError
from django.db.models import ManyToManyField
from django.db.models import QuerySet as Rows
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from inventory.picture_limits import MOST_BYTES

log = logging.getLogger(__name__)


class CarefulChangeList(ChangeList):
    """Treats a filter that fails in PostgreSQL as Django treats one that it refuses itself: the page goes
    back to the unfiltered list."""

    def get_results(self, request: HttpRequest) -> None:
        try:
            super().get_results(request)
        except (IncorrectLookupParameters, OperationalError, InterfaceError, TimeoutError):
            raise
        except Exception as error:
            # As in Django's `get_queryset`: a filter may fail in any way; there is no other check of it.
            if not self.get_filters_params():
                raise
            log.info("%s: a filter failed: %r", request.path, error)
            raise IncorrectLookupParameters(error) from error


class CarefulAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # Django has no generics here
    """The base of every admin page of the shop."""

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return CarefulChangeList

    def get_search_results(
        self, request: HttpRequest, queryset: "Rows[Any]", search_term: str
    ) -> tuple["Rows[Any]", bool]:
        """Search for the form in which names are kept, whichever the keyboard writes."""
        normal = unicodedata.normalize("NFC", search_term)
        return super().get_search_results(request, queryset, normal)

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Values for an empty form, from the address: those that their fields can read."""
        given = super().get_changeform_initial_data(request)
        read = {name: self._read(name, value) for name, value in given.items()}
        return {name: value for name, value in read.items() if value is not None}

    def _read(self, name: str, value: Any) -> Any:
        """The value as its field reads it; None if it cannot, or if there is no such field."""
        try:
            field = self.opts.get_field(name)
            if isinstance(field, ManyToManyField):
                return [field.target_field.to_python(key) for key in value]
            read = field.to_python(value)  # type: ignore[union-attr]  # of a reverse relation
            # What cannot be shown in the form's time zone cannot be edited in it.
            return timezone.localtime(read) if _is_aware(read) else read
        except (FieldDoesNotExist, AttributeError, ValidationError, OverflowError):
            return None

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Show a form again with the status 413 if one of its files is too large. Its fields say which."""
        response = super().changeform_view(request, *args, **kwargs)
        files = [file for _, sent in request.FILES.lists() for file in sent]
        if response.status_code == 200 and any((file.size or 0) > MOST_BYTES for file in files):
            response.status_code = 413
        return response

    def response_action(
        self, request: HttpRequest, queryset: "Rows[Any]", *args: Any, **kwargs: Any
    ) -> HttpResponse | None:
        """Refuse keys that are none (400), before the rows are looked up by them."""
        try:
            for key in request.POST.getlist(ACTION_CHECKBOX_NAME):
                self.opts.pk.to_python(key)
        except ValidationError as malformed:
            raise BadRequest("a selected key that is none") from malformed
        return super().response_action(request, queryset, *args, **kwargs)


def _is_aware(value: Any) -> bool:
    return hasattr(value, "tzinfo") and timezone.is_aware(value)
