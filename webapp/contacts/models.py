"""The organisation's people."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Computed, Index, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from webapp.contacts.fields import FIELDS
from webapp.extensions import Model
from webapp.lib.clock import utc_now
from webapp.lib.columns import CreatedAt, NewId, SortKey, TenantKey
from webapp.records.entities import Entity, register_entity
from webapp.records.models import former_key_table, staging_table, tag_table, trash_table

FULL_NAME = "btrim(coalesce(first_name, '') || ' ' || coalesce(last_name, ''))"


def _lowered(expression: str) -> Computed:
    return Computed(f"lower({expression})", persisted=True)


class Contact(Model):
    """A person. `email_key` tells two people apart; the other keys serve sorting and search.

    `bulk_action_id` is the import that the contact came with. There is no foreign key to the organisation: its
    check would cost every imported row as much as an index, and the row-level policy already refuses any
    organisation but one's own.
    """

    __tablename__ = "contacts"
    __table_args__ = (
        UniqueConstraint("organisation_id", "email_key"),
        Index(None, "organisation_id", "name_key", "id"),
        Index(None, "organisation_id", "last_name_key", "id"),
        Index(None, "organisation_id", "company_key", "id"),
        Index(None, "organisation_id", "updated_at", "id"),
        Index(None, "organisation_id", "phone", "id", postgresql_where=text("phone IS NOT NULL")),
        Index(None, "organisation_id", "owner_id", "id", postgresql_where=text("owner_id IS NOT NULL")),
        Index(None, "organisation_id", "bulk_action_id", "id", postgresql_where=text("bulk_action_id IS NOT NULL")),
    )

    organisation_id: Mapped[TenantKey]
    id: Mapped[NewId]
    email: Mapped[str]
    first_name: Mapped[str | None]
    last_name: Mapped[str | None]
    phone: Mapped[str | None] = mapped_column(Text(collation="C"))
    company: Mapped[str | None]
    job_title: Mapped[str | None]
    street: Mapped[str | None]
    postal_code: Mapped[str | None]
    city: Mapped[str | None]
    region: Mapped[str | None]
    country: Mapped[str | None]
    tags: Mapped[list[str]] = mapped_column(ARRAY(Text()), default=list)
    owner_id: Mapped[UUID | None]
    notes: Mapped[str | None]
    attributes: Mapped[dict[str, Any]] = mapped_column(default=dict)
    email_key: Mapped[SortKey]
    name_key: Mapped[str] = mapped_column(Text(collation="C"), _lowered(FULL_NAME))
    last_name_key: Mapped[str] = mapped_column(Text(collation="C"), _lowered("coalesce(last_name, '')"))
    company_key: Mapped[str] = mapped_column(Text(collation="C"), _lowered("coalesce(company, '')"))
    bulk_action_id: Mapped[UUID | None]
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[datetime] = mapped_column(default=utc_now)

    @property
    def full_name(self) -> str:
        """First and last name, or the e-mail address of somebody without either."""
        return " ".join(part for part in (self.first_name, self.last_name) if part) or self.email


CONTACTS = register_entity(
    Entity(
        name="contacts",
        singular="contact",
        fields=FIELDS,
        model=Contact,
        staged=staging_table("contacts", FIELDS),
        deleted=trash_table("contacts", Contact.__table__, "email_key"),
        tags=tag_table("contact"),
        sorts={
            "name": "name_key",
            "email": "email_key",
            "company": "company_key",
            "created": None,
            "updated": "updated_at",
        },
        search_keys=("email_key", "name_key", "last_name_key", "company_key", "phone"),
        label_of=lambda contact: contact.full_name,
        shown_columns=("email", "company", "tags"),
        visits_websites=True,
        former=former_key_table("contact"),
    )
)
