"""The organisation's people, and the place where imported rows wait for their merge."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Column, Computed, Index, SmallInteger, Table, Text, UniqueConstraint, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from webapp.extensions import Model
from webapp.lib.clock import utc_now
from webapp.lib.columns import CreatedAt, NewId, SortKey, TenantKey

FULL_NAME = "btrim(coalesce(first_name, '') || ' ' || coalesce(last_name, ''))"


def _lowered(expression: str) -> Computed:
    return Computed(f"lower({expression})", persisted=True)


class Contact(Model):
    """A person. `email_key` tells two people apart; the other keys serve sorting and search.

    There is no foreign key to the organisation: its check would cost every imported row as much
    as an index, and the row-level policy already refuses any organisation but one's own.
    """

    __tablename__ = "contacts"
    __table_args__ = (
        UniqueConstraint("organisation_id", "email_key"),
        Index(None, "organisation_id", "name_key", "id"),
        Index(None, "organisation_id", "last_name_key", "id"),
        Index(None, "organisation_id", "company_key", "id"),
    )

    organisation_id: Mapped[TenantKey]
    id: Mapped[NewId]
    email: Mapped[str]
    first_name: Mapped[str | None]
    last_name: Mapped[str | None]
    phone: Mapped[str | None]
    company: Mapped[str | None]
    job_title: Mapped[str | None]
    city: Mapped[str | None]
    country: Mapped[str | None]
    email_key: Mapped[SortKey]
    name_key: Mapped[str] = mapped_column(Text(collation="C"), _lowered(FULL_NAME))
    last_name_key: Mapped[str] = mapped_column(Text(collation="C"), _lowered("coalesce(last_name, '')"))
    company_key: Mapped[str] = mapped_column(Text(collation="C"), _lowered("coalesce(company, '')"))
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[datetime] = mapped_column(default=utc_now)

    @property
    def full_name(self) -> str:
        """First and last name, or the e-mail address of somebody without either."""
        return " ".join(part for part in (self.first_name, self.last_name) if part) or self.email


staged_contacts = Table(
    "staged_contacts",
    Model.metadata,
    Column("organisation_id", Uuid, nullable=False),
    Column("bulk_action_id", Uuid, nullable=False),
    Column("bucket", SmallInteger, nullable=False),
    Column("row_number", BigInteger, nullable=False),
    Column("email_key", Text(collation="C"), nullable=False),
    Column("email", Text, nullable=False),
    *(Column(name, Text) for name in ("first_name", "last_name", "phone", "company", "job_title", "city", "country")),
    Index(None, "organisation_id", "bulk_action_id", "bucket"),
)
"""Checked rows of a file, waiting for the merge of their keys' bucket.

No policy binds this table, because PostgreSQL refuses COPY under one; every statement on it names
the organisation and the import. It is logged: an unlogged table is emptied when any backend is killed.
"""
