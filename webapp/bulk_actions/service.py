"""What can be done to bulk actions. Nothing here commits or sends."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete

from webapp.bulk_actions.detect import DELIMITERS, PREVIEW_ROWS, Detected, FileFormat
from webapp.bulk_actions.encoding import ENCODINGS
from webapp.bulk_actions.files import Upload, delete_files, deleted_on_error, file_key
from webapp.bulk_actions.mapping import ColumnMapping, check_mapping, fingerprint, known_target, match_columns
from webapp.bulk_actions.models import (
    BulkAction,
    BulkActionChunk,
    BulkActionState,
    BulkActionTurn,
    ImportMapping,
    Phase,
    Verb,
)
from webapp.bulk_actions.queries import get_mapping, has_undone_chunk, lock_bulk_action, lock_undone_chunks
from webapp.bulk_actions.records import UnreadableFileError
from webapp.bulk_actions.sources import look_again, look_at
from webapp.extensions import db
from webapp.jobs.models import Job, JobAttempt
from webapp.jobs.queries import get_job_for_update
from webapp.jobs.service import begin_attempt, create_chunked_job
from webapp.lib.clock import utc_now
from webapp.lib.ids import uuid7
from webapp.lib.storage import Storage
from webapp.records.entities import ATTRIBUTE_PREFIX, get_entity
from webapp.records.field_types import regions
from webapp.records.rules import as_json, rules_from
from webapp.records.service import note_attribute_names

JOB_KIND = "import"
SAMPLES_PER_COLUMN = 3
SAMPLE_LENGTH = 60


class NotADraftError(Exception):
    """The import was started before, so its mapping cannot be changed any more."""


@dataclass(frozen=True)
class Column:
    """A column of the file, as the mapping page shows it."""

    index: int
    name: str
    samples: list[str]
    field: str | None


@dataclass(frozen=True)
class Preview:
    """What the mapping page shows of a draft."""

    format: FileFormat
    columns: list[Column]
    rows: list[list[str]]


def start_upload(
    organisation_id: UUID,
    user_id: UUID | None,
    file_name: str,
    blocks: Iterable[bytes],
    *,
    storage: Storage,
    limit_bytes: int,
    entity: str = "contacts",
) -> BulkAction:
    """Store a file, look at it, and match its columns: a draft.

    Raises UnreadableFileError (UploadTooLargeError when it is over the limit). Whatever is raised, nothing stays.
    """
    bulk_action_id = uuid7()
    key = file_key(organisation_id, bulk_action_id)
    upload = Upload(limit_bytes)
    storage.write(key, upload.watched(blocks))
    bulk_action = BulkAction(
        organisation_id=organisation_id,
        id=bulk_action_id,
        entity=entity,
        file_name=file_name or f"{entity}.csv",
        file_key=key,
        file_byte_count=upload.byte_count,
        file_sha256=upload.sha256,
        created_by=user_id,
    )
    with deleted_on_error(storage, key):
        _detect(bulk_action, upload, storage)
        db.session.add(bulk_action)
        db.session.flush()
    return bulk_action


def _detect(bulk_action: BulkAction, upload: Upload, storage: Storage) -> None:
    _take(bulk_action, look_at(bulk_action, storage, is_utf8=upload.is_utf8, odd_sample=upload.odd_sample))


def _take(bulk_action: BulkAction, detected: Detected) -> None:
    bulk_action.format = detected.format.as_json()
    bulk_action.mapping = dict(_suggest(bulk_action, detected))


def _suggest(bulk_action: BulkAction, detected: Detected) -> ColumnMapping:
    """As a file with these columns was mapped the last time, else by their names."""
    header, entity = detected.format.header, get_entity(bulk_action.entity)
    remembered = get_mapping(bulk_action.organisation_id, bulk_action.entity, fingerprint(header))
    if remembered and detected.format.has_header:
        known = remembered.mapping.get("columns", {})
        bulk_action.rules = remembered.mapping.get("rules", {})
        bulk_action.parameters = {"region": remembered.mapping.get("region", "")}
        return {str(column): known_target(known.get(str(column)), entity) for column in range(len(header))}
    return match_columns(header, detected.rows, entity)


def change_format(
    bulk_action: BulkAction, storage: Storage, *, encoding: str, delimiter: str, has_header: bool, sheet: str = ""
) -> None:
    """Read the draft's file as a person says. Raises UnreadableFileError, with the draft unchanged.

    A workbook has a sheet in place of encoding and delimiter; whether another sheet has a header is looked up anew.
    """
    _require_draft(bulk_action)
    before = FileFormat(**bulk_action.format)
    wanted = replace(before, encoding=encoding, delimiter=delimiter, has_header=has_header, sheet=sheet or before.sheet)
    if wanted == before:
        return
    if encoding not in ENCODINGS or delimiter not in DELIMITERS:
        raise UnreadableFileError("Choose one of the encodings and delimiters that are offered.")
    if wanted.sheet != before.sheet and wanted.sheet not in before.sheets:
        raise UnreadableFileError(f"There is no sheet called “{wanted.sheet}”. Choose one of those that are offered.")
    is_other_sheet = wanted.sheet != before.sheet
    _take(bulk_action, look_again(bulk_action, storage, wanted, has_header=None if is_other_sheet else has_header))


def change_mapping(bulk_action: BulkAction, mapping: Mapping[str, str | None]) -> None:
    """Keep what a person chose, complete or not, so that the page shows it again."""
    _require_draft(bulk_action)
    columns = range(FileFormat(**bulk_action.format).column_count)
    entity = get_entity(bulk_action.entity)
    bulk_action.mapping = {str(column): known_target(mapping.get(str(column)), entity) for column in columns}


def change_rules(bulk_action: BulkAction, rules: Mapping[str, Any], region: str) -> None:
    """Keep what an import may do, and the country of its phone numbers. Raises ValueError for what is no rule."""
    _require_draft(bulk_action)
    bulk_action.rules = as_json(rules_from(tuple(target for target in bulk_action.mapping.values() if target), rules))
    bulk_action.parameters = {**bulk_action.parameters, "region": region if region in regions() else ""}


def start_dry_run(draft: BulkAction, user_id: UUID | None) -> BulkAction:
    """Queue everything but the writing of a draft's import, which stays a draft with its file. Raises MappingError."""
    _require_draft(draft)
    copied = ("organisation_id", "entity", "file_name", "file_key", "file_byte_count", "file_sha256")
    tried = BulkAction(
        **{name: getattr(draft, name) for name in copied},
        id=uuid7(),
        format=dict(draft.format),
        mapping=dict(draft.mapping),
        rules=dict(draft.rules),
        parameters=dict(draft.parameters),
        created_by=user_id,
        is_dry_run=True,
        source_id=draft.id,
    )
    db.session.add(tried)
    db.session.flush()
    start_import(tried)
    return tried


