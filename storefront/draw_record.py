"""`GET /sales/<slug>/draw/entries.txt`: the published record of a draw, for everybody and every cache."""

from django.http import Http404, HttpRequest, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import get_conditional_response
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from flashsale.database import in_thread
from flashsale.middleware import try_again
from orders.draws import publication

WAIT = 10  # seconds until it makes sense to ask again while others download


@csrf_exempt  # it takes no form: another method is a 405, not a lack of a token
@require_safe
async def record(request: HttpRequest, slug: str) -> HttpResponseBase:
    """Stream the record; 404 until the seed is revealed. From then on it never changes.

    503 with Retry-After while as many others download it as a process serves at once."""
    found = await in_thread(publication.find_published, slug)
    if found is None:
        raise Http404
    sale, header = found
    headers = {
        "Cache-Control": "public, max-age=31536000, immutable",
        "ETag": f'"{publication.tag_of(header)}"',
    }
    if (known := get_conditional_response(request, headers["ETag"])) is not None:
        for name, value in headers.items():
            known[name] = value
        return known
    try:
        pieces = await publication.start_download(sale.pk, header)
    except publication.DownloadsRunning:
        return try_again(request, "busy", WAIT)
    headers["Content-Disposition"] = f'attachment; filename="draw-{sale.slug}.txt"'
    return StreamingHttpResponse(pieces, content_type="text/plain; charset=utf-8", headers=headers)
