"""`GET /media/products/<name>`: product pictures.

A picture's name is a digest of its content, so browsers may cache it for ever. A crowd loads the
pictures in the same second as the page: each is read once, and the last used are kept in memory.
"""

import asyncio
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor

from django.core.files.storage import default_storage

from flashsale.concurrency import SingleFlight
from flashsale.database import PATIENCE
from flashsale.http.request import Request
from flashsale.http.response import FOR_EVER, PLAIN, Response

_MOST_KEPT = 64  # pictures of some 50 kB

_kept: OrderedDict[str, bytes] = OrderedDict()
# Separate threads: queries that hang in PostgreSQL must not delay pictures.
_readers = ThreadPoolExecutor(4, thread_name_prefix="pictures")


async def picture(request: Request, name: str) -> Response:
    """Serve the picture with that name, which matches `inventory/pictures.py` NAME."""
    if request.method not in ("GET", "HEAD"):
        return Response(405, b"Only GET and HEAD\n", PLAIN, ((b"allow", b"GET, HEAD"),))
    try:
        content = await _read_cached(name)
    except FileNotFoundError:
        return Response(404, b"No such picture\n", PLAIN)
    except TimeoutError:
        return Response(503, b"Please try again\n", PLAIN, ((b"retry-after", b"1"),))
    return Response(200, content, b"image/webp", caching=FOR_EVER)


async def _read_cached(name: str) -> bytes:
    """Raises FileNotFoundError, or TimeoutError if the storage takes longer than PATIENCE."""
    if name in _kept:
        _kept.move_to_end(name)
        return _kept[name]
    return await asyncio.wait_for(_read_shared(name), PATIENCE)


async def _read(name: str) -> bytes:
    content = await asyncio.get_running_loop().run_in_executor(_readers, _read_file, name)
    _kept[name] = content
    if len(_kept) > _MOST_KEPT:
        _kept.popitem(last=False)
    return content


_read_shared = SingleFlight(_read)


def _read_file(name: str) -> bytes:
    with default_storage.open(name) as opened:
        return bytes(opened.read())
