"""What became of a chunk's records, and the end that the last chunk sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy import text

from webapp.bulk_actions import service
from webapp.bulk_actions.chunks import Sends, lock_running, mark_done
from webapp.bulk_actions.models import BulkAction, BulkActionChunk, BulkActionOutcome, Phase
from webapp.bulk_actions.verbs.changes import Place
from webapp.extensions import db
from webapp.lib.clock import utc_now

PART_SIZE = 25_000
GONE = "It was deleted before its turn came."


@dataclass
class Outcomes:
    """Records by what became of them; a failed one has its reason."""

    succeeded: Sequence[UUID] = ()
    skipped: Sequence[UUID] = ()
    failed: Mapping[UUID, str] = field(default_factory=dict)


def sorted_out(wanted: Sequence[UUID], succeeded: Sequence[UUID], present: Sequence[UUID]) -> Outcomes:
    """Those of the present ones that did not succeed had nothing to change; those that are not present failed."""
    done, there = set(succeeded), set(present)
    return Outcomes(
        succeeded=[one for one in wanted if one in done],
        skipped=[one for one in wanted if one in there and one not in done],
        failed={one: GONE for one in wanted if one not in there and one not in done},
    )


def finish_work(chunk: BulkActionChunk, outcomes: Outcomes, *, has_finish: bool = False) -> Sends:
    """Mark a chunk, count and keep its outcomes; the last one ends the bulk action, or begins its finish."""
    bulk_action = lock_running(chunk)
    mark_done(chunk)
    counts = {
        "succeeded": len(outcomes.succeeded),
        "skipped": len(outcomes.skipped),
        "failed": len(outcomes.failed),
    }
    for outcome, count in counts.items():
        setattr(chunk, f"{outcome}_count", count)
        setattr(bulk_action, f"{outcome}_count", getattr(bulk_action, f"{outcome}_count") + count)
    _keep(chunk, outcomes)
    done_count = sum(counts.values())
    bulk_action.staged_count += done_count
    bulk_action.merged_count += done_count
    bulk_action.merged_partition_count += 1
    return _go_on(bulk_action, has_finish=has_finish)


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


def _keep(chunk: BulkActionChunk, outcomes: Outcomes) -> None:
    for outcome, ids in (("succeeded", outcomes.succeeded), ("skipped", outcomes.skipped), ("failed", outcomes.failed)):
        if ids:
            reasons = list(outcomes.failed.values()) if outcome == "failed" else None
            db.session.add(
                BulkActionOutcome(
                    organisation_id=chunk.organisation_id,
                    bulk_action_id=chunk.bulk_action_id,
                    outcome=outcome,
                    part=chunk.index,
                    record_count=len(ids),
                    record_ids=list(ids),
                    reasons=reasons,
                )
            )
    db.session.flush()
