"""What counts as a picture, and the small one made from it."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO

import pytest
from PIL import Image

from tests.pictures.unsplash_server import jpeg
from webapp.pictures import images
from webapp.pictures.images import THUMBNAIL_BOX, UnusableImageError, read_image

ORIENTATION = 0x0112
TURNED_RIGHT = 6
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'


def written(image: Image.Image, form: str, **options: object) -> bytes:
    file = BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def png_that_claims(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header announces so many pixels."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 64)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("form", "content_type"), [("JPEG", "image/jpeg"), ("PNG", "image/png"), ("WEBP", "image/webp")]
)
def test_the_formats_of_the_web_are_read(form: str, content_type: str) -> None:
    read = read_image(written(Image.new("RGB", (640, 480), "teal"), form))
    assert (read.content_type, read.width, read.height) == (content_type, 640, 480)


@pytest.mark.parametrize(
    ("size", "small"), [((1080, 720), (320, 213)), ((720, 1080), (213, 320)), ((40, 30), (40, 30))]
)
def test_the_thumbnail_keeps_the_shape_and_never_grows(size: tuple[int, int], small: tuple[int, int]) -> None:
    thumbnail = read_image(jpeg(*size)).thumbnail
    assert (thumbnail.width, thumbnail.height) == small
    with Image.open(BytesIO(thumbnail.content)) as image:
        assert (image.format, image.size) == ("WEBP", small)
    assert max(small) <= max(THUMBNAIL_BOX)


def test_a_picture_taken_sideways_is_measured_and_shown_upright() -> None:
    turned = Image.new("RGB", (600, 400), "blue")
    turned.paste("red", (0, 0, 300, 400))
    exif = Image.Exif()
    exif[ORIENTATION] = TURNED_RIGHT
    read = read_image(written(turned, "JPEG", exif=exif))
    assert (read.width, read.height) == (400, 600)
    with Image.open(BytesIO(read.thumbnail.content)) as small:
        assert small.size == (213, 320)
        above, below = small.convert("RGB").getpixel((106, 20)), small.convert("RGB").getpixel((106, 300))
    assert isinstance(above, tuple)
    assert isinstance(below, tuple)
    assert above[0] > 200 > above[2]
    assert below[2] > 200 > below[0]


def test_the_thumbnail_says_nothing_of_place_and_camera() -> None:
    exif = Image.Exif()
    exif[0x010F] = "Camera of Alice"
    content = written(Image.new("RGB", (500, 500), "teal"), "JPEG", exif=exif)
    assert b"Camera of Alice" in content
    assert b"Camera of Alice" not in read_image(content).thumbnail.content


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "L", "1", "I;16", "CMYK"])
def test_every_kind_of_colour_becomes_a_thumbnail(mode: str) -> None:
    content = written(Image.new(mode, (400, 300)), "JPEG" if mode == "CMYK" else "PNG")
    assert (read_image(content).thumbnail.width, read_image(content).thumbnail.height) == (320, 240)


def test_what_was_see_through_stays_so() -> None:
    thumbnail = read_image(written(Image.new("RGBA", (400, 400), (255, 0, 0, 0)), "PNG")).thumbnail
    with Image.open(BytesIO(thumbnail.content)) as image:
        assert image.mode == "RGBA"


@pytest.mark.parametrize(
    "content",
    [b"", b"<!doctype html><title>Sign in</title>", SVG, b"\x89PNG\r\n\x1a\n", b"%PDF-1.7", b"RIFF\x24\0\0\0WEBPVP8 "],
    ids=["nothing", "html", "svg", "png of a header", "pdf", "webp of a header"],
)
def test_what_is_no_picture_is_refused(content: bytes) -> None:
    with pytest.raises(UnusableImageError, match="not a picture"):
        read_image(content)


@pytest.mark.parametrize("form", ["GIF", "TIFF", "BMP", "ICO"])
def test_other_formats_are_not_even_tried(form: str) -> None:
    with pytest.raises(UnusableImageError, match="not a picture"):
        read_image(written(Image.new("RGB", (64, 64)), form))


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("part", [0.1, 0.5, 0.95])
def test_a_file_that_breaks_off_is_refused(form: str, part: float) -> None:
    content = written(Image.effect_noise((300, 300), 90).convert("RGB"), form)
    with pytest.raises(UnusableImageError):
        read_image(content[: int(len(content) * part)])


def test_a_file_with_damage_inside_is_refused() -> None:
    content = bytearray(written(Image.effect_noise((300, 300), 90), "PNG"))
    content[len(content) // 2] ^= 0xFF
    with pytest.raises(UnusableImageError):
        read_image(bytes(content))


@pytest.mark.parametrize("size", [(8_000, 8_000), (25_000, 10), (60_000, 60_000)])
def test_a_few_bytes_that_unpack_to_gigabytes_are_refused_before_they_do(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "_read", lambda image: pytest.fail("it was unpacked"))
    with pytest.raises(UnusableImageError):
        read_image(png_that_claims(*size))


def test_the_largest_that_is_unpacked_is_said_in_words() -> None:
    with pytest.raises(UnusableImageError, match="8,000 × 8,000 pixels"):
        read_image(png_that_claims(8_000, 8_000))
