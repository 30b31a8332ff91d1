"""Organisations, the people in them, and the keys that act for them."""

from __future__ import annotations

import enum
from datetime import datetime
from uuid import UUID

from flask_login import UserMixin
from sqlalchemy import ForeignKey, ForeignKeyConstraint, LargeBinary, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from webapp.extensions import Model
from webapp.lib.clock import utc_now
from webapp.lib.columns import CreatedAt, NewId, SortKey, TenantKey, text_enum

SYSTEM_ORGANISATION_ID = UUID(int=0)
"""Owns the background work of the installation itself; nobody is a member."""


class Role(enum.Enum):
    OWNER = "owner"
    MEMBER = "member"


class Organisation(Model):
    """A tenant. Global: every installation knows all of its organisations."""

    __tablename__ = "organisations"

    id: Mapped[NewId]
    slug: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    time_zone: Mapped[str] = mapped_column(default="UTC")
    created_at: Mapped[CreatedAt]


class User(UserMixin, Model):  # type: ignore[misc]  # Flask-Login has no types
    """A person who signs in. Global: one person may belong to several organisations."""

    __tablename__ = "users"
    __table_args__ = (UniqueConstraint("issuer", "subject"),)

    id: Mapped[NewId]
    issuer: Mapped[str]
    subject: Mapped[str]
    email: Mapped[str]
    email_is_verified: Mapped[bool] = mapped_column(default=False)
    name: Mapped[str]
    created_at: Mapped[CreatedAt]
    signed_in_at: Mapped[datetime] = mapped_column(default=utc_now)
    sign_in_number: Mapped[int] = mapped_column(default=1)
    last_organisation_id: Mapped[UUID | None] = mapped_column(ForeignKey("organisations.id"))

    def get_id(self) -> str:
        """What the cookie says of the person. A sign-out raises the number, so that older cookies count no more."""
        return f"{self.id}:{self.sign_in_number}"


class Membership(Model):
    """A person's place in an organisation."""

    __tablename__ = "memberships"
    __table_args__ = (ForeignKeyConstraint(["organisation_id"], ["organisations.id"]),)

    organisation_id: Mapped[TenantKey]
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"), primary_key=True, index=True)
    role: Mapped[Role] = mapped_column(text_enum(Role))
    created_at: Mapped[CreatedAt]


class Invitation(Model):
    """A place kept for whoever signs in with this e-mail address."""

    __tablename__ = "invitations"
    __table_args__ = (
        ForeignKeyConstraint(["organisation_id"], ["organisations.id"]),
        UniqueConstraint("organisation_id", "email_key"),
    )

    organisation_id: Mapped[TenantKey]
    id: Mapped[NewId]
    email: Mapped[str]
    email_key: Mapped[SortKey] = mapped_column(index=True)
    role: Mapped[Role] = mapped_column(text_enum(Role))
    invited_by: Mapped[UUID | None] = mapped_column(ForeignKey("users.id"))
    created_at: Mapped[CreatedAt]
    accepted_at: Mapped[datetime | None]


class ApiKey(Model):
    """A secret that acts for an organisation; only its SHA-256 is kept."""

    __tablename__ = "api_keys"
    __table_args__ = (
        ForeignKeyConstraint(["organisation_id"], ["organisations.id"]),
        UniqueConstraint("organisation_id", "secret_hash"),
    )

    organisation_id: Mapped[TenantKey]
    id: Mapped[NewId]
    name: Mapped[str]
    secret_hash: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[CreatedAt]
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]

    def revoke(self) -> None:
        """End the key for good; the row stays, to say when."""
        self.revoked_at = self.revoked_at or utc_now()
