"""Product pictures: decode each upload and encode it anew, so that only pixels are stored, with
smaller copies for small screens."""

import hashlib
from io import BytesIO
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError
from django.core.files.base import ContentFile, File
from django.core.files.storage import Storage
from django.db.models import ImageField, Model
from django.db.models.fields.files import ImageFieldFile
from PIL import Image, ImageOps

LONGEST_EDGE = 1200  # pixels
COPY_WIDTHS = (480, 800)  # pixels; those that are narrower than the picture
MOST_PIXELS = 50_000_000  # a small file can unpack to a huge picture
MOST_BYTES = 10 * 1024 * 1024


def picture_path(instance: Model, filename: str) -> str:
    """The path of a picture below the media folder."""
    return f"products/{filename}"


def reencode(upload: "File[bytes]") -> "ContentFile[bytes]":
    """The picture as WebP, upright, at most LONGEST_EDGE wide and high, named by its content.

    Raises ValidationError if it is not a picture, or too large.
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
    content = _encoded(picture)
    return ContentFile(content, name=f"{hashlib.sha256(content).hexdigest()[:32]}.webp")


def _encoded(picture: Image.Image) -> bytes:
    encoded = BytesIO()
    picture.save(encoded, "WEBP", quality=82)
    return encoded.getvalue()


# --- Smaller copies -------------------------------------------------------------------------------


def store_copies(storage: Storage, name: str, content: "File[bytes]") -> tuple[int, int]:
    """Store the smaller copies of the picture `content` beside `name`, its own path.

    Returns its width and height in pixels. Raises OSError if it is not a picture.
    """
    with Image.open(content) as picture:
        for width in _widths_below(picture.width):
            copy = picture.resize((width, round(picture.height * width / picture.width)))
            # A file of this name is the copy of a deleted picture.
            storage.delete(_copy_name(name, width))
            storage.save(_copy_name(name, width), ContentFile(_encoded(copy)))
        return picture.size


def _widths_below(width: int | None) -> list[int]:
    return [copy for copy in COPY_WIDTHS if width and copy < width]


def _copy_name(name: str, width: int) -> str:
    path = PurePosixPath(name)
    return str(path.with_name(f"{path.stem}-{width}{path.suffix}"))


class Picture(ImageFieldFile):
    """A picture and its smaller copies. Pages compute from the picture's width, which is in the
    database, which copies exist; they do not ask the storage."""

    def save(self, name: str, content: "File[Any]", save: bool = True) -> None:
        super().save(name, content, save=False)
        with self.storage.open(self._stored_name) as stored:
            self.set_size(store_copies(self.storage, self._stored_name, stored))
        if save:
            self.instance.save()

    @property
    def srcset(self) -> str:
        """Every version with its width, for `<img srcset>`; "" if there is only one."""
        versions = [*self._copies, (self._stored_name, self._width)]
        if len(versions) == 1:
            return ""
        return ", ".join(f"{self.storage.url(name)} {width}w" for name, width in versions)

    @property
    def smallest(self) -> str:
        """The URL of the smallest version."""
        return self.storage.url(next(iter(self._copies), (self._stored_name, None))[0])

    @property
    def names(self) -> list[str]:
        """The paths of the picture and its copies."""
        return [self._stored_name, *(name for name, _ in self._copies)]

    @property
    def _copies(self) -> list[tuple[str, int]]:
        return [
            (_copy_name(self._stored_name, width), width) for width in _widths_below(self._width)
        ]

    @property
    def _stored_name(self) -> str:
        assert self.name, "there is no picture"
        return self.name

    @property
    def _width(self) -> int | None:
        width: int | None = getattr(self.instance, f"{self.field.name}_width")
        return width

    def set_size(self, size: tuple[int, int] | tuple[None, None]) -> None:
        for edge, pixels in zip(("width", "height"), size, strict=True):
            setattr(self.instance, f"{self.field.name}_{edge}", pixels)


class PictureField(ImageField):
    """A field for pictures with smaller copies. The model must declare the nullable fields
    `<name>_width` and `<name>_height` after it; saving the picture sets them.

    Django's own `width_field` would open the file of each row without a width as soon as a page
    reads the row, though the file may be missing or on a remote storage.
    """

    attr_class = Picture

    if TYPE_CHECKING:  # what a picture's file is, to mypy

        def __get__(self, instance: object, owner: Any) -> Picture: ...  # type: ignore[override]  # of an instance only

    def pre_save(self, model_instance: Model, add: bool) -> Any:
        picture = super().pre_save(model_instance, add)
        if not picture:
            picture.set_size((None, None))
        return picture

    def deconstruct(self) -> Any:
        """An ordinary ImageField in migrations: the column is the same."""
        name, _, args, kwargs = super().deconstruct()
        return name, "django.db.models.ImageField", args, kwargs
