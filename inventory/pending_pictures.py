"""Keep the picture of a form that came back with errors, so that it need not be chosen again.

The pictures lie in a folder of the storage that no page shows; the form carries a signed name.
"""

from contextlib import suppress
from datetime import datetime, timedelta
from uuid import uuid4

from django.core import signing
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.utils import timezone

from inventory.picture_uploads import Reencoded

FOLDER = "pending"
MOST = 50  # of some 200 kB; the oldest go first
LONGEST = timedelta(days=1)

_signer = signing.TimestampSigner(salt="inventory.pending_pictures")


def keep(picture: Reencoded) -> str:
    """Keep the picture. Returns the token by which `find` returns it."""
    path = default_storage.save(f"{FOLDER}/{uuid4().hex}", ContentFile(picture.packed))
    remove_old()
    return _signer.sign(path)


def find(token: str) -> Reencoded | None:
    """The picture kept under this token; None if it is no longer kept, or the token is not the shop's."""
    try:
        path = _signer.unsign(token, max_age=LONGEST)
        with default_storage.open(path) as kept:
            return Reencoded(kept.read())
    except (signing.BadSignature, FileNotFoundError):
        return None


def drop(token: str) -> None:
    """Stop keeping the picture. Raises BadSignature if the token is not the shop's."""
    default_storage.delete(_signer.unsign(token))


def remove_old() -> None:
    """Remove those that are older than LONGEST, or too many."""
    if not default_storage.exists(FOLDER):
        return
    paths = [f"{FOLDER}/{name}" for name in default_storage.listdir(FOLDER)[1]]
    kept = sorted(((_since(path), path) for path in paths), reverse=True)
    start = timezone.now() - LONGEST
    for number, (since, path) in enumerate(kept):
        if number >= MOST or since < start:
            default_storage.delete(path)


def _since(path: str) -> datetime:
    # Another process may have removed it meanwhile.
    with suppress(FileNotFoundError):
        return default_storage.get_modified_time(path)
    return timezone.now()
