"""Form fields for a moment, typed and shown as the clocks of a sale's time zone show it."""

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.core.exceptions import ValidationError

from flashsale.moments import ClockChange, find_zone, name_choices, read_clock
from inventory.models import sensible_moment

_UTC = ZoneInfo("UTC")
_MALFORMED = "Enter a date such as 2026-12-01 and a time such as 18:00."


class _MomentInput(forms.MultiWidget):
    """The clock's parts, and a choice beside a time that comes twice.

    Its value is a moment, or the texts as they were sent: the clock's, and the choice's.
    """

    zone = _UTC

    def decompress(self, value: datetime | None) -> list[str | None]:
        if value is None:
            return [None] * len(self.widgets)
        local = value.astimezone(self.zone)
        precision = "milliseconds" if local.microsecond else "seconds"
        clock = local.replace(tzinfo=None).isoformat(timespec=precision)
        return [*clock.split("T", len(self.widgets) - 2), str(local.fold)]

    def get_context(self, name: str, value: Any, attrs: dict[str, Any] | None) -> dict[str, Any]:
        sent = value if isinstance(value, list | tuple) else self.decompress(value)
        choices = _choices(sent, self.zone)
        self.widgets[-1].choices = choices  # type: ignore[attr-defined]  # it is a Select
        context = super().get_context(name, list(sent), attrs)
        if not choices:
            context["widget"]["subwidgets"].pop()
        return context


class OneInput(_MomentInput):
    """The browser's picker of date and time, as `name`."""

    use_fieldset = False

    def __init__(self) -> None:
        picker = forms.TextInput({"type": "datetime-local", "step": "any"})
        super().__init__({"": picker, "pass": _choice()})

    def id_for_label(self, id_: str) -> str:
        return f"{id_}_0" if id_ else id_


class TwoInputs(_MomentInput):
    """The browser's pickers of date and of time, as `name_0` and `name_1`."""

    def __init__(self) -> None:
        date = forms.DateInput({"type": "date", "aria-label": "Date"})
        time = forms.TimeInput({"type": "time", "step": "any", "aria-label": "Time"})
        super().__init__({"0": date, "1": time, "pass": _choice()})


def _choice() -> forms.Select:
    return forms.Select({"aria-label": "Which of the two"})


def _choices(sent: Any, zone: ZoneInfo) -> list[tuple[str, str]]:
    """What the choice offers; nothing if the time comes once, or is malformed."""
    try:
        clock = _parse(sent[:-1])
    except ValidationError:
        return []
    if clock is None or clock.tzinfo or (names := name_choices(clock, zone)) is None:
        return []
    return [("", "which of the two?"), *zip("01", names, strict=True)]


class _HiddenMoment(forms.HiddenInput):
    """A moment with its offset: it means the same in each zone. To the millisecond, as the pickers
    show it."""

    def format_value(self, value: Any) -> str | None:
        if isinstance(value, datetime):
            return value.isoformat(timespec="milliseconds")
        return value if isinstance(value, str) else None


class MomentField(forms.Field):
    """A moment. The form also sends the initial value, so that a moment that other staff have moved
    meanwhile is not moved back."""

    hidden_widget = _HiddenMoment
    widget: Any = OneInput
    zone = _UTC

    def __init__(self, **options: Any) -> None:
        super().__init__(show_hidden_initial=True, **options)

    def read_in(self, zone: str) -> None:
        """Read and show the clocks of this time zone."""
        self.zone = self.widget.zone = find_zone(zone)

    def to_python(self, value: Any) -> datetime | None:
        if isinstance(value, datetime | None):
            return value
        *clock, which = [value, None] if isinstance(value, str) else value
        parsed = _parse(clock)
        if parsed is None or parsed.tzinfo:
            return parsed
        sensible_moment(parsed.replace(tzinfo=UTC))  # outside, some zones cannot show a time
        try:
            return read_clock(parsed, self.zone, second={"0": False, "1": True}.get(which or ""))
        except ClockChange as change:
            raise ValidationError(str(change)) from change


def _parse(clock: Any) -> datetime | None:
    """The typed date and time, of which neither may be missing; None if both are."""
    texts = [(text or "").strip() for text in clock]
    if not any(texts):
        return None
    if not all(texts):
        raise ValidationError(_MALFORMED)
    try:
        return datetime.fromisoformat("T".join(texts))
    except ValueError:
        raise ValidationError(_MALFORMED) from None
