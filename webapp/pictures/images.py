"""Whether a file is a picture that browsers may be shown, and a small one made from it. Pure functions."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO

from PIL import Image, ImageOps
from PIL.ImageFile import ImageFile

FORMATS = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}
LONGEST_SIDE = 20_000
MOST_PIXELS = 40_000_000
"""What a file unpacks to: 160 MB at most. Unsplash's own are 1,080 pixels wide."""
THUMBNAIL_BOX = (320, 320)
THUMBNAIL_FORMAT = "WEBP"
THUMBNAIL_QUALITY = 82


class UnusableImageError(Exception):
    """The file is no picture of a kind that is kept, is broken, or has too many pixels."""


@dataclass(frozen=True)
class Thumbnail:
    """A small picture, without the metadata of the one it was made from."""

    content: bytes
    content_type: str
    width: int
    height: int


@dataclass(frozen=True)
class ReadImage:
    """What a file turned out to be; its sides in pixels as it is to be shown, turned upright."""

    content_type: str
    width: int
    height: int
    thumbnail: Thumbnail


def read_image(content: bytes) -> ReadImage:
    """Decode a JPEG, PNG or WebP to its last byte; raises UnusableImageError."""
    try:
        with Image.open(BytesIO(content), formats=tuple(FORMATS)) as image:
            _check_size(image.width, image.height)  # before it is unpacked
            return _read(image)
    except (UnusableImageError, MemoryError):
        raise
    except Exception as error:  # each decoder stumbles in its own way: whichever way, the file is of no use
        raise UnusableImageError("What came is not a picture, or it is broken.") from error


def _check_size(width: int, height: int) -> None:
    if width * height > MOST_PIXELS or max(width, height) > LONGEST_SIDE:
        raise UnusableImageError(f"The picture has {width:,} × {height:,} pixels, which is more than is unpacked here.")


def _read(image: ImageFile) -> ReadImage:
    content_type = FORMATS[image.format or ""]
    image.load()
    upright = ImageOps.exif_transpose(image)
    return ReadImage(content_type, upright.width, upright.height, _thumbnail(upright))


def _thumbnail(image: Image.Image) -> Thumbnail:
    small = image.convert("RGBA" if image.has_transparency_data else "RGB")
    small.thumbnail(THUMBNAIL_BOX)
    written = BytesIO()
    small.save(written, THUMBNAIL_FORMAT, quality=THUMBNAIL_QUALITY, exif=b"", xmp=b"")
    return Thumbnail(written.getvalue(), FORMATS[THUMBNAIL_FORMAT], small.width, small.height)
