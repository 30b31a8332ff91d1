"""Sets of records who did something on the websites: whether one is a member, and the members in the order of ids."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, ColumnElement, Select, Uuid, any_, cast, false, func, not_, select, true

from webapp.records.models import BehaviourMembers


@dataclass(frozen=True)
class KnownSet:
    """A set that is there, and on which side of it records are wanted: among those who did, or those who did not."""

    id: UUID
    member_count: int
    made_at: datetime
    is_done: bool = True
    is_new: bool = False
    """Whether this transaction made it, so that nobody else sees it yet."""


def is_wanted(organisation_id: UUID, known: KnownSet, record: Any) -> ColumnElement[bool]:
    """Whether a record is on the wanted side. One look-up for each record that is asked about."""
    members = BehaviourMembers
    own = select(members.ids).where(members.organisation_id == organisation_id, members.set_id == known.id)
    nearest = own.where(members.first_id <= record.id).order_by(members.first_id.desc()).limit(1)
    ids = nearest.correlate_except(members).scalar_subquery()
    is_member: ColumnElement[bool] = func.coalesce(record.id == any_(cast(ids, ARRAY(Uuid()))), false())
    return is_member if known.is_done else not_(is_member)


def ids_of_set(organisation_id: UUID, set_id: UUID, before: UUID | None = None) -> Select[tuple[UUID, UUID]]:
    """Every member's id, and the place of its row, in no order; only rows that may hold some before an id.

    In the order of places and then of ids these are in the order of ids, which PostgreSQL reads as far as it is asked.
    """
    members = BehaviourMembers
    one = func.unnest(members.ids).table_valued("id").render_derived(with_types=False)
    each = select(one.c.id).offset(0).lateral()
    query = (
        select(each.c.id.label("id"), members.first_id.label("place"))
        .select_from(members)
        .join(each, true())
        .where(members.organisation_id == organisation_id, members.set_id == set_id)
    )
    return query.where(members.first_id < before) if before else query
