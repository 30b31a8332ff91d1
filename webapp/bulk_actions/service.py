"""The life of a bulk action, from its first chunk to its end. Nothing here commits or sends."""

from __future__ import annotations

from uuid import UUID

from webapp.bulk_actions.files import delete_files
from webapp.bulk_actions.models import (
    BulkAction,
    BulkActionChunk,
    BulkActionState,
    BulkActionTurn,
    Phase,
    Verb,
)
from webapp.bulk_actions.queries import has_undone_chunk, lock_bulk_action, lock_undone_chunks
from webapp.extensions import db
from webapp.jobs.models import Job, JobAttempt
from webapp.jobs.queries import get_job_for_update
from webapp.jobs.service import begin_attempt
from webapp.lib.clock import utc_now
from webapp.lib.storage import Storage


def new_chunk(bulk_action: BulkAction, phase: Phase, index: int) -> BulkActionChunk:
    """A chunk, for which a message is sent right after the commit."""
    return BulkActionChunk(
        organisation_id=bulk_action.organisation_id, bulk_action_id=bulk_action.id, phase=phase, index=index
    )


def start_now(bulk_action: BulkAction) -> None:
    """Wait no longer, neither for the time it was started for nor for what put it off. Commit, then `send_work`."""
    if not bulk_action.is_running or bulk_action.run_at is None:
        return
    bulk_action.run_at = bulk_action.wait_reason = None
    job = job_of(bulk_action)
    if job:
        job.run_at = min(job.run_at, utc_now())


def begin(bulk_action: BulkAction, worker: str) -> None:
    """A worker begins to plan: for the first time, or again after another died of it."""
    bulk_action.state = BulkActionState.RUNNING
    bulk_action.started_at = bulk_action.started_at or utc_now()
    job = job_of(bulk_action)
    if job:
        begin_attempt(job, worker)


def cancel(bulk_action: BulkAction) -> None:
    """Stop for good, from this transaction on: chunks at work roll back when they find out."""
    if bulk_action.state.is_final:
        return
    bulk_action.end(BulkActionState.CANCELLED)
    job = job_of(bulk_action)
    if job:
        job.end_cancelled()
        _close_attempt(job, "cancelled")


def fail(bulk_action: BulkAction, error: str) -> None:
    """Stop for good, because going on cannot help."""
    bulk_action.end(BulkActionState.FAILED, error)
    job = job_of(bulk_action)
    if job:
        job.fail(error)
        _close_attempt(job, "failed", error)


def complete(bulk_action: BulkAction) -> None:
    """Every row is accounted for."""
    given_up_count = bulk_action.given_up_chunk_count
    bulk_action.end(BulkActionState.COMPLETED_WITH_PROBLEMS if given_up_count else BulkActionState.COMPLETED)
    job = job_of(bulk_action)
    if job:
        note_job_progress(bulk_action, job)
        outcomes = OUTCOMES if bulk_action.verb is Verb.IMPORT else VERB_OUTCOMES
        result = {outcome: getattr(bulk_action, f"{outcome}_count") for outcome in outcomes}
        job.complete(result | ({"given_up_chunks": given_up_count} if given_up_count else {}))
        _close_attempt(job, "completed")


def note_job_progress(bulk_action: BulkAction, job: Job) -> None:
    """The job counts rows as the bulk action does."""
    job.progress_count = bulk_action.left_out_count + (bulk_action.staged_count + bulk_action.merged_count) // 2
    job.total_count = bulk_action.row_count


def job_of(bulk_action: BulkAction) -> Job | None:
    """The bulk action's job, locked."""
    return get_job_for_update(bulk_action.organisation_id, bulk_action.job_id) if bulk_action.job_id else None


def _close_attempt(job: Job, outcome: str, error: str = "") -> None:
    if not job.attempt_count:
        return
    attempt = db.session.get(JobAttempt, (job.organisation_id, job.id, job.attempt_count))
    if attempt and attempt.ended_at is None:
        attempt.ended_at = utc_now()
        attempt.outcome = outcome
        attempt.error = error or None


def clean_up(organisation_id: UUID, bulk_action_id: UUID, storage: Storage) -> None:
    """After the end, and after its staged rows: remove the file, and chunks that nobody will do; the reports stay.

    While somebody is still at a chunk it is not clean, and the sweeper comes again.
    """
    bulk_action = lock_bulk_action(organisation_id, bulk_action_id)
    if bulk_action is None:
        return
    if bulk_action.verb is Verb.IMPORT:
        delete_files(storage, bulk_action)
    for chunk in lock_undone_chunks(organisation_id, bulk_action_id):
        db.session.delete(chunk)
    turn = db.session.get(BulkActionTurn, (organisation_id, bulk_action_id))
    if turn:
        db.session.delete(turn)
    db.session.flush()
    if not has_undone_chunk(organisation_id, bulk_action_id):
        bulk_action.cleaned_at = utc_now()


OUTCOMES = ("created", "updated", "unchanged", "skipped", "rejected", "duplicate", "blank")
VERB_OUTCOMES = ("succeeded", "skipped", "failed")
