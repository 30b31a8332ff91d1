"""What became of a chunk's records, and the end that the last chunk sets."""

from __future__ import annotations

from sqlalchemy import select, text

from webapp.bulk_actions import service
from webapp.bulk_actions.chunks import Sends, lock_running, mark_done
from webapp.bulk_actions.models import BulkAction, BulkActionChunk, BulkActionOutcome, Phase
from webapp.bulk_actions.verbs.places import Place
from webapp.extensions import db
from webapp.lib.clock import utc_now

PART_SIZE = 25_000
OUTCOMES = ("succeeded", "skipped", "failed")


def finish_work(chunk: BulkActionChunk, *, has_finish: bool = False) -> Sends:
    """Mark a chunk and count its outcomes; the last one ends the bulk action, or begins its finish."""
    bulk_action = lock_running(chunk)
    mark_done(chunk)
    counts = _counts(chunk)
    done_count = sum(counts.values())
    if done_count != chunk.row_count:
        raise RuntimeError(f"{chunk.row_count} records have {done_count} outcomes.")
    for outcome in OUTCOMES:
        count = counts.get(outcome, 0)
        setattr(chunk, f"{outcome}_count", count)
        setattr(bulk_action, f"{outcome}_count", getattr(bulk_action, f"{outcome}_count") + count)
    bulk_action.staged_count += done_count
    bulk_action.merged_count += done_count
    bulk_action.merged_partition_count += 1
    return _go_on(bulk_action, has_finish=has_finish)


def _counts(chunk: BulkActionChunk) -> dict[str, int]:
    query = select(BulkActionOutcome.outcome, BulkActionOutcome.record_count).where(
        BulkActionOutcome.organisation_id == chunk.organisation_id,
        BulkActionOutcome.bulk_action_id == chunk.bulk_action_id,
        BulkActionOutcome.part == chunk.index,
    )
    return {row.outcome: row.record_count for row in db.session.execute(query)}


def _go_on(bulk_action: BulkAction, *, has_finish: bool) -> Sends:
    if bulk_action.merged_partition_count < bulk_action.partition_count:
        if job := service.job_of(bulk_action):
            service.note_job_progress(bulk_action, job)
        return Sends()
    if has_finish:
        bulk_action.phase = Phase.FINISH
        db.session.add(service.new_chunk(bulk_action, Phase.FINISH, 0))
        return Sends(message_count=1)
    service.complete(bulk_action)
    return Sends(clean=True)


def end_finish(chunk: BulkActionChunk) -> Sends:
    """Mark the last chunk of all, and end the bulk action."""
    bulk_action = lock_running(chunk)
    mark_done(chunk)
    service.complete(bulk_action)
    return Sends(clean=True)


def finish_at_once(chunk: BulkActionChunk, count: int) -> Sends:
    """Mark the only chunk of a bulk action that does everything by one statement."""
    bulk_action = lock_running(chunk)
    mark_done(chunk)
    bulk_action.planned_at = utc_now()
    bulk_action.row_count = bulk_action.staged_count = bulk_action.merged_count = bulk_action.succeeded_count = count
    service.complete(bulk_action)
    return Sends(clean=True)


def keep_deleted(place: Place) -> None:
    """Keep the outcome of all records that this bulk action has just deleted."""
    statement = text(
        "INSERT INTO bulk_action_outcomes (organisation_id, bulk_action_id, outcome, part, record_count, record_ids)"
        " SELECT :organisation_id, :bulk_action_id, 'succeeded', part, count(*), array_agg(id ORDER BY id)"
        " FROM (SELECT id, ((row_number() OVER (ORDER BY id) - 1) / :size)::int AS part"
        f" FROM {place.entity.deleted.name}"
        " WHERE organisation_id = :organisation_id AND deletion_id = :bulk_action_id) AS gone GROUP BY part"
    )
    given = {"organisation_id": place.organisation_id, "bulk_action_id": place.bulk_action_id, "size": PART_SIZE}
    db.session.execute(statement, given)
