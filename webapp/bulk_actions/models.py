"""One verb over many records, and the chunks in which it is done."""

from __future__ import annotations

import enum
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, ForeignKeyConstraint, Index, String, Text, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from webapp.extensions import Model
from webapp.lib.clock import utc_now
from webapp.lib.columns import CreatedAt, NewId, TenantKey, text_enum


class Verb(enum.Enum):
    """What is done to each record."""

    IMPORT = "import"
    UPDATE = "update"
    ADD_TAGS = "add_tags"
    REMOVE_TAGS = "remove_tags"
    DELETE = "delete"
    DELETE_ALL = "delete_all"
    RESTORE = "restore"
    EXPORT = "export"
    UNDO = "undo"
    FIND_PICTURES = "find_pictures"


class BulkActionState(enum.Enum):
    """A draft is an uploaded file whose mapping is still shown; `pending` waits for a worker, or for its time.

    It completes with problems when a chunk was given up, so that its rows stayed out whatever is in them.
    """

    DRAFT = "draft"
    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    COMPLETED_WITH_PROBLEMS = "completed_with_problems"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        return self in FINAL_STATES


COMPLETED_STATES = frozenset({BulkActionState.COMPLETED, BulkActionState.COMPLETED_WITH_PROBLEMS})
RUNNING_STATES = frozenset({BulkActionState.PENDING, BulkActionState.RUNNING})
FINAL_STATES = COMPLETED_STATES | {BulkActionState.FAILED, BulkActionState.CANCELLED}


class Phase(enum.Enum):
    """An import plans its chunks, stages each, merges each range of keys; other verbs plan, work and finish."""

    PLAN = "plan"
    STAGE = "stage"
    MERGE = "merge"
    WORK = "work"
    FINISH = "finish"


WAITING_ORDER = ("organisation_id", "bulk_action_id", "phase", "index")


class ChunkState(enum.Enum):
    PENDING = "pending"
    DONE = "done"


class BulkAction(Model):
    """A verb over many records. An import is one whose records come from a file."""

    __tablename__ = "bulk_actions"
    __table_args__ = (
        ForeignKeyConstraint(["organisation_id"], ["organisations.id"]),
        Index("ix_bulk_actions_unswept", "id", postgresql_where="state <> 'draft' AND cleaned_at IS NULL"),
        Index(
            "ix_bulk_actions_with_details",
            "ended_at",
            postgresql_where="ended_at IS NOT NULL AND details_removed_at IS NULL",
        ),
        Index("ix_bulk_actions_organisation_id_file_sha256", "organisation_id", "file_sha256"),
        Index(None, "organisation_id", "source_id", postgresql_where=text("source_id IS NOT NULL")),
        Index(
            "uq_bulk_actions_organisation_id_idempotency_key",
            "organisation_id",
            "idempotency_key",
            unique=True,
            postgresql_where="idempotency_key IS NOT NULL",
        ),
    )

    organisation_id: Mapped[TenantKey]
    id: Mapped[NewId]
    verb: Mapped[Verb] = mapped_column(text_enum(Verb), default=Verb.IMPORT)
    entity: Mapped[str] = mapped_column(default="contacts")
    state: Mapped[BulkActionState] = mapped_column(text_enum(BulkActionState), default=BulkActionState.DRAFT)
    phase: Mapped[Phase] = mapped_column(text_enum(Phase), default=Phase.PLAN)
    file_name: Mapped[str]
    file_key: Mapped[str]
    file_byte_count: Mapped[int] = mapped_column(BigInteger)
    file_sha256: Mapped[str]
    format: Mapped[dict[str, Any]] = mapped_column(default=dict)
    mapping: Mapped[dict[str, Any]] = mapped_column(default=dict)
    planned_offset: Mapped[int] = mapped_column(BigInteger, default=0)
    planned_at: Mapped[datetime | None]
    row_count: Mapped[int] = mapped_column(BigInteger, default=0)
    chunk_count: Mapped[int] = mapped_column(default=0)
    staged_chunk_count: Mapped[int] = mapped_column(default=0)
    staged_count: Mapped[int] = mapped_column(BigInteger, default=0)
    partition_count: Mapped[int] = mapped_column(default=0)
    merged_partition_count: Mapped[int] = mapped_column(default=0)
    merged_count: Mapped[int] = mapped_column(BigInteger, default=0)
    created_count: Mapped[int] = mapped_column(BigInteger, default=0)
    updated_count: Mapped[int] = mapped_column(BigInteger, default=0)
    unchanged_count: Mapped[int] = mapped_column(BigInteger, default=0)
    rejected_count: Mapped[int] = mapped_column(BigInteger, default=0)
    duplicate_count: Mapped[int] = mapped_column(BigInteger, default=0)
    blank_count: Mapped[int] = mapped_column(BigInteger, default=0)
    skipped_count: Mapped[int] = mapped_column(BigInteger, default=0)
    succeeded_count: Mapped[int] = mapped_column(BigInteger, default=0)
    failed_count: Mapped[int] = mapped_column(BigInteger, default=0)
    rules: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """Of an import: see `webapp.records.rules`."""
    is_dry_run: Mapped[bool] = mapped_column(default=False)
    parameters: Mapped[dict[str, Any]] = mapped_column(default=dict)
    selection: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    selected_at: Mapped[datetime | None]
    source_id: Mapped[UUID | None]
    """The bulk action that this one undoes, or the draft that it tries."""
    idempotency_key: Mapped[str | None]
    idempotency_fingerprint: Mapped[str | None]
    """What the call with the key asked for."""
    given_up_chunk_count: Mapped[int] = mapped_column(default=0)
    job_id: Mapped[UUID | None]
    created_by: Mapped[UUID | None]
    created_at: Mapped[CreatedAt]
    run_at: Mapped[datetime | None]
    """None of its chunks is taken before, but that which freezes a selection."""
    wait_reason: Mapped[str | None]
    """Why it waits until `run_at`, when it was not a person who wanted that."""
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    cleaned_at: Mapped[datetime | None]
    details_removed_at: Mapped[datetime | None]
    """Since when nothing is kept of its single rows and records; see `retention`."""
    error: Mapped[str | None]

    @property
    def is_running(self) -> bool:
        """Whether chunks may still be worked on."""
        return self.state in RUNNING_STATES

    @property
    def plans_ahead(self) -> bool:
        """Whether its selection is frozen though its work begins later, because somebody wanted that."""
        is_later = self.run_at is not None and self.wait_reason is None and self.run_at > utc_now()
        return is_later and self.state is BulkActionState.PENDING and self.verb not in {Verb.IMPORT, Verb.DELETE_ALL}

    @property
    def left_out_count(self) -> int:
        """Rows that were never staged: blank, or rejected before the merge, which may reject some, too."""
        merged = self.created_count + self.updated_count + self.unchanged_count + self.skipped_count
        merged += self.succeeded_count + self.failed_count
        rejected_by_merge = self.merged_count - merged - self.duplicate_count
        return self.blank_count + self.rejected_count - rejected_by_merge

    @property
    def path(self) -> str:
        """The page of this bulk action."""
        return f"/bulk-actions/{self.id}"

    def end(self, state: BulkActionState, error: str | None = None) -> None:
        """Finish for good; chunks still at work find out when they lock this row, and roll back."""
        self.state = state
        self.error = error
        self.ended_at = utc_now()


