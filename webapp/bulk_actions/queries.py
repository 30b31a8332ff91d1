"""Every look at bulk actions, their chunks and their reports."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, Table, and_, or_, select, text

from webapp.bulk_actions.models import (
    RUNNING_STATES,
    BulkAction,
    BulkActionChunk,
    BulkActionState,
    ChunkState,
    ImportMapping,
    Phase,
    RejectedRow,
    ReplacedRow,
    Verb,
)
from webapp.extensions import db
from webapp.jobs.models import Job

PAGE_SIZE = 40
REPORT_PAGE_ROWS = 2_000
STUCK_AFTER = timedelta(seconds=2)
"""A chunk that was taken so long ago, and that nobody holds, has lost its worker."""


def get_bulk_action(organisation_id: UUID, bulk_action_id: UUID) -> BulkAction | None:
    return db.session.get(BulkAction, (organisation_id, bulk_action_id))


def find_by_idempotency_key(organisation_id: UUID, key: str) -> BulkAction | None:
    """The bulk action that a call with this key started."""
    query = select(BulkAction).where(BulkAction.organisation_id == organisation_id, BulkAction.idempotency_key == key)
    return db.session.scalar(query)


def lock_running_tries(organisation_id: UUID, draft_id: UUID) -> Sequence[BulkAction]:
    """Dry runs of a draft that are not over, locked."""
    query = select(BulkAction).where(
        BulkAction.organisation_id == organisation_id,
        BulkAction.source_id == draft_id,
        BulkAction.is_dry_run,
        BulkAction.state.in_(RUNNING_STATES),
    )
    return db.session.scalars(query.with_for_update(key_share=True)).all()


def list_same_file(organisation_id: UUID, draft: BulkAction, limit: int = 3) -> Sequence[BulkAction]:
    """Imports of the very same bytes that were started before, into whatever, newest first.

    One that was cancelled counts when it wrote something before.
    """
    has_written = BulkAction.created_count + BulkAction.updated_count > 0
    query = select(BulkAction).where(
        BulkAction.organisation_id == organisation_id,
        BulkAction.file_sha256 == draft.file_sha256,
        BulkAction.id != draft.id,
        BulkAction.is_dry_run.is_(False),
        BulkAction.state != BulkActionState.DRAFT,
        or_(BulkAction.state != BulkActionState.CANCELLED, has_written),
    )
    return db.session.scalars(query.order_by(BulkAction.id.desc()).limit(limit)).all()


def entity_of(organisation_id: UUID, bulk_action_id: UUID) -> str:
    """The name of its kind of record."""
    query = select(BulkAction.entity).where(
        BulkAction.organisation_id == organisation_id, BulkAction.id == bulk_action_id
    )
    return db.session.execute(query).scalar_one()


def lock_bulk_action(organisation_id: UUID, bulk_action_id: UUID) -> BulkAction | None:
    """The bulk action, re-read and locked until the transaction ends.

    The lock lets rows that refer to it be inserted meanwhile; a stronger one would deadlock with them.
    """
    key = (organisation_id, bulk_action_id)
    return db.session.get(BulkAction, key, with_for_update={"key_share": True}, populate_existing=True)


def may_clean(organisation_id: UUID, bulk_action_id: UUID) -> bool:
    """Whether it is over, not cleaned yet, and nobody else is at it until this transaction ends."""
    query = select(BulkAction.state, BulkAction.cleaned_at).where(
        BulkAction.organisation_id == organisation_id, BulkAction.id == bulk_action_id
    )
    found = db.session.execute(query).one_or_none()
    if found is None or not found.state.is_final or found.cleaned_at is not None:
        return False
    lock = text("SELECT pg_try_advisory_xact_lock(hashtextextended(:key, 1))")
    return bool(db.session.execute(lock, {"key": str(bulk_action_id)}).scalar_one())


def list_bulk_actions(
    organisation_id: UUID,
    *,
    state: BulkActionState | None = None,
    verb: Verb | None = None,
    entity: str | None = None,
    person: UUID | None = None,
    before: UUID | None = None,
    limit: int = PAGE_SIZE,
    with_drafts: bool = False,
) -> Sequence[BulkAction]:
    """The organisation's bulk actions, newest first, from before the given one; `person` is whoever asked for them."""
    query = select(BulkAction).where(BulkAction.organisation_id == organisation_id)
    if state is not None:
        query = query.where(BulkAction.state == state)
    elif not with_drafts:
        query = query.where(BulkAction.state != BulkActionState.DRAFT)
    wanted = {BulkAction.verb: verb, BulkAction.entity: entity, BulkAction.created_by: person}
    query = query.where(*(column == value for column, value in wanted.items() if value is not None))
    if before is not None:
        query = query.where(BulkAction.id < before)
    return db.session.scalars(query.order_by(BulkAction.id.desc()).limit(limit)).all()


def find_with_file(organisation_id: UUID, ids: Collection[UUID]) -> set[UUID]:
    """Those whose file is still wanted: drafts, and imports that are not cleaned up."""
    query = select(BulkAction.id).where(
        BulkAction.organisation_id == organisation_id, BulkAction.id.in_(ids), BulkAction.cleaned_at.is_(None)
    )
    return set(db.session.scalars(query))


def may_go_on(organisation_id: UUID, bulk_action_id: UUID) -> bool:
    """Whether its chunks may be worked on as of now: it is not over, and nobody asked its job to stop."""
    is_its_job = and_(Job.organisation_id == BulkAction.organisation_id, Job.id == BulkAction.job_id)
    query = (
        select(BulkAction.state)
        .outerjoin(Job, is_its_job)
        .where(
            BulkAction.organisation_id == organisation_id,
            BulkAction.id == bulk_action_id,
            BulkAction.state.in_(RUNNING_STATES),
            Job.cancel_requested_at.is_(None),
        )
    )
    return db.session.execute(query).one_or_none() is not None


