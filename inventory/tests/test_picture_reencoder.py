"""A picture keeps its look: transparency, depth, colours, orientation and shape."""

import struct
import zlib
from io import BytesIO
from typing import Any

import pytest
from PIL import Image, ImageCms, ImageDraw

from bench.picture_samples import png
from inventory.picture_formats import name_format
from inventory.picture_reencoder import READABLE, Refused, encode

CLEAR, RED, GREEN = (0, 0, 0, 0), (255, 0, 0, 255), (0, 255, 0, 255)
NEAR = 6  # of 255: WebP is lossy


def saved(picture: Image.Image, kind: str, **options: Any) -> BytesIO:
    content = BytesIO()
    picture.save(content, kind, **options)
    return content


def kept(upload: BytesIO) -> Image.Image:
    encoded = encode(upload)
    return Image.open(BytesIO(encoded.files[encoded.size[0]]))


def looks_like(picture: Image.Image, colour: tuple[int, ...], x: float = 0.5) -> bool:
    at = (int(picture.width * x), picture.height // 2)
    pixel: Any = picture.convert("RGBA").getpixel(at)
    if colour[3] == 0:
        return bool(pixel[3] == 0)
    return all(abs(one - other) <= NEAR for one, other in zip(pixel, colour, strict=True))


def cut_out(mode: str, edge: int = 100) -> Image.Image:
    """A red disc on a transparent background, whose hidden colour is green."""
    picture = Image.new("RGBA", (edge, edge), (0, 255, 0, 0))
    ImageDraw.Draw(picture).ellipse((edge // 4, edge // 4, edge * 3 // 4, edge * 3 // 4), RED)
    return picture.convert(mode)


# --- Transparency -----------------------------------------------------------------------------


@pytest.mark.parametrize("edge", [100, 1300])
@pytest.mark.parametrize(
    ("kind", "options"),
    [("PNG", {}), ("WEBP", {"lossless": True}), ("WEBP", {}), ("AVIF", {"quality": 90})],
)
def test_a_transparent_background_stays_transparent(
    kind: str, options: dict[str, Any], edge: int
) -> None:
    picture = kept(saved(cut_out("RGBA", edge), kind, **options))
    assert looks_like(picture, CLEAR, 0)
    assert looks_like(picture, RED)


def test_hidden_colours_do_not_bleed_into_an_edge_when_a_picture_is_made_smaller() -> None:
    picture = kept(saved(cut_out("RGBA", 1500), "PNG")).convert("RGBA")
    seen = [picture.getpixel((x, 600)) for x in range(picture.width)]
    assert all(pixel[1] <= 3 * NEAR for pixel in seen if pixel[3] > 100)  # type: ignore[index]  # of RGBA


def test_a_transparent_colour_of_a_palette_is_kept() -> None:
    picture = Image.new("P", (30, 20), 0)
    picture.putpalette([0, 0, 0, 255, 0, 0])
    picture.paste(1, (15, 0, 30, 20))
    for kind in ("PNG", "GIF"):
        shown = kept(saved(picture, kind, transparency=0))
        assert looks_like(shown, CLEAR, 0.2)
        assert looks_like(shown, RED, 0.8)


def test_the_half_transparent_colours_of_a_palette_are_kept() -> None:
    picture = Image.new("P", (30, 20), 0)
    picture.putpalette([255, 0, 0])
    assert looks_like(kept(saved(picture, "PNG", transparency=b"\x80")), (255, 0, 0, 128))


def test_grey_with_transparency_is_kept() -> None:
    shown = kept(saved(Image.new("LA", (30, 20), (200, 100)), "PNG"))
    assert looks_like(shown, (200, 200, 200, 100))


@pytest.mark.parametrize(
    ("depth", "colour", "value"), [(1, 0, 1), (2, 0, 3), (4, 0, 15), (8, 0, 0), (16, 0, 0)]
)
def test_a_colour_that_a_png_declares_transparent_is_so_at_every_depth(
    depth: int, colour: int, value: int
) -> None:
    """All pixels are black: the declared colour is either theirs, or white."""
    declared = struct.pack(">H", value)
    shown = kept(BytesIO(png(30, 20, depth, colour, chunk(b"tRNS", declared))))
    assert looks_like(shown, CLEAR if value == 0 else (0, 0, 0, 255))


@pytest.mark.parametrize(("depth", "white"), [(2, 3), (4, 15)])
def test_white_that_is_declared_transparent_is_so_at_small_depths(depth: int, white: int) -> None:
    content = png(32, 20, depth, 0, chunk(b"tRNS", struct.pack(">H", white)), byte=0xFF)
    assert looks_like(kept(BytesIO(content)), (255, 255, 255, 0))


def test_a_transparent_colour_of_16_bits_per_channel_is_kept() -> None:
    declared = struct.pack(">HHH", 0x8080, 0x8080, 0x8080)
    content = png(30, 20, 16, 2, chunk(b"tRNS", declared), byte=0x80)
    assert looks_like(kept(BytesIO(content)), (128, 128, 128, 0))


def test_an_opaque_picture_has_no_channel_for_transparency() -> None:
    assert kept(saved(Image.new("RGBA", (30, 20), RED), "PNG")).mode == "RGB"


def chunk(kind: bytes, content: bytes) -> bytes:
    checked = kind + content
    return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))


# --- Depth and colours ------------------------------------------------------------------------


@pytest.mark.parametrize("colour", [0, 2, 4, 6])
@pytest.mark.parametrize("size", [(30, 20), (2400, 20)])
def test_16_bits_per_channel_are_scaled(colour: int, size: tuple[int, int]) -> None:
    shown = kept(BytesIO(png(*size, 16, colour, byte=0x80)))
    assert looks_like(shown, (128, 128, 128, 128 if colour in (4, 6) else 255))


def test_black_and_white_of_one_bit_are_kept() -> None:
    picture = Image.new("1", (30, 20), 1)
    picture.paste(0, (15, 0, 30, 20))
    shown = kept(saved(picture, "PNG"))
    assert looks_like(shown, (255, 255, 255, 255), 0.2)
    assert looks_like(shown, (0, 0, 0, 255), 0.8)


def test_cmyk_without_a_profile_is_neither_black_nor_inverted() -> None:
    shown = kept(saved(Image.new("CMYK", (30, 20), (0, 255, 255, 0)), "JPEG"))
    assert looks_like(shown, (255, 0, 0, 255))


def test_a_wide_profile_is_converted() -> None:
    wide = kept(
        saved(Image.new("RGB", (30, 20), (128, 200, 60)), "PNG", icc_profile=wide_profile())
    )
    assert "icc_profile" not in wide.info
    expected = ImageCms.profileToProfile(
        Image.new("RGB", (1, 1), (128, 200, 60)),
        ImageCms.ImageCmsProfile(BytesIO(wide_profile())),
        ImageCms.createProfile("sRGB"),
        ImageCms.Intent.RELATIVE_COLORIMETRIC,
    )
    assert expected
    colour: Any = expected.getpixel((0, 0))
    assert max(abs(a - b) for a, b in zip(colour, (128, 200, 60), strict=True)) > 4 * NEAR
    assert looks_like(wide, (*colour, 255))


def test_a_transparent_picture_with_a_profile_stays_transparent() -> None:
    shown = kept(saved(cut_out("RGBA"), "PNG", icc_profile=srgb_profile()))
    assert looks_like(shown, CLEAR, 0)
    assert looks_like(shown, RED)


@pytest.mark.parametrize("profile", ["broken", "of another colour space"])
def test_a_profile_that_cannot_be_used_is_said_and_left_out(profile: str) -> None:
    content = (
        b"no profile"
        if profile == "broken"
        else ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    )
    encoded = encode(saved(Image.new("RGB", (30, 20), RED[:3]), "PNG", icc_profile=content))
    assert looks_like(Image.open(BytesIO(encoded.files[30])), RED)
    assert encoded.notes == ["The picture's colour profile cannot be used: compare the colours."]


def test_a_grey_picture_with_a_profile_of_colours_stays_grey() -> None:
    shown = kept(saved(Image.new("L", (30, 20), 128), "JPEG", icc_profile=srgb_profile()))
    assert looks_like(shown, (128, 128, 128, 255))


def srgb_profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def wide_profile() -> bytes:
    """sRGB with red and green exchanged: no other profile is more different, and no file is needed."""
    content = bytearray(srgb_profile())
    tags = {bytes(content[at : at + 4]): at for at in range(132, 132 + 12 * content[131], 12)}
    red, green = tags[b"rXYZ"], tags[b"gXYZ"]
    content[red : red + 4], content[green : green + 4] = b"gXYZ", b"rXYZ"
    return bytes(content)


# --- Orientation and shape --------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_a_picture_of_a_turned_camera_is_upright(kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = Image.new("RGB", (1600, 800), "green")
    picture.paste("red", (0, 0, 400, 800))
    shown = kept(saved(picture, kind, exif=exif))
    assert shown.size == (600, 1200)
    top: Any = shown.getpixel((300, 50))
    assert top[0] > 200


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("size", [(30, 20), (1300, 1300)])
def test_exif_that_is_none_counts_as_upright(kind: str, size: tuple[int, int]) -> None:
    picture = Image.new("RGB", size)
    shown = kept(saved(picture, kind, exif=b"Exif\0\0no TIFF, and long enough"))
    assert (shown.width > shown.height) == (size[0] > size[1])
    assert not shown.getexif()


def test_malformed_exif_counts_as_upright() -> None:
    picture = Image.new("RGB", (30, 20))
    assert kept(saved(picture, "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff")).size == (30, 20)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((3000, 3), (1200, 1)),
        ((20_000, 10), (1200, 1)),
        ((10, 20_000), (1, 1200)),
        ((1, 1), (1, 1)),
        ((1200, 1), (1200, 1)),
        ((300, 200), (300, 200)),
        ((2401, 1601), (1200, 800)),
    ],
)
def test_no_picture_is_without_a_pixel_or_larger_than_it_was(
    size: tuple[int, int], expected: tuple[int, int]
) -> None:
    encoded = encode(saved(Image.new("RGB", size, "red"), "PNG"))
    assert encoded.size == expected
    for width, content in encoded.files.items():
        copy = Image.open(BytesIO(content))
        assert copy.width == width <= expected[0]
        assert copy.height >= 1
        assert looks_like(copy, RED)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "CMYK"])
