"""The life of a chunk: taken when its turn comes, worked on, done or given up; and what the last one sets going.

Locks are always taken in this order: a chunk, its bulk action, its job.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy import text

from webapp.bulk_actions import service
from webapp.bulk_actions.models import BulkAction, BulkActionChunk, BulkActionState, ChunkState, Phase
from webapp.bulk_actions.queries import get_bulk_action, lock_bulk_action, lock_chunk, lock_undone_chunks, may_go_on
from webapp.extensions import db
from webapp.lib.clock import utc_now
from webapp.records.merge import MergeCounts
from webapp.records.staging import BUCKET_COUNT

MAX_ATTEMPTS = 3
ROWS_PER_PARTITION = 25_000
MIN_ROWS_PER_PARTITION = 1_000
USUAL_PARTITIONS = 8
TAKE = text("SELECT * FROM footfall_take_chunk(:moment)")


class OverError(Exception):
    """The bulk action ended or shall end, or another worker has the chunk: what was done must not count."""


class RefusedError(Exception):
    """The bulk action must not be done; the message says why, in plain words."""


@dataclass(frozen=True)
class Take:
    """A chunk that this worker took. `taken_at` tells this attempt from every other."""

    organisation_id: UUID
    bulk_action_id: UUID
    phase: Phase
    index: int
    attempt_count: int
    taken_at: datetime

    @property
    def is_spent(self) -> bool:
        """Whether all its attempts went wrong, so that it is to be given up."""
        return self.attempt_count > MAX_ATTEMPTS


@dataclass
class Sends:
    """What to do after the commit: a message for each chunk that became pending, and rows to count by outcome."""

    message_count: int = 0
    clean: bool = False
    row_counts: dict[str, int] = field(default_factory=dict)


def take_chunk(now: datetime) -> Take | None:
    """Take the chunk whose turn it is, of whatever organisation. Commit at once: other workers wait for that.

    It counts an attempt before that begins, so that a chunk that kills its worker is noticed.
    """
    row = db.session.execute(TAKE, {"moment": now}).one_or_none()
    if row is None:
        return None
    organisation_id, bulk_action_id, phase, index, attempt_count = row
    return Take(organisation_id, bulk_action_id, Phase(phase), index, attempt_count, now)


def take_plan(organisation_id: UUID, bulk_action_id: UUID, now: datetime) -> Take | None:
    """Take the chunk that freezes the selection of one that begins later, unless somebody has it. Commit at once."""
    bulk_action = get_bulk_action(organisation_id, bulk_action_id)
    if bulk_action is None or not bulk_action.plans_ahead or bulk_action.phase is not Phase.PLAN:
        return None
    chunks = lock_undone_chunks(organisation_id, bulk_action_id)
    chunk = next((chunk for chunk in chunks if chunk.phase is Phase.PLAN and chunk.taken_at is None), None)
    if chunk is None:
        return None
    chunk.taken_at = chunk.started_at = now
    chunk.attempt_count += 1
    return Take(organisation_id, bulk_action_id, Phase.PLAN, chunk.index, chunk.attempt_count, now)


def begin(take: Take, worker: str) -> None:
    """Note the first attempt at the bulk action, and each after a worker was lost while planning.

    One that only freezes its selection now has not begun. Raises OverError when it is over or shall end.
    """
    check_running(take.organisation_id, take.bulk_action_id)
    bulk_action = get_bulk_action(take.organisation_id, take.bulk_action_id)
    if bulk_action is not None and bulk_action.plans_ahead:
        return
    is_first = bulk_action is not None and bulk_action.state is BulkActionState.PENDING
    if not is_first and (take.phase is not Phase.PLAN or take.attempt_count == 1):
        return
    bulk_action = lock_bulk_action(take.organisation_id, take.bulk_action_id)
    if bulk_action is None or not bulk_action.is_running:
        raise OverError
    service.begin(bulk_action, worker)


def hold(take: Take) -> BulkActionChunk:
    """The chunk that was taken, locked for as long as the work lasts; raises OverError when another has it now."""
    chunk = lock_chunk(take.organisation_id, take.bulk_action_id, take.phase, take.index)
    if chunk is None or chunk.taken_at != take.taken_at:
        raise OverError
    return chunk


def put_off(take: Take, run_at: datetime | None, reason: str | None) -> None:
    """Give the chunk back without an attempt spent, and let all of its bulk action wait until `run_at`."""
    chunk = lock_chunk(take.organisation_id, take.bulk_action_id, take.phase, take.index)
    if chunk is None or chunk.taken_at != take.taken_at:
        return
    chunk.taken_at = None
    chunk.attempt_count -= 1
    bulk_action = lock_bulk_action(take.organisation_id, take.bulk_action_id)
    if bulk_action and run_at and not bulk_action.plans_ahead:
        bulk_action.run_at, bulk_action.wait_reason = run_at, reason


def check_running(organisation_id: UUID, bulk_action_id: UUID) -> None:
    """Between two pieces of a chunk's work: raises OverError when the bulk action is over, or somebody stopped it."""
    if not may_go_on(organisation_id, bulk_action_id):
        raise OverError


