"""Decode an uploaded picture and encode it anew as WebP, so that only its pixels are kept.

It runs as a process of its own, which `inventory/picture_uploads.py` starts. So the kernel bounds its
memory and time, and has all of the memory back when it ends. In a web process, decoders that hold Python's
lock for a second would stop the clicks of a crowd.
"""

import json
import resource
import sys
import warnings
from collections.abc import Mapping
from io import BytesIO
from typing import IO, Any, NamedTuple

from PIL import (
    AvifImagePlugin,
    GifImagePlugin,
    Image,
    ImageCms,
    ImageOps,
    JpegImagePlugin,
    PngImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
    features,
)

from inventory.picture_formats import HEAD, name_format
from inventory.picture_limits import (
    COPY_WIDTHS,
    LONGEST_EDGE,
    MOST_MEMORY,
    MOST_PIXELS,
    MOST_SECONDS,
)

# Only these decoders ever see an upload. Importing them registers them with Pillow.
_PLUGINS = [JpegImagePlugin, PngImagePlugin, WebPImagePlugin, GifImagePlugin]
FORMATS = ["JPEG", "PNG", "WEBP", "GIF"]
if features.check("avif"):
    FORMATS.append("AVIF")
    _PLUGINS.append(AvifImagePlugin)
NAMES = ["JPEG", "PNG", "WebP", "GIF", "AVIF"][: len(FORMATS)]
READABLE = f"{', '.join(NAMES[:-1])} and {NAMES[-1]}"

_QUALITY = 82  # of WebP; transparency is lossless
_STRIP = 1 << 19  # pixels that are converted at once
_ENOUGH = 3  # reduce by whole numbers while at least this many pixels are left for each one kept


class Refused(Exception):
    """The picture is not taken; the text tells staff why."""


class Encoded(NamedTuple):
    """A picture as the shop keeps it: WebP files by their width, of which the widest is the picture
    itself, its size in pixels, and what staff should know about it."""

    size: tuple[int, int]
    files: Mapping[int, bytes]
    notes: list[str]

    def pack(self) -> bytes:
        head = {
            "size": self.size,
            "notes": self.notes,
            "files": [(width, len(content)) for width, content in self.files.items()],
        }
        return b"\n".join([json.dumps(head).encode(), b"".join(self.files.values())])

    @classmethod
    def unpack(cls, packed: bytes) -> "Encoded":
        """Raises Refused if the process refused the picture."""
        line, _, contents = packed.partition(b"\n")
        head, source = json.loads(line), BytesIO(contents)
        if "refused" in head:
            raise Refused(head["refused"])
        files = {width: source.read(length) for width, length in head["files"]}
        return cls(tuple(head["size"]), files, head["notes"])


def encode(upload: IO[bytes]) -> Encoded:
    """Decode a file and encode it anew: upright, in sRGB, at most LONGEST_EDGE wide and high.

    Raises Refused, and MemoryError beyond MOST_MEMORY where `bound_process` was called.
    """
    with _open(upload) as opened:
        # A photograph of some cameras holds a preview as a second picture (MPO).
        moving = opened.format != "MPO" and getattr(opened, "is_animated", False)
        notes = ["The picture is animated: only its first frame is kept."] if moving else []
        picture = _render(opened, notes)
    return Encoded(picture.size, _encode_widths(picture), notes)


def encode_webp(picture: Image.Image) -> bytes:
    content = BytesIO()
    picture.save(content, "WEBP", quality=_QUALITY)
    return content.getvalue()


def shrink(picture: Image.Image, width: int) -> Image.Image:
    """A copy of that width, at least a pixel high."""
    height = max(1, round(picture.height * width / picture.width))
    return picture.resize((width, height), Image.Resampling.LANCZOS)


def _encode_widths(picture: Image.Image) -> dict[int, bytes]:
    copies = {w: encode_webp(shrink(picture, w)) for w in COPY_WIDTHS if w < picture.width}
    return {**copies, picture.width: encode_webp(picture)}


# --- Open ---------------------------------------------------------------------------------------


