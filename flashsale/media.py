"""Product pictures. Their names are digests of what they hold, so a browser may keep them for ever."""

import re

from django.core.files.storage import default_storage
from django.http import Http404, HttpRequest, HttpResponse

_NAME = re.compile(r"\Aproducts/[0-9a-f]{32}(_[A-Za-z0-9]+)?\.webp\Z")


def picture(request: HttpRequest, name: str) -> HttpResponse:
    """The picture kept under `name`; only what `inventory.pictures` has encoded is served."""
    if not _NAME.match(name):
        raise Http404(name)
    try:
        with default_storage.open(name) as opened:
            content = opened.read()  # some 50 kB: `encoded_anew` bounds it
    except FileNotFoundError as error:
        raise Http404(name) from error
    return HttpResponse(
        content,
        content_type="image/webp",
        headers={"Cache-Control": "public, max-age=31536000, immutable"},
    )
