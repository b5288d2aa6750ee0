"""Pictures that take much memory to decode, of little size on disk."""

import struct
import zlib
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any

from PIL import Image

EDGE = 5000  # pixels: 25 megapixels, the most that are taken


def _saved(picture: Image.Image, kind: str, **options: Any) -> bytes:
    content = BytesIO()
    picture.save(content, kind, **options)
    return content.getvalue()


def _plain(mode: str, edge: int = EDGE) -> Image.Image:
    """A picture with different colours, which compresses well."""
    slope = Image.linear_gradient("L").resize((edge, edge))
    bands = [slope.rotate(90 * turn) for turn in range(len(Image.new(mode, (1, 1)).getbands()))]
    return Image.merge(mode, bands) if len(bands) > 1 else slope.convert(mode)


def png(width: int, height: int, depth: int, colour: int, *extra: bytes, byte: int = 0) -> bytes:
    """A PNG whose pixels are all of this byte, written row by row; `extra` are chunks before them.

    `colour` is PNG's colour type: 0 grey, 2 RGB, 4 grey with alpha, 6 RGBA.
    """
    channels = {0: 1, 2: 3, 4: 2, 6: 4}[colour]
    row = b"\0" + bytes([byte]) * ((width * channels * depth + 7) // 8)
    packer = zlib.compressobj(1)
    packed = b"".join([*(packer.compress(row) for _ in range(height)), packer.flush()])
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    chunks = [_chunk(b"IHDR", head), *extra, _chunk(b"IDAT", packed), _chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _chunk(kind: bytes, content: bytes) -> bytes:
    checked = kind + content
    return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))


def _bomb(kind: bytes) -> bytes:
    """A chunk whose compressed text has 200 MB."""
    return _chunk(kind, b"name\0\0" + zlib.compress(bytes(200_000_000), 9))


def _webp_of_size(edge: int) -> bytes:
    """The head of a WebP of this size, without pixels."""
    size = (edge - 1).to_bytes(3, "little") * 2
    return b"RIFF\x1e\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + size


def _gif_of_screen(edge: int) -> bytes:
    """A GIF with a large screen and one small frame."""
    small = _saved(Image.new("P", (2, 2)), "GIF")
    return small[:6] + struct.pack("<HH", edge, edge) + small[10:]


def _icon() -> bytes:
    """An ICO with a PNG of 49 megapixels in it."""
    inside = png(7000, 7000, 8, 6)
    entry = struct.pack("<BBBBHHII", 0, 0, 0, 0, 1, 32, len(inside), 22)
    return b"\0\0\1\0\1\0" + entry + inside


def _mac_icon() -> bytes:
    inside = png(7000, 7000, 8, 6)
    size = len(inside) + 8
    return b"icns" + struct.pack(">I", size + 8) + b"ic10" + struct.pack(">I", size) + inside


TAKEN: dict[str, Callable[[], bytes]] = {
    "PNG, RGBA": lambda: _saved(_plain("RGBA"), "PNG", compress_level=1),
    "PNG, RGBA, 16 bits": lambda: png(EDGE, EDGE, 16, 6),
    "PNG, RGB, 16 bits": lambda: png(EDGE, EDGE, 16, 2),
    "PNG, grey, 16 bits": lambda: png(EDGE, EDGE, 16, 0),
    "PNG, grey and alpha": lambda: png(EDGE, EDGE, 8, 4),
    "PNG, 25,000,000 x 1": lambda: png(25_000_000, 1, 8, 6),
    "PNG, 1 x 25,000,000": lambda: png(1, 25_000_000, 8, 6),
    "JPEG": lambda: _saved(_plain("RGB"), "JPEG"),
    "JPEG, progressive, 4:4:4": lambda: _saved(
        _plain("RGB"), "JPEG", progressive=True, subsampling=0
    ),
    "JPEG, CMYK": lambda: _saved(_plain("CMYK"), "JPEG"),
    "JPEG, CMYK, progressive": lambda: _saved(_plain("CMYK"), "JPEG", progressive=True),
    "JPEG, 4,000 x 4,000": lambda: _saved(_plain("RGB", 4000), "JPEG"),
    "GIF": lambda: _saved(_plain("P"), "GIF"),
    "WebP": lambda: _saved(_plain("RGB"), "WEBP", method=0),
    "WebP, lossless": lambda: _saved(_plain("RGBA"), "WEBP", lossless=True, method=0),
    "AVIF": lambda: _saved(_plain("RGBA"), "AVIF", speed=10),
}
REFUSED: dict[str, Callable[[], bytes]] = {
    "PNG, 49 megapixels": lambda: png(7000, 7000, 8, 6),
    "PNG, one row too many": lambda: png(5000, 5001, 8, 6),
    "PNG, a profile that unpacks to 200 MB": lambda: png(9, 9, 8, 6, _bomb(b"iCCP")),
    "PNG, a text that unpacks to 200 MB": lambda: png(9, 9, 8, 6, _bomb(b"zTXt")),
    "JPEG, 49 megapixels": lambda: _saved(_plain("RGB", 7000), "JPEG"),
    "JPEG, cut off": lambda: _saved(_plain("RGB"), "JPEG")[:-20_000],
    "GIF, a screen of 4,294 megapixels": lambda: _gif_of_screen(65_535),
    "WebP, 268 megapixels": lambda: _webp_of_size(16_383),
    "ICO": _icon,
    "ICNS": _mac_icon,
    "TIFF": lambda: _saved(_plain("RGB", 2000), "TIFF"),
    "BMP": lambda: _saved(_plain("L", 3000), "BMP"),
    "HEIC": lambda: b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(1000),
    "SVG": lambda: b'<svg xmlns="http://www.w3.org/2000/svg"/>',
    "more than 16 MB": lambda: bytes(16_000_001),
}


def all_samples(only: str = "") -> Iterator[tuple[str, bytes]]:
    for name, make in {**TAKEN, **REFUSED}.items():
        if only in name:
            yield name, make()
