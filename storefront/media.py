"""`GET /media/products/<name>`: product pictures.

Their names are digests of what they hold, so a browser may keep them for ever. A crowd loads them in the
same second as its page: each is read once, and the latest are kept.
"""

import asyncio
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor

from django.core.files.storage import default_storage

from flashsale.concurrency import SingleFlight
from flashsale.database import PATIENCE
from flashsale.http.request import Request
from flashsale.http.response import FOR_EVER, PLAIN, Response

# What `inventory.pictures` encodes, and its smaller copies by their width.
NAME = r"products/[0-9a-f]{32}(?:_[A-Za-z0-9]+)?(?:-[0-9]{2,4})?\.webp"

_MOST_KEPT = 64  # pictures of some 50 kB

_kept: OrderedDict[str, bytes] = OrderedDict()
# Threads of their own: questions that hang in PostgreSQL must not hold up pictures.
_readers = ThreadPoolExecutor(4, thread_name_prefix="pictures")


async def picture(request: Request, name: str) -> Response:
    """The picture kept under `name`, which is a NAME."""
    if request.method not in ("GET", "HEAD"):
        return Response(405, b"Only GET and HEAD\n", PLAIN, ((b"allow", b"GET, HEAD"),))
    try:
        content = await _content(name)
    except FileNotFoundError:
        return Response(404, b"No such picture\n", PLAIN)
    except TimeoutError:
        return Response(503, b"Please try again\n", PLAIN, ((b"retry-after", b"1"),))
    return Response(200, content, b"image/webp", kept_by=FOR_EVER)


async def _content(name: str) -> bytes:
    """Raises FileNotFoundError, and TimeoutError where the storage does not answer within PATIENCE."""
    if name in _kept:
        _kept.move_to_end(name)
        return _kept[name]
    return await asyncio.wait_for(_reading(name), PATIENCE)


async def _read(name: str) -> bytes:
    content = await asyncio.get_running_loop().run_in_executor(_readers, _stored, name)
    _kept[name] = content
    if len(_kept) > _MOST_KEPT:
        _kept.popitem(last=False)
    return content


_reading = SingleFlight(_read)


def _stored(name: str) -> bytes:
    with default_storage.open(name) as opened:
        return bytes(opened.read())
