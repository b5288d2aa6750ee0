"""A list of time zones with a search, for the forms of staff."""

from django import forms
from django.conf import settings

from inventory.models import Sale, time_zones

_LATEST = 50  # sales whose zones are offered first


class ZoneSelect(forms.Select):
    """Offers the zones in use first. `static/js/zones.js` adds the search; without scripts it is an
    ordinary list."""

    def __init__(self) -> None:
        super().__init__({"class": "zones"}, _choices)  # type: ignore[arg-type]  # called when it is shown

    @property
    def media(self) -> forms.Media:
        return forms.Media(
            js=(
                "admin/js/vendor/jquery/jquery.min.js",
                "admin/js/vendor/select2/select2.full.min.js",
                "admin/js/jquery.init.js",
                "js/zones.js",
            ),
            css={
                "screen": (
                    "admin/css/vendor/select2/select2.min.css",
                    "admin/css/autocomplete.css",
                )
            },
        )


def zones_in_use() -> list[str]:
    """The zones of the latest sales, the last one first, then the shop's own."""
    latest = Sale.objects.order_by("-id").values_list("time_zone", flat=True)[:_LATEST]
    return list(dict.fromkeys([*latest, settings.TIME_ZONE]))


def _choices() -> list[tuple[str, list[tuple[str, str]]]]:
    groups = (("In use", zones_in_use()), ("All", sorted(time_zones())))
    return [(name, [(zone, zone) for zone in zones]) for name, zones in groups]