class BulkActionChunk(Model):
    """A unit of work: bytes of the file (stage) or a range of key buckets (merge).

    `taken_at` says that it is somebody's, its row's lock that they are alive and at work; its state, written in
    the same transaction as the work, says that the work is done.
    """

    __tablename__ = "bulk_action_chunks"
    __table_args__ = (
        ForeignKeyConstraint(
            ["organisation_id", "bulk_action_id"],
            ["bulk_actions.organisation_id", "bulk_actions.id"],
            ondelete="CASCADE",
        ),
        Index(
            "ix_bulk_action_chunks_waiting", *WAITING_ORDER, postgresql_where="state = 'pending' AND taken_at IS NULL"
        ),
        Index(
            "ix_bulk_action_chunks_taken",
            *WAITING_ORDER[:2],
            postgresql_where="state = 'pending' AND taken_at IS NOT NULL",
        ),
    )

    organisation_id: Mapped[TenantKey]
    bulk_action_id: Mapped[UUID] = mapped_column(primary_key=True)
    phase: Mapped[Phase] = mapped_column(text_enum(Phase), primary_key=True)
    index: Mapped[int] = mapped_column(primary_key=True)
    start_offset: Mapped[int] = mapped_column(BigInteger, default=0)
    end_offset: Mapped[int] = mapped_column(BigInteger, default=0)
    first_row_number: Mapped[int] = mapped_column(BigInteger, default=0)
    row_count: Mapped[int] = mapped_column(BigInteger, default=0)
    created_count: Mapped[int] = mapped_column(default=0)
    updated_count: Mapped[int] = mapped_column(default=0)
    unchanged_count: Mapped[int] = mapped_column(default=0)
    rejected_count: Mapped[int] = mapped_column(default=0)
    duplicate_count: Mapped[int] = mapped_column(default=0)
    skipped_count: Mapped[int] = mapped_column(default=0)
    succeeded_count: Mapped[int] = mapped_column(default=0)
    failed_count: Mapped[int] = mapped_column(default=0)
    record_ids: Mapped[list[UUID] | None] = mapped_column(ARRAY(Uuid()), deferred=True)
    state: Mapped[ChunkState] = mapped_column(text_enum(ChunkState), default=ChunkState.PENDING)
    attempt_count: Mapped[int] = mapped_column(default=0)
    taken_at: Mapped[datetime | None]
    """When the present attempt began; empty while the chunk waits for a worker."""
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    error: Mapped[str | None]


