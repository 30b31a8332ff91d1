"""Undoing a bulk action, record by record.

A record that it changed gets back what it was, in the columns that were changed; one that it created goes into the
trash. Whoever was changed since stays as it is, with the reason: `updated_at` tells, which every change moves. Undoing
moves it, too, so it keeps an image of its own: "from then on the record is as it was at that moment". What was changed
since and given back is thus as it was left, and bulk actions can be undone one after another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import select, text

from webapp.bulk_actions.models import BeforeImage, BulkAction, Verb
from webapp.bulk_actions.verbs.places import Place, exists_in, list_rest, note_ids, note_rest, note_succeeded
from webapp.extensions import db
from webapp.records.entities import ATTRIBUTES, Entity
from webapp.records.trash import Deletion, moving, moving_still, said

CHANGED = "It was changed since."
DELETED = "It was deleted since."
OF_SOURCE = "r.bulk_action_id = :source_id"


@dataclass(frozen=True)
class Undo:
    """What is undone, where, and with which deletion of what it created."""

    place: Place
    source_id: UUID
    deletion: Deletion
    columns: Sequence[str]
    """Those that the source changed; all of its images are of the same."""

    @property
    def values(self) -> dict[str, Any]:
        return {**self.place.values, **said(self.deletion), "source_id": self.source_id, "now": self.deletion.at}


class Standing(NamedTuple):
    """How a record that was written since stands to what is undone: as that left it, as it was before, or neither."""

    record_id: UUID
    has_image: bool
    is_as_left: bool
    is_as_before: bool


def undo_records(place: Place, source: BulkAction, user_id: UUID | None, now: datetime) -> None:
    """Undo what the source did to these records; for one that is as it was before there is nothing to do."""
    deletion = Deletion(now, user_id, place.bulk_action_id)
    undo = Undo(place, source.id, deletion, _columns(place, source.id))
    count = 0
    if source.created_count and undo.columns:
        _lock(place)
    if source.created_count:
        as_created = f"{OF_SOURCE} AND r.updated_at = r.created_at"
        count += note_succeeded(moving_still(place.entity, place.among("r.id"), as_created), "moved", undo.values)
    if undo.columns and count < place.row_count:
        count += _restore_changed(undo, f"{place.among('i.record_id')} AND c.updated_at = i.written_at")
    if count < place.row_count:
        _undo_rest(undo)


def _lock(place: Place) -> None:
    """Lock all of them in the order of keys: what was created and what was changed are written one after the other."""
    entity = place.entity
    statement = text(
        f"SELECT count(*) FROM (SELECT FROM {entity.name} c WHERE c.organisation_id = :organisation_id"
        f" AND {place.among('c.id')} ORDER BY c.{entity.key_column} FOR UPDATE) AS locked"
    )
    db.session.execute(statement, place.values)


def _columns(place: Place, source_id: UUID) -> list[str]:
    query = select(BeforeImage.values).where(
        BeforeImage.organisation_id == place.organisation_id, BeforeImage.bulk_action_id == source_id
    )
    one = db.session.scalar(query.limit(1)) or {}
    return [name for name in one if name in place.entity.data_columns]


def _restore_changed(undo: Undo, condition: str, **more: Any) -> int:
    """Give records back what they were, locked in the order of keys."""
    entity = undo.place.entity
    assignments = ", ".join(f"{name} = was.{name}" for name in undo.columns)
    types = ", ".join(f"{name} {_type_of(entity, name)}" for name in undo.columns)
    parts = (
        f'locked AS MATERIALIZED (SELECT c.id, i.updated_at, i."values" FROM before_images i'
        f" JOIN {entity.name} c ON c.organisation_id = :organisation_id AND c.id = i.record_id"
        f" WHERE i.organisation_id = :organisation_id AND i.bulk_action_id = :source_id AND {condition}"
        f" ORDER BY c.{entity.key_column} FOR UPDATE OF c),"
        f' kept AS (INSERT INTO before_images (organisation_id, bulk_action_id, record_id, "values", updated_at,'
        f" written_at) SELECT :organisation_id, :bulk_action_id, id, CAST('{{}}' AS jsonb), updated_at, :now"
        f" FROM locked),"
        f" changed AS (UPDATE {entity.name} c SET {assignments}, updated_at = :now FROM ("
        f' SELECT l.id AS record_id, b.* FROM locked l CROSS JOIN LATERAL jsonb_to_record(l."values") AS b ({types})'
        f") AS was WHERE c.organisation_id = :organisation_id AND c.id = was.record_id RETURNING c.id)"
    )
    return note_succeeded(parts, "changed", {**undo.values, **more})


def _type_of(entity: Entity, name: str) -> str:
    return "jsonb" if name == ATTRIBUTES else entity.fields_by_name[name].sql_type


def _undo_rest(undo: Undo) -> None:
    """Those that were written since, or are gone."""
    place = undo.place
    standings = _standings(undo, list_rest(place))
    left = [one for one in standings if one.is_as_left]
    if created := [one.record_id for one in left if not one.has_image]:
        of_those = moving(place.entity, f"{OF_SOURCE} AND r.id = ANY (:left)")
        note_succeeded(of_those, "moved", {**undo.values, "left": created})
    if changed := [one.record_id for one in left if one.has_image]:
        _restore_changed(undo, "i.record_id = ANY (:left)", left=changed)
    note_ids(place, "skipped", [one.record_id for one in standings if one.is_as_before])
    note_rest(place, "failed", exists_in(place.entity.name), reason=CHANGED)
    image = (
        "EXISTS (SELECT FROM before_images i WHERE i.organisation_id = :organisation_id"
        " AND i.bulk_action_id = :source_id AND i.record_id = rest.id)"
    )
    note_rest(place, "failed", image, reason=DELETED, source_id=undo.source_id)
    note_rest(place, "skipped")  # what it created is gone already


def _standings(undo: Undo, ids: Sequence[UUID]) -> list[Standing]:
    """Of those of these records that there are: each stands where it stood at the moment to which it was taken back."""
    place = undo.place
    statement = text(
        f"WITH RECURSIVE locked AS MATERIALIZED ("
        f" SELECT c.id, c.created_at, c.updated_at, c.bulk_action_id FROM {place.entity.name} c"
        f" WHERE c.organisation_id = :organisation_id AND c.id = ANY (:ids)"
        f" ORDER BY c.{place.entity.key_column} FOR UPDATE),"
        f" stood AS (SELECT c.id, c.updated_at AS moment FROM locked c"
        f" UNION SELECT s.id, i.updated_at FROM stood s JOIN before_images i"
        f" ON i.organisation_id = :organisation_id AND i.bulk_action_id = ANY (:undo_ids)"
        f" AND i.record_id = s.id AND i.written_at = s.moment)"
        f" SELECT c.id, bool_or(i.record_id IS NOT NULL), bool_or(CASE WHEN i.record_id IS NULL"
        f" THEN c.bulk_action_id IS NOT DISTINCT FROM :source_id AND c.created_at = s.moment"
        f" ELSE i.written_at = s.moment END), coalesce(bool_or(i.updated_at = s.moment), false)"
        f" FROM stood s JOIN locked c ON c.id = s.id"
        f" LEFT JOIN before_images i ON i.organisation_id = :organisation_id AND i.bulk_action_id = :source_id"
        f" AND i.record_id = c.id GROUP BY c.id"
    )
    undo_ids = _undos_since(place.organisation_id, undo.source_id)
    values = {**place.values, "ids": list(ids), "source_id": undo.source_id, "undo_ids": undo_ids}
    return [Standing._make(row) for row in db.session.execute(statement, values)]


def _undos_since(organisation_id: UUID, source_id: UUID) -> list[UUID]:
    query = select(BulkAction.id).where(
        BulkAction.organisation_id == organisation_id, BulkAction.id > source_id, BulkAction.verb == Verb.UNDO
    )
    return list(db.session.scalars(query))
