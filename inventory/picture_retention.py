"""Remove pictures that nothing uses any more: replaced ones, and those of forms that were not saved.

Not at once, because pages that were made before still show them. A file is marked when it is first found
unused, and removed if it is still unused KEPT later. So it does not matter how it went out of use.
"""

import re
from collections.abc import Iterator
from datetime import timedelta

from django.apps import apps
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import connection
from django.utils import timezone

from inventory import pending_pictures
from inventory.pictures import FOLDER, NAME, PictureField, names_of

KEPT = timedelta(days=1)  # since it was found unused
MARKS = "unused"  # the folder of the marks: their age says since when


def remove_unused(*, really: bool = True) -> int:
    """Remove files unused for KEPT, mark those that now are, and remove old pending pictures.

    Returns how many files of pictures are removed; with `really` false, only counts them.
    """
    stored = _stored()  # before the database is read: a picture is stored first, and used then
    unused = stored - _used()
    due = [name for name in unused if _is_due(name)]
    if really:
        pending_pictures.remove_old()
        for name in due:
            default_storage.delete(f"{FOLDER}/{name}")
        for name in _list(MARKS) - (unused - set(due)):
            default_storage.delete(f"{MARKS}/{name}")
        for name in unused - set(due) - _list(MARKS):
            default_storage.save(f"{MARKS}/{name}", ContentFile(b""))
    return len(due)


def _stored() -> set[str]:
    return {name for name in _list(FOLDER) if re.fullmatch(NAME, f"{FOLDER}/{name}")}


def _list(folder: str) -> set[str]:
    return set(default_storage.listdir(folder)[1]) if default_storage.exists(folder) else set()


def _used() -> set[str]:
    return {path.removeprefix(f"{FOLDER}/") for path in _used_paths()}


def _used_paths() -> Iterator[str]:
    for model in apps.get_models():
        fields = [field for field in model._meta.fields if isinstance(field, PictureField)]
        for field in fields:
            for row in model._base_manager.exclude(**{field.name: ""}).iterator():
                yield from getattr(row, field.name).names
    # Processes of the last release show these, and the way back from the migration needs them.
    with connection.cursor() as cursor:
        cursor.execute("SELECT picture, picture_width FROM inventory_product WHERE picture <> ''")
        for name, width in cursor.fetchall():
            yield from names_of(name, width)


def _is_due(name: str) -> bool:
    mark = f"{MARKS}/{name}"
    if not default_storage.exists(mark):
        return False
    return default_storage.get_modified_time(mark) + KEPT <= timezone.now()