def test_a_picture_is_resized_as_pillow_does_it(mode: str) -> None:
    kind = "JPEG" if mode == "CMYK" else "PNG"
    original = Image.radial_gradient("L").resize((7300, 280)).convert(mode)
    shown = kept(saved(original, kind)).convert("L")
    expected = original.convert("RGB").resize(shown.size, Image.Resampling.LANCZOS).convert("L")
    for x in range(10, shown.width - 10, 30):
        for y in range(5, shown.height - 5, 5):
            assert abs(shown.getpixel((x, y)) - expected.getpixel((x, y))) <= NEAR  # type: ignore[operator]  # of L


# --- Animations -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "AVIF"])
def test_of_an_animation_the_first_frame_is_kept_and_said(kind: str) -> None:
    frames = [Image.new("RGB", (30, 20), colour) for colour in ("red", "green", "blue")]
    encoded = encode(saved(frames[0], kind, save_all=True, append_images=frames[1:]))
    assert looks_like(Image.open(BytesIO(encoded.files[30])), RED)
    assert encoded.notes == ["The picture is animated: only its first frame is kept."]


def test_a_picture_with_a_preview_in_it_is_not_animated() -> None:
    photograph = Image.new("RGB", (30, 20), "red")
    encoded = encode(saved(photograph, "MPO", save_all=True, append_images=[photograph]))
    assert encoded.notes == []


