"""What can be done with pictures. Nothing here commits or sends."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy.dialects.postgresql import insert

from webapp.extensions import db
from webapp.jobs.queries import get_job
from webapp.lib.clock import utc_now
from webapp.lib.ids import uuid7
from webapp.lib.storage import Storage
from webapp.pictures.files import picture_key, thumbnail_key
from webapp.pictures.images import ReadImage
from webapp.pictures.models import Picture
from webapp.pictures.queries import get_picture_of_job
from webapp.pictures.unsplash import Photo

SOURCE = "unsplash"


@dataclass(frozen=True)
class Find:
    """What one attempt of a job brought home."""

    organisation_id: UUID
    job_id: UUID
    number: int
    word: str
    photo: Photo
    content: bytes
    image: ReadImage

    @property
    def file_key(self) -> str:
        return picture_key(self.organisation_id, self.job_id, self.number, self.image.content_type)

    @property
    def thumbnail_key(self) -> str:
        return thumbnail_key(self.organisation_id, self.job_id, self.number, self.image.thumbnail.content_type)


def store_files(storage: Storage, find: Find) -> None:
    """Store the picture and its thumbnail. Before any row is read: the store may be slow."""
    storage.write(find.file_key, [find.content])
    storage.write(find.thumbnail_key, [find.image.thumbnail.content])


def keep_picture(find: Find) -> Picture:
    """The row of the job's picture, whose files are stored. If another attempt was first, it is that one's."""
    job = get_job(find.organisation_id, find.job_id)
    values = {**_described(find), **_measured(find), "created_by": job.created_by if job else None}
    one_of_a_job = [Picture.organisation_id, Picture.job_id]
    db.session.execute(insert(Picture).values(values).on_conflict_do_nothing(index_elements=one_of_a_job))
    return get_picture_of_job(find.organisation_id, find.job_id)


def _described(find: Find) -> dict[str, Any]:
    return {
        "organisation_id": find.organisation_id,
        "id": uuid7(),
        "job_id": find.job_id,
        "source": SOURCE,
        "source_id": find.photo.id,
        "source_url": find.photo.page_url,
        "search_word": find.word,
        "description": find.photo.description,
        "author_name": find.photo.author_name,
        "author_url": find.photo.author_url,
        "created_at": utc_now(),
    }


def _measured(find: Find) -> dict[str, Any]:
    thumbnail = find.image.thumbnail
    return {
        "file_key": find.file_key,
        "content_type": find.image.content_type,
        "byte_count": len(find.content),
        "width": find.image.width,
        "height": find.image.height,
        "sha256": hashlib.sha256(find.content).hexdigest(),
        "thumbnail_key": find.thumbnail_key,
        "thumbnail_content_type": thumbnail.content_type,
        "thumbnail_width": thumbnail.width,
        "thumbnail_height": thumbnail.height,
    }