def lock_running(chunk: BulkActionChunk) -> BulkAction:
    """The chunk's bulk action, locked, at the end of the work; raises OverError when it is over or shall end."""
    bulk_action = lock_bulk_action(chunk.organisation_id, chunk.bulk_action_id)
    if bulk_action is None:
        raise OverError
    check_running(chunk.organisation_id, chunk.bulk_action_id)
    bulk_action.wait_reason = None
    return bulk_action


def mark_done(chunk: BulkActionChunk) -> None:
    chunk.state = ChunkState.DONE
    chunk.ended_at = utc_now()
    chunk.error = None


def give_back(chunk: BulkActionChunk) -> None:
    """The chunk gets on and waits for its next turn; so it does not kill its workers."""
    chunk.taken_at = None
    chunk.attempt_count = 0


def finish_stage(chunk: BulkActionChunk, staged_count: int, rejected_count: int, blank_count: int) -> Sends:
    """Mark a staged chunk; the last one begins the merge."""
    bulk_action = lock_running(chunk)
    mark_done(chunk)
    chunk.rejected_count = rejected_count
    bulk_action.staged_chunk_count += 1
    bulk_action.staged_count += staged_count
    bulk_action.rejected_count += rejected_count
    bulk_action.blank_count += blank_count
    _note_job(bulk_action)
    sends = begin_merge_if_staged(bulk_action)
    sends.row_counts = {"rejected": rejected_count}
    return sends


def begin_merge_if_staged(bulk_action: BulkAction) -> Sends:
    """When the file is planned and every chunk staged: the partitions, or the end if no row was left.

    The caller holds the bulk action's lock, so exactly one sees the last chunk.
    """
    if bulk_action.planned_at is None or bulk_action.staged_chunk_count < bulk_action.chunk_count:
        return Sends()
    bulk_action.phase = Phase.MERGE
    if not bulk_action.staged_count:
        service.complete(bulk_action)
        return Sends(clean=True)
    bulk_action.partition_count = partition_count(bulk_action.staged_count)
    for index in range(bulk_action.partition_count):
        chunk = service.new_chunk(bulk_action, Phase.MERGE, index)
        chunk.row_count = bulk_action.staged_count // bulk_action.partition_count
        chunk.start_offset = index * BUCKET_COUNT // bulk_action.partition_count
        chunk.end_offset = (index + 1) * BUCKET_COUNT // bulk_action.partition_count
        db.session.add(chunk)
    return Sends(message_count=bulk_action.partition_count)


def partition_count(row_count: int) -> int:
    """As many as keep a transaction small; several even for a small file, so that workers share it."""
    usual = min(USUAL_PARTITIONS, row_count // MIN_ROWS_PER_PARTITION)
    return min(BUCKET_COUNT, max(2, usual, -(-row_count // ROWS_PER_PARTITION)))


def finish_merge(chunk: BulkActionChunk, counts: MergeCounts) -> Sends:
    """Mark a merged partition; the last one ends the import and its job, in this very transaction."""
    bulk_action = lock_running(chunk)
    chunk.row_count = counts.row_count
    bulk_action.merged_count += counts.row_count
    row_counts = {}
    for outcome in ("created", "updated", "unchanged", "skipped", "rejected", "duplicate"):
        name = f"{outcome}_count"
        row_counts[outcome] = getattr(counts, name)
        setattr(chunk, name, row_counts[outcome])
        setattr(bulk_action, name, getattr(bulk_action, name) + row_counts[outcome])
    return _finish_partition(chunk, bulk_action, row_counts)


def finish_unmerged(chunk: BulkActionChunk, rejected_count: int) -> Sends:
    """Mark a partition whose staged rows were all rejected, so that they count as not staged."""
    bulk_action = lock_running(chunk)
    chunk.row_count = chunk.rejected_count = rejected_count
    bulk_action.staged_count -= rejected_count
    bulk_action.rejected_count += rejected_count
    return _finish_partition(chunk, bulk_action, {"rejected": rejected_count})


def _finish_partition(chunk: BulkActionChunk, bulk_action: BulkAction, row_counts: dict[str, int]) -> Sends:
    mark_done(chunk)
    bulk_action.merged_partition_count += 1
    is_last = bulk_action.merged_partition_count >= bulk_action.partition_count
    if is_last:
        service.complete(bulk_action)
    else:
        _note_job(bulk_action)
    return Sends(clean=is_last, row_counts=row_counts)


def note_given_up(chunk: BulkActionChunk) -> None:
    """The bulk action will complete with problems."""
    lock_running(chunk).given_up_chunk_count += 1
    db.session.flush()


def _note_job(bulk_action: BulkAction) -> None:
    job = service.job_of(bulk_action)
    if job:
        service.note_job_progress(bulk_action, job)