class BulkActionTurn(Model):
    """How far a bulk action and its organisation were served, so that all take turns; `*_mark` counts rows.

    Only PostgreSQL's function that takes a chunk writes it; see migration 0007.
    """

    __tablename__ = "bulk_action_turns"
    __table_args__ = (
        ForeignKeyConstraint(
            ["organisation_id", "bulk_action_id"],
            ["bulk_actions.organisation_id", "bulk_actions.id"],
            ondelete="CASCADE",
        ),
    )

    organisation_id: Mapped[TenantKey]
    bulk_action_id: Mapped[UUID] = mapped_column(primary_key=True)
    start_mark: Mapped[int] = mapped_column(BigInteger)
    end_mark: Mapped[int] = mapped_column(BigInteger)
    organisation_start_mark: Mapped[int] = mapped_column(BigInteger)
    organisation_end_mark: Mapped[int] = mapped_column(BigInteger)
    taken_at: Mapped[datetime]


class RejectedRow(Model):
    """A row that was left out, why, and its cells as they were."""

    __tablename__ = "rejected_rows"
    __table_args__ = (
        ForeignKeyConstraint(
            ["organisation_id", "bulk_action_id"],
            ["bulk_actions.organisation_id", "bulk_actions.id"],
            ondelete="CASCADE",
        ),
    )

    organisation_id: Mapped[TenantKey]
    bulk_action_id: Mapped[UUID] = mapped_column(primary_key=True)
    row_number: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    reason: Mapped[str]
    cells: Mapped[list[Any]]


class ReplacedRow(Model):
    """A row whose key came again further down; the later row's cells won."""

    __tablename__ = "replaced_rows"
    __table_args__ = (
        ForeignKeyConstraint(
            ["organisation_id", "bulk_action_id"],
            ["bulk_actions.organisation_id", "bulk_actions.id"],
            ondelete="CASCADE",
        ),
    )

    organisation_id: Mapped[TenantKey]
    bulk_action_id: Mapped[UUID] = mapped_column(primary_key=True)
    row_number: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    replaced_by_row_number: Mapped[int] = mapped_column(BigInteger)
    record_key: Mapped[str | None]
    """What tells the record, as it is compared; imports of earlier versions did not keep it."""


class BulkActionOutcome(Model):
    """Some records, or rows, with one outcome of a bulk action: as arrays, which cost next to nothing to write.

    `part` is the chunk that wrote them. Imports name records and their rows, a dry run's new ones only rows;
    `reasons` go with outcomes that need one.
    """

    __tablename__ = "bulk_action_outcomes"
    __table_args__ = (
        ForeignKeyConstraint(
            ["organisation_id", "bulk_action_id"],
            ["bulk_actions.organisation_id", "bulk_actions.id"],
            ondelete="CASCADE",
        ),
    )

    organisation_id: Mapped[TenantKey]
    bulk_action_id: Mapped[UUID] = mapped_column(primary_key=True)
    outcome: Mapped[str] = mapped_column(String(32), primary_key=True)
    part: Mapped[int] = mapped_column(primary_key=True)
    record_count: Mapped[int]
    record_ids: Mapped[list[UUID] | None] = mapped_column(ARRAY(Uuid()))
    row_numbers: Mapped[list[int] | None] = mapped_column(ARRAY(BigInteger))
    reasons: Mapped[list[str] | None] = mapped_column(ARRAY(Text()))


class BeforeImage(Model):
    """What a record was before a bulk action changed it at `written_at`, in the columns that it might change."""

    __tablename__ = "before_images"

    organisation_id: Mapped[TenantKey]
    bulk_action_id: Mapped[UUID] = mapped_column(primary_key=True)
    record_id: Mapped[UUID] = mapped_column(primary_key=True)
    values: Mapped[dict[str, Any]]
    updated_at: Mapped[datetime]
    written_at: Mapped[datetime]


class ImportMapping(Model):
    """How this organisation mapped a file with these columns the last time."""

    __tablename__ = "import_mappings"
    __table_args__ = (ForeignKeyConstraint(["organisation_id"], ["organisations.id"]),)

    organisation_id: Mapped[TenantKey]
    entity: Mapped[str] = mapped_column(primary_key=True)
    fingerprint: Mapped[str] = mapped_column(primary_key=True)
    mapping: Mapped[dict[str, Any]]
    updated_at: Mapped[datetime] = mapped_column(default=utc_now)
