"""Take an uploaded picture: start the process that decodes it, one at a time, and give what it made."""

import hashlib
import logging
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.files.base import ContentFile, File

from inventory.picture_limits import LONGEST_EDGE, MOST_BYTES, MOST_PIXELS
from inventory.picture_reencoder import READABLE, Encoded, Refused

log = logging.getLogger(__name__)

HELP = (
    f"{READABLE}, at most {MOST_BYTES // 10**6} MB and {MOST_PIXELS // 10**6} megapixels. "
    f"Kept at most {LONGEST_EDGE:,} pixels wide and high."
)
QUEUE_SECONDS = 10.0  # for the pictures of others; a proxy waits 60 s for an answer
DECODE_SECONDS = 45.0  # for a process that does not use its processor time

_one = threading.BoundedSemaphore()


class Reencoded(ContentFile):  # type: ignore[type-arg]  # it has no arguments when it runs
    """A picture as the shop keeps it, named by its content, with its smaller copies."""

    def __init__(self, packed: bytes) -> None:
        """Raises Refused if `packed` is a refusal."""
        self.packed = packed
        self.encoded = Encoded.unpack(packed)
        content = self.encoded.files[self.encoded.size[0]]
        super().__init__(content, name=f"{hashlib.sha256(content).hexdigest()[:32]}.webp")


def reencode(upload: "File[bytes]") -> Reencoded:
    """Decode a file and encode it anew, in another process: upright, in sRGB, without anything but pixels.

    Raises ValidationError if it is not taken. It takes seconds: call it outside transactions.
    """
    size = upload.size or 0
    if size > MOST_BYTES:
        raise ValidationError(
            f"The picture has {size / 10**6:.1f} MB. At most {MOST_BYTES // 10**6} MB are taken: "
            "save it as JPEG, which seldom has more than 10 MB."
        )
    try:
        with _spooled(upload) as spooled:
            return Reencoded(_one_at_a_time(lambda: _run_decoder(spooled)))
    except Refused as refusal:
        raise ValidationError(str(refusal)) from refusal


@contextmanager
def _spooled(upload: "File[bytes]") -> Iterator[IO[bytes]]:
    """The upload as a file that another process can read."""
    with tempfile.TemporaryFile() as spooled:
        upload.seek(0)
        for chunk in upload.chunks():
            spooled.write(chunk)
        spooled.flush()
        yield spooled


def _one_at_a_time(work: Callable[[], bytes]) -> bytes:
    """Several at once would take several times the memory. Raises Refused."""
    if not _one.acquire(timeout=QUEUE_SECONDS):
        raise Refused("The shop is busy with other pictures. Send the form again in a minute.")
    try:
        return work()
    finally:
        _one.release()


def _run_decoder(spooled: IO[bytes]) -> bytes:
    """Raises Refused if the process does not end well: the kernel ends one that exceeds its bounds."""
    command = [sys.executable, "-m", "inventory.picture_reencoder"]
    try:
        ended = subprocess.run(
            command,
            cwd=settings.BASE_DIR,
            stdin=spooled,
            capture_output=True,
            timeout=DECODE_SECONDS,
            check=True,
        )
    except subprocess.TimeoutExpired as error:
        raise Refused("The picture takes too long to read. Save it smaller.") from error
    except subprocess.CalledProcessError as error:
        log.warning("the decoder ended with %d: %s", error.returncode, _text(error.stderr))
        raise Refused("The picture cannot be read: it ended the program that reads it.") from error
    if ended.stderr:
        log.info("%s", _text(ended.stderr))
    return ended.stdout


def _text(stderr: bytes) -> str:
    return stderr.decode(errors="replace").strip()
