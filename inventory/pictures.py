"""Product pictures as the database has them, with smaller copies for small screens.

`reencode` makes a picture of an upload; assigned to a PictureField, it is stored when the row is saved.
"""

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from django.core.files.base import ContentFile, File
from django.core.files.storage import Storage
from django.db.models import ImageField, Model
from django.db.models.fields.files import ImageFieldFile
from PIL import Image

from inventory.picture_field import PictureInput, PictureUpload
from inventory.picture_limits import COPY_WIDTHS
from inventory.picture_reencoder import encode_webp, shrink
from inventory.picture_uploads import Reencoded
from inventory.picture_uploads import reencode as reencode

FOLDER = "products"  # below the media folder
# A digest of the content, the storage's ending if there was such a file, and a copy's width.
NAME = rf"{FOLDER}/[0-9a-f]{{32}}(?:_[A-Za-z0-9]+)?(?:-[0-9]{{2,4}})?\.webp"


def picture_path(instance: Model, filename: str) -> str:
    """The path of a picture below the media folder."""
    return f"{FOLDER}/{filename}"


# --- Smaller copies -------------------------------------------------------------------------------


def store_copies(storage: Storage, name: str, content: "File[bytes]") -> tuple[int, int]:
    """Store the smaller copies of the stored picture `content` beside `name`, its own path.

    Returns its width and height in pixels. Raises OSError if it is not a picture.
    """
    with Image.open(content, formats=["WEBP"]) as picture:
        widths = _widths_below(picture.width)
        _store(storage, name, {width: encode_webp(shrink(picture, width)) for width in widths})
        return picture.size


def _store(storage: Storage, name: str, copies: Mapping[int, bytes]) -> None:
    for width, content in copies.items():
        # A file of this name is the copy of a deleted picture.
        storage.delete(_copy_name(name, width))
        storage.save(_copy_name(name, width), ContentFile(content))


def _widths_below(width: int | None) -> list[int]:
    return [copy for copy in COPY_WIDTHS if width and copy < width]


def _copy_name(name: str, width: int) -> str:
    path = PurePosixPath(name)
    return str(path.with_name(f"{path.stem}-{width}{path.suffix}"))


def names_of(name: str, width: int | None) -> list[str]:
    """The paths of the stored picture `name`, so many pixels wide, and of its copies."""
    return [name, *(_copy_name(name, copy) for copy in _widths_below(width))]


class PictureFile(ImageFieldFile):
    """A picture and its smaller copies. Pages compute from the picture's width, which is in the
    database, which copies exist; they do not ask the storage."""

    def save(self, name: str, content: "File[Any]", save: bool = True) -> None:
        super().save(name, content, save=False)
        self.set_size(self._save_copies(content))
        if save:
            self.instance.save()

    def _save_copies(self, content: "File[Any]") -> tuple[int, int]:
        if isinstance(content, Reencoded):
            width, height = content.encoded.size
            copies = {w: content.encoded.files[w] for w in _widths_below(width)}
            _store(self.storage, self._stored_name, copies)
            return width, height
        with self.storage.open(self._stored_name) as stored:
            return store_copies(self.storage, self._stored_name, stored)

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
        return names_of(self._stored_name, self._width)

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

    attr_class = PictureFile

    if TYPE_CHECKING:  # what a picture's file is, to mypy

        def __get__(self, instance: object, owner: Any) -> PictureFile: ...  # type: ignore[override]  # of an instance only

    def pre_save(self, model_instance: Model, add: bool) -> Any:
        picture = super().pre_save(model_instance, add)
        if not picture:
            picture.set_size((None, None))
        return picture

    def formfield(self, **options: Any) -> Any:
        # Admin has a widget of its own for Django's ImageField, which shows a path.
        own: dict[str, Any] = {"form_class": PictureUpload, "widget": PictureInput}
        return super().formfield(**{**options, **own})

    def deconstruct(self) -> Any:
        """An ordinary ImageField in migrations: the column is the same."""
        name, _, args, kwargs = super().deconstruct()
        return name, "django.db.models.ImageField", args, kwargs
