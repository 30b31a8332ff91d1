"""Undoing a bulk action, record by record.

A record that it changed gets back what it was, in the columns that were changed; one that it created goes into the
trash. Whoever was changed since stays as it is, with the reason: `updated_at` tells, which every change moves. Undoing
moves it, too, so it keeps an image of its own: "from then on the record is as it was at that moment". What was changed
since and given back is thus as it was left, and bulk actions can be undone one after another.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import select, text

from webapp.bulk_actions.models import BeforeImage, BulkAction, Verb
from webapp.bulk_actions.verbs.changes import Place
from webapp.bulk_actions.verbs.outcomes import Outcomes
from webapp.extensions import db
from webapp.records.trash import Deletion, delete_records

CHANGED = "It was changed since."
DELETED = "It was deleted since."


class Standing(NamedTuple):
    """How a record stands to what is undone: as that left it, as it was before, or neither."""

    record_id: UUID
    has_image: bool
    is_as_left: bool
    is_as_before: bool


def undo_records(place: Place, source_id: UUID, user_id: UUID | None, now: datetime) -> Outcomes:
    """Undo what `source_id` did to these records; for one that is as it was before there is nothing to do."""
    standings = _standings(place, source_id)
    left = [one for one in standings.values() if one.is_as_left]
    _restore(place, source_id, [one.record_id for one in left if one.has_image], now)
    deletion = Deletion(now, user_id, place.bulk_action_id)
    created = [one.record_id for one in left if not one.has_image]
    if created:
        delete_records(place.entity, place.organisation_id, created, deletion)
    return _sorted_out(place, source_id, standings)


def _standings(place: Place, source_id: UUID) -> dict[UUID, Standing]:
    """Of those of the records that there are, which are locked from now on in the order of keys."""
    entity = place.entity
    statement = text(
        f"WITH locked AS MATERIALIZED ("
        f" SELECT c.id, c.updated_at, c.created_at, c.bulk_action_id FROM {entity.name} c"
        f" WHERE c.organisation_id = :organisation_id AND c.id = ANY (:ids) ORDER BY c.{entity.key_column} FOR UPDATE)"
        f" SELECT c.id, i.record_id IS NOT NULL, {AS_LEFT.format(moment='c.updated_at')}, false"
        f" FROM locked c {IMAGE}"
    )
    rows = db.session.execute(statement, {**place.values, "source_id": source_id})
    found = {one.record_id: one for one in map(Standing._make, rows)}
    odd = [one.record_id for one in found.values() if not one.is_as_left]
    return found | _standings_of_odd(place, source_id, odd) if odd else found


def _standings_of_odd(place: Place, source_id: UUID, ids: Sequence[UUID]) -> dict[UUID, Standing]:
    """Of records that were written since: as what was undone meanwhile says, each stands where it stood earlier."""
    undo_ids = _undos_since(place.organisation_id, source_id)
    statement = text(
        f"WITH RECURSIVE stood AS ("
        f" SELECT c.id, c.updated_at AS moment FROM {place.entity.name} c"
        f" WHERE c.organisation_id = :organisation_id AND c.id = ANY (:ids)"
        f" UNION SELECT s.id, i.updated_at FROM stood s JOIN before_images i"
        f" ON i.organisation_id = :organisation_id AND i.bulk_action_id = ANY (:undo_ids)"
        f" AND i.record_id = s.id AND i.written_at = s.moment)"
        f" SELECT c.id, bool_or(i.record_id IS NOT NULL), bool_or({AS_LEFT.format(moment='s.moment')}),"
        f" coalesce(bool_or(i.updated_at = s.moment), false)"
        f" FROM stood s JOIN {place.entity.name} c ON c.organisation_id = :organisation_id AND c.id = s.id {IMAGE}"
        f" GROUP BY c.id"
    )
    values = {**place.values, "ids": list(ids), "source_id": source_id, "undo_ids": undo_ids}
    return {one.record_id: one for one in map(Standing._make, db.session.execute(statement, values))}


IMAGE = (
    "LEFT JOIN before_images i ON i.organisation_id = :organisation_id AND i.bulk_action_id = :source_id"
    " AND i.record_id = c.id"
)
# What has no image of before was created by what is undone.
AS_LEFT = (
    "CASE WHEN i.record_id IS NULL THEN c.bulk_action_id IS NOT DISTINCT FROM :source_id AND c.created_at = {moment}"
    " ELSE i.written_at = {moment} END"
)


def _undos_since(organisation_id: UUID, source_id: UUID) -> list[UUID]:
    query = select(BulkAction.id).where(
        BulkAction.organisation_id == organisation_id, BulkAction.id > source_id, BulkAction.verb == Verb.UNDO
    )
    return list(db.session.scalars(query))


def _restore(place: Place, source_id: UUID, ids: Sequence[UUID], now: datetime) -> None:
    """Give these records back what they were. All of a bulk action's images are of the same columns."""
    if not ids:
        return
    values = {**place.values, "ids": list(ids), "source_id": source_id}
    one = db.session.scalar(text(f'SELECT i."values" {IMAGES} LIMIT 1'), values)
    entity = place.entity
    columns = [name for name in one or {} if name in entity.data_columns]
    assignments = "".join(f"{name} = was.{name}, " for name in columns)
    statement = text(
        f'WITH kept AS (INSERT INTO before_images (organisation_id, bulk_action_id, record_id, "values", updated_at,'
        f" written_at) SELECT :organisation_id, :bulk_action_id, i.record_id, CAST('{{}}' AS jsonb), i.updated_at,"
        f" :now {IMAGES})"
        f" UPDATE {entity.name} c SET {assignments}updated_at = :now"
        f" FROM (SELECT i.record_id, b.* {IMAGES_AS.format(entity=entity.name)}) AS was"
        f" WHERE c.organisation_id = :organisation_id AND c.id = was.record_id"
    )
    db.session.execute(statement, {**values, "bulk_action_id": place.bulk_action_id, "now": now})


OF_SOURCE = "WHERE i.organisation_id = :organisation_id AND i.bulk_action_id = :source_id AND i.record_id = ANY (:ids)"
IMAGES = f"FROM before_images i {OF_SOURCE}"
IMAGES_AS = "FROM before_images i CROSS JOIN LATERAL jsonb_populate_record(NULL::{entity}, i.values) AS b " + OF_SOURCE


def _sorted_out(place: Place, source_id: UUID, standings: dict[UUID, Standing]) -> Outcomes:
    gone = [record_id for record_id in place.ids if record_id not in standings]
    failed = dict.fromkeys(_with_image(place.organisation_id, source_id, gone), DELETED) if gone else {}
    done = [record_id for record_id in place.ids if (one := standings.get(record_id)) and one.is_as_left]
    failed |= {
        record_id: CHANGED for record_id, one in standings.items() if not one.is_as_left and not one.is_as_before
    }
    succeeded = set(done)
    skipped = [record_id for record_id in place.ids if record_id not in succeeded and record_id not in failed]
    return Outcomes(done, skipped, failed)


def _with_image(organisation_id: UUID, source_id: UUID, ids: Sequence[UUID]) -> list[UUID]:
    """Those of the records that the source changed; the others it created."""
    query = select(BeforeImage.record_id).where(
        BeforeImage.organisation_id == organisation_id,
        BeforeImage.bulk_action_id == source_id,
        BeforeImage.record_id == text("ANY (:ids)"),
    )
    return list(db.session.scalars(query, {"ids": list(ids)}))
