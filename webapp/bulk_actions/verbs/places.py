"""Where a chunk of a verb does its work. Its ids stay in the database: statements read them from the chunk's row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import text

from webapp.bulk_actions.models import BulkAction, BulkActionChunk
from webapp.bulk_actions.queries import get_bulk_action
from webapp.extensions import db
from webapp.records.entities import Entity, get_entity

CHUNKS_IDS = (
    "(SELECT k.record_ids FROM bulk_action_chunks k WHERE k.organisation_id = :organisation_id"
    " AND k.bulk_action_id = :bulk_action_id AND k.phase = 'work' AND k.index = :part)::uuid[]"
)
"""The chunk's ids, in a statement with the values of its place."""


@dataclass(frozen=True)
class Place:
    """Which records of which organisation, in which chunk of a bulk action."""

    entity: Entity
    organisation_id: UUID
    bulk_action_id: UUID
    part: int
    row_count: int

    @property
    def values(self) -> dict[str, Any]:
        return {"organisation_id": self.organisation_id, "bulk_action_id": self.bulk_action_id, "part": self.part}

    def among(self, column: str) -> str:
        """The condition that a column is one of the ids."""
        return f"{column} = ANY ({CHUNKS_IDS})"


def place_of(chunk: BulkActionChunk) -> tuple[BulkAction, Place]:
    """The bulk action and the place of a chunk. From here on the records are looked up by their keys."""
    bulk_action = get_bulk_action(chunk.organisation_id, chunk.bulk_action_id)
    if bulk_action is None:
        raise LookupError(f"Bulk action {chunk.bulk_action_id} is gone.")
    db.session.execute(text("SELECT set_config('enable_seqscan', 'off', true)"))
    entity = get_entity(bulk_action.entity)
    return bulk_action, Place(entity, chunk.organisation_id, bulk_action.id, chunk.index, chunk.row_count)


# Outcomes -----------------------------------------------------------------------------------------


def noting(outcome: str, found: str, reason: str = "NULL::text[]") -> str:
    """The part of a statement that keeps the ids in `found` as records with this outcome of the chunk.

    Statements of a chunk may do so one after another.
    """
    return (
        f"noted_{outcome} AS (INSERT INTO bulk_action_outcomes AS o"
        f" (organisation_id, bulk_action_id, outcome, part, record_count, record_ids, reasons)"
        f" SELECT :organisation_id, :bulk_action_id, '{outcome}', :part, count(*), array_agg(id ORDER BY id), {reason}"
        f" FROM {found} HAVING count(*) > 0"
        f" ON CONFLICT (organisation_id, bulk_action_id, outcome, part) DO UPDATE SET"
        f" record_count = o.record_count + excluded.record_count, record_ids = o.record_ids || excluded.record_ids,"
        f" reasons = o.reasons || excluded.reasons)"
    )


REST = (
    f"rest AS MATERIALIZED (SELECT wanted.id FROM unnest({CHUNKS_IDS}) AS wanted (id) EXCEPT"
    " SELECT unnest(n.record_ids) FROM bulk_action_outcomes n WHERE n.organisation_id = :organisation_id"
    " AND n.bulk_action_id = :bulk_action_id AND n.part = :part)"
)


AMONG_REST = "r.id = ANY (ARRAY(SELECT rest.id FROM rest))"


def note_succeeded(parts: str, found: str, values: Mapping[str, Any]) -> int:
    """Do the parts of a statement, and keep the ids in the part `found` as records that succeeded; how many."""
    statement = text(f"WITH {parts}, {noting('succeeded', found)} SELECT count(*) FROM {found}")
    return int(db.session.execute(statement, dict(values)).scalar_one())


def note_rest(place: Place, outcome: str, condition: str = "true", *, reason: str | None = None, **more: Any) -> int:
    """Keep an outcome, and its reason, of those records without one that fulfil a condition on `rest.id`; how many."""
    reasons = "array_fill(CAST(:reason AS text), ARRAY[count(*)::int])" if reason else "NULL::text[]"
    found = f"found AS MATERIALIZED (SELECT rest.id FROM rest WHERE {condition})"
    statement = text(f"WITH {REST}, {found}, {noting(outcome, 'found', reasons)} SELECT count(*) FROM found")
    values = {**place.values, **more} | ({"reason": reason} if reason else {})
    return int(db.session.execute(statement, values).scalar_one())


def note_all(place: Place, outcome: str) -> None:
    """Keep one outcome of all records of a chunk that has none yet."""
    statement = text(
        "INSERT INTO bulk_action_outcomes (organisation_id, bulk_action_id, outcome, part, record_count, record_ids)"
        " SELECT k.organisation_id, k.bulk_action_id, :outcome, k.index, k.row_count, k.record_ids"
        " FROM bulk_action_chunks k WHERE k.organisation_id = :organisation_id"
        " AND k.bulk_action_id = :bulk_action_id AND k.phase = 'work' AND k.index = :part"
    )
    db.session.execute(statement, {**place.values, "outcome": outcome})


def note_ids(place: Place, outcome: str, ids: Sequence[UUID]) -> int:
    """Keep an outcome of these records."""
    return note_rest(place, outcome, "rest.id = ANY (:ids)", ids=list(ids)) if ids else 0


def list_rest(place: Place) -> list[UUID]:
    """The records that have no outcome yet."""
    return list(db.session.scalars(text(f"WITH {REST} SELECT id FROM rest"), place.values))


def exists_in(table: str, condition: str = "true") -> str:
    """The condition that a row `c` of the table has the id of `rest`, and fulfils a condition of its own."""
    found = f"SELECT FROM {table} c WHERE c.organisation_id = :organisation_id AND c.id = rest.id AND ({condition})"
    return f"EXISTS ({found})"