def preview(bulk_action: BulkAction, storage: Storage) -> Preview:
    """The draft's columns with samples of their cells, and the file's first rows."""
    file_format = FileFormat(**bulk_action.format)
    detected = look_again(bulk_action, storage, file_format, has_header=file_format.has_header)
    columns = [
        Column(index, name, _samples(detected.rows, index), bulk_action.mapping.get(str(index)))
        for index, name in enumerate(file_format.header)
    ]
    return Preview(file_format, columns, detected.rows[:PREVIEW_ROWS])


def _samples(rows: list[list[str]], column: int) -> list[str]:
    """The first different cells of a column that are not blank."""
    cells = (row[column].strip()[:SAMPLE_LENGTH] for row in rows if column < len(row))
    return list(dict.fromkeys(cell for cell in cells if cell))[:SAMPLES_PER_COLUMN]


def delete_drafts(organisation_id: UUID, ids: Collection[UUID], created_before: datetime) -> None:
    """Remove those of these uploads that nobody started; their files are for the caller, after the commit."""
    statement = delete(BulkAction).where(
        BulkAction.organisation_id == organisation_id,
        BulkAction.id.in_(ids),
        BulkAction.state == BulkActionState.DRAFT,
        BulkAction.created_at < created_before,
    )
    db.session.execute(statement, execution_options={"synchronize_session": False})


def start_import(
    bulk_action: BulkAction, mapping: Mapping[str, str | None] | None = None, *, run_at: datetime | None = None
) -> None:
    """Queue the draft with this mapping (default: the suggested one), and remember it for the next such file.

    With `run_at` it waits until then. Commit, then `send_work`. Raises MappingError, or NotADraftError when it
    was started before.
    """
    _require_draft(bulk_action)
    chosen = bulk_action.mapping if mapping is None else mapping
    complete = check_mapping(chosen, FileFormat(**bulk_action.format).column_count, get_entity(bulk_action.entity))
    bulk_action.mapping = dict(complete)
    _remember(bulk_action)
    note_attribute_names(bulk_action.organisation_id, bulk_action.entity, _attribute_names(complete))
    job = create_chunked_job(
        bulk_action.organisation_id,
        JOB_KIND,
        f"{'Try' if bulk_action.is_dry_run else 'Import'} {bulk_action.file_name}",
        parameters={"bulk_action_id": str(bulk_action.id)},
        subject_path=bulk_action.path,
        created_by=bulk_action.created_by,
    )
    job.run_at = run_at or job.run_at
    bulk_action.job_id = job.id
    bulk_action.run_at = run_at
    bulk_action.state = BulkActionState.PENDING
    db.session.add(new_chunk(bulk_action, Phase.PLAN, 0))
    db.session.flush()


def _attribute_names(mapping: ColumnMapping) -> list[str]:
    targets = [target for target in mapping.values() if target and target.startswith(ATTRIBUTE_PREFIX)]
    return [target.removeprefix(ATTRIBUTE_PREFIX) for target in targets]


def _require_draft(bulk_action: BulkAction) -> None:
    if bulk_action.state is not BulkActionState.DRAFT:
        raise NotADraftError("This import was already started.")


def _remember(bulk_action: BulkAction) -> None:
    file_format = FileFormat(**bulk_action.format)
    if not file_format.has_header:
        return
    key = fingerprint(file_format.header)
    kept = get_mapping(bulk_action.organisation_id, bulk_action.entity, key)
    if kept is None:
        kept = ImportMapping(organisation_id=bulk_action.organisation_id, entity=bulk_action.entity, fingerprint=key)
        db.session.add(kept)
    region = bulk_action.parameters.get("region", "")
    kept.mapping = {"columns": dict(bulk_action.mapping), "rules": dict(bulk_action.rules), "region": region}
    kept.updated_at = utc_now()


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
    if bulk_action.verb is Verb.IMPORT and not bulk_action.is_dry_run:  # a dry run's file belongs to its draft
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
