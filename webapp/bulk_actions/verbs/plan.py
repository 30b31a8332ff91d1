"""Freezing a selection: one statement, and so one moment, cuts its ids into chunks."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import Select, cast, func, insert, literal, select, text
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.types import BigInteger, Integer, String

from webapp.bulk_actions import service
from webapp.bulk_actions.chunks import RefusedError, Sends, lock_running, mark_done
from webapp.bulk_actions.models import BulkAction, BulkActionChunk, BulkActionOutcome, ChunkState, Phase, Verb
from webapp.bulk_actions.queries import get_bulk_action
from webapp.bulk_actions.verbs.parameters import CONFIRMED
from webapp.bulk_actions.verbs.selection import selected_ids, selection_from
from webapp.extensions import db
from webapp.lib.clock import utc_now
from webapp.lib.storage import Storage
from webapp.records.entities import get_entity

RECORDS_PER_CHUNK = 20_000
JOBS_PER_CHUNK = 5_000
"""Making a job for each takes longer than changing them all by one statement."""
UNDONE_OUTCOMES = ("created", "updated", "succeeded")


def plan_selection(chunk: BulkActionChunk, storage: Storage) -> Sends:
    """Cut what was selected into chunks of work; nothing is done to any record before that is committed."""
    bulk_action = get_bulk_action(chunk.organisation_id, chunk.bulk_action_id)
    if bulk_action is None:
        raise LookupError(f"Bulk action {chunk.bulk_action_id} is gone.")
    _cut(bulk_action, ids_of(bulk_action))
    bulk_action = lock_running(chunk)
    mark_done(chunk)
    chunk_count, row_count = _planned(bulk_action)
    refuse_more(bulk_action, row_count)
    bulk_action.planned_at = utc_now()
    bulk_action.phase = Phase.WORK
    bulk_action.partition_count, bulk_action.row_count = chunk_count, row_count
    if not chunk_count:
        service.complete(bulk_action)
        return Sends(clean=True)
    return Sends(message_count=0 if bulk_action.plans_ahead else chunk_count)


def refuse_more(bulk_action: BulkAction, count: int) -> None:
    """Raises RefusedError when these are more records than were confirmed: the number that was typed is the most.

    More of them may match by now, or have been on their way into the database when they were counted.
    """
    confirmed = bulk_action.parameters.get(CONFIRMED)
    if confirmed is not None and count > confirmed:
        said = f"{count:,} {get_entity(bulk_action.entity).name} are selected by now, and {confirmed:,} were confirmed."
        raise RefusedError(f"{said} Nothing was done to them. Choose once more.")


def ids_of(bulk_action: BulkAction) -> Select[tuple[UUID]]:
    """The ids that a bulk action is about."""
    if bulk_action.verb is Verb.UNDO and bulk_action.source_id:
        return _touched(bulk_action.organisation_id, bulk_action.source_id)
    selection = selection_from(bulk_action.selection or {})
    moment = bulk_action.selected_at or bulk_action.created_at
    return selected_ids(get_entity(bulk_action.entity), bulk_action.organisation_id, selection, moment)


def _touched(organisation_id: UUID, source_id: UUID) -> Select[tuple[UUID]]:
    """What another bulk action created or changed."""
    outcomes = BulkActionOutcome
    return select(func.unnest(outcomes.record_ids).label("id")).where(
        outcomes.organisation_id == organisation_id,
        outcomes.bulk_action_id == source_id,
        outcomes.outcome.in_(UNDONE_OUTCOMES),
    )


def _cut(bulk_action: BulkAction, ids: Select[tuple[UUID]]) -> None:
    db.session.execute(text("SELECT set_config('work_mem', '64MB', true)"))
    wanted = ids.order_by(None).subquery()
    place = func.row_number().over(order_by=wanted.c.id) - 1
    numbered = select(wanted.c.id, cast(place / _chunk_size(bulk_action.verb), Integer).label("index")).subquery()
    record_ids = func.array_agg(aggregate_order_by(numbered.c.id, numbered.c.id))
    values: dict[str, Any] = {
        "organisation_id": literal(bulk_action.organisation_id),
        "bulk_action_id": literal(bulk_action.id),
        "phase": cast(literal(Phase.WORK.value), String),
        "index": numbered.c.index,
        "record_ids": record_ids,
        "row_count": cast(func.count(), BigInteger),
        "state": cast(literal(ChunkState.PENDING.value), String),
    }
    chunks = select(*values.values()).group_by(numbered.c.index)
    db.session.execute(insert(BulkActionChunk).from_select(list(values), chunks))


def _chunk_size(verb: Verb) -> int:
    return min(RECORDS_PER_CHUNK, JOBS_PER_CHUNK) if verb is Verb.FIND_PICTURES else RECORDS_PER_CHUNK


def _planned(bulk_action: BulkAction) -> tuple[int, int]:
    """(chunks, records) of the work."""
    query = select(func.count(), func.coalesce(func.sum(BulkActionChunk.row_count), 0)).where(
        BulkActionChunk.organisation_id == bulk_action.organisation_id,
        BulkActionChunk.bulk_action_id == bulk_action.id,
        BulkActionChunk.phase == Phase.WORK,
    )
    chunk_count, row_count = db.session.execute(query).one()
    return chunk_count, int(row_count)
