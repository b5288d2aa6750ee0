"""A form's field for a picture: shown, kept while the form has errors, and decoded outside transactions."""

import base64
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.core.files.base import ContentFile
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from inventory import pending_pictures
from inventory.picture_limits import MOST_BYTES
from inventory.picture_reencoder import NAMES
from inventory.picture_uploads import HELP, Reencoded, reencode

_KEPT = "-kept"  # the end of the name of the field with the token


class Taken(Reencoded):
    """An upload that was decoded, and is kept under `token` until the form is saved."""

    def __init__(self, packed: bytes, token: str) -> None:
        super().__init__(packed)
        self.token = token


class NotTaken(ContentFile):  # type: ignore[type-arg]  # it has no arguments when it runs
    """An upload that is refused. The form's field says why, and goes on showing the one kept before."""

    def __init__(self, reason: ValidationError, kept: Taken | None, size: int = 0) -> None:
        super().__init__(b"", name="refused")
        self.reason, self.kept = reason, kept
        self.size = size  # of the upload: the page's status depends on it


def take_pictures(request: HttpRequest) -> list[Taken]:
    """Decode the uploads of a request, and put the results in their place.

    Call it before the transaction in which the form is validated: decoding takes seconds. An upload that is
    refused becomes an error of its field. Every file of the request must be a picture.
    """
    tokens = {
        field.removesuffix(_KEPT): token
        for field, token in request.POST.items()
        if field.endswith(_KEPT) and token
    }
    files: Any = request.FILES
    for name in {*files, *tokens}:
        files[name] = _take(files.get(name), str(tokens.get(name, "")))
    return [upload for upload in files.values() if isinstance(upload, Taken)]


def _take(upload: Any, token: str) -> Taken | NotTaken:
    kept = pending_pictures.find(token)
    before = Taken(kept.packed, token) if kept else None
    if upload is None:
        gone = ValidationError("The chosen picture is no longer kept. Choose it again.")
        return before or NotTaken(gone, None)
    try:
        picture = reencode(upload)
    except ValidationError as reason:
        return NotTaken(reason, before, upload.size)
    return Taken(picture.packed, pending_pictures.keep(picture))


class PictureInput(forms.ClearableFileInput):
    """Shows the picture, and carries the token of one that was chosen but is not saved yet."""

    class Media:
        js = ["js/picture_input.js"]

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        widget = self.get_context(name, value, attrs)["widget"]
        return format_html(
            '<div class="picture-input">{}{}{}<output></output></div>',
            self._show(name, value),
            self._offer_removal(widget) if widget["is_initial"] else "",
            self._choose(name, attrs, renderer),
        )

    def _choose(self, name: str, attrs: Any, renderer: Any) -> SafeString:
        limits = {
            "accept": ",".join(f"image/{kind.lower()}" for kind in NAMES),
            "data-most": MOST_BYTES,
        }
        own = self.build_attrs(self.attrs, {**(attrs or {}), **limits})
        return forms.FileInput().render(name, None, own, renderer)

    def _show(self, name: str, value: Any) -> SafeString | str:
        if isinstance(value, Taken):
            smallest = value.encoded.files[min(value.encoded.files)]
            source = f"data:image/webp;base64,{base64.b64encode(smallest).decode()}"
            return format_html(
                '<img src="{}" alt="The chosen picture"> <input type="hidden" name="{}" value="{}">'
                " Chosen, not saved yet. ",
                source,
                f"{name}{_KEPT}",
                value.token,
            )
        if value and hasattr(value, "url"):
            shown = '<a href="{0}"><img src="{0}" alt="The present picture"></a> '
            return format_html(shown, value.url)
        return ""

    def _offer_removal(self, widget: dict[str, Any]) -> SafeString | str:
        if widget["required"]:
            return ""
        return format_html(
            '<span class="remove"><input type="checkbox" name="{0}" id="{1}"> '
            '<label for="{1}">Remove</label></span>',
            widget["checkbox_name"],
            widget["checkbox_id"],
        )


class PictureUpload(forms.FileField):
    """Gives a Reencoded. Django's own ImageField would have every decoder of Pillow look at the file."""

    widget = PictureInput

    def __init__(self, **options: Any) -> None:
        options["help_text"] = options.get("help_text") or HELP
        super().__init__(**options)

    def to_python(self, data: Any) -> Any:
        if isinstance(data, NotTaken):
            raise data.reason
        if data is not None and not isinstance(data, Reencoded):
            data = reencode(data)
        return super().to_python(data)

    def bound_data(self, data: Any, initial: Any) -> Any:
        """In a form with errors, show the picture that is kept, else the saved one."""
        chosen = data.kept if isinstance(data, NotTaken) else data
        return chosen if isinstance(chosen, Taken) else initial