def lock_chunk(organisation_id: UUID, bulk_action_id: UUID, phase: Phase, index: int) -> BulkActionChunk | None:
    """The chunk, re-read and locked as soon as whoever has it lets go, if it is not done then."""
    query = (
        select(BulkActionChunk)
        .where(
            BulkActionChunk.organisation_id == organisation_id,
            BulkActionChunk.bulk_action_id == bulk_action_id,
            BulkActionChunk.phase == phase,
            BulkActionChunk.index == index,
            BulkActionChunk.state == ChunkState.PENDING,
        )
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    return db.session.scalar(query)


def list_chunks(organisation_id: UUID, bulk_action_id: UUID, phase: Phase) -> Sequence[BulkActionChunk]:
    """A phase's chunks in their order."""
    query = select(BulkActionChunk).where(
        BulkActionChunk.organisation_id == organisation_id,
        BulkActionChunk.bulk_action_id == bulk_action_id,
        BulkActionChunk.phase == phase,
    )
    return db.session.scalars(query.order_by(BulkActionChunk.index)).all()


def list_staged_row_numbers(
    staged: Table, organisation_id: UUID, bulk_action_id: UUID, start: int, end: int
) -> Sequence[int]:
    """Rows that are staged in buckets from `start` up to, not including, `end`, in file order."""
    query = select(staged.c.row_number).where(
        staged.c.organisation_id == organisation_id,
        staged.c.bulk_action_id == bulk_action_id,
        staged.c.bucket >= start,
        staged.c.bucket < end,
    )
    return db.session.scalars(query.order_by(staged.c.row_number)).all()


def find_unswept(limit: int) -> list[tuple[UUID, UUID]]:
    """(organisation, bulk action) of every organisation that are started and not cleaned up.

    It looks across organisations, so it asks a function that the owner lent to the app's role.
    """
    rows = db.session.execute(text("SELECT * FROM footfall_unswept_bulk_actions(:most)"), {"most": limit})
    return [(row[0], row[1]) for row in rows]


def lock_undone_chunks(
    organisation_id: UUID, bulk_action_id: UUID, taken_before: datetime | None = None
) -> Sequence[BulkActionChunk]:
    """Chunks that are not done and that nobody holds, locked; `taken_before` wants those that were taken by then."""
    query = (
        select(BulkActionChunk)
        .where(*_undone(organisation_id, bulk_action_id))
        .with_for_update(skip_locked=True)
        .execution_options(populate_existing=True)
    )
    if taken_before is not None:
        query = query.where(BulkActionChunk.taken_at < taken_before)
    return db.session.scalars(query).all()


def has_undone_chunk(organisation_id: UUID, bulk_action_id: UUID) -> bool:
    """Whether any chunk is not done, held by somebody or not."""
    query = select(BulkActionChunk.index).where(*_undone(organisation_id, bulk_action_id)).limit(1)
    return db.session.execute(query).one_or_none() is not None


def _undone(organisation_id: UUID, bulk_action_id: UUID) -> tuple[ColumnElement[bool], ...]:
    return (
        BulkActionChunk.organisation_id == organisation_id,
        BulkActionChunk.bulk_action_id == bulk_action_id,
        BulkActionChunk.state == ChunkState.PENDING,
    )


def count_waiting_chunks(now: datetime, limit: int) -> int:
    """Chunks of every organisation that a worker might take now, counted up to a limit."""
    query = text("SELECT footfall_count_waiting_chunks(:moment, :most)")
    return int(db.session.execute(query, {"moment": now, "most": limit}).scalar_one())


def get_mapping(organisation_id: UUID, entity: str, fingerprint: str) -> ImportMapping | None:
    """How a file with this header was mapped the last time."""
    return db.session.get(ImportMapping, (organisation_id, entity, fingerprint))


def list_rejected_rows(
    organisation_id: UUID, bulk_action_id: UUID, *, after: int = 0, limit: int = PAGE_SIZE
) -> Sequence[RejectedRow]:
    """Rejected rows in file order."""
    query = select(RejectedRow).where(
        RejectedRow.organisation_id == organisation_id,
        RejectedRow.bulk_action_id == bulk_action_id,
        RejectedRow.row_number > after,
    )
    return db.session.scalars(query.order_by(RejectedRow.row_number).limit(limit)).all()


def list_replaced_rows(
    organisation_id: UUID, bulk_action_id: UUID, *, after: int = 0, limit: int = PAGE_SIZE
) -> Sequence[ReplacedRow]:
    """Rows whose key came again further down, in file order."""
    query = select(ReplacedRow).where(
        ReplacedRow.organisation_id == organisation_id,
        ReplacedRow.bulk_action_id == bulk_action_id,
        ReplacedRow.row_number > after,
    )
    return db.session.scalars(query.order_by(ReplacedRow.row_number).limit(limit)).all()


def each_rejected_row(organisation_id: UUID, bulk_action_id: UUID) -> Iterator[RejectedRow]:
    """All rejected rows in file order, read in pages, so that memory does not grow with them."""
    after = 0
    while rows := list_rejected_rows(organisation_id, bulk_action_id, after=after, limit=REPORT_PAGE_ROWS):
        yield from rows
        after = rows[-1].row_number
        db.session.expunge_all()
