"""Keys that records had before, by which visits may know them still.

The last to have a key has it: a record that takes it, or goes into the trash with it, takes it from whom it was of
before, and one that is created with it has it as long as it is there. Triggers keep the table, whatever changes a key.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, exists, literal, select

from webapp.extensions import db
from webapp.records.entities import Entity
from webapp.visits.queries import was_seen


def held_keys(entity: Entity, organisation_id: UUID, record_ids: Iterable[UUID]) -> Select[Any]:
    """The former keys of these records that nobody else has by now, and since when they are former."""
    former = entity.former_keys.c
    return (
        select(former.key, former.record_id, former.left_at)
        .where(former.organisation_id == organisation_id, former.record_id.in_(list(record_ids)))
        .where(is_held(entity))
        .order_by(former.left_at, former.key)
    )


def is_held(entity: Entity) -> ColumnElement[bool]:
    """Whether a former key is no other record's present one. Not merged into what asks: it is one look-up each."""
    former, model = entity.former_keys, entity.model.__table__.alias()
    taken = select(literal(1)).where(
        model.c.organisation_id == former.c.organisation_id, model.c[entity.key_column] == former.c.key
    )
    return ~exists(taken.correlate(former).offset(0))


def was_seen_formerly(entity: Entity, organisation_id: UUID, record: Any) -> ColumnElement[bool]:
    """Whether a record was seen under one of its former keys."""
    former = entity.former_keys
    seen = select(literal(1)).where(
        former.c.organisation_id == organisation_id,
        former.c.record_id == record.id,
        is_held(entity),
        was_seen(organisation_id, former.c.key),
    )
    return exists(seen.correlate_except(former).offset(0))


def find_former_owner(entity: Entity, organisation_id: UUID, key: str) -> UUID | None:
    """Whose former key this is, also of one in the trash."""
    former = entity.former_keys.c
    query = select(former.record_id).where(former.organisation_id == organisation_id, former.key == key)
    return db.session.scalar(query.where(is_held(entity)))


def owner_of_key(entity: Entity) -> str:
    """The record that has a key, or had it last, as an expression of SQL with places for `{key}`; it needs an
    `:organisation_id`."""
    present = PRESENT_OWNER.format(table=entity.name, column=entity.key_column)
    return present if entity.former is None else f"coalesce({present}, {FORMER_OWNER.format(table=entity.former.name)})"


PRESENT_OWNER = "(SELECT o.id FROM {table} o WHERE o.organisation_id = :organisation_id AND o.{column} = {{key}})"
FORMER_OWNER = "(SELECT o.record_id FROM {table} o WHERE o.organisation_id = :organisation_id AND o.key = {{key}})"
