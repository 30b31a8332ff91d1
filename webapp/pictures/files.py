"""Where the store keeps pictures.

Each attempt of a job has keys of its own: one that was given up and still writes must not put another photo
behind a picture that is credited and served for good.
"""

from __future__ import annotations

import re
from uuid import UUID

KEY = re.compile(r"([0-9a-f-]{36})/pictures/[0-9a-f-]{36}/\d+(?:-thumbnail)?\.[a-z]+")
SUFFIXES = {"image/jpeg": "jpg", "image/png": "png", "image/webp": "webp"}


def picture_key(organisation_id: UUID, job_id: UUID, number: int, content_type: str) -> str:
    """Of the picture that attempt `number` of a job found."""
    return f"{organisation_id}/pictures/{job_id}/{number}.{SUFFIXES[content_type]}"


def thumbnail_key(organisation_id: UUID, job_id: UUID, number: int, content_type: str) -> str:
    """Of its thumbnail."""
    return f"{organisation_id}/pictures/{job_id}/{number}-thumbnail.{SUFFIXES[content_type]}"


def organisation_of(key: str) -> UUID | None:
    """Whose picture lies under the key; None for any other key."""
    found = KEY.fullmatch(key)
    return UUID(found[1]) if found else None
