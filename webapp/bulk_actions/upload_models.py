"""Uploads that go on after a broken connection, and their pieces."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKeyConstraint, Index
from sqlalchemy.orm import Mapped, mapped_column

from webapp.extensions import Model
from webapp.lib.clock import utc_now
from webapp.lib.columns import CreatedAt, NewId, TenantKey


class ResumableUpload(Model):
    """A file on its way: so many of its bytes are kept, in pieces.

    `writer_id` is the request that sends right now; what any other one writes does not count. `bulk_action_id` is
    the draft that it became.
    """

    __tablename__ = "resumable_uploads"
    __table_args__ = (
        ForeignKeyConstraint(["organisation_id"], ["organisations.id"]),
        Index("ix_resumable_uploads_written_at", "written_at"),
    )

    organisation_id: Mapped[TenantKey]
    id: Mapped[NewId]
    entity: Mapped[str]
    file_name: Mapped[str]
    byte_count: Mapped[int] = mapped_column(BigInteger)
    received_byte_count: Mapped[int] = mapped_column(BigInteger, default=0)
    writer_id: Mapped[UUID | None]
    bulk_action_id: Mapped[UUID | None]
    created_by: Mapped[UUID | None]
    created_at: Mapped[CreatedAt]
    written_at: Mapped[datetime] = mapped_column(default=utc_now)

    @property
    def is_whole(self) -> bool:
        """Whether every byte has arrived."""
        return self.received_byte_count == self.byte_count


class UploadPiece(Model):
    """Bytes of an upload that the store holds, and which request wrote them."""

    __tablename__ = "upload_pieces"
    __table_args__ = (
        ForeignKeyConstraint(
            ["organisation_id", "upload_id"],
            ["resumable_uploads.organisation_id", "resumable_uploads.id"],
            ondelete="CASCADE",
        ),
    )

    organisation_id: Mapped[TenantKey]
    upload_id: Mapped[UUID] = mapped_column(primary_key=True)
    start_offset: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    byte_count: Mapped[int] = mapped_column(BigInteger)
    writer_id: Mapped[UUID]
