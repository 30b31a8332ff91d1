"""What people keep beside a site's visits: goals, segments, funnels, notes on the chart, and links for others."""

from __future__ import annotations

from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKeyConstraint, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from webapp.extensions import Model
from webapp.lib.columns import CreatedAt, NewId, TenantKey, text_enum
from webapp.visits.questions import Operator


class Goal(Model):
    """What a site wants its visitors to do: see a page, or report an event."""

    __tablename__ = "goals"
    __table_args__ = (
        ForeignKeyConstraint(["organisation_id", "site_id"], ["sites.organisation_id", "sites.id"]),
        UniqueConstraint("organisation_id", "site_id", "name"),
    )

    organisation_id: Mapped[TenantKey]
    id: Mapped[NewId]
    site_id: Mapped[UUID]
    name: Mapped[str]
    field: Mapped[str]
    operator: Mapped[Operator] = mapped_column(text_enum(Operator))
    value: Mapped[str]
    created_at: Mapped[CreatedAt]


class Segment(Model):
    """Filters under a name, for everybody in the organisation."""

    __tablename__ = "visit_segments"
    __table_args__ = (
        ForeignKeyConstraint(["organisation_id", "site_id"], ["sites.organisation_id", "sites.id"]),
        UniqueConstraint("organisation_id", "site_id", "name"),
    )

    organisation_id: Mapped[TenantKey]
    id: Mapped[NewId]
    site_id: Mapped[UUID]
    name: Mapped[str]
    filters: Mapped[list[Any]]
    created_at: Mapped[CreatedAt]


class Funnel(Model):
    """Steps under a name, for everybody in the organisation."""

    __tablename__ = "visit_funnels"
    __table_args__ = (
        ForeignKeyConstraint(["organisation_id", "site_id"], ["sites.organisation_id", "sites.id"], ondelete="CASCADE"),
        UniqueConstraint("organisation_id", "site_id", "name"),
    )

    organisation_id: Mapped[TenantKey]
    id: Mapped[NewId]
    site_id: Mapped[UUID]
    name: Mapped[str]
    steps: Mapped[list[Any]]
    created_at: Mapped[CreatedAt]


class ChartNote(Model):
    """Something that happened on a day of the site's zone, shown on its chart."""

    __tablename__ = "chart_notes"
    __table_args__ = (ForeignKeyConstraint(["organisation_id", "site_id"], ["sites.organisation_id", "sites.id"]),)

    organisation_id: Mapped[TenantKey]
    id: Mapped[NewId]
    site_id: Mapped[UUID]
    day: Mapped[date]
    text: Mapped[str]
    created_at: Mapped[CreatedAt]


class SharedLink(Model):
    """A secret address that shows a site's visits, as far as they pass its filters, to whoever has it.

    Notes are never part of it, goals only where its maker wanted that: both are written for people of the organisation.
    """

    __tablename__ = "shared_links"
    __table_args__ = (
        ForeignKeyConstraint(["organisation_id", "site_id"], ["sites.organisation_id", "sites.id"]),
        UniqueConstraint("organisation_id", "secret"),
    )

    organisation_id: Mapped[TenantKey]
    id: Mapped[NewId]
    site_id: Mapped[UUID]
    name: Mapped[str]
    secret: Mapped[str]
    filters: Mapped[list[Any]]
    shows_goals: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[CreatedAt]
