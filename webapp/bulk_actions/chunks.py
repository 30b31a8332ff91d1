"""The life of a chunk: taken, worked on, done; and what the last one sets going.

Locks are always taken in this order: a chunk, its bulk action, its job.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

from webapp.bulk_actions import service
from webapp.bulk_actions.models import BulkAction, BulkActionChunk, ChunkState, Phase
from webapp.bulk_actions.queries import lock_bulk_action, lock_chunk, was_just_begun
from webapp.contacts.merge import MergeCounts
from webapp.contacts.staging import BUCKET_COUNT
from webapp.extensions import db
from webapp.lib.clock import utc_now

MAX_ATTEMPTS = 3
ROWS_PER_PARTITION = 25_000
MIN_ROWS_PER_PARTITION = 1_000
USUAL_PARTITIONS = 8


class OverError(Exception):
    """The bulk action ended meanwhile, or another worker has the chunk: what was done must not count."""


@dataclass(frozen=True)
class ChunkId:
    """Which chunk a message means."""

    organisation_id: UUID
    bulk_action_id: UUID
    phase: Phase
    index: int


@dataclass
class Sends:
    """Messages to send after the commit, and rows to count by their outcomes."""

    chunks: list[tuple[Phase, int]] = field(default_factory=list)
    clean: bool = False
    row_counts: dict[str, int] = field(default_factory=dict)


def claim(chunk_id: ChunkId, worker: str) -> bool:
    """Count an attempt before it begins, so that a chunk that kills its worker is noticed.

    False when there is nothing to do: it is done, somebody is at it or just about to be, or the bulk action is
    over. Copies of one message that come at once are thus one attempt; should that one die in its first
    moments, the sweeper sends the chunk again.
    """
    chunk = lock_chunk(chunk_id.organisation_id, chunk_id.bulk_action_id, chunk_id.phase, chunk_id.index)
    if chunk is None or was_just_begun(chunk):
        return False
    bulk_action = lock_bulk_action(chunk_id.organisation_id, chunk_id.bulk_action_id)
    if bulk_action is None or not bulk_action.is_running or _was_cancelled(bulk_action):
        return False
    if chunk.attempt_count >= MAX_ATTEMPTS:
        service.fail(bulk_action, _given_up(chunk))
        return False
    if chunk.phase is Phase.PLAN:
        service.begin(bulk_action, worker)
    chunk.attempt_count += 1
    chunk.started_at = utc_now()
    return True


def _was_cancelled(bulk_action: BulkAction) -> bool:
    """Whether somebody asked the job to stop; then it stops here."""
    job = service.job_of(bulk_action)
    if job is None or job.cancel_requested_at is None:
        return False
    service.cancel(bulk_action)
    return True


def _given_up(chunk: BulkActionChunk) -> str:
    last = f" The last error: {chunk.error}" if chunk.error else ""
    if chunk.phase is Phase.PLAN:
        return f"Reading the file stopped the worker {MAX_ATTEMPTS} times. Nothing was imported.{last}"
    if chunk.phase is Phase.STAGE:
        end = chunk.first_row_number + chunk.row_count - 1
        return (
            f"Rows {chunk.first_row_number:,} to {end:,} stopped the worker {MAX_ATTEMPTS} times. Nothing was "
            f"imported. Look whether something in these rows is unusual, and drop the file again.{last}"
        )
    return (
        f"Writing the contacts stopped the worker {MAX_ATTEMPTS} times. Those already written stay. "
        f"Drop the file again: rows that are already in count as unchanged.{last}"
    )


def hold(chunk_id: ChunkId) -> BulkActionChunk:
    """The claimed chunk, locked for as long as the work takes; raises OverError when it is done.

    It waits for whoever only looks at the chunk, such as a copy of the message or the sweeper.
    """
    chunk = lock_chunk(chunk_id.organisation_id, chunk_id.bulk_action_id, chunk_id.phase, chunk_id.index, wait=True)
    if chunk is None:
        raise OverError
    return chunk


def lock_running(chunk: BulkActionChunk) -> BulkAction:
    """The chunk's bulk action, locked, at the end of the work; raises OverError when it is over."""
    bulk_action = lock_bulk_action(chunk.organisation_id, chunk.bulk_action_id)
    if bulk_action is None or not bulk_action.is_running:
        raise OverError
    return bulk_action


def mark_done(chunk: BulkActionChunk) -> None:
    chunk.state = ChunkState.DONE
    chunk.ended_at = utc_now()
    chunk.error = None


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
        chunk.start_offset = index * BUCKET_COUNT // bulk_action.partition_count
        chunk.end_offset = (index + 1) * BUCKET_COUNT // bulk_action.partition_count
        db.session.add(chunk)
    return Sends([(Phase.MERGE, index) for index in range(bulk_action.partition_count)])


def partition_count(row_count: int) -> int:
    """As many as keep a transaction small; several even for a small file, so that workers share it."""
    usual = min(USUAL_PARTITIONS, row_count // MIN_ROWS_PER_PARTITION)
    return min(BUCKET_COUNT, max(2, usual, -(-row_count // ROWS_PER_PARTITION)))


def finish_merge(chunk: BulkActionChunk, counts: MergeCounts) -> Sends:
    """Mark a merged partition; the last one ends the import and its job, in this very transaction."""
    bulk_action = lock_running(chunk)
    mark_done(chunk)
    chunk.row_count = counts.row_count
    bulk_action.merged_partition_count += 1
    bulk_action.merged_count += counts.row_count
    row_counts = {}
    for outcome in ("created", "updated", "unchanged", "duplicate"):
        name = f"{outcome}_count"
        row_counts[outcome] = getattr(counts, name)
        setattr(chunk, name, row_counts[outcome])
        setattr(bulk_action, name, getattr(bulk_action, name) + row_counts[outcome])
    is_last = bulk_action.merged_partition_count >= bulk_action.partition_count
    if is_last:
        service.complete(bulk_action)
    else:
        _note_job(bulk_action)
    return Sends(clean=is_last, row_counts=row_counts)


def _note_job(bulk_action: BulkAction) -> None:
    job = service.job_of(bulk_action)
    if job:
        service.note_job_progress(bulk_action, job)