# --- Refused ----------------------------------------------------------------------------------

NAMED = {
    "HEIC": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
    "HEIF": b"\0\0\0\x14ftypmif1\0\0\0\0mif1",
    "TIFF": b"II*\0",
    "PSD (Photoshop)": b"8BPS\0\1",
    "ICO": b"\0\0\1\0\1\0",
    "ICNS": b"icns",
    "SVG": b'\xef\xbb\xbf<?xml version="1.0"?>\n<!-- made --> <svg xmlns="http://www.w3.org/2000/svg"/>',
    "BMP": b"BM",
    "JPEG 2000": b"\0\0\0\x0cjP  ",
    "JPEG XL": b"\xff\x0a",
    "PDF": b"%PDF-1.7",
    "EPS": b"%!PS-Adobe",
    "EMF": b"\1\0\0\0" + bytes(36) + b" EMF",
}


@pytest.mark.parametrize("name", NAMED)
def test_another_format_is_refused_by_its_name(name: str) -> None:
    with pytest.raises(Refused) as refusal:
        encode(BytesIO(NAMED[name] + bytes(500)))
    said = f"This is a file of the format {name}. Pictures are taken as {READABLE}."
    assert str(refusal.value) == said


@pytest.mark.parametrize("kind", ["TIFF", "ICO", "ICNS", "BMP", "PPM", "JPEG2000", "QOI", "EPS"])
def test_no_other_decoder_of_pillow_runs(kind: str) -> None:
    content = saved(Image.new("RGB", (64, 64)), kind)
    with pytest.raises(Refused, match=r"This is a file of the format "):
        encode(content)


def test_an_avif_is_not_taken_for_a_heic() -> None:
    assert name_format(b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf") == "AVIF"


def test_an_unknown_file_is_not_a_picture() -> None:
    with pytest.raises(Refused, match=r"This is not a picture that can be read\."):
        encode(BytesIO(b"Dear shop,"))
