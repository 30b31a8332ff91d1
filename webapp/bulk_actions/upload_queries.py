"""Every look at uploads on their way."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from uuid import UUID

from sqlalchemy import select

from webapp.bulk_actions.upload_models import ResumableUpload, UploadPiece
from webapp.extensions import db


def get_upload(organisation_id: UUID, upload_id: UUID) -> ResumableUpload | None:
    return db.session.get(ResumableUpload, (organisation_id, upload_id), populate_existing=True)


def lock_upload(organisation_id: UUID, upload_id: UUID) -> ResumableUpload | None:
    """The upload, re-read and locked until the transaction ends; None while somebody else has it locked."""
    query = (
        select(ResumableUpload)
        .where(ResumableUpload.organisation_id == organisation_id, ResumableUpload.id == upload_id)
        .with_for_update(skip_locked=True)
        .execution_options(populate_existing=True)
    )
    return db.session.scalar(query)


def list_pieces(organisation_id: UUID, upload_id: UUID) -> Sequence[UploadPiece]:
    """What is kept of an upload, in the file's order."""
    query = select(UploadPiece).where(
        UploadPiece.organisation_id == organisation_id, UploadPiece.upload_id == upload_id
    )
    return db.session.scalars(query.order_by(UploadPiece.start_offset)).all()


def find_unfinished(organisation_id: UUID, upload_ids: Collection[UUID]) -> set[UUID]:
    """Those whose pieces are still wanted."""
    query = select(ResumableUpload.id).where(
        ResumableUpload.organisation_id == organisation_id,
        ResumableUpload.id.in_(upload_ids),
        ResumableUpload.bulk_action_id.is_(None),
    )
    return set(db.session.scalars(query))
