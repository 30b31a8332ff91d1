"""Pictures that are kept and served here."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import BigInteger, ForeignKeyConstraint, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from webapp.extensions import Model
from webapp.lib.columns import CreatedAt, NewId, TenantKey

UNSPLASH = "unsplash"
UPLOAD = "upload"


class Picture(Model):
    """A picture, its thumbnail, and whom to credit for it. `width` and `height` are as it is shown, in pixels."""

    __tablename__ = "pictures"
    __table_args__ = (
        ForeignKeyConstraint(["organisation_id"], ["organisations.id"]),
        UniqueConstraint("organisation_id", "job_id"),
    )

    organisation_id: Mapped[TenantKey]
    id: Mapped[NewId]
    job_id: Mapped[UUID | None]
    """The job that found it, which may be pruned since; it keeps no second one."""
    source: Mapped[str]
    source_id: Mapped[str]
    source_url: Mapped[str]
    search_word: Mapped[str]
    description: Mapped[str | None]
    author_name: Mapped[str]
    author_url: Mapped[str]
    file_key: Mapped[str]
    content_type: Mapped[str]
    byte_count: Mapped[int] = mapped_column(BigInteger)
    width: Mapped[int]
    height: Mapped[int]
    sha256: Mapped[str]
    thumbnail_key: Mapped[str]
    thumbnail_content_type: Mapped[str]
    thumbnail_width: Mapped[int]
    thumbnail_height: Mapped[int]
    created_by: Mapped[UUID | None]
    created_at: Mapped[CreatedAt]

    @property
    def is_own(self) -> bool:
        """Whether somebody of the organisation brought it, so that nobody else is to be named beside it."""
        return self.source == UPLOAD

    @property
    def source_name(self) -> str:
        """What people call where it is from."""
        return self.source.capitalize()

    @property
    def credit(self) -> str:
        """The line that Unsplash wants beside each of its pictures, without its links; "" for one's own."""
        return "" if self.is_own else f"Photo by {self.author_name} on {self.source_name}"
