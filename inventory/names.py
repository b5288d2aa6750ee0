"""Names of variants and sales: how they are kept, and how they are looked up.

Admin, commands and imports call `full_clean`, and so share these fields' rules. A row from before these
rules stays as it is until the name itself is edited; `manage.py doctor` lists those that break them.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from typing import Any, TypeVar

from django import forms
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import QuerySet
from django.db.models.functions import Lower

from flashsale.characters import clean_line, clean_text

_Row = TypeVar("_Row", bound=models.Model)


class LineFormField(forms.CharField):
    """A line that staff type. Normalised before its length is checked."""

    stored = ""  # what the row has; it may be sent back, even if it breaks the rules

    def to_python(self, value: Any) -> Any:
        text = super().to_python(value) or ""
        if self.stored and _plain(text) == _plain(self.stored):
            return self.stored
        return self.clean_text(text) or self.empty_value

    def clean_text(self, text: str) -> str:
        return clean_line(text)

    def widget_attrs(self, widget: forms.Widget) -> dict[str, Any]:
        return {**super().widget_attrs(widget), "dir": "auto"}


def _plain(text: str) -> str:
    """As a browser sends it back, whose line ends are its own."""
    return text.replace("\r\n", "\n").strip()


class TextFormField(LineFormField):
    """A text of several lines that staff type."""

    def clean_text(self, text: str) -> str:
        return clean_text(text)


class LineField(models.CharField):  # type: ignore[type-arg]  # Django has no generics here
    """A name on one line: see `clean_line`."""

    def clean(self, value: Any, model_instance: models.Model | None) -> Any:
        cleaned = _clean_or_stored(clean_line, self.attname, value or "", model_instance)
        return super().clean(cleaned, model_instance)

    def formfield(self, **kwargs: Any) -> Any:
        return super().formfield(**{"form_class": LineFormField, **kwargs})


class TextField(models.TextField):  # type: ignore[type-arg]  # Django has no generics here
    """A text of several lines: see `clean_text`."""

    def clean(self, value: Any, model_instance: models.Model | None) -> Any:
        cleaned = _clean_or_stored(clean_text, self.attname, value or "", model_instance)
        return super().clean(cleaned, model_instance)

    def formfield(self, **kwargs: Any) -> Any:
        return super().formfield(**{"form_class": TextFormField, **kwargs})


def _clean_or_stored(
    clean: Callable[[str], str], name: str, text: str, row: models.Model | None
) -> str:
    """The cleaned text; as it is if it breaks the rules and the row had it before them."""
    try:
        return clean(text)
    except ValidationError:
        if row and row.pk and _all(type(row)).filter(pk=row.pk, **{name: text}).exists():
            return text
        raise


def _all(model: type[models.Model]) -> "QuerySet[Any]":
    return model._default_manager.all()


class WithSku(models.Model):
    """A row whose sku stays. Some skus from before they were unique whatever the case differ by case only:
    such a row is compared with others when it is added, not when something else of it is edited."""

    class Meta:
        abstract = True

    def validate_constraints(self, exclude: Collection[str] | None = None) -> None:
        stays = {"sku"} if self.pk else set()
        super().validate_constraints(exclude={*(exclude or ()), *stays})


def find_in_any_case(rows: "QuerySet[_Row]", field: str, name: str) -> _Row | None:
    """The row whose sku or slug is `name`; if there is none, the only one that differs by case.

    Rows from before such names were unique may differ by case only: then `name` must be exact.
    """
    return find_each_in_any_case(rows, field, [name]).get(name)


def find_each_in_any_case(
    rows: "QuerySet[_Row]", field: str, names: Iterable[str]
) -> dict[str, _Row]:
    """Like `find_in_any_case`, for several names at once. Unknown names are left out."""
    names = list(names)
    by_lower: dict[str, list[_Row]] = defaultdict(list)
    lowered = rows.annotate(in_lower_case=Lower(field))
    for row in lowered.filter(in_lower_case__in=[name.lower() for name in names]):
        by_lower[getattr(row, field).lower()].append(row)
    found = {name: _choose(by_lower[name.lower()], field, name) for name in names}
    return {name: row for name, row in found.items() if row is not None}


def _choose(candidates: list[_Row], field: str, name: str) -> _Row | None:
    exact = [row for row in candidates if getattr(row, field) == name]
    return exact[0] if exact else candidates[0] if len(candidates) == 1 else None


def find_clashes(rows: "QuerySet[Any]", field: str) -> list[list[str]]:
    """The skus or slugs that differ by case only, in groups."""
    lowered = rows.annotate(in_lower_case=Lower(field)).order_by("pk")
    groups: dict[str, list[str]] = defaultdict(list)
    for lower, name in lowered.values_list("in_lower_case", field):
        groups[lower].append(name)
    return [group for group in groups.values() if len(group) > 1]
