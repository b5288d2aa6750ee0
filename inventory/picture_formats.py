"""Names of picture formats by a file's first bytes, for messages: staff see why a file is refused."""

import re

HEAD = 1024  # bytes that `name_format` looks at

# Of a box "ftyp", the start of many formats: https://mp4ra.org/registered-types/brands
_BRANDS = {
    b"heic": "HEIC",
    b"heix": "HEIC",
    b"heim": "HEIC",
    b"heis": "HEIC",
    b"hevc": "HEIC",
    b"hevx": "HEIC",
    b"hevm": "HEIC",
    b"hevs": "HEIC",
    b"mif1": "HEIF",
    b"mif2": "HEIF",
    b"msf1": "HEIF",
    b"avif": "AVIF",
    b"avis": "AVIF",
    b"crx ": "Canon raw (CR3)",
}
_STARTS = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"GIF8": "GIF",
    b"II*\0\x10\0\0\0CR": "Canon raw (CR2)",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
    b"II\xbc": "JPEG XR",
    b"8BPS": "PSD (Photoshop)",
    b"gimp xcf": "XCF (GIMP)",
    b"\0\0\1\0": "ICO",
    b"\0\0\2\0": "CUR",
    b"icns": "ICNS",
    b"BM": "BMP",
    b"\0\0\0\x0cjP  ": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000",
    b"\0\0\0\x0cJXL ": "JPEG XL",
    b"\xff\x0a": "JPEG XL",
    b"%PDF": "PDF",
    b"%!PS": "EPS",
    b"\xc5\xd0\xd3\xc6": "EPS",
    b"qoif": "QOI",
    b"DDS ": "DDS",
    b"\xd7\xcd\xc6\x9a": "WMF",
    b"P6\n": "PPM",
    b"P5\n": "PGM",
}
_SVG = re.compile(rb"\A\s*(<\?xml.*?\?>)?\s*(<!--.*?-->\s*)*(<!DOCTYPE\s+svg|<(\w+:)?svg\b)", re.S)


def name_format(head: bytes) -> str:
    """The format of the picture that begins with these bytes, or "" if it is not known."""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WebP"
    if head[4:8] == b"ftyp":
        return _name_by_brand(head)
    if head[:4] == b"\1\0\0\0" and head[40:44] == b" EMF":
        return "EMF"
    if _SVG.match(head.removeprefix(b"\xef\xbb\xbf")):
        return "SVG"
    return next((name for start, name in _STARTS.items() if head.startswith(start)), "")


def _name_by_brand(head: bytes) -> str:
    """By the major brand; a general one, as "mif1", by the first compatible brand that says more."""
    end = min(int.from_bytes(head[:4]), len(head))
    brands = [head[8:12], *(head[at : at + 4] for at in range(16, end, 4))]
    names = [_BRANDS[brand] for brand in brands if brand in _BRANDS]
    return next((name for name in names if name != "HEIF"), names[0] if names else "video")
