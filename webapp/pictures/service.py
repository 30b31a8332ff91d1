"""What can be done with pictures. Nothing here commits or sends."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
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
from webapp.pictures.models import UNSPLASH, UPLOAD, Picture
from webapp.pictures.queries import get_picture_of_job
from webapp.pictures.unsplash import Photo


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


@dataclass(frozen=True)
class Upload:
    """Somebody's own picture; `label` is what it shows."""

    organisation_id: UUID
    label: str
    content: bytes
    image: ReadImage
    created_by: UUID | None = None
    id: UUID = field(default_factory=uuid7)

    @property
    def file_key(self) -> str:
        return picture_key(self.organisation_id, self.id, 1, self.image.content_type)

    @property
    def thumbnail_key(self) -> str:
        return thumbnail_key(self.organisation_id, self.id, 1, self.image.thumbnail.content_type)


def store_files(storage: Storage, found: Find | Upload) -> None:
    """Store the picture and its thumbnail. Before any row is read: the store may be slow."""
    storage.write(found.file_key, [found.content])
    storage.write(found.thumbnail_key, [found.image.thumbnail.content])


def keep_picture(find: Find) -> Picture:
    """The row of the job's picture, whose files are stored. If another attempt was first, it is that one's."""
    job = get_job(find.organisation_id, find.job_id)
    values = {**_described(find), **_measured(find), "created_by": job.created_by if job else None}
    one_of_a_job = [Picture.organisation_id, Picture.job_id]
    db.session.execute(insert(Picture).values(values).on_conflict_do_nothing(index_elements=one_of_a_job))
    return get_picture_of_job(find.organisation_id, find.job_id)


def keep_upload(upload: Upload) -> Picture:
    """The row of somebody's own picture, whose files are stored."""
    nobody = {"source_id": "", "source_url": "", "author_name": "", "author_url": ""}
    said = {"id": upload.id, "source": UPLOAD, "search_word": upload.label, "created_by": upload.created_by}
    picture = Picture(organisation_id=upload.organisation_id, **said, **nobody, **_measured(upload))
    db.session.add(picture)
    db.session.flush()
    return picture


def _described(find: Find) -> dict[str, Any]:
    return {
        "organisation_id": find.organisation_id,
        "id": uuid7(),
        "job_id": find.job_id,
        "source": UNSPLASH,
        "source_id": find.photo.id,
        "source_url": find.photo.page_url,
        "search_word": find.word,
        "description": find.photo.description,
        "author_name": find.photo.author_name,
        "author_url": find.photo.author_url,
        "created_at": utc_now(),
    }


def _measured(found: Find | Upload) -> dict[str, Any]:
    thumbnail = found.image.thumbnail
    return {
        "file_key": found.file_key,
        "content_type": found.image.content_type,
        "byte_count": len(found.content),
        "width": found.image.width,
        "height": found.image.height,
        "sha256": hashlib.sha256(found.content).hexdigest(),
        "thumbnail_key": found.thumbnail_key,
        "thumbnail_content_type": thumbnail.content_type,
        "thumbnail_width": thumbnail.width,
        "thumbnail_height": thumbnail.height,
    }
