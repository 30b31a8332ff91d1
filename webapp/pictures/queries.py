"""Every look at the pictures' rows."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from sqlalchemy import Select, or_, select

from webapp.extensions import db
from webapp.pictures.models import Picture


def get_picture(organisation_id: UUID, picture_id: UUID) -> Picture | None:
    return db.session.get(Picture, (organisation_id, picture_id))


def find_picture_of_job(organisation_id: UUID, job_id: UUID) -> Picture | None:
    """The one picture that the job found, if it did."""
    return db.session.scalars(_of_job(organisation_id, job_id)).one_or_none()


def get_picture_of_job(organisation_id: UUID, job_id: UUID) -> Picture:
    """The one picture that the job found; raises NoResultFound."""
    return db.session.scalars(_of_job(organisation_id, job_id)).one()


def find_wanted_keys(organisation_id: UUID, keys: Iterable[str]) -> set[str]:
    """Those of the store's keys that a picture still has."""
    keys = list(keys)
    query = select(Picture.file_key, Picture.thumbnail_key).where(
        Picture.organisation_id == organisation_id,
        or_(Picture.file_key.in_(keys), Picture.thumbnail_key.in_(keys)),
    )
    return {key for row in db.session.execute(query) for key in row}


def _of_job(organisation_id: UUID, job_id: UUID) -> Select[Picture]:
    return select(Picture).where(Picture.organisation_id == organisation_id, Picture.job_id == job_id)
