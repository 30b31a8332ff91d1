"""The files into which raw rows are sealed."""

from __future__ import annotations

import enum
from datetime import date, datetime
from uuid import UUID

from sqlalchemy import BigInteger
from sqlalchemy.orm import Mapped, mapped_column

from webapp.extensions import Model
from webapp.lib.columns import CreatedAt, NewId, TenantKey, text_enum
from webapp.visits.models import RawKind


class SealedState(enum.Enum):
    """How far a file is. Only a sealed one is read.

    A file is announced before it is written and stays known until it is gone, so that whatever dies between two
    steps leaves no file of which no row knows.
    """

    WRITING = "writing"
    SEALED = "sealed"
    RETIRED = "retired"


class SealedFile(Model):
    """A file of raw rows of one site and one month (UTC): immutable, replaced as a whole."""

    __tablename__ = "sealed_files"

    organisation_id: Mapped[TenantKey]
    site_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[NewId]
    kind: Mapped[RawKind] = mapped_column(text_enum(RawKind))
    state: Mapped[SealedState] = mapped_column(text_enum(SealedState), default=SealedState.WRITING)
    month: Mapped[date]
    from_chunk: Mapped[int] = mapped_column(BigInteger, default=0)
    to_chunk: Mapped[int] = mapped_column(BigInteger, default=0)
    from_at: Mapped[datetime]
    to_at: Mapped[datetime]
    row_count: Mapped[int] = mapped_column(BigInteger, default=0)
    byte_count: Mapped[int] = mapped_column(BigInteger, default=0)
    created_at: Mapped[CreatedAt]
    retired_at: Mapped[datetime | None]

    @property
    def key(self) -> str:
        """Where it lies in the upload store."""
        return sealed_key(self.organisation_id, self.site_id, self.month, self.id)


def sealed_key(organisation_id: UUID, site_id: UUID, month: date, file_id: UUID) -> str:
    """Where the store keeps a file: by organisation, site and month."""
    return f"{organisation_id}/visits/{site_id}/{month:%Y-%m}/{file_id}.parquet"
