"""Somebody's own picture of a product, as its bytes arrive."""

from __future__ import annotations

from uuid import UUID

from flask import request

from webapp.pictures.images import UnusableImageError, read_image
from webapp.pictures.service import Upload

MAX_PICTURE_BYTES = 20 * 1024 * 1024
TOO_LARGE = f"A picture may have up to {MAX_PICTURE_BYTES // 1024**2} MB. Make it smaller, then try again."
DISCARD_LIMIT_BYTES = 256 * 1024 * 1024
BLOCK_BYTES = 256 * 1024
CHOOSE = "Choose a JPEG, PNG or WebP file."


def read_upload(organisation_id: UUID, label: str, content: bytes, user_id: UUID | None = None) -> Upload:
    """The picture in these bytes; raises UnusableImageError, whose words say what to do."""
    if not content:
        raise UnusableImageError(f"No picture came. {CHOOSE}")
    try:
        image = read_image(content)
    except UnusableImageError as error:
        raise UnusableImageError(f"{error} {CHOOSE}") from error
    return Upload(organisation_id, label, content, image, user_id)


def is_too_large(limit_bytes: int) -> bool:
    """Whether the request says that its body is larger; if so, the body is read away.

    A browser that still sends while the answer comes shows a broken connection instead of it.
    """
    length = request.content_length or 0
    if length <= limit_bytes:
        return False
    if length <= DISCARD_LIMIT_BYTES:
        request.max_content_length = DISCARD_LIMIT_BYTES
        while request.stream.read(BLOCK_BYTES):
            pass
    return True
