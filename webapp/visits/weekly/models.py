"""Who wants a site's weekly report by mail, and what became of each mail."""

from __future__ import annotations

import enum
from datetime import date, datetime
from uuid import UUID

from sqlalchemy import ForeignKey, ForeignKeyConstraint
from sqlalchemy.orm import Mapped, mapped_column

from webapp.extensions import Model
from webapp.lib.columns import CreatedAt, TenantKey, text_enum


class MailState(enum.Enum):
    """What became of a mail. One that was claimed and never ended may have been sent or not: it is not sent again."""

    CLAIMED = "claimed"
    SENT = "sent"
    REFUSED = "refused"


class WeeklySubscription(Model):
    """A member's wish to have a site's weekly report by mail."""

    __tablename__ = "weekly_subscriptions"
    __table_args__ = (
        ForeignKeyConstraint(["organisation_id", "site_id"], ["sites.organisation_id", "sites.id"], ondelete="CASCADE"),
    )

    organisation_id: Mapped[TenantKey]
    site_id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"), primary_key=True)
    created_at: Mapped[CreatedAt]


class WeeklyMail(Model):
    """One mail to one person about a site's week, which its Monday names. The row is committed before it is sent."""

    __tablename__ = "weekly_mails"
    __table_args__ = (
        ForeignKeyConstraint(["organisation_id", "site_id"], ["sites.organisation_id", "sites.id"], ondelete="CASCADE"),
    )

    organisation_id: Mapped[TenantKey]
    site_id: Mapped[UUID] = mapped_column(primary_key=True)
    monday: Mapped[date] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"), primary_key=True)
    state: Mapped[MailState] = mapped_column(text_enum(MailState))
    reason: Mapped[str] = mapped_column(default="")
    created_at: Mapped[CreatedAt]
    ended_at: Mapped[datetime | None]
