"""Changing fields of many records at once, with what they were kept for undo."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text

from webapp.extensions import db
from webapp.records.entities import Entity


@dataclass(frozen=True)
class Change:
    """New values by column, as SQL over the record `c`, with the values of its parameters."""

    assignments: Mapping[str, str]
    values: Mapping[str, Any] = field(default_factory=dict)

    @property
    def differs(self) -> str:
        """Whether anything would be different afterwards."""
        return " OR ".join(f"({value}) IS DISTINCT FROM c.{name}" for name, value in self.assignments.items())


@dataclass(frozen=True)
class Place:
    """Which records of which organisation, in which bulk action."""

    entity: Entity
    organisation_id: UUID
    bulk_action_id: UUID
    ids: Sequence[UUID]

    @property
    def values(self) -> dict[str, Any]:
        return {"organisation_id": self.organisation_id, "ids": list(self.ids)}


def lock_present(place: Place) -> list[UUID]:
    """Those of the records that there are, locked in the order of keys."""
    entity = place.entity
    statement = text(
        f"SELECT c.id FROM {entity.name} c WHERE c.organisation_id = :organisation_id AND c.id = ANY (:ids)"
        f" ORDER BY c.{entity.key_column} FOR UPDATE"
    )
    return list(db.session.scalars(statement, place.values))


def apply_change(place: Place, change: Change, now: datetime) -> list[UUID]:
    """Change those that would differ, which are locked, and keep what they were; their ids."""
    entity = place.entity
    images = ", ".join(f"'{name}', c.{name}" for name in change.assignments)
    where = f"WHERE c.organisation_id = :organisation_id AND c.id = ANY (:ids) AND ({change.differs})"
    values = {**place.values, **change.values, "bulk_action_id": place.bulk_action_id, "now": now}
    db.session.execute(
        text(
            'INSERT INTO before_images (organisation_id, bulk_action_id, record_id, "values", updated_at, written_at)'
            f" SELECT :organisation_id, :bulk_action_id, c.id, jsonb_build_object({images}), c.updated_at, :now"
            f" FROM {entity.name} c {where} ORDER BY c.id"
        ),
        values,
    )
    assignments = ", ".join(f"{name} = {value}" for name, value in change.assignments.items())
    statement = text(f"UPDATE {entity.name} c SET {assignments}, updated_at = :now {where} RETURNING c.id")
    return list(db.session.scalars(statement, values))