def _open(upload: IO[bytes]) -> Image.Image:
    """Read the head of the file. Raises Refused."""
    upload.seek(0)
    name = name_format(upload.read(HEAD))
    upload.seek(0)
    try:
        # Pillow warns from MAX_IMAGE_PIXELS on, and refuses twice as many before a decoder takes memory.
        Image.MAX_IMAGE_PIXELS = MOST_PIXELS // 2
        with warnings.catch_warnings(action="ignore", category=Image.DecompressionBombWarning):
            return Image.open(upload, formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise Refused(f"The picture has more than {MOST_PIXELS // 10**6} megapixels.") from error
    except UnidentifiedImageError as error:
        if name in NAMES:
            raise Refused(f"This {name} picture is damaged: it cannot be read.") from error
        reason = f"a file of the format {name}" if name else "not a picture that can be read"
        raise Refused(f"This is {reason}. Pictures are taken as {READABLE}.") from error


# --- Pixels -------------------------------------------------------------------------------------


def _render(opened: Image.Image, notes: list[str]) -> Image.Image:
    """The picture in RGB, or RGBA if something shows through it. Adds to `notes`."""
    size = _fit(opened.size)
    opened.draft(None, (size[0] * 2, size[1] * 2))  # a JPEG is decoded smaller, in good quality
    opened.info.update(_scaled_transparency(opened))
    opened.load()
    small = _convert_to_srgb(_resample(opened, size), opened, notes)
    small.info.clear()  # of malformed EXIF, Pillow raises an error each time that it reads it
    small.getexif()[0x0112] = _orientation(opened)
    return ImageOps.exif_transpose(small)


def _fit(size: tuple[int, int]) -> tuple[int, int]:
    """Never larger, and never without a pixel, as 20,000 x 10 would be."""
    scale = min(1.0, LONGEST_EDGE / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _orientation(opened: Image.Image) -> int:
    try:
        return int(opened.getexif().get(0x0112, 1))
    except Exception as error:
        # Cameras and editors write all kinds of malformed EXIF, and Pillow raises as many kinds of errors.
        print(f"EXIF cannot be read, so the picture counts as upright: {error!r}", file=sys.stderr)
        return 1


def _scaled_transparency(opened: Image.Image) -> dict[str, Any]:
    """The colour that a PNG declares transparent, as its pixels have it: Pillow scales these to 8 bits per
    channel, and leaves the colour in the file's own."""
    colour = opened.info.get("transparency")
    stored = str(opened.tile[0].args) if isinstance(opened, PngImagePlugin.PngImageFile) else ""
    if colour is None or stored not in ("L;2", "L;4", "RGB;16B"):
        return {}
    if stored == "RGB;16B":
        return {"transparency": tuple(channel >> 8 for channel in colour)}
    return {"transparency": colour * {"L;2": 85, "L;4": 17}[stored]}


def _resample(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Resize in L, RGB, CMYK or RGBA. Converts and resizes horizontally in strips, then vertically, so
    that no second copy of a large picture is made."""
    if picture.size == size:
        return _convert(picture)
    width, height = picture.size
    by = max(1, int(max(width / size[0], height / size[1]) / _ENOUGH))
    rows = max(1, _STRIP // width // by) * by
    narrow = None
    for top in range(0, height, rows):
        strip = _convert(picture.crop((0, top, width, min(top + rows, height)))).reduce(by)
        across = (0.0, 0.0, width / by, float(strip.height))
        strip = strip.resize((size[0], strip.height), Image.Resampling.LANCZOS, across)
        narrow = narrow or Image.new(strip.mode, (size[0], -(-height // by)))
        narrow.paste(strip, (0, top // by))
    assert narrow, "a picture has a row"
    down = (0.0, 0.0, float(size[0]), height / by)
    return narrow.resize(size, Image.Resampling.LANCZOS, down)


def _convert(strip: Image.Image) -> Image.Image:
    """In L, RGB or CMYK; in RGBA if something shows through."""
    if strip.mode == "I;16":
        strip = _reduce_to_8_bits(strip)
    if strip.has_transparency_data:
        return strip.convert("RGBA")
    if strip.mode in ("L", "RGB", "CMYK"):
        return strip
    return strip.convert("L" if strip.mode == "1" else "RGB")


def _reduce_to_8_bits(strip: Image.Image) -> Image.Image:
    """Scale 16 bits to 8, which Pillow's own conversion clips to white."""
    clear, wide = strip.info.pop("transparency", None), strip.convert("I")
    grey = wide.point([(value + 128) // 257 for value in range(65536)], "L")
    if clear is None:
        return grey
    alpha = wide.point([0 if value == clear else 255 for value in range(65536)], "L")
    return Image.merge("LA", (grey, alpha))


# --- Colours ------------------------------------------------------------------------------------

_GREY = ("1", "L", "LA", "I;16")
_NEEDS = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}  # by a profile's colour space


def _convert_to_srgb(small: Image.Image, opened: Image.Image, notes: list[str]) -> Image.Image:
    alpha = small.getchannel("A") if small.mode == "RGBA" else None
    plain = small.convert("RGB") if alpha else small
    picture = _apply_profile(plain, opened, notes).convert("RGB")
    if alpha and alpha.getextrema() != (255, 255):
        picture.putalpha(alpha)
    return picture


def _apply_profile(plain: Image.Image, opened: Image.Image, notes: list[str]) -> Image.Image:
    """Convert by the file's colour profile. Without one, or with one that does not fit, the colours are
    taken as they are; browsers do the same."""
    content = opened.info.get("icc_profile")
    if not content:
        return plain
    try:
        profile = ImageCms.ImageCmsProfile(BytesIO(content))
        needed = _NEEDS[profile.profile.xcolor_space]
        if needed != plain.mode and (needed == "CMYK" or plain.mode == "CMYK"):
            raise ValueError(f"a profile of {needed} in a picture of {plain.mode}")
        if needed == "L" and opened.mode not in _GREY:
            raise ValueError(f"a profile of grey in a picture of {opened.mode}")
        converted = ImageCms.profileToProfile(
            plain.convert(needed),
            profile,
            ImageCms.createProfile("sRGB"),
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            "RGB",
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, OSError, ValueError, KeyError) as error:
        print(f"the colour profile cannot be used: {error!r}", file=sys.stderr)
        notes.append("The picture's colour profile cannot be used: compare the colours.")
        return plain
    assert converted, "it is not converted in place"
    return converted


# --- The process --------------------------------------------------------------------------------


def bound_process() -> None:
    """Bound this process' memory and processor time, where the kernel can: not on macOS."""
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # each takes memory
    PngImagePlugin.MAX_TEXT_CHUNK = 8 * 1024 * 1024  # a compressed colour profile may have so much
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (MOST_SECONDS, MOST_SECONDS))
    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))


def answer(upload: IO[bytes]) -> bytes:
    """The encoded picture, packed, or why it is refused."""
    try:
        return encode(upload).pack()
    except Refused as refusal:
        reason = str(refusal)
    except MemoryError:
        reason = "The picture takes too much memory. Save it smaller."
    except Exception as error:
        # Whatever a decoder raises, the file is not one that it can read.
        print(f"a picture cannot be read: {error!r}", file=sys.stderr)
        reason = "The picture is damaged or incomplete: it cannot be read."
    return json.dumps({"refused": reason}).encode()


if __name__ == "__main__":
    bound_process()
    sys.stdout.buffer.write(answer(sys.stdin.buffer))
