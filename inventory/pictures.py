"""Product pictures: whatever is uploaded is decoded and encoded anew, so that only a picture is kept."""

import hashlib
from io import BytesIO

from django.core.exceptions import ValidationError
from django.core.files.base import ContentFile, File
from django.db.models import Model
from PIL import Image, ImageOps

LONGEST_EDGE = 1200  # pixels
MOST_PIXELS = 50_000_000  # a small file can unpack to a huge picture
MOST_BYTES = 10 * 1024 * 1024


def picture_path(instance: Model, filename: str) -> str:
    """Where a picture is kept, below the media folder."""
    return f"products/{filename}"


def encoded_anew(upload: "File[bytes]") -> "ContentFile[bytes]":
    """The picture as WebP, upright, at most LONGEST_EDGE wide and high, named by its content.

    Raises ValidationError for what is no picture, or an unreasonably large one.
    """
    if (upload.size or 0) > MOST_BYTES:
        raise ValidationError("The picture is larger than 10 MB.")
    try:
        with Image.open(upload) as opened:
            if opened.width * opened.height > MOST_PIXELS:
                raise ValidationError("The picture has more than 50 million pixels.")
            picture = ImageOps.exif_transpose(opened).convert("RGB")
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValidationError("This is not a picture that can be read.") from error
    picture.thumbnail((LONGEST_EDGE, LONGEST_EDGE))
    encoded = BytesIO()
    picture.save(encoded, "WEBP", quality=82)
    content = encoded.getvalue()
    return ContentFile(content, name=f"{hashlib.sha256(content).hexdigest()[:32]}.webp")
